"""Several runs of one thing: what they have in common and how far they lie apart."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from .result import MethodResult, Report


@dataclass(frozen=True)
class Spread:
    """One method over several runs.

    :param label: the method's, for people. :param steps: the T at which accuracy was read.
    :param mean: top-1 in percent at each of them, over the runs.
    :param deviation: the sample standard deviation of each (n − 1), in points.
    :param source: mean and deviation of the deep networks' top-1.
    """

    label: str
    steps: list[int]
    mean: list[float]
    deviation: list[float]
    source: tuple[float, float]


def spread(reports: Sequence[Report]) -> list[Spread]:
    """Mean and standard deviation of every method's accuracy over reports that differ in their seed.

    :raises ValueError: for fewer than two reports, or reports of different titles, methods or steps.
    """
    if len(reports) < 2:
        raise ValueError(f"spread got {len(reports)} reports, expected at least two runs of one recipe.")
    kinds = [(r.title, [(m.label, m.steps) for m in r.results]) for r in reports]
    if odd := [r.title for r, kind in zip(reports, kinds, strict=True) if kind != kinds[0]]:
        raise ValueError(
            f"spread got {odd[0]!r} besides {reports[0].title!r}, expected runs of one recipe that read the same T by "
            "the same methods."
        )
    seeds = [r.meta.get("seed") for r in reports]
    if None not in seeds and len(set(seeds)) < len(seeds):
        raise ValueError(f"spread got the seeds {seeds}, expected each once; a run counted twice adds no knowledge.")
    return [_over(runs) for runs in zip(*(r.results for r in reports), strict=True)]


def _over(runs: Sequence[MethodResult]) -> Spread:
    at = [_statistics(values) for values in zip(*(run.accuracy for run in runs), strict=True)]
    source = _statistics([run.source_accuracy for run in runs])
    return Spread(runs[0].label, runs[0].steps, [m for m, _ in at], [d for _, d in at], source)


def _statistics(values: Sequence[float]) -> tuple[float, float]:
    return statistics.fmean(values), statistics.stdev(values)
