"""Figures of a :class:`Report`: one look per method everywhere, safe for colour-blind readers, light background.

With more methods than colours every figure has a panel per family of methods, all with the same axes, in which the
others are grey: twenty lines on one pair of axes are none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..disk import whole
from .looks import INK, MUTED, PAPER, RULE, groups, looks
from .result import LayerResult, MethodResult, Report

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

Draw = Callable[..., None]
"""``draw(axes, report, shown)``: what goes on one pair of axes; ``shown``: the methods it is about, ``None``: all."""

STYLE: Any = {
    "font.family": "DejaVu Sans", "font.size": 9.5, "axes.titlesize": 11, "axes.titleweight": "bold",
    "axes.titlelocation": "left", "axes.titlepad": 10, "axes.labelcolor": MUTED, "axes.labelsize": 9,
    "axes.edgecolor": RULE, "axes.linewidth": 1.0, "axes.spines.top": False, "axes.spines.right": False,
    "axes.grid": True, "axes.axisbelow": True, "grid.color": RULE, "grid.linewidth": 0.8, "text.color": INK,
    "axes.titlecolor": INK, "xtick.color": MUTED, "ytick.color": MUTED, "xtick.labelsize": 9, "ytick.labelsize": 9,
    "xtick.major.size": 0, "ytick.major.size": 0, "xtick.minor.size": 0, "legend.frameon": False,
    "legend.fontsize": 9, "lines.linewidth": 1.8, "lines.markersize": 5, "figure.facecolor": PAPER,
    "axes.facecolor": PAPER, "savefig.facecolor": PAPER, "svg.fonttype": "none", "svg.hashsalt": "spikeworks",
}  # fmt: skip


def report_figures(report: Report) -> dict[str, matplotlib.figure.Figure]:
    """All figures that the report holds data for.

    :returns: ``"accuracy"`` (against T), ``"energy"`` (per inference, against accuracy), ``"error"`` and ``"rate"``
        (per neuron layer at the largest T) and ``"offset"`` (histogram of spike-count offsets): matplotlib figures
        made without pyplot, so nothing has to be closed.
    :raises ValueError: if the report has no results.
    """
    results = _results(report)
    layers = [layer for r in results for layer in r.layers]
    wanted: dict[str, tuple[bool, Draw, float]] = {
        "accuracy": (True, draw_accuracy, 3.7),
        "energy": (any(r.energy for r in results), draw_energy, 3.7),
        "error": (any(x.error is not None for x in layers), draw_error, _profile_height(results)),
        "rate": (any(x.rate is not None for x in layers), draw_rate, _profile_height(results)),
        "offset": (any(x.offset for x in layers), draw_offset, 3.7),
    }
    return {name: _alone(report, draw, height) for name, (there, draw, height) in wanted.items() if there}


def plot(report: Report, path: str | Path) -> None:
    """One picture: accuracy against T and, where energy was counted, energy against accuracy.

    :param path: where to; the suffix chooses the format (``.png``, ``.svg``, ``.pdf``).
    :raises ValueError: if the report has no results, or the suffix names no format matplotlib writes.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    results = _results(report)
    panels: list[Draw] = [draw_accuracy] + [draw_energy] * any(r.energy for r in results)
    parts = groups(results)
    widest = max(len(r.label) for r in results)  # long labels need wider columns
    columns = (4 if widest <= 26 else 3 if widest <= 38 else 2) if len(panels) == 2 else 2 if widest <= 38 else 1
    with rc_context(STYLE):
        heights = [3.6 + 0.22 * math.ceil((len(places) + 1) / columns) for _, places in parts]
        figure = Figure(figsize=(5.0 * len(panels), sum(heights)), layout="constrained")
        figure.get_layout_engine().set(w_pad=0.12, h_pad=0.06, wspace=0.04)  # type: ignore[union-attr]
        rows = figure.subfigures(len(parts), 1, height_ratios=heights, squeeze=False)[:, 0]
        for row, (name, places) in zip(rows, parts, strict=True):
            axes = row.subplots(1, len(panels), squeeze=False)[0]
            for axis, draw in zip(axes, panels, strict=True):
                draw(axis, report, places)
            if name:
                row.suptitle(_sentence(name), x=0.012, ha="left", fontweight="bold")
            handles, labels = _ordered_legend(axes[0], results)
            row.legend(handles, labels, loc="outside lower center", ncols=min(columns, len(labels)))
        save(figure, path)


