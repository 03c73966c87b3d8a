"""Several runs of one thing: what they have in common and how far they lie apart."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .result import MethodResult, Report


@dataclass(frozen=True)
class Spread:
    """One method over several runs.

    :param label: the method's, for people. :param steps: the T at which accuracy was read.
    :param mean: top-1 in percent at each of them, over the runs.
    :param deviation: the sample standard deviation of each (n − 1), in points.
    :param source: mean and deviation of the deep networks' top-1.
    :param quantised: mean and deviation, at each T, of the deep networks rounded to as many values; empty unless every
        run measured them.
    :param pre: steps before step 1. :param levels: values one spike can take besides 0. :param causal: as the method.
    """

    label: str
    steps: list[int]
    mean: list[float]
    deviation: list[float]
    source: tuple[float, float]
    quantised: list[tuple[float, float]] = field(default_factory=list)
    pre: int = 0
    levels: int = 1
    causal: bool = True


def spread(reports: Sequence[Report]) -> list[Spread]:
    """Mean and standard deviation of every method's accuracy over reports that differ in their seed.

    :raises ValueError: for fewer than two reports, or reports of different titles, methods, steps or neurons.
    """
    differ_in_seed("spread", "reports", [r.meta for r in reports])
    kinds = [(r.title, [(m.label, m.steps, m.pre, m.levels, m.causal) for m in r.results]) for r in reports]
    if odd := [r.title for r, kind in zip(reports, kinds, strict=True) if kind != kinds[0]]:
        raise ValueError(
            f"spread got {odd[0]!r} besides {reports[0].title!r}, expected runs of one recipe that read the same T by "
            "the same methods."
        )
    return [_over(runs) for runs in zip(*(r.results for r in reports), strict=True)]


def differ_in_seed(owner: str, what: str, metas: Sequence[Mapping[str, Any]]) -> None:
    """Nothing, for what at least two runs say of themselves, each with a seed of its own or none.

    :raises ValueError: in the name of ``owner``, for fewer of ``what``, or a seed twice.
    """
    if len(metas) < 2:
        raise ValueError(f"{owner} got {len(metas)} {what}, expected at least two runs of one recipe.")
    seeds = [meta.get("seed") for meta in metas]
    if None not in seeds and len(set(seeds)) < len(seeds):
        raise ValueError(f"{owner} got the seeds {seeds}, expected each once; a run counted twice adds no knowledge.")


def _over(runs: Sequence[MethodResult]) -> Spread:
    at = [mean_and_deviation(values) for values in zip(*(run.accuracy for run in runs), strict=True)]
    source = mean_and_deviation([run.source_accuracy for run in runs])
    measured = all(len(run.quantised) == len(run.steps) for run in runs)
    rounded = (
        [mean_and_deviation(values) for values in zip(*(run.quantised for run in runs), strict=True)]
        if measured
        else []
    )
    one = runs[0]
    return Spread(one.label, one.steps, [m for m, _ in at], [d for _, d in at], source, rounded, one.pre, one.levels,
                  one.causal)  # fmt: skip


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    """The mean, and the sample standard deviation (n − 1); NaN if a value is not finite."""
    return statistics.fmean(values), statistics.stdev(values) if all(map(math.isfinite, values)) else math.nan


STUDENT = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}
"""The 97.5 % point of Student's t with n − 1 degrees of freedom, by n."""


def half_interval(runs: int) -> float:
    """Half of the 95 % interval of a mean over so many runs, in standard deviations."""
    more = runs - 1
    return STUDENT.get(runs, 1.96 + 2.4 / more + 2.8 / more**2) / runs**0.5  # right to 0.001 above ten
