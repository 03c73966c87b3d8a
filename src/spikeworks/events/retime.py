"""Augmentations that move events in time; places stay."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .stream import EventStream


@dataclass(frozen=True)
class TimeJitter:
    """Each event moved on its own by normal noise, rounded to microseconds; a stream in order is put in order again.

    :param deviation: standard deviation in microseconds, from 0.
    :raises ValueError: for one below 0.
    """

    deviation: float

    def __post_init__(self) -> None:
        if not 0 <= self.deviation < np.inf:
            raise ValueError(f"TimeJitter got deviation={self.deviation}, expected microseconds from 0.")

    def __call__(self, stream: EventStream, generator: np.random.Generator) -> EventStream:
        noise = np.rint(generator.normal(0, self.deviation, len(stream))).astype(np.int64)
        moved = EventStream(stream.t + noise, stream.x, stream.y, stream.p, stream.width, stream.height)
        return moved.sort() if stream.ordered else moved


@dataclass(frozen=True)
class TimeScale:
    """Slower or faster: the time since the first event is multiplied, and rounded to microseconds.

    :param low: smallest factor, above 0. :param high: largest; one is drawn in between.
    :raises ValueError: for others.
    """

    low: float = 0.8
    high: float = 1.25

    def __post_init__(self) -> None:
        if not 0 < self.low <= self.high < np.inf:
            raise ValueError(f"TimeScale got low={self.low}, high={self.high}, expected 0 < low <= high.")

    def __call__(self, stream: EventStream, generator: np.random.Generator) -> EventStream:
        factor = generator.uniform(self.low, self.high)
        if not len(stream):
            return stream
        first = stream.t.min()
        t = first + np.rint((stream.t - first) * factor).astype(np.int64)
        return EventStream(t, stream.x, stream.y, stream.p, stream.width, stream.height)


@dataclass(frozen=True)
class ReverseTime:
    """Backwards from the last event to the first, polarities swapped: what became brighter becomes darker.

    Twice is the stream itself. A sensor without polarity: ``polarity=False``.

    :param polarity: whether to swap it.
    """

    polarity: bool = True

    def __call__(self, stream: EventStream, generator: np.random.Generator | None = None) -> EventStream:
        if not len(stream):
            return stream
        first, last = stream.t.min(), stream.t.max()
        p = 1 - stream.p if self.polarity else stream.p
        t = first + (last - stream.t)
        return EventStream(t[::-1], stream.x[::-1], stream.y[::-1], p[::-1], stream.width, stream.height)
