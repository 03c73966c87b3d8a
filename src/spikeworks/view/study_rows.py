"""The numbers of a study as words, a row per network: what the terminal and the page both show."""

from __future__ import annotations

from collections.abc import Sequence

from ..measure.trained import Scored, Trained, classifiers

_DECIDED = (
    "T=t: decided after t steps. spread: standard deviation over the accuracies of single steps, in points. time: mean "
    "decision time at which the accuracy after all steps is first reached, to a point, by confidence."
)
_RATE = "rate: spikes per unit and step, the mean over layers."
_LEARNED = "best, last: of all epochs, on validation."


def legend(results: Sequence[Scored]) -> str:
    """How to read :func:`study_rows`."""
    decided, rated, learned = _columns(results)
    return " ".join([*[_DECIDED] * decided, *[_RATE] * rated, *[_LEARNED] * learned])


def _columns(results: Sequence[Scored]) -> tuple[bool, bool, bool]:
    """Whether there are columns of decisions, of rates and of training."""
    decided = bool(classifiers(results))
    return decided, decided or any(r.rates for r in results), decided or any(r.validation for r in results)


def study_rows(results: Sequence[Scored], digits: int) -> tuple[list[str], list[list[str]]]:
    """Headings, and a row of words per network without its label.

    :param digits: behind the point, of accuracies; other numbers have four that count.
    """
    read = shown_steps(classifiers(results))
    more = list(dict.fromkeys(name for r in results for name in r.values))
    decides, rated, learned = _columns(results)
    decided = [*(f"T={t}" for t in read), "spread", "time"] if decides else []
    shape = f".{digits}f" if decides else ".4g"
    rows = []
    for r in results:
        row = _decided(r, read, digits) if isinstance(r, Trained) else []
        if rated:
            row.append("–" if r.rate is None else f"{r.rate:.{digits + 1}f}")
        if learned:
            row += [f"{x:{shape}}" for x in (max(r.validation), r.validation[-1])] if r.validation else ["–", "–"]
        rows.append([*row, *(f"{r.values[name]:{shape}}" if name in r.values else "" for name in more)])
    return [*decided, *["rate"] * rated, *["best", "last"] * learned, *more], rows


def _decided(r: Trained, read: Sequence[int], digits: int) -> list[str]:
    after = [f"{r.running[t - 1]:.{digits}f}" if t <= r.steps else "" for t in read]
    return [*after, f"{r.spread:.{digits}f}", f"{r.time_for(r.accuracy - 1):.2f}"]


def shown_steps(results: Sequence[Trained]) -> list[int]:
    """The first step, powers of two, and the last of every network; none if there is no network."""
    most = max((r.steps for r in results), default=0)
    powers = {1 << i for i in range(most.bit_length()) if 1 << i <= most}
    return sorted(powers | {r.steps for r in results})
