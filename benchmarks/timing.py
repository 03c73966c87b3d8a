"""Fair timing on a machine that is not quiet: everything in turns, ratios within a round, medians of them.

One thread is timed by the process's CPU time (other processes do not count, page faults do), more threads by the wall.
"""

from __future__ import annotations

import math
import random
import statistics
import time
from collections.abc import Callable, Sequence

import torch

Work = Callable[[], object]


def in_turns(works: dict[str, Work], rounds: int) -> dict[str, list[float]]:
    """Seconds of each work in each round; the order is shuffled anew every round, one round before is not counted."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    taken: dict[str, list[float]] = {name: [] for name in works}
    order, shuffle = list(works), random.Random(0).shuffle
    for turn in range(rounds + 1):
        shuffle(order)
        for name in order:
            begin = clock()
            works[name]()
            if turn:
                taken[name].append(clock() - begin)
    return taken


def ratio(slow: Sequence[float], fast: Sequence[float]) -> float:
    """Median over rounds of slow/fast."""
    return statistics.median(s / f for s, f in zip(slow, fast, strict=True))


def geometric_mean(values: Sequence[float]) -> float:
    """The mean that suits ratios."""
    return math.exp(statistics.fmean(map(math.log, values)))


def rounds_for(elements: int, budget: int = 1 << 26) -> int:
    """Fewer rounds for larger work: between 7 and 61, so that each cell takes a few seconds."""
    return max(7, min(61, budget // max(1, elements)))
