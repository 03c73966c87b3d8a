"""What a recording is, from one pass over its blocks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from .stream import EventStream

BIN = 10_000
"""Microseconds over which the peak rate is taken."""


@dataclass(frozen=True)
class Survey:
    """A recording in numbers.

    :param count: events. :param on: of them, brighter. :param first: least time in microseconds. :param last: largest.
    :param ordered: whether no event is before the one in front. :param peak: most events in 10 ms, counted in bins from
        the first event on; 0 where they are not in order.
    :param hottest: x, y and count of the five pixels with most events, largest first.
    """

    count: int
    on: int
    first: int
    last: int
    ordered: bool
    peak: int
    hottest: list[tuple[int, int, int]]

    @property
    def duration(self) -> int:
        """Microseconds from first to last."""
        return self.last - self.first

    @property
    def share(self) -> float:
        """ON events as a share of all, 0 to 1."""
        return self.on / self.count if self.count else 0.0

    @property
    def rate(self) -> float:
        """Events per second; 0 for an instant."""
        return 1e6 * self.count / self.duration if self.duration else 0.0


def survey(blocks: Iterable[EventStream], width: int, height: int) -> Survey:
    """Count, block after block; memory holds one block and a count per pixel.

    :param blocks: of a sensor of ``width``×``height``.
    """
    pixels = np.zeros(width * height, np.int64)
    count = on = peak = running = 0
    first = last = end = bin_now = None
    ordered = True
    for block in (b for b in blocks if len(b)):
        low, high = (block.t[0], block.t[-1]) if block.ordered else (block.t.min(), block.t.max())
        ordered = ordered and block.ordered and (end is None or int(block.t[0]) >= end)
        end = int(block.t[-1])
        first = int(low) if first is None else min(first, int(low))
        last = int(high) if last is None else max(last, int(high))
        count, on = count + len(block), on + int(block.p.sum())
        pixels += np.bincount(block.y.astype(np.int64) * width + block.x, minlength=len(pixels))
        if ordered:
            bins, numbers = np.unique((block.t - first) // BIN, return_counts=True)
            running = running + int(numbers[0]) if bins[0] == bin_now else int(numbers[0])  # a bin may go on
            peak = max(peak, running, int(numbers.max()))
            running = running if len(bins) == 1 else int(numbers[-1])
            bin_now = bins[-1]
    order = np.argsort(-pixels, kind="stable")[:5]
    hottest = [(int(i % width), int(i // width), int(pixels[i])) for i in order if pixels[i]]
    return Survey(count, on, first or 0, last or 0, ordered, peak if ordered else 0, hottest)
