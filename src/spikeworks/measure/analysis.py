"""Where accuracy is lost: what each neuron layer did, before and after each correction, and its figure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .curves import FitCurve, draw_fit
from .figures import MUTED, PALETTE, STYLE, save
from .store import whole

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

CASES = ("deep 0 < spiking", "0 < deep < spiking", "spiking 0 < deep", "0 < spiking < deep")
"""The four kinds of unevenness, by counts: the deep network's activation asks for one, the spiking network emitted
another. Hao et al., AAAI 2023 (their numbering could not be verified)."""

EDGES = tuple(i / 4 for i in range(-16, 17))
"""Edges of the residual histogram, in thresholds; the first and the last bin are open."""


@dataclass(frozen=True)
class LayerAnalysis:
    """One neuron layer over all units and samples.

    :param name: the layer's. :param units: per sample.
    :param error: relative distance of its output from the deep network's activation.
    :param own: shares of :data:`CASES` against the count that the layer's *own input* asks for: what uneven arrival in
        this layer does, alone. ``None`` for neurons that count no units.
    :param source: the same against the count that the *deep network's activation* asks for: with what the layers before
        did.
    :param offset: ψ → share: units emitted too many or too few, against the layer's own input.
    :param residual: shares of the membranes left, by bins of :data:`EDGES`, two open ones at the ends.
    """

    name: str
    units: int
    error: float | None
    own: dict[str, float] | None = None
    source: dict[str, float] | None = None
    offset: dict[int, float] | None = None
    residual: list[float] | None = None


@dataclass(frozen=True)
class Analysis:
    """All neuron layers, in stages: as the network runs uncorrected, and after each correction.

    :param title: of the conversion. :param steps: T. :param samples: how many were run.
    :param stages: name → layers, in running order.
    :param curves: optimal fit curves of the last stage, where spikes are counted.
    """

    title: str
    steps: int
    samples: int
    stages: dict[str, list[LayerAnalysis]]
    curves: list[FitCurve] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-ready data."""
        return asdict(self)

    def save(self, path: str | Path) -> None:
        """Write it as JSON, whole or not at all."""
        with whole(path) as temporary:
            temporary.write_text(json.dumps(self.to_dict(), indent=1), encoding="utf-8")

    def plot(self, path: str | Path) -> None:
        """Draw it; the suffix of ``path`` chooses the format."""
        save(analysis_figure(self), path)


def analysis_figure(analysis: Analysis) -> matplotlib.figure.Figure:
    """Cases of unevenness by layer and stage, offsets of all layers by stage, residuals of the last stage by layer, and
    the optimal fit curves; what was not counted is left out.

    :raises ValueError: for an analysis without stages or layers.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    if not analysis.stages or not all(analysis.stages.values()):
        raise ValueError("analysis_figure got no layers, expected at least one in every stage; analyse a network.")
    with rc_context(STYLE):
        layers = len(next(iter(analysis.stages.values())))
        figure = Figure(figsize=(11.0, 4.0 + max(3.4, 0.26 * layers * len(analysis.stages))), layout="constrained")
        figure.get_layout_engine().set(w_pad=0.12, h_pad=0.1, wspace=0.04)  # type: ignore[union-attr]
        grid = figure.add_gridspec(2, 2, height_ratios=(max(3.4, 0.26 * layers * len(analysis.stages)), 3.4))
        draw_cases(figure.add_subplot(grid[0, :]), analysis.stages)
        draw_offsets(figure.add_subplot(grid[1, 0]), analysis.stages)
        right = figure.add_subplot(grid[1, 1])
        if any(layer.residual for layer in list(analysis.stages.values())[-1]):
            draw_residuals(right, list(analysis.stages.values())[-1])
        elif analysis.curves:
            draw_fit(right, analysis.curves)
        figure.suptitle(f"{analysis.title}, T = {analysis.steps}", x=0.01, ha="left", fontsize=12, fontweight="bold")
    return figure


def draw_cases(axes: matplotlib.axes.Axes, stages: Mapping[str, list[LayerAnalysis]]) -> None:
    """Stacked bars, one per layer and stage: the share of each case, against the deep network's activation."""
    rows = [(f"{layer.name}, {stage}" if i == 0 else stage, layer)
            for per_layer in zip(*stages.values(), strict=True)
            for i, (stage, layer) in enumerate(zip(stages, per_layer, strict=True))]  # fmt: skip
    counted = [(label, layer.source) for label, layer in rows if layer.source is not None]
    for i, case in enumerate(CASES):
        left = [sum(cases[c] for c in CASES[:i]) for _, cases in counted]
        width = [cases[case] for _, cases in counted]
        axes.barh(range(len(counted)), width, left=left, color=PALETTE[i], label=case, height=0.75)
    axes.set_yticks(range(len(counted)), [label for label, _ in counted])
    axes.invert_yaxis()
    axes.set(title="Neurons that are off, against the deep network", xlabel="share of neurons")
    if counted:
        axes.legend(loc="lower right", frameon=True, framealpha=0.9)


def draw_offsets(axes: matplotlib.axes.Axes, stages: Mapping[str, list[LayerAnalysis]]) -> None:
    """Offsets ψ against the layers' own input, a group of bars per stage, all layers together; 0 is left out."""
    width = 0.8 / len(stages)
    for i, (stage, layers) in enumerate(stages.items()):
        units = sum(layer.units for layer in layers if layer.offset)
        total: dict[int, float] = {}
        for layer in layers:
            for offset, share in (layer.offset or {}).items():
                total[offset] = total.get(offset, 0.0) + share * layer.units / units
        shown = sorted(o for o in total if o and abs(o) <= 5)
        axes.bar([o + (i - (len(stages) - 1) / 2) * width for o in shown], [total[o] for o in shown], width,
                 color=PALETTE[i % len(PALETTE)], label=f"{stage}: {1 - total.get(0, 1.0):.1%} off")  # fmt: skip
    offsets = sorted({o for layers in stages.values() for x in layers for o in x.offset or {} if o and abs(o) <= 5})
    axes.set_xticks(offsets)
    axes.margins(y=0.4)  # room for the legend
    axes.set(title="Spikes too many or too few, by own input", xlabel="offset ψ", ylabel="share of neurons")
    axes.legend(loc="upper right")


def draw_residuals(axes: matplotlib.axes.Axes, layers: list[LayerAnalysis]) -> None:
    """What is left in the membranes, a line per layer; between the marks at 0 and θ a count is right."""
    middles = [EDGES[0] - 0.125, *((a + b) / 2 for a, b in pairwise(EDGES)), EDGES[-1] + 0.125]
    for i, layer in enumerate(layers):
        if layer.residual is not None:
            axes.plot(middles, layer.residual, color=PALETTE[i % len(PALETTE)], linewidth=1.3, label=layer.name)
    for at in (0, 1):
        axes.axvline(at, color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)))
    axes.set_yscale("log")
    axes.set(title="What is left in the membranes", xlabel="v(T) / θ", ylabel="share of neurons")
    axes.legend(fontsize=7, ncols=1 + len(layers) // 9)
