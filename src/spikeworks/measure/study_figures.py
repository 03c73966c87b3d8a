"""Figures of a :class:`~spikeworks.measure.trained.Study`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .figures import STYLE, save
from .spread import half_interval
from .study_spread import TrainedSpread
from .trained import PER_STEP, Study

if TYPE_CHECKING:
    import matplotlib.figure

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Okabe and Ito's, which colour-blind readers tell apart; further networks have dashes."""


def study_figure(study: Study) -> matplotlib.figure.Figure:
    """Accuracy against steps, against mean decision time, and validation against epochs: a line per network.

    :raises ValueError: if nothing was measured.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    if not study.results:
        raise ValueError("study_figure got a study without results, expected at least one network.")
    learned = [r for r in study.results if r.validation]
    with rc_context(STYLE):
        figure = Figure((5.2 * (3 if learned else 2), 4.2), layout="constrained")
        axes = figure.subplots(1, 3 if learned else 2)
        for i, r in enumerate(study.results):
            look = _look(i)
            axes[0].plot(range(1, r.steps + 1), r.running, marker="o", label=r.label, **look)
            axes[1].plot(r.times, r.curve, **look)
            if learned and r.validation:
                axes[2].plot(range(1, len(r.validation) + 1), r.validation, **look)
        words = [("Decided after so many steps", "steps"), ("Decided when sure", "mean decision time, steps"),
                 ("Validation", "epochs")]  # fmt: skip
        for axis, (title, below) in zip(axes, words, strict=False):
            axis.set(title=title, xlabel=below, ylabel="top-1 in %")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center")  # many would cover the lines
    return figure


def plot_study(study: Study, path: str | Path) -> None:
    """Draw :func:`study_figure`; the suffix of ``path`` chooses the format."""
    save(study_figure(study), path)


def spread_figure(spreads: Sequence[TrainedSpread]) -> matplotlib.figure.Figure:
    """Accuracy against mean decision time of networks with more than one step: means, and 95 % intervals of them.

    :raises ValueError: if none has more than one step.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    timed = [s for s in spreads if len(s.curve) > 1]
    if not timed:
        raise ValueError("spread_figure got networks of one step, expected more: there is no time to decide in.")
    with rc_context(STYLE):
        figure = Figure((7.0, 4.6), layout="constrained")
        axis = figure.subplots()
        for i, s in enumerate(timed):
            times = [1 + k / PER_STEP for k in range(len(s.curve))]
            half = half_interval(len(s.results))
            low, high = ([m + sign * half * d for m, d in s.curve] for sign in (-1, 1))
            axis.plot(times, [m for m, _ in s.curve], label=s.label, **_look(i))
            axis.fill_between(times, low, high, color=COLOURS[i % len(COLOURS)], alpha=0.15, linewidth=0)
        axis.set(title="Decided when sure", xlabel="mean decision time, steps", ylabel="top-1 in %")
        axis.legend()
    return figure


def plot_spread(spreads: Sequence[TrainedSpread], path: str | Path) -> None:
    """Draw :func:`spread_figure`; the suffix of ``path`` chooses the format."""
    save(spread_figure(spreads), path)


def _look(place: int) -> dict[str, Any]:
    return {"color": COLOURS[place % len(COLOURS)], "linestyle": ("-", "--", ":")[place // len(COLOURS) % 3]}