def save(figure: matplotlib.figure.Figure, path: str | Path) -> None:
    """Write a figure, whole or not at all.

    :raises ValueError: if the suffix names no format matplotlib writes.
    """
    suffix = Path(path).suffix.lstrip(".").lower()
    if suffix not in figure.canvas.get_supported_filetypes():
        known = ", ".join(sorted(figure.canvas.get_supported_filetypes()))
        raise ValueError(f"save got {str(path)!r}, expected a file ending in one of: {known}; rename it.")
    with whole(path) as temporary:
        figure.savefig(temporary, dpi=200)


def colours(report: Report) -> list[str]:
    """The colour of each method, in the order of ``report.results``."""
    return [look["color"] for look in looks(report.results)]


# ---- one drawing per figure: what goes on one pair of axes ----


def draw_accuracy(axes: matplotlib.axes.Axes, report: Report, shown: Collection[int] | None = None) -> None:
    """Accuracy in percent against time steps on a log₂ axis; the deep network dashed."""
    steps = sorted({t for r in report.results for t in r.steps})
    axes.axhline(_source(report), color=MUTED, linestyle=(0, (5, 3)), linewidth=1.3, label=_deep(report), zorder=1.5)
    for result, look in _looks(report, shown):
        axes.plot(result.steps, result.accuracy, **look)
    if len(report.results) <= BESIDE:
        _as_many_values(axes, report)
    axes.set_xscale("log", base=2)
    axes.set_xticks(steps, [str(t) for t in steps])
    axes.minorticks_off()
    axes.set(title="Accuracy against time steps", xlabel="time steps T", ylabel="top-1 accuracy, %")
    _headroom(axes, report)


def draw_energy(axes: matplotlib.axes.Axes, report: Report, shown: Collection[int] | None = None) -> None:
    """Accuracy against energy per inference (log axis), T growing along each line; the first convention reported."""
    from matplotlib.ticker import LogLocator

    convention = next(iter(next(r.energy for r in report.results if r.energy)))
    entries = [(r, look, r.energy[convention]) for r, look in _looks(report, shown) if convention in r.energy]
    unit, scale = _unit(e["deep"] for _, _, e in entries)
    deep = entries[0][2]["deep"] * scale
    axes.axvline(deep, color=MUTED, linestyle=(0, (5, 3)), linewidth=1.3, zorder=1.5)
    axes.axhline(_source(report), color=MUTED, linestyle=(0, (5, 3)), linewidth=1.3, zorder=1.5)
    for result, look, entry in entries:
        points = [(entry["spiking"][t] * scale, a) for t, a in zip(result.steps, result.accuracy, strict=True)
                  if t in entry["spiking"]]  # fmt: skip
        axes.plot([p[0] for p in points], [p[1] for p in points], **look)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
    axes.minorticks_off()
    axes.set(title="Accuracy against energy", xlabel=f"energy per inference, {unit} ({convention})")
    axes.set_ylabel("top-1 accuracy, %")
    _headroom(axes, report)
    low = axes.get_ylim()[0]
    beside = {"textcoords": "offset points", "rotation": 90, "ha": "right", "va": "bottom"}
    axes.annotate("deep network", (deep, low), (-4, 6), color=MUTED, fontsize=8.5, **beside)


