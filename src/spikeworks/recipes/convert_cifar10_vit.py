"""CIFAR-10: the small vision transformer of ``convert_fashion_vit``, converted without training.

Top-1 in % on the 10,000 test images, seeds 0 and 1 (``spikeworks recipe convert_cifar10_vit --seed N --method ecmt
ecmt-q0.97 dcgs sta``):

| method            | T=1        | T=2        | T=4        | T=6        | T=8        | deep       |
|-------------------|------------|------------|------------|------------|------------|------------|
| ECMT (±8, q=0.99) | 20.7, 25.0 | 62.8, 62.3 | 72.4, 71.7 | 73.8, 72.4 | 73.8, 72.7 | 74.1, 73.1 |
| ECMT (±8, q=0.97) | 45.3, 46.8 | 69.0, 67.6 | 72.9, 72.0 | 74.1, 72.7 | 74.3, 72.8 | 74.1, 73.1 |
| DCGS (±8)         | 70.4, 69.4 | 73.7, 72.7 | 74.2, 73.0 | 74.1, 73.0 | 74.1, 73.0 | 74.1, 73.1 |
| STA (±8)          | 69.6, 68.7 | 74.0, 72.8 | 74.2, 73.1 | 74.2, 73.1 | 74.2, 73.1 | 74.1, 73.1 |

Energy against the deep network's (seed 0, 45 nm, first layer once) at these T: ECMT 0.06, 0.15, 0.34, 0.54, 0.74; with
q = 0.97 0.08, 0.18, 0.39, 0.61, 0.83; DCGS 0.19, 0.41, 0.70, 0.81, 0.89; STA 0.20, 0.41, 0.62, 0.63, 0.63.
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
