"""Several runs of one study, which differ in their seed: means, and how far the runs lie apart."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .spread import differ_in_seed, mean_and_deviation
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
