"""Filters: which events a rule keeps. They take a stream in order of time, and a generator they do not need.

What a filter does to an event depends on those before it. All at once here: events are sorted by pixel, then by order,
and questions about the past of a pixel become searches in that array.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .stream import EventStream

_ROUNDS = 64
"""Steps that all pixels take together; the few that go on are followed one by one."""


@dataclass(frozen=True)
class Refractory:
    """A pixel is dead for a while after each event that it lets through, of either polarity.

    An event stays if its pixel let none through less than ``dead`` microseconds before. Events that are left out do
    not make the pixel dead for longer.

    :param dead: microseconds, from 0, which keeps all.
    :raises ValueError: for less; when called, for a stream not in order.
    """

    dead: int

    def __post_init__(self) -> None:
        if self.dead < 0:
            raise ValueError(f"Refractory got dead={self.dead}, expected microseconds from 0.")

    def __call__(self, stream: EventStream, generator: np.random.Generator | None = None) -> EventStream:
        stream.needs_order("Refractory")
        if not len(stream) or not self.dead:
            return stream
        dead = min(self.dead, stream.duration + 1)
        pixel, order = _by_pixel(stream)
        t = stream.t[order]
        # time on from pixel to pixel, without the pauses: what is `dead` later in it is so at its pixel
        step = np.full(len(t), dead)
        np.minimum(t[1:] - t[:-1], dead, out=step[1:], where=pixel[1:] == pixel[:-1])
        kept = step >= dead  # as no event of the pixel is nearer, whatever becomes of those before
        clock = np.cumsum(step)
        last = np.flatnonzero(kept)
        for _ in range(_ROUNDS):
            last = np.searchsorted(clock, clock[last] + dead)
            last = last[last < len(t)]
            last = last[~kept[last]]
            kept[last] = True
            if not len(last):
                break
        else:
            _follow(kept, last, clock, dead)
        mask = np.empty(len(t), bool)
        mask[order] = kept
        return stream[mask]


@dataclass(frozen=True)
class BackgroundActivity:
    """An event stays if one of the eight pixels around its own had an event shortly before; noise has no neighbours.

    Of events at one time the one in front in the stream is before. The pixel's own events do not count, all events of
    the neighbours do, those that are left out too. Delbruck, Int. Symp. on Secure-Life Electronics, 2008.

    :param within: microseconds from the neighbour's event, included; from 0.
    :raises ValueError: for less; when called, for a stream not in order.
    """

    within: int

    def __post_init__(self) -> None:
        if self.within < 0:
            raise ValueError(f"BackgroundActivity got within={self.within}, expected microseconds from 0.")

    def __call__(self, stream: EventStream, generator: np.random.Generator | None = None) -> EventStream:
        stream.needs_order("BackgroundActivity")
        if not len(stream):
            return stream
        bits = len(stream).bit_length()
        key = _keys(stream)
        t, kept = stream.t, np.zeros(len(stream), bool)
        asking, order = key, key & ((1 << bits) - 1)
        x, y = stream.x[order], stream.y[order]
        for dy, dx in ((0, -1), (0, 1), (-1, 0), (1, 0), (-1, -1), (-1, 1), (1, -1), (1, 1)):
            there = asking + ((dy * stream.width + dx) << bits)
            found = key[np.maximum(np.searchsorted(key, there) - 1, 0)]  # the last before this event, if of that pixel
            near = (found < there) & (found >> bits == there >> bits)
            near &= t[order] - t[found & ((1 << bits) - 1)] <= self.within
            if dx:
                near &= x > 0 if dx < 0 else x < stream.width - 1
            if dy:
                near &= y > 0 if dy < 0 else y < stream.height - 1
            kept[order[near]] = True
            rest = ~near
            asking, order, x, y = asking[rest], order[rest], x[rest], y[rest]
        return stream[kept]


@dataclass(frozen=True)
class HotPixel:
    """Leaves out all events of pixels that fire faster than any scene: more than ``rate`` events a second on average.

    A pixel's rate is its events less one over the duration of the whole stream, which may be in any order.

    :param rate: events per second, from 0.
    :raises ValueError: for less.
    """

    rate: float

    def __post_init__(self) -> None:
        if not 0 <= self.rate < np.inf:
            raise ValueError(f"HotPixel got rate={self.rate}, expected events per second from 0.")

    def __call__(self, stream: EventStream, generator: np.random.Generator | None = None) -> EventStream:
        pixel = _pixel(stream)
        count = np.bincount(pixel, minlength=stream.width * stream.height)
        return stream[((count - 1) * 1e6 <= self.rate * stream.duration)[pixel]]


def _follow(kept: NDArray[np.bool_], last: NDArray[np.int64], clock: NDArray[np.int64], dead: int) -> None:
    """The rest of a few long chains, one event after the other."""
    after = np.searchsorted(clock, clock + dead)
    for place in last:
        place = int(after[place])
        while place < len(kept) and not kept[place]:
            kept[place] = True
            place = int(after[place])


def _pixel(stream: EventStream) -> NDArray[np.int64]:
    return stream.y * np.int64(stream.width) + stream.x


def _keys(stream: EventStream) -> NDArray[np.int64]:
    """Pixel and place in the stream in one number each, sorted: faster than sorting places by pixel."""
    bits = len(stream).bit_length()
    if bits + (stream.width * stream.height).bit_length() > 62:
        raise ValueError(f"The filter got {len(stream)} events of {stream.width}×{stream.height}, too many; cut them.")
    key = _pixel(stream)
    key <<= bits
    key |= np.arange(len(stream))
    key.sort()
    return key


def _by_pixel(stream: EventStream) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pixel and place in the stream, sorted by pixel, then place."""
    key, bits = _keys(stream), len(stream).bit_length()
    return key >> bits, key & ((1 << bits) - 1)
