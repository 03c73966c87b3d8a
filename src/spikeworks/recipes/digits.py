"""The demo: three small convolutional networks on 1,797 digits, converted by every method in about a minute."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from torch import nn

from ..convert.activation import QCFS, Clip
from ..measure.result import Report
from ..models import VGG, VGGConfig, initialise
from ..train import Plan
from . import run as common
from .data import digits

LEVELS = 4
ACTIVATIONS = {"ReLU": nn.ReLU, "Clip": partial(Clip, 2.0), "QCFS": partial(QCFS, LEVELS, 2.0)}
"""One network is trained with each; a method converts the first that it takes."""


def network(activation: str, seed: int) -> nn.Module:
    """Three convolutions (32, 64, 64 channels; normalised, average pooling) and a linear layer, on 8×8 grey images."""
    shape = VGGConfig((32, "pool", 64, 64, "pool"), (), in_channels=1, image=8)
    made = VGG(shape, ACTIVATIONS[activation])
    initialise(made, torch.Generator().manual_seed(seed))
    return made


def run(
    seed: int = 0, quick: bool = False, watch: common.Watch = common.Watch(), command: str = "",
    checkpoint: str | Path | None = None,
) -> Report:  # fmt: skip
    """Train, convert by every method, measure on the 300 test digits at T = 1, 2, 4, 8, 16, 32.

    :param seed: of weights and order; the split is fixed. :param quick: 3 epochs and T up to 8.
    :param watch: who is told what happens. :param command: what was typed, for the report.
    :param checkpoint: where training leaves what it needs to go on, ``.safetensors``.
    """
    split = digits()
    plan = Plan(epochs=3 if quick else 25, batch=64, rate=0.05, decay=5e-4, smoothing=0.05, warmup=1)
    networks = {name: network(name, seed) for name in ACTIVATIONS}
    common.train(networks, split, plan, seed, watch, checkpoint=checkpoint)
    results, left_out = common.convert_all(
        networks, split, common.choose(None), common.STEPS[: 4 if quick else 6], watch
    )
    about = common.provenance(
        command or f"spikeworks demo --seed {seed}", seed,
        network="three convolutions (32, 64, 64) and a linear layer, one network each with ReLU, Clip and QCFS",
        data="digits (scikit-learn), 1,197 train, 300 validation, 300 test",
        **common.omitted(left_out),
    )  # fmt: skip
    return Report("Handwritten digits, converted by every method", results, about)
