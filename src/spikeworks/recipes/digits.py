"""The demo: a small convolutional network on 1,797 digits, converted by every method in about half a minute."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import nn

from ..models import VGG, VGGConfig, initialise
from ..train import Plan
from .data import Split, digits
from .run import Comparison


def network(activation: Callable[[], nn.Module], generator: torch.Generator) -> nn.Module:
    """Three convolutions (32, 64, 64 channels; normalised, average pooling) and a linear layer, on 8×8 grey images."""
    made = VGG(VGGConfig((32, "pool", 64, 64, "pool"), (), in_channels=1, image=8), activation)
    initialise(made, generator)
    return made


def _taste(split: Split, plan: Plan) -> tuple[Split, Plan, int]:
    return split, replace(plan, epochs=3), 4


run = Comparison(
    "digits", "Handwritten digits, converted by every method", digits, network,
    Plan(epochs=25, batch=64, rate=0.05, decay=5e-4, smoothing=0.05, warmup=1), None,
    {
        "network": "three convolutions (32, 64, 64) and a linear layer",
        "data": "digits (scikit-learn), 1,197 train, 300 validation, 300 test",
    },
    _taste,
)  # fmt: skip
"""Train, convert by every method, measure on the 300 test digits; ``quick``: 3 epochs and T up to 8."""
