"""What a recording holds, in one pass over blocks and memory of the size of its sensor."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from .stream import EventStream

BIN = 10_000
"""Microseconds over which the peak rate is taken."""


@dataclass(frozen=True)
class Summary:
    """Numbers of a recording.

    :param count: events. :param on: of these, those that became brighter.
    :param first: microseconds of the first event in time; ``None`` for no events. :param last: of the last.
    :param ordered: whether no event is before the one in front of it.
    :param peak: most events in 10 ms, counted from multiples of 10 ms; ``None`` where events are not in order.
    :param pixels: pixels with at least one event.
    :param hottest: the pixels with most events, as (x, y, events), most first; of equals the upper left first.
    """

    count: int
    on: int
    first: int | None
    last: int | None
    ordered: bool
    peak: int | None
    pixels: int
    hottest: list[tuple[int, int, int]]

    @property
    def duration(self) -> int:
        """Microseconds from the first event to the last."""
        return 0 if self.first is None or self.last is None else self.last - self.first

    @property
    def rate(self) -> float | None:
        """Mean events per second over the duration; ``None`` for no duration."""
        return self.count / self.duration * 1e6 if self.duration else None

    @property
    def peak_rate(self) -> float | None:
        """Most events in 10 ms, as events per second."""
        return None if self.peak is None else self.peak * 1e6 / BIN


def summarise(blocks: Iterable[EventStream], hottest: int = 5) -> Summary:
    """Go over the blocks of one sensor once.

    :param blocks: in the order of the recording. :param hottest: how many of the hottest pixels to name.
    :raises ValueError: for blocks of several sensors, or ``hottest`` below 0.
    """
    if hottest < 0:
        raise ValueError(f"summarise got hottest={hottest}, expected at least 0.")
    count = on = peak = waiting = 0
    first = last = bin_now = None
    ordered = True
    seen, size = np.zeros(0, np.int64), None
    for block in blocks:
        if size is None:
            size, seen = (block.width, block.height), np.zeros(block.width * block.height, np.int64)
        if size != (block.width, block.height):
            raise ValueError(f"summarise got blocks of {size} and {block.width}×{block.height}, expected one sensor.")
        if not len(block):
            continue
        np.add.at(seen, block.y.astype(np.int64) * block.width + block.x, 1)
        count += len(block)
        on += int(block.p.sum())
        low, high = int(block.t.min()), int(block.t.max())
        ordered = ordered and block.ordered and (last is None or low >= last)
        first, last = (low, high) if first is None or last is None else (min(first, low), max(last, high))
        if ordered:
            bins, several = np.unique(block.t // BIN, return_counts=True)
            several[0] += waiting if int(bins[0]) == bin_now else 0
            peak, waiting, bin_now = max(peak, int(several.max())), int(several[-1]), int(bins[-1])
    most = np.argsort(-seen, kind="stable")[:hottest]
    wide = size[0] if size else 1
    named = [(int(i % wide), int(i // wide), int(seen[i])) for i in most if seen[i]]
    return Summary(count, on, first, last, ordered, peak if ordered else None, int((seen > 0).sum()), named)