def draw_error(axes: matplotlib.axes.Axes, report: Report, shown: Collection[int] | None = None) -> None:
    """Relative error of each neuron layer's mean output against the deep activation, in running order."""
    _profile(axes, report, shown, lambda layer: layer.error)
    axes.set(title="Error per layer at the largest T", xlabel="‖spiking − deep‖ / ‖deep‖")


def draw_rate(axes: matplotlib.axes.Axes, report: Report, shown: Collection[int] | None = None) -> None:
    """Spikes per neuron and step in each neuron layer, in running order."""
    _profile(axes, report, shown, lambda layer: layer.rate)
    axes.set(title="Firing rate per layer", xlabel="spikes per neuron and step")


def draw_offset(axes: matplotlib.axes.Axes, report: Report, shown: Collection[int] | None = None) -> None:
    """Share of neurons that spike ψ times more (or fewer) than the deep quantised activation asks; log axis."""
    pooled = [(look, pooled_offset(result)) for result, look in _looks(report, shown)]
    reach = min(max((abs(k) for _, p in pooled for k, v in p.items() if v >= 1e-4), default=1), 8)
    ticks = range(-reach, reach + 1)
    for look, share in pooled:
        if share:
            axes.plot(ticks, [share.get(k, 0.0) or math.nan for k in ticks], **look)
    axes.set_yscale("log")
    axes.set_xticks(ticks, [f"{k:+d}".replace("-", "−") if k else "0" for k in ticks])
    axes.yaxis.set_major_formatter(lambda y, _: f"{100 * y:g} %")
    axes.minorticks_off()
    axes.set(title="Spike-count offset", xlabel="spikes more (+) or fewer (−) than the deep network asks for")
    axes.set_ylabel("share of neurons")


def pooled_offset(result: MethodResult) -> dict[int, float]:
    """The offset histogram over all layers that have one, weighted by their neurons; empty if none has."""
    layers = [(layer.neurons, layer.offset) for layer in result.layers if layer.offset]
    total = sum(n for n, _ in layers)
    return {k: sum(n * o.get(k, 0.0) for n, o in layers) / total for k in sorted({k for _, o in layers for k in o})}


# ---- shared pieces ----


BESIDE = 3
"""With up to so many methods there is room for what rounding alone would cost."""


def _as_many_values(axes: matplotlib.axes.Axes, report: Report) -> None:
    """Dotted, in each method's colour: the deep network rounded to as many values as T steps tell apart."""
    label = "deep network, as many values"
    for result, look in _looks(report):
        if len(result.quantised) == len(result.steps):
            axes.plot(result.steps, result.quantised, color=look["color"], linestyle=(0, (1, 1.6)), linewidth=1.3,
                      label=label, zorder=1.6)  # fmt: skip
            label = "_"  # once


def _alone(report: Report, draw: Draw, height: float) -> matplotlib.figure.Figure:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    results = report.results
    with rc_context(STYLE):
        if len(groups(results)) > 1:
            return _panels(report, draw, height)
        figure = Figure(figsize=(7.6, max(height, 0.6 + 0.2 * len(results))), layout="constrained")
        axes = figure.add_subplot()
        draw(axes, report)
        handles, labels = _ordered_legend(axes, results)
        figure.legend(handles, labels, loc="outside right upper", borderaxespad=1.2)
        return figure


