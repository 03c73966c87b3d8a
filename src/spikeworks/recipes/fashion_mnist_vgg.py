"""Fashion-MNIST: a VGG-9 at quarter width, trained with ReLU, Clip and QCFS, converted by every method."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..models import vgg9
from ..train import Plan
from . import augment
from .data import fashion_mnist
from .run import Comparison, a_few_batches, precision


def network(activation: Callable[[], nn.Module], generator: torch.Generator) -> nn.Module:
    """VGG-9 at quarter width: 16, 16, pool, 32, 32, pool, 64, 64, 64, pool, 128 hidden, 10; average pooling."""
    return vgg9(10, activation=activation, in_channels=1, image=28, width=0.25, hidden=(128,), generator=generator)


def augmented(x: Tensor, generator: torch.Generator) -> Tensor:
    """Shifts by up to 2 pixels, mirror images, an 8-pixel square cut out."""
    return augment.cutout(augment.flip(augment.crop(x, generator, 2), generator), generator, 8)


run = Comparison(
    "fashion_mnist_vgg", "Fashion-MNIST, VGG-9 at quarter width", fashion_mnist, network,
    Plan(8, 128, 0.05, decay=5e-4, warmup=0.5, precision=precision()), augmented,
    {
        "network": "VGG-9 at quarter width (16 to 64 channels, 128 hidden), average pooling",
        "data": "Fashion-MNIST, 55,000 train, 5,000 validation, 10,000 test",
        "augmentation": "shifts, mirror images, cutout",
    },
    a_few_batches,
)  # fmt: skip
"""Train 8 epochs, convert by every method, measure on the 10,000 test images; ``quick``: a few batches."""
