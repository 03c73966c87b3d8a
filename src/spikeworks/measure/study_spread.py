"""Several runs of one study, which differ in their seed: means, and how far the runs lie apart."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from .spread import differ_in_seed, half_interval, mean_and_deviation
from .trained import Scored, Study, Trained, classifiers

MeanAndDeviation = tuple[float, float]
"""Over runs, as :func:`~spikeworks.measure.spread.mean_and_deviation` has it."""


@dataclass(frozen=True)
class StudySpread:
    """One network over several runs.

    :param label: for people. :param values: numbers by name. :param results: what it is made from.
    :param runs: of a classifier, as all that follows, and else empty: top-1 in percent after all steps, for each run.
    :param running: top-1 after each step. :param curve: top-1 at mean decision times of 1, 1 + 1/8, ….
    :param spread: of the accuracies of single steps.
    """

    label: str
    values: dict[str, MeanAndDeviation]
    results: tuple[Scored, ...]
    runs: list[float] = field(default_factory=list)
    running: list[MeanAndDeviation] = field(default_factory=list)
    curve: list[MeanAndDeviation] = field(default_factory=list)
    spread: MeanAndDeviation = (0.0, 0.0)

    def time_for(self, accuracy: float) -> MeanAndDeviation:
        """The least mean decision time that reaches an accuracy in percent; infinity unless every run reaches it."""
        times = [r.time_for(accuracy) for r in classifiers(self.results)]
        return mean_and_deviation(times) if all(map(math.isfinite, times)) else (math.inf, 0.0)


def study_spread(studies: Sequence[Study]) -> list[StudySpread]:
    """Mean and standard deviation of everything that was measured of each network.

    :raises ValueError: for fewer than two studies, studies of other networks, steps or settings, or a seed twice.
    """
    differ_in_seed("study_spread", "studies", [s.meta for s in studies])
    kinds = [
        (s.title, s.meta.get("settings"), s.meta.get("quick"), [(r.name, _steps(r), list(r.values)) for r in s.results])
        for s in studies
    ]
    if any(kind != kinds[0] for kind in kinds):
        raise ValueError(
            f"study_spread got runs of {', '.join(dict.fromkeys(k[0] for k in kinds))} with other networks, steps or "
            "settings, or quick ones, expected runs of one recipe that differ in their seed."
        )
    return [_over(runs) for runs in zip(*(s.results for s in studies), strict=True)]


def _steps(result: Scored) -> int:
    return result.steps if isinstance(result, Trained) else 0


def _over(runs: Sequence[Scored]) -> StudySpread:
    values = {name: mean_and_deviation([r.values[name] for r in runs]) for name in runs[0].values}
    decided = classifiers(runs)
    if not decided:
        return StudySpread(runs[0].label, values, tuple(runs))

    def each(of: Callable[[Trained], Sequence[float]]) -> list[MeanAndDeviation]:
        return [mean_and_deviation(values) for values in zip(*(of(r) for r in decided), strict=True)]

    return StudySpread(
        runs[0].label, values, tuple(runs), [r.accuracy for r in decided], each(lambda r: r.running),
        each(lambda r: r.curve), mean_and_deviation([r.spread for r in decided]),
    )  # fmt: skip


@dataclass(frozen=True)
class Lead:
    """How far one network is ahead of another with the same seeds, run by run.

    :param label: of the network.
    :param by: differences by name: means, and half of their 95 % intervals; one whose half interval is larger may be
        none. Of a classifier, ``"after all steps"`` and ``"after one"`` are points of top-1, ``"spread"`` those of the
        accuracies of single steps; of others, all its values.
    """

    label: str
    by: dict[str, MeanAndDeviation]


def leads(spreads: Sequence[StudySpread], label: str) -> list[Lead]:
    """Every other network compared with one, paired by runs, by Student's t.

    :param label: of the network that they are compared with.
    :raises ValueError: if there is none of that label.
    """
    found = [s for s in spreads if s.label == label]
    if not found:
        raise ValueError(f"leads got {label!r}, expected one of {', '.join(repr(s.label) for s in spreads)}.")
    return [Lead(s.label, _paired(s, found[0])) for s in spreads if s is not found[0]]


def _paired(one: StudySpread, other: StudySpread) -> dict[str, MeanAndDeviation]:
    def told(result: Scored) -> dict[str, float]:
        if isinstance(result, Trained):
            return {"after all steps": result.accuracy, "after one": result.running[0], "spread": result.spread}
        return result.values

    found = dict[str, MeanAndDeviation]()
    pairs = [(told(a), told(b)) for a, b in zip(one.results, other.results, strict=True)]
    for name in (name for name in pairs[0][0] if name in pairs[0][1]):
        mean, deviation = mean_and_deviation([a[name] - b[name] for a, b in pairs])
        found[name] = mean, deviation * half_interval(len(pairs))
    return found