def _panels(report: Report, draw: Draw, height: float) -> matplotlib.figure.Figure:
    """A panel per group that has anything to draw, two in a row; the legend of each below."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    parts = [(name, places) for name, places in groups(report.results) if _drawn(report, draw, places)]
    rows = [parts[i : i + 2] for i in range(0, len(parts), 2)]
    most = [max(len(places) for _, places in row) + 1 for row in rows]
    heights = [height + 0.2 * n for n in most]
    figure = Figure(figsize=(11.0, sum(heights) + 0.3), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.08)  # type: ignore[union-attr]
    cells = figure.subfigures(len(rows), 2, height_ratios=heights, squeeze=False).flatten()
    for i, (name, places) in enumerate(parts):
        axes = cells[i].subplots()
        draw(axes, report, places)
        figure.suptitle(axes.get_title(loc="left"), x=0.012, ha="left", fontweight="bold")
        axes.set_title(_sentence(name), fontsize=9.5)
        handles, labels = _ordered_legend(axes, report.results)
        blank = most[i // 2] - len(labels)  # as long as that of the neighbour: panels of a row end at one height
        handles, labels = [*handles, *[Line2D([], [], alpha=0)] * blank], [*labels, *[" "] * blank]
        cells[i].legend(handles, labels, loc="outside lower left")
    return figure


def _drawn(report: Report, draw: Draw, places: Collection[int]) -> bool:
    from matplotlib.figure import Figure

    axes = Figure().add_subplot()
    draw(axes, report, places)
    return bool({report.results[i].label for i in places} & set(axes.get_legend_handles_labels()[1]))


def _looks(report: Report, shown: Collection[int] | None = None) -> list[tuple[MethodResult, dict[str, Any]]]:
    return list(zip(report.results, looks(report.results, shown), strict=True))


def _sentence(name: str) -> str:
    return name[:1].upper() + name[1:]


def _profile(
    axes: matplotlib.axes.Axes, report: Report, shown: Collection[int] | None,
    value: Callable[[LayerResult], float | None],
) -> None:  # fmt: skip
    """Layers from top to bottom, one thin line with markers per method: readable with one method or ten."""
    names = list(dict.fromkeys(x.name for r in report.results for x in r.layers if value(x) is not None))
    row = {name: i for i, name in enumerate(names)}
    for result, look in _looks(report, shown):
        points = [(value(x), row[x.name]) for x in result.layers if value(x) is not None]
        if points:
            across, down = zip(*points, strict=True)
            axes.plot(across, down, **{**look, "linewidth": 1.0})
    axes.set_yticks(range(len(names)), [n if len(n) <= 28 else "…" + n[-27:] for n in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(left=0)


def _profile_height(results: list[MethodResult]) -> float:
    rows = max((sum(layer.kind == "neuron" for layer in r.layers) for r in results), default=1)
    return min(max(3.0, 1.4 + 0.27 * rows), 16.0)


def _ordered_legend(axes: matplotlib.axes.Axes, results: list[MethodResult]) -> tuple[list[Any], list[str]]:
    """Best method first, as the eye meets the lines at the left: by accuracy at the smallest T."""
    handles, labels = axes.get_legend_handles_labels()
    first = {r.label: r.accuracy[0] for r in results if r.accuracy}
    order = sorted(range(len(labels)), key=lambda i: -first.get(labels[i], math.inf))
    return [handles[i] for i in order], [labels[i] for i in order]


def _headroom(axes: matplotlib.axes.Axes, report: Report) -> None:
    values = [a for r in report.results for a in r.accuracy] + [r.source_accuracy for r in report.results]
    low, high = min(values), max(values)
    pad = max(0.06 * (high - low), 0.5)
    axes.set_ylim(max(low - pad, -1.5), high + pad)


def _source(report: Report) -> float:
    return max(r.source_accuracy for r in report.results)


def _deep(report: Report) -> str:
    """Methods may come from networks trained differently: then the line is that of the best."""
    return "deep network" if len({r.source_accuracy for r in report.results}) == 1 else "best deep network"


def _results(report: Report) -> list[MethodResult]:
    if not report.results:
        raise ValueError("figures got a report with no results, expected at least one method; evaluate one first.")
    return report.results


def _unit(joules: Iterable[float]) -> tuple[str, float]:
    largest = max(joules)
    for unit, scale in (("J", 1.0), ("mJ", 1e3), ("µJ", 1e6), ("nJ", 1e9)):
        if largest * scale >= 1:
            return unit, scale
    return "pJ", 1e12
