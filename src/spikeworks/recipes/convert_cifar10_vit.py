"""CIFAR-10: the small vision transformer of ``convert_fashion_vit``, converted without training.

Not measured yet over several seeds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from ..models import vit_tiny
from . import augment
from .convert_fashion_vit import PLAN, STEPS, methods
from .data import cifar10
from .run import Comparison, a_few_batches


def network(activation: Callable[[], nn.Module], generator: torch.Generator) -> nn.Module:
    """Patches of 4, 96 features, 4 blocks of 4 heads, a class token."""
    return vit_tiny(activation=activation, image=32, in_channels=3, depth=4, generator=generator)


def augmented(x: Tensor, generator: torch.Generator) -> Tensor:
    """Shifts by up to 2 pixels and mirror images."""
    return augment.flip(augment.crop(x, generator, 2), generator)


run = Comparison(
    "convert_cifar10_vit", "CIFAR-10, a small vision transformer", cifar10, network,
    replace(PLAN, epochs=20), augmented,
    {
        "network": "ViT (patches of 4, 96 features, 4 blocks, 4 heads)",
        "data": "CIFAR-10, JPEG, 45,000 train, 5,000 validation, 10,000 test",
        "augmentation": "shifts, mirror images",
    },
    a_few_batches, {"GELU": nn.GELU}, methods, steps=STEPS,
)  # fmt: skip
"""Train 20 epochs, convert, measure on the 10,000 test images; ``quick``: a few batches."""
