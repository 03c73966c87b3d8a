"""An analysis made by hand: numbers chosen, not measured, so that figures and pages can be checked against them."""

from __future__ import annotations

import math

from spikeworks.measure.analysis import CASES, EDGES, Analysis, LayerAnalysis
from spikeworks.measure.curves import FitCurve


def layer(i: int, uneven: float, name: str = "") -> LayerAnalysis:
    """A layer of which a share is off by its own input, and three times as much by its source, more with depth."""
    own = dict(zip(CASES, (uneven / 2, uneven / 4, 0.0, uneven / 4), strict=True))
    wrong = 3 * uneven * (i + 1) / 8
    source = dict(zip(CASES, (wrong / 4,) * 4, strict=True))
    inside = {-0.5: uneven / 2, 0.0: 0.5 - uneven / 2, 0.5: 0.5 - uneven / 2, 1.0: uneven / 2}
    residual = [0.0, *(inside.get(edge, 0.0) for edge in EDGES)]
    return LayerAnalysis(
        name or f"features.{3 * i + 2}", 1024 // (i + 1), 0.1 + 0.01 * i, own, source,
        {-1: uneven / 4, 0: 1 - uneven, 1: uneven / 2, 4: uneven / 4}, residual,
        {-1: wrong / 2, 0: 1 - wrong, 1: wrong / 2},
        FitCurve(name or f"features.{3 * i + 2}", [0.5 / t**2 for t in range(1, 9)], 2.0),
    )  # fmt: skip


def bare(name: str) -> LayerAnalysis:
    """A layer of neurons that count no units."""
    spread = [0.0, *(0.25 if -0.5 <= edge < 0.5 else 0.0 for edge in EDGES)]
    return LayerAnalysis(name, 64, 0.01, residual=spread, curve=FitCurve(name, [0.5, 0.1, 0.01], math.nan))


def hand_made(layers: int = 4, corrections: int = 2) -> Analysis:
    """So many layers, off by 8 %, 0.8 %, 0.08 % ... as corrections go on."""
    names = ["uncorrected", *(f"after {i} correction{'s' * (i > 1)}" for i in range(1, corrections + 1))]
    stages = {name: [layer(i, 0.08 / 10**k) for i in range(layers)] for k, name in enumerate(names)}
    return Analysis("COS (4 before, layer) on QCFS (L=4)", 8, 256, stages, {"network": "VGG", "data": "digits"})
