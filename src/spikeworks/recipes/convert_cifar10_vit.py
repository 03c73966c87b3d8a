"""CIFAR-10: the small vision transformer of ``convert_fashion_vit``, converted without training.

Top-1 in % on the 10,000 test images, seed 0 (``spikeworks recipe convert_cifar10_vit --method ecmt ecmt-q0.97 dcgs
sta``), and energy against the deep network's (45 nm, first layer once):

| method            | T=1         | T=2         | T=4         | T=6         | T=8         | deep |
|-------------------|-------------|-------------|-------------|-------------|-------------|------|
| ECMT (±8, q=0.99) | 20.7 (0.06) | 62.8 (0.15) | 72.4 (0.34) | 73.8 (0.54) | 73.8 (0.74) | 74.1 |
| ECMT (±8, q=0.97) | 45.3 (0.08) | 69.0 (0.18) | 72.9 (0.39) | 74.1 (0.61) | 74.3 (0.83) | 74.1 |
| DCGS (±8)         | 70.4 (0.19) | 73.7 (0.41) | 74.2 (0.70) | 74.1 (0.81) | 74.1 (0.89) | 74.1 |
| STA (±8)          | 69.6 (0.20) | 74.0 (0.41) | 74.2 (0.62) | 74.2 (0.63) | 74.2 (0.63) | 74.1 |
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
