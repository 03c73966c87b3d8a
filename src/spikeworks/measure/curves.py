"""How fast firing rates reach the activations they stand for: the optimal fit curve of each layer, and its figure.

``K(t) = ‖r(t) − r̂‖² / ‖r̂‖²``, r the firing rates after t steps and r̂ the activations as rates. For one layer of
integrate-and-fire neurons that start at 0, under an input that stays, ``0 ≤ r̂ − r < 1/t`` and r ≥ 0, so
``(r̂ − r)² ≤ r̂/t`` and ``K(t) ≤ Ω/t`` with ``Ω = ‖r̂‖₁ / ‖r̂‖²``: half of the published bound ``2Ω/t``.
Ding, Yu, Tian & Huang, IJCAI 2021; the halved bound is derived here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .figures import STYLE
from .looks import MARKERS, MUTED, PALETTE

if TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

NAMED = 12
"""How many layers a legend names at most."""

DASHED: dict[str, Any] = {"color": MUTED, "linestyle": (0, (4, 3)), "linewidth": 0.9}
"""A bound."""


@dataclass(frozen=True)
class FitCurve:
    """One layer's curve.

    :param name: the layer's. :param values: K at t = 1 … T, at least one; NaN for a layer that is silent.
    :param omega: Ω, the rate inference loss of the layer; NaN for a layer that is silent.
    """

    name: str
    values: list[float]
    omega: float

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError(f"FitCurve got no values for {self.name!r}, expected K at t = 1 … T; run a step at least.")

    @property
    def bound(self) -> list[float]:
        """The published bound 2Ω/t at t = 1 … T."""
        return [2 * self.omega / t for t in range(1, len(self.values) + 1)]

    @property
    def tight(self) -> list[float]:
        """The bound Ω/t at t = 1 … T."""
        return [self.omega / t for t in range(1, len(self.values) + 1)]

    @property
    def excess(self) -> float:
        """The largest K·t/2Ω over t: above 1 the bound is broken, as uneven input can do in deep layers."""
        return max(k / b for k, b in zip(self.values, self.bound, strict=True))


def fit_curve_figure(curves: Sequence[FitCurve]) -> matplotlib.figure.Figure:
    """Left, K against t in each layer, beside the bound 2Ω/t; right, what share of its bound each K is.

    :param curves: in running order; where they outnumber the palette, colour runs with depth.
    :returns: a matplotlib figure made without pyplot, so nothing has to be closed.
    :raises ValueError: if there are no curves.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    if not curves:
        raise ValueError("fit_curve_figure got no curves, expected those of at least one layer; pass them.")
    with rc_context(STYLE):
        figure = Figure(figsize=(10.0, 3.9), layout="constrained")
        figure.get_layout_engine().set(w_pad=0.12, h_pad=0.06, wspace=0.04)  # type: ignore[union-attr]
        left, right = figure.subplots(1, 2)
        draw_fit(left, curves)
        draw_share(right, curves)
        handles, labels = left.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right upper")
    return figure


def draw_fit(axes: matplotlib.axes.Axes, curves: Sequence[FitCurve]) -> None:
    """K against time steps, both axes logarithmic; the bound 2Ω/t of each layer dashed, or of many layers as a band."""
    few = len(curves) <= len(PALETTE)
    for curve, look in zip(curves, _looks(curves), strict=True):
        steps = range(1, len(curve.values) + 1)
        axes.plot(steps, [k if k > 0 else math.nan for k in curve.values], **look)  # 0 has no place on this axis
        if few:
            axes.plot(steps, curve.bound, **{**DASHED, "color": look["color"]}, alpha=0.5)
    if few:
        axes.plot([], [], **DASHED, label="bound 2Ω/t")
    elif omegas := [curve.omega for curve in curves if math.isfinite(curve.omega)]:
        steps = range(1, max(len(curve.values) for curve in curves) + 1)
        low, high = ([2 * end(omegas) / t for t in steps] for end in (min, max))
        axes.fill_between(steps, low, high, color=MUTED, alpha=0.2, linewidth=0, label="bounds 2Ω/t")
    _times(axes, curves)
    axes.set_yscale("log")
    axes.minorticks_off()
    axes.set(title="Distance from the activations", ylabel="K(t) = ‖r(t) − r̂‖² / ‖r̂‖²")


def draw_share(axes: matplotlib.axes.Axes, curves: Sequence[FitCurve]) -> None:
    """K·t/2Ω against time steps: below 1 the bound holds."""
    for curve, look in zip(curves, _looks(curves), strict=True):
        shares = [k / b for k, b in zip(curve.values, curve.bound, strict=True)]
        axes.plot(range(1, len(shares) + 1), shares, **look)
    axes.axhline(1, **DASHED)
    _times(axes, curves)
    axes.set_ylim(bottom=0)
    axes.set(title="Share of the bound", ylabel="K(t) · t / 2Ω")


def _times(axes: matplotlib.axes.Axes, curves: Sequence[FitCurve]) -> None:
    steps = max(len(curve.values) for curve in curves)
    ticks = [2**i for i in range(steps.bit_length())]
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks, [str(t) for t in ticks])
    axes.minorticks_off()
    axes.set_xlabel("time steps t")


def _looks(curves: Sequence[FitCurve]) -> list[dict[str, Any]]:
    """Colour of each layer, a marker where there are few steps, and a name for as many as the legend holds."""
    import matplotlib

    count = len(curves)
    ramp = matplotlib.colormaps["viridis"]
    colours = PALETTE[:count] if count <= len(PALETTE) else [ramp(0.9 * i / (count - 1)) for i in range(count)]
    every = math.ceil(count / NAMED)
    looks: list[dict[str, Any]] = []
    for i, (curve, colour) in enumerate(zip(curves, colours, strict=True)):
        name = curve.name if len(curve.name) <= 22 else f"…{curve.name[-21:]}"
        marker = MARKERS[i % len(MARKERS)] if len(curve.values) <= 16 and count <= len(PALETTE) else ""
        label = name if i % every == 0 else f"_{name}"  # matplotlib leaves out of a legend what begins so
        looks.append(
            {"color": colour, "marker": marker, "label": label, "linewidth": 1.8 if count <= len(PALETTE) else 1.1}
        )
    return looks
