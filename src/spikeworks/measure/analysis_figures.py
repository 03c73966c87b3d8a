"""Figures of an :class:`~spikeworks.measure.Analysis`: who is off in which layer, by how much, and what is left."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .analysis import CASES, EDGES, Analysis, LayerAnalysis, Reference, pooled_offsets
from .curves import FitCurve, draw_fit, fit_curve_figure
from .figures import STYLE, save
from .looks import INK, MUTED, PALETTE

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

CASE_COLOURS = (PALETTE[1], PALETTE[4], PALETTE[0], PALETTE[5])
"""Of :data:`CASES`: warm where a neuron fires too often, cold where too rarely; the first and third where one is 0."""

AGAINST: dict[Reference, str] = {"own": "own input", "source": "the deep network"}
"""The references as headings name them."""

REACH = 3
"""Offsets that have a column of their own; what is beyond is in the last ones."""

ROUNDING = 1e-12
"""A K(t) below this is a rate that has arrived, in single precision."""


def analysis_figures(analysis: Analysis) -> dict[str, matplotlib.figure.Figure]:
    """All figures that the analysis holds data for.

    :returns: ``"cases"`` (the four cases per layer, by stage and reference), ``"offset"`` (histogram over all layers,
        by stage), ``"layers"`` (the same per layer), ``"residual"`` (what is left in the membranes, per layer) and
        ``"fit"`` (K(t) of the last stage): matplotlib figures made without pyplot, so nothing has to be closed.
    :raises ValueError: for an analysis without stages or layers.
    """
    from matplotlib import rc_context

    layers = _layers(analysis)
    counted = [layer for layer in layers if layer.offset is not None]
    with rc_context(STYLE):
        drawn: dict[str, matplotlib.figure.Figure] = {}
        if counted:
            drawn["cases"] = _figure(10.0, 2 * (1.0 + _rows(len(counted))))
            draw_cases(drawn["cases"], analysis)
            drawn["offset"] = _figure(10.0, 3.6)
            left, right = drawn["offset"].subplots(1, 2, sharey=True)
            draw_offsets(left, analysis, "own")
            draw_offsets(right, analysis, "source")
            drawn["layers"] = _figure(10.0, 1.1 + _rows(len(counted) + 1))
            draw_layers(drawn["layers"], analysis, "own")
        if any(layer.residual for layer in layers):
            drawn["residual"] = _figure(7.6, 1.5 + 1.4 * _rows(len(layers)))
            draw_residuals(drawn["residual"].add_subplot(), analysis)
        if _curves(analysis):
            drawn["fit"] = fit_curve_figure(_curves(analysis)) if _bounded(analysis) else _figure(7.6, 3.9)
            if not _bounded(analysis):
                _fit(drawn["fit"].add_subplot(), analysis)
    return drawn


def plot(analysis: Analysis, path: str | Path) -> None:
    """One picture: the cases against both references, offsets of all layers, residuals and K(t), as far as there are.

    :param path: where to; the suffix chooses the format (``.png``, ``.svg``, ``.pdf``).
    :raises ValueError: for an analysis without layers, or a suffix that names no format matplotlib writes.
    """
    from matplotlib import rc_context

    layers = _layers(analysis)
    counted = sum(layer.offset is not None for layer in layers)
    with rc_context(STYLE):
        high = [2 * (1.0 + _rows(counted))] * (counted > 0) + [max(3.8, 1.5 + _rows(len(layers)))]
        figure = _figure(11.5, sum(high) + 0.4)
        parts = figure.subfigures(len(high), 1, height_ratios=high, squeeze=False)[:, 0]
        panels: list[Any] = []
        if counted:
            draw_cases(parts[0], analysis)
            panels.append(lambda axes: draw_offsets(axes, analysis, "own"))
        if any(layer.residual for layer in layers):
            panels.append(lambda axes: draw_residuals(axes, analysis))
        if _curves(analysis):
            panels.append(lambda axes: _fit(axes, analysis))
        for i, draw in enumerate(panels):
            draw(parts[-1].add_subplot(1, len(panels), i + 1))
        title = f"{analysis.title}, T = {analysis.steps}"
        figure.suptitle(title if len(title) <= 110 else f"{title[:109]}…", x=0.01, ha="left", fontweight="bold")
        save(figure, path)


# ---- one drawing per figure ----


def draw_cases(figure: matplotlib.figure.FigureBase, analysis: Analysis) -> None:
    """Stacked bars, one per layer: the share of each case; a row of panels per reference, a column per stage."""
    from matplotlib.ticker import MaxNLocator

    names = [layer.name for layer in _layers(analysis) if layer.own is not None]
    panels = figure.subplots(2, len(analysis.stages), sharex=True, sharey=True, squeeze=False)
    for row, (by, against) in zip(panels, AGAINST.items(), strict=True):
        for axes, (stage, layers) in zip(row, analysis.stages.items(), strict=True):
            _stack(axes, [layer.cases(by) or {} for layer in layers if layer.own is not None])
            if by == "own":
                axes.set_title(stage)
        row[0].set_ylabel(f"by {against}")
        row[0].set_yticks(range(len(names)), [_short(name) for name in names])
        row[0].set_ylim(len(names) - 0.5, -0.5)  # shared: all panels run from top to bottom
    most = max(sum((layer.cases(by) or {}).values()) for _, layer in _every(analysis) for by in AGAINST)
    panels[0][0].set_xlim(0, 1.04 * max(most, 0.01))
    panels[0][0].xaxis.set_major_locator(MaxNLocator(4))
    for axes in panels[1]:
        axes.set_xlabel("share of neurons")
        axes.xaxis.set_major_formatter(lambda x, _: f"{100 * x:g} %")
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)


def draw_offsets(axes: matplotlib.axes.Axes, analysis: Analysis, by: Reference) -> None:
    """Histogram of the offset ψ over all layers, a bar per stage; log axis, so that rare ones are seen."""
    stages, ticks = analysis.stages, range(-REACH, REACH + 1)
    width = 0.8 / len(stages)
    for i, ((stage, layers), colour) in enumerate(zip(stages.items(), _colours(len(stages)), strict=True)):
        shares = _folded(pooled_offsets(layers, by))
        shown = [psi for psi in ticks if shares[psi] > 0]  # 0 has no place on this axis
        places = [psi + (i - (len(stages) - 1) / 2) * width for psi in shown]
        axes.bar(
            places, [shares[psi] for psi in shown], width, color=colour, label=f"{stage}: {_off(analysis, stage, by)}"
        )
    decades = _decades(analysis)
    axes.set_yscale("log")
    axes.set_ylim(0.5 * 10.0**-decades, 10.0 ** (0.2 + (decades + 0.5) * _headroom(axes, len(stages))))
    axes.set_xlim(-REACH - 0.6, REACH + 0.6)
    axes.set_yticks([10.0**-i for i in range(decades + 1)])
    axes.yaxis.set_major_formatter(lambda y, _: f"{100 * y:g} %")
    axes.minorticks_off()
    axes.set_xticks(ticks, [_signed(psi) for psi in ticks])
    axes.set(title=f"Spikes off, by {AGAINST[by]}", xlabel="offset ψ: spikes more (+) or fewer (−)")
    axes.set_ylabel("share of neurons")
    axes.legend(loc="upper left")


def draw_layers(figure: matplotlib.figure.FigureBase, analysis: Analysis, by: Reference) -> None:
    """The histogram of the offset in each layer, in percent; a panel per stage, all layers together below."""
    from matplotlib.colors import to_rgba

    ticks, colour = range(-REACH, REACH + 1), to_rgba(PALETTE[0])[:3]
    panels = figure.subplots(1, len(analysis.stages), sharey=True, squeeze=False)[0]
    names: list[str] = []
    for axes, (stage, layers) in zip(panels, analysis.stages.items(), strict=True):
        counted = [(layer.name, layer.offsets(by) or {}) for layer in layers if layer.own is not None]
        rows = [*counted, ("all layers", pooled_offsets(layers, by))]
        names = [name for name, _ in rows]
        shares = [[_folded(offsets)[psi] for psi in ticks] for _, offsets in rows]
        # as a tint, which keeps the text readable on light and on dark ground
        tints = [[(*colour, 0.5 * math.sqrt(min(share, 1.0))) for share in row] for row in shares]
        columns = [i - REACH - 0.5 for i in range(2 * REACH + 2)]
        axes.pcolormesh(columns, [i - 0.5 for i in range(len(rows) + 1)], tints)  # a picture would not be vectors
        for y, row in enumerate(shares):
            for psi, share in zip(ticks, row, strict=True):
                if share:
                    axes.text(psi, y, _percent(share), ha="center", va="center", fontsize=7.5, color=INK)
        axes.axhline(len(rows) - 1.5, color=MUTED, linewidth=0.9)
        axes.grid(False)
        axes.set_xticks(ticks, [_signed(psi) for psi in ticks])
        axes.set(title=stage, xlabel="offset ψ, share in %")
    panels[0].set_yticks(range(len(names)), [_short(name) for name in names])
    panels[0].set_ylim(len(names) - 0.5, -0.5)


def draw_residuals(axes: matplotlib.axes.Axes, analysis: Analysis) -> None:
    """What is left in the membranes: a ridge per layer, its height the square root of the share, a colour per stage.

    Uncorrected, a count is right by the layer's own input where v(T) is between the marks at 0 and θ, and at the ends.
    """
    names = [layer.name for layer in _layers(analysis) if layer.residual is not None]
    several = len(analysis.stages) > 1
    tallest = max(share for _, layer in _every(analysis) for share in layer.residual or (0.0,))
    edges = [2 * EDGES[0] - EDGES[1], *EDGES, 2 * EDGES[-1] - EDGES[-2]]
    for (stage, layers), colour in zip(analysis.stages.items(), _colours(len(analysis.stages)), strict=True):
        for row, layer in enumerate(layer for layer in layers if layer.residual is not None):
            heights = [row + 0.4 - 0.95 * math.sqrt(share / tallest) for share in layer.residual or ()]
            if stage == next(iter(analysis.stages)):  # the others are lines upon it: mixed colours say nothing
                axes.stairs(heights, edges, baseline=row + 0.4, fill=True, color=colour, alpha=0.22, linewidth=0)
            axes.stairs(heights, edges, baseline=None, color=colour, linewidth=1.1, label=stage if not row else None)
    for at in (0, 1) if any(layer.own for layer in _layers(analysis)) else ():
        axes.axvline(at, color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)))
    axes.set_yticks([row + 0.4 for row in range(len(names))], [_short(name) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6 - (len(names) + 0.2) * _headroom(axes, len(analysis.stages) * several))
    axes.set_xticks((-4, -2, 0, 1, 2, 4), ("< −4", "−2", "0", "1", "2", "≥ 4"))
    axes.set(title="What is left in the membranes", xlabel="v(T) / θ (height: square root of the share)")
    if several:
        axes.legend(loc="upper left", fontsize=8)


# ---- shared pieces ----


def _fit(axes: matplotlib.axes.Axes, analysis: Analysis) -> None:
    draw_fit(axes, _curves(analysis))
    handles, labels = axes.get_legend_handles_labels()
    known = len(handles) - (not _bounded(analysis))  # the last is the bound
    axes.legend(handles[:known], labels[:known], fontsize=7)


def _curves(analysis: Analysis) -> list[FitCurve]:
    """Those of the last stage; what is left by rounding is 0, or it would take up most of a logarithmic axis.

    None, if every layer is silent.
    """
    curves = [replace(c, values=[0.0 if k < ROUNDING else k for k in c.values]) for c in analysis.curves]
    return curves if any(math.isfinite(k) for curve in curves for k in curve.values) else []


def _bounded(analysis: Analysis) -> bool:
    return any(math.isfinite(curve.omega) for curve in analysis.curves)


def _stack(axes: matplotlib.axes.Axes, rows: Sequence[dict[str, float]]) -> None:
    left = [0.0] * len(rows)
    for case, colour in zip(CASES, CASE_COLOURS, strict=True):
        widths = [cases[case] for cases in rows]
        axes.barh(range(len(rows)), widths, left=left, color=colour, label=case, height=0.75)
        left = [a + b for a, b in zip(left, widths, strict=True)]


def _every(analysis: Analysis) -> list[tuple[str, LayerAnalysis]]:
    return [(stage, layer) for stage, layers in analysis.stages.items() for layer in layers]


def _layers(analysis: Analysis) -> list[LayerAnalysis]:
    if not analysis.stages or not all(analysis.stages.values()):
        raise ValueError("figures got an analysis without layers, expected one at least in every stage; make it anew.")
    return next(iter(analysis.stages.values()))


def _figure(width: float, height: float) -> matplotlib.figure.Figure:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.08, wspace=0.04)  # type: ignore[union-attr]
    return figure


def _rows(layers: int) -> float:
    """Inches for so many layers: closer together from a dozen on."""
    return min(max(1.2, 0.24 * min(layers, 12) + 0.17 * max(layers - 12, 0)), 16.0)


def _headroom(axes: matplotlib.axes.Axes, lines: int) -> float:
    """How much to put on top of an axis for a legend of so many lines, as a share of what is below."""
    inches = axes.get_window_extent().height / axes.figure.dpi
    share = min(0.24 * lines / inches, 0.5)
    return share / (1 - share)


def _colours(stages: int) -> Sequence[str]:
    """Of each stage: grey for what is uncorrected, if anything is corrected."""
    bright = [PALETTE[i % len(PALETTE)] for i in range(stages)]
    return bright if stages == 1 else [MUTED, *bright[: stages - 1]]


def _folded(offsets: dict[int, float]) -> dict[int, float]:
    """The histogram from −REACH to REACH, what is beyond added to the ends."""
    shares = dict.fromkeys(range(-REACH, REACH + 1), 0.0)
    for psi, share in offsets.items():
        shares[max(-REACH, min(REACH, psi))] += share
    return shares


def _decades(analysis: Analysis) -> int:
    """Powers of ten down to the rarest offset shown, 2 at least and 6 at most."""
    pooled = [pooled_offsets(layers, by) for layers in analysis.stages.values() for by in AGAINST]
    rarest = min((share for shares in pooled for share in shares.values() if share > 0), default=0.01)
    return min(max(2, math.ceil(-math.log10(rarest))), 6)


def _off(analysis: Analysis, stage: str, by: Reference) -> str:
    share = analysis.off(stage, by)
    return "–" if share is None else f"{100 * share:.2g} % off"


def _percent(share: float) -> str:
    if 0.9995 <= share < 1:
        return ">99.9"
    return f"{100 * share:.1f}" if share >= 0.0005 else "<0.1"


def _signed(psi: int) -> str:
    shown = f"{psi:+d}".replace("-", "−") if psi else "0"
    return f"≤ {shown}" if psi == -REACH else f"≥ {shown}" if psi == REACH else shown


def _short(name: str) -> str:
    return name if len(name) <= 24 else f"…{name[-23:]}"
