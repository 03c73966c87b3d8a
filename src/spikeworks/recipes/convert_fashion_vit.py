"""Fashion-MNIST: a small vision transformer, converted without training.

Top-1 in % on the 10,000 test images, mean ± standard deviation over seeds 0, 1 and 2
(``spikeworks recipe convert_fashion_vit --seed N --method ecmt ecmt-q0.97 dcgs sta``, then ``spikeworks spread``):

| method             | T=1        | T=2        | T=4        | T=6        | T=8        | deep       |
|--------------------|------------|------------|------------|------------|------------|------------|
| ECMT (±8, q=0.99)  | 33.8 ± 3.8 | 80.9 ± 1.6 | 87.4 ± 0.4 | 88.1 ± 0.6 | 88.4 ± 0.5 | 88.6 ± 0.5 |
| ECMT (±8, q=0.97)  | 60.6 ± 2.9 | 85.7 ± 0.6 | 88.1 ± 0.5 | 88.4 ± 0.4 | 88.5 ± 0.6 | 88.6 ± 0.5 |
| DCGS (±8)          | 86.8 ± 0.6 | 88.5 ± 0.6 | 88.6 ± 0.5 | 88.6 ± 0.5 | 88.6 ± 0.5 | 88.6 ± 0.5 |
| STA (±8)           | 86.8 ± 0.7 | 88.5 ± 0.5 | 88.6 ± 0.5 | 88.7 ± 0.5 | 88.7 ± 0.5 | 88.6 ± 0.5 |

Energy against the deep network's (45 nm, first layer once) at T = 1, 2, 4, 6 and 8: ECMT 0.06, 0.15, 0.36, 0.59, 0.81;
with q = 0.97 0.07, 0.18, 0.41, 0.64, 0.87; DCGS 0.18, 0.39, 0.71, 0.89, 1.01; STA 0.19, 0.39, 0.64, 0.66, 0.66.
Few levels (``spikeworks recipe convert_fashion_vit --seed 0``, T = 4, n = 1, 2, 4, 8; the deep network 88.2): ECMT
83.8, 86.2, 87.2, 87.2; DCGS 10.0, 49.2, 87.1, 88.3. ECMT with q = 0.999: 83.6; SpikeZIP: 33.8, and 79.5 at T = 8.
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
