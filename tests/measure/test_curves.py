"""Fit curves know their bounds, and the figure draws exactly their numbers."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from spikeworks.measure.curves import NAMED, FitCurve, fit_curve_figure
from spikeworks.measure.figures import save


def curve(name: str = "conv1", omega: float = 4.0, steps: int = 32) -> FitCurve:
    return FitCurve(name, [omega / (t * t) for t in range(1, steps + 1)], omega)


def test_bounds() -> None:
    c = FitCurve("a", [3.0, 1.0, 2.0], 6.0)
    assert c.bound == [12, 6, 4]
    assert c.tight == [6, 3, 2]
    assert c.excess == 0.5
    assert FitCurve("a", [13.0, 1.0], 6.0).excess > 1
    assert math.isnan(FitCurve("silent", [math.nan], math.nan).excess)
    with pytest.raises(ValueError, match="no values for 'a'"):
        FitCurve("a", [], 1.0)


def test_the_figure_draws_the_curves_and_their_bounds() -> None:
    curves = [curve("conv1", 4), curve("conv2", 2.5), curve("a.layer.of.a.very.long.name.indeed", 3)]
    left, right = fit_curve_figure(curves).axes
    drawn = {line.get_label(): line for line in left.lines}
    shares = {line.get_label(): line for line in right.lines}
    for c in curves[:2]:
        assert list(drawn[c.name].get_xdata()) == list(range(1, 33))
        assert list(drawn[c.name].get_ydata()) == c.values
        assert list(shares[c.name].get_ydata()) == pytest.approx(
            [k / b for k, b in zip(c.values, c.bound, strict=True)]
        )
        assert any(list(line.get_ydata()) == c.bound and line.get_color() == drawn[c.name].get_color()
                   for line in left.lines)  # fmt: skip
    assert "…er.of.a.very.long.name.indeed"[-21:] in next(k for k in drawn if str(k).startswith("…"))
    assert (left.get_xscale(), left.get_yscale()) == ("log", "log")
    assert right.get_ylim()[0] == 0
    assert len({line.get_color() for line in right.lines[:3]}) == 3


def test_many_layers_run_through_one_ramp_and_a_legend_that_holds_them() -> None:
    curves = [curve(f"layer{i}", 2 + i / 10) for i in range(50)]
    figure = fit_curve_figure(curves)
    assert len({line.get_color() for line in figure.axes[1].lines[:50]}) == 50
    (legend,) = figure.legends
    assert 5 < len(legend.get_texts()) <= NAMED + 1  # and the bound


def test_a_silent_layer_and_a_curve_that_arrives_are_drawn() -> None:
    figure = fit_curve_figure([FitCurve("silent", [math.nan] * 3, math.nan), FitCurve("exact", [0.2, 0.0, 0.0], 2.0)])
    figure.canvas.draw()
    assert len(figure.axes) == 2


def test_it_can_be_saved_and_needs_curves(tmp_path: Path) -> None:
    save(fit_curve_figure([curve()]), tmp_path / "fit.svg")
    assert "Share of the bound" in (tmp_path / "fit.svg").read_text()
    with pytest.raises(ValueError, match="no curves"):
        fit_curve_figure([])
