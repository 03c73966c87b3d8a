"""Fashion-MNIST: a small vision transformer, converted without training.

MEASURED
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from ..convert import DCGS, ECMT, STA, Method, SpikeZIP
from ..models import vit_tiny
from ..train import Plan
from .data import fashion_mnist
from .run import Comparison, a_few_batches, precision

STEPS = (1, 2, 4, 6, 8)
"""The T at which accuracy is read."""

LEVELS = (1, 2, 4, 8)
"""n of either sign, compared for ECMT and DCGS."""

QUANTILES = (0.97, 0.999)
"""Of ECMT's smallest level, besides 0.99."""

PLAN = Plan(10, 128, 2e-3, "adamw", decay=0.05, warmup=1, clip=1, precision=precision())
"""AdamW."""


def network(activation: Callable[[], nn.Module], generator: torch.Generator) -> nn.Module:
    """Patches of 4, 96 features, 4 blocks of 4 heads, a class token."""
    return vit_tiny(activation=activation, image=28, in_channels=1, depth=4, generator=generator)


def methods() -> dict[str, Method]:
    """ECMT and DCGS with 1 to 8 levels, ECMT with other quantiles, STA and SpikeZIP."""
    found: dict[str, Method] = {}
    for kind in (ECMT, DCGS):
        found |= {kind.name if n == 8 else f"{kind.name}-{n}": kind(levels=n) for n in LEVELS}
    found |= {f"ecmt-q{q:g}": ECMT(q=q) for q in QUANTILES}
    return found | {"sta": STA(), "spikezip": SpikeZIP()}


run = Comparison(
    "convert_fashion_vit", "Fashion-MNIST, a small vision transformer", fashion_mnist, network, PLAN, None,
    {
        "network": "ViT (patches of 4, 96 features, 4 blocks, 4 heads)",
        "data": "Fashion-MNIST, 55,000 train, 5,000 validation, 10,000 test",
    },
    a_few_batches, {"GELU": nn.GELU}, methods, steps=STEPS,
)  # fmt: skip
"""Train 10 epochs, convert, measure on the 10,000 test images; ``quick``: a few batches."""
