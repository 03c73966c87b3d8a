"""Several runs of one study, which differ in their seed: means, and how far the runs lie apart."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .spread import differ_in_seed, half_interval, mean_and_deviation
from .trained import Study, Trained

MeanAndDeviation = tuple[float, float]
"""Over runs, as :func:`~spikeworks.measure.spread.mean_and_deviation` has it."""


@dataclass(frozen=True)
class TrainedSpread:
    """One network over several runs.

    :param label: for people. :param runs: top-1 in percent after all steps, a number for each run.
    :param running: top-1 after each step. :param spread: of the accuracies of single steps. :param curve: top-1 at mean
        decision times of 1, 1 + 1/8, …. :param values: further numbers, by name.
    :param results: what it is made from.
    """

    label: str
    runs: list[float]
    running: list[MeanAndDeviation]
    spread: MeanAndDeviation
    curve: list[MeanAndDeviation]
    values: dict[str, MeanAndDeviation]
    results: tuple[Trained, ...]

    def time_for(self, accuracy: float) -> MeanAndDeviation:
        """The least mean decision time that reaches an accuracy in percent; infinity unless every run reaches it."""
        times = [r.time_for(accuracy) for r in self.results]
        return mean_and_deviation(times) if all(map(math.isfinite, times)) else (math.inf, 0.0)


def study_spread(studies: Sequence[Study]) -> list[TrainedSpread]:
    """Mean and standard deviation of everything that was measured of each network.

    :raises ValueError: for fewer than two studies, studies of other networks, steps or settings, or a seed twice.
    """
    differ_in_seed("study_spread", "studies", [s.meta for s in studies])
    kinds = [
        (s.title, s.meta.get("settings"), s.meta.get("quick"), [(r.name, r.steps, list(r.values)) for r in s.results])
        for s in studies
    ]
    if any(kind != kinds[0] for kind in kinds):
        raise ValueError(
            f"study_spread got runs of {', '.join(dict.fromkeys(k[0] for k in kinds))} with other networks, steps or "
            "settings, or quick ones, expected runs of one recipe that differ in their seed."
        )
    return [_over(runs) for runs in zip(*(s.results for s in studies), strict=True)]


def _over(runs: Sequence[Trained]) -> TrainedSpread:
    def each(of: Callable[[Trained], Sequence[float]]) -> list[MeanAndDeviation]:
        return [mean_and_deviation(values) for values in zip(*(of(r) for r in runs), strict=True)]

    one = runs[0]
    values = {name: mean_and_deviation([r.values[name] for r in runs]) for name in one.values}
    spread = mean_and_deviation([r.spread for r in runs])
    return TrainedSpread(
        one.label, [r.accuracy for r in runs], each(lambda r: r.running), spread, each(lambda r: r.curve), values,
        tuple(runs),
    )  # fmt: skip


@dataclass(frozen=True)
class Lead:
    """How far one network is ahead of another with the same seeds, run by run: means, and half of their 95 % intervals.

    A difference whose half interval is larger may be none.

    :param label: of the network. :param accuracy: points of top-1 after all steps. :param first: after one step.
    :param spread: of the accuracies of single steps, in points.
    """

    label: str
    accuracy: MeanAndDeviation
    first: MeanAndDeviation
    spread: MeanAndDeviation


def leads(spreads: Sequence[TrainedSpread], label: str) -> list[Lead]:
    """Every other network compared with one, paired by runs, by Student's t.

    :param label: of the network that they are compared with.
    :raises ValueError: if there is none of that label.
    """
    found = [s for s in spreads if s.label == label]
    if not found:
        raise ValueError(f"leads got {label!r}, expected one of {', '.join(repr(s.label) for s in spreads)}.")

    def paired(one: TrainedSpread, of: Callable[[Trained], float]) -> MeanAndDeviation:
        pairs = zip(one.results, found[0].results, strict=True)
        mean, deviation = mean_and_deviation([of(a) - of(b) for a, b in pairs])
        return mean, deviation * half_interval(len(one.results))

    return [
        Lead(s.label, paired(s, lambda r: r.accuracy), paired(s, lambda r: r.running[0]), paired(s, lambda r: r.spread))
        for s in spreads if s is not found[0]
    ]  # fmt: skip
