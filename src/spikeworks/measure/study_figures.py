"""Figures of a :class:`~spikeworks.measure.trained.Study`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .figures import STYLE, save
from .spread import half_interval
from .study_spread import StudySpread
from .trained import PER_STEP, Scored, Study, Trained, classifiers

if TYPE_CHECKING:
    import matplotlib.figure

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Okabe and Ito's, which colour-blind readers tell apart; further networks have dashes."""


COLUMNS = 3
"""Panels side by side."""


def study_figure(study: Study) -> matplotlib.figure.Figure:
    """Of classifiers, accuracy against steps and against mean decision time, a line per network; of others, a panel for
    each number that was measured; of both, validation against epochs.

    :raises ValueError: if nothing was measured.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    if not study.results:
        raise ValueError("study_figure got a study without results, expected at least one network.")
    panels = _decisions(classifiers(study.results)) or _numbers(study.results)
    if any(r.validation for r in study.results):
        panels = [*panels, partial(_validation, study.results)]
    if not panels:
        raise ValueError("study_figure got a study of no numbers, expected some that were measured.")
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    with rc_context(STYLE):
        figure = Figure((5.2 * columns, 4.2 * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for axis in axes[len(panels) :]:
            axis.set_visible(False)
        for axis, panel in zip(axes, panels, strict=False):
            panel(axis)
        if classifiers(study.results):  # outside: many would cover the lines
            figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center")
    return figure


Panel = Callable[[Any], None]
"""Draws on axes."""


def _decisions(results: Sequence[Trained]) -> list[Panel]:
    def steps(axis: Any) -> None:
        for i, r in enumerate(results):
            axis.plot(range(1, r.steps + 1), r.running, marker="o", label=r.label, **_look(i))
        axis.set(title="Decided after so many steps", xlabel="steps", ylabel="top-1 in %")

    def times(axis: Any) -> None:
        for i, r in enumerate(results):
            axis.plot(r.times, r.curve, **_look(i))
        axis.set(title="Decided when sure", xlabel="mean decision time, steps", ylabel="top-1 in %")

    return [steps, times] if results else []


def _numbers(results: Sequence[Scored]) -> list[Panel]:
    def bars(name: str, axis: Any) -> None:
        told = [(r.label, r.values[name], COLOURS[i % len(COLOURS)]) for i, r in enumerate(results) if name in r.values]
        labels, values, colours = zip(*told[::-1], strict=True)  # from the top
        axis.bar_label(axis.barh(labels, values, color=colours), fmt="%.4g", padding=3)
        axis.margins(x=0.15)
        axis.set(title=name)

    return [partial(bars, name) for name in dict.fromkeys(name for r in results for name in r.values)]


def _validation(results: Sequence[Scored], axis: Any) -> None:
    for i, r in enumerate(results):
        if r.validation:
            axis.plot(range(1, len(r.validation) + 1), r.validation, label=r.label, **_look(i))
    decided = bool(classifiers(results))
    axis.set(title="Validation", xlabel="epochs", ylabel="top-1 in %" if decided else "score")


def plot_study(study: Study, path: str | Path) -> None:
    """Draw :func:`study_figure`; the suffix of ``path`` chooses the format."""
    save(study_figure(study), path)


def spread_figure(spreads: Sequence[StudySpread]) -> matplotlib.figure.Figure:
    """Accuracy against mean decision time of networks with more than one step: means, and 95 % intervals of them.

    :raises ValueError: if none has more than one step.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    timed = [s for s in spreads if len(s.curve) > 1]
    if not timed:
        raise ValueError(
            "spread_figure got no classifiers of more than one step, expected some: there is no time to decide in."
        )
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


def plot_spread(spreads: Sequence[StudySpread], path: str | Path) -> None:
    """Draw :func:`spread_figure`; the suffix of ``path`` chooses the format."""
    save(spread_figure(spreads), path)


def _look(place: int) -> dict[str, Any]:
    return {"color": COLOURS[place % len(COLOURS)], "linestyle": ("-", "--", ":")[place // len(COLOURS) % 3]}
