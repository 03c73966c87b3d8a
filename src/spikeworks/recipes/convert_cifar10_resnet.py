"""CIFAR-10: ResNet-20, trained with QCFS, converted by what stands on it.

Not measured yet: a run takes some twenty minutes on two cores.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from ..models import resnet20
from ..train import Plan
from .convert_cifar10_vgg import augmented
from .data import cifar10
from .run import ACTIVATIONS, Comparison, a_few_batches, choose, precision


def network(activation: Callable[[], nn.Module], generator: torch.Generator) -> nn.Module:
    """ResNet-20: 16, 32 and 64 channels in blocks [3, 3, 3], no pooling but the last."""
    return resnet20(10, activation=activation, in_channels=3, generator=generator)


def _methods() -> dict:
    return choose(["qcfs", "srp", "cos", "parallel", "group"])


run = Comparison(
    "convert_cifar10_resnet", "CIFAR-10, ResNet-20", cifar10, network,
    Plan(10, 128, 0.05, decay=5e-4, warmup=0.5, precision=precision()), augmented,
    {
        "network": "ResNet-20 (16 to 64 channels)",
        "data": "CIFAR-10, JPEG, 45,000 train, 5,000 validation, 10,000 test",
        "augmentation": "shifts, mirror images, cutout",
    },
    a_few_batches, {"QCFS": ACTIVATIONS["QCFS"]}, _methods,
)  # fmt: skip
"""Train 10 epochs, convert, measure on the 10,000 test images; ``quick``: a few batches."""
