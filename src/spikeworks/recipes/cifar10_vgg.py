"""CIFAR-10: a VGG-11 at half width trained with QCFS, converted by every method."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from ..convert.activation import QCFS
from ..measure.result import Report
from ..models import vgg11
from ..train import Plan
from . import augment
from . import run as common
from .data import cifar10

LEVELS = 4
BOUND = 2.0
"""λ before training. The published 8 suits 300 epochs; λ moves too little in so few to come down from there."""


def network(seed: int) -> nn.Module:
    """VGG-11 at half width: 32, pool, 64, pool, 128, 128, pool, 256, 256, pool, 256, 256, pool, 256 hidden, 10."""
    return vgg11(10, activation=partial(QCFS, LEVELS, BOUND), in_channels=3, image=32, width=0.5, hidden=(256,),
                generator=torch.Generator().manual_seed(seed))  # fmt: skip


def augmented(x: Tensor, generator: torch.Generator) -> Tensor:
    """Shifts by up to 4 pixels, mirror images, an 8-pixel square cut out."""
    return augment.cutout(augment.flip(augment.crop(x, generator, 4), generator), generator, 8)


def run(
    seed: int = 0, quick: bool = False, watch: common.Watch = common.Watch(), command: str = "",
    checkpoint: str | Path | None = None,
) -> Report:  # fmt: skip
    """Train 16 epochs, convert by every method that takes the network, measure on the 10,000 test images.

    :param seed: of weights, order and augmentation; the split is fixed.
    :param quick: a few batches only: does it run?
    :param watch: who is told what happens. :param command: what was typed, for the report.
    :param checkpoint: where training leaves what it needs to go on, ``.safetensors``.
    :raises ValueError: if the data are not under ``$SPIKEWORKS_DATA``.
    """
    split = common.few(cifar10(), 32, 20) if quick else cifar10()
    plan = Plan(1 if quick else 16, 128, 0.05, decay=5e-4, warmup=0.5, precision=common.precision())
    networks = {"QCFS": network(seed)}
    common.train(networks, split, plan, seed, watch, augmented, checkpoint)
    results, left_out = common.convert_all(
        networks, split, common.choose(None), common.STEPS[: 3 if quick else 6], watch
    )
    about = common.provenance(
        command or f"spikeworks recipe cifar10_vgg --seed {seed}", seed,
        network=f"VGG-11 at half width (32 to 256 channels, 256 hidden), QCFS L={LEVELS}, average pooling",
        data="CIFAR-10, JPEG, 45,000 train, 5,000 validation, 10,000 test",
        training=f"{plan.epochs} epochs of SGD, {plan.precision}; shifts, mirror images, cutout",
        **common.omitted(left_out),
    )  # fmt: skip
    return Report("CIFAR-10, VGG-11 at half width", results, about)
