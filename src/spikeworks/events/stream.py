"""Events: what changed where and when, as four columns that nobody can change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

SIDE = 1 << 16
"""A sensor has fewer columns and rows than this, so that coordinates fit 16 bits."""


@dataclass(frozen=True, eq=False, repr=False, init=False)
class EventStream:
    """Events of one sensor: at ``t[i]`` microseconds pixel ``(x[i], y[i])`` became brighter (``p`` 1) or darker (0).

    Columns are taken over without a copy where their type allows and cannot be written to through the stream; a
    column may be a memory map. Slices are views. Time need not begin at 0 and need not be in order: :attr:`ordered`
    tells, and what needs order refuses a stream without it.

    :param t: ``[N]``, microseconds, integers.
    :param x: ``[N]``, column from the left, 0 to ``width`` − 1.
    :param y: ``[N]``, row from the top, 0 to ``height`` − 1.
    :param p: ``[N]``, 1: brighter, 0: darker (or booleans). A sensor without polarity has 1 everywhere.
    :param width: columns of the sensor. :param height: rows; 1 for a line of channels, as audio has them.
    :raises ValueError: for columns that differ in length, are not whole numbers, or leave the sensor.
    """

    t: NDArray[np.int64]
    x: NDArray[np.uint16]
    y: NDArray[np.uint16]
    p: NDArray[np.uint8]
    width: int
    height: int

    def __init__(self, t: ArrayLike, x: ArrayLike, y: ArrayLike, p: ArrayLike, width: int, height: int) -> None:
        for name, size in (("width", width), ("height", height)):
            if not isinstance(size, int | np.integer) or not 1 <= size < SIDE:
                raise ValueError(f"EventStream got {name}={size!r}, expected a whole number from 1 to {SIDE - 1}.")
            object.__setattr__(self, name, int(size))
        object.__setattr__(self, "t", _column("t", t, np.int64, None))
        for name, values, dtype, limit in (
            ("x", x, np.uint16, width),
            ("y", y, np.uint16, height),
            ("p", p, np.uint8, 2),
        ):
            object.__setattr__(self, name, _column(name, values, dtype, limit))
        lengths = {name: len(getattr(self, name)) for name in "txyp"}
        if len(set(lengths.values())) > 1:
            raise ValueError(
                f"EventStream got columns of the lengths {lengths}, expected one length; cut the longer ones."
            )

    def __len__(self) -> int:
        return len(self.t)

    def __repr__(self) -> str:
        span = f"{self.duration / 1e6:g} s" if len(self) else "no time"
        order = "" if self.ordered else ", not in order"
        return f"EventStream({len(self):,} events, {self.width}×{self.height}, {span}{order})"

    def __getitem__(self, index: slice | NDArray | Sequence[int]) -> EventStream:
        """Some of the events, by slice (a view), by a mask ``[N]`` or by places (copies)."""
        if not isinstance(index, slice):
            index = np.asarray(index)
            if index.ndim != 1 or not (index.dtype == bool or np.issubdtype(index.dtype, np.integer)):
                raise ValueError(
                    f"EventStream got the index {index!r}, expected a slice, a mask or places; one is [i : i + 1]."
                )
        return self._with(self.t[index], self.x[index], self.y[index], self.p[index])

    @cached_property
    def ordered(self) -> bool:
        """Whether no event is before the one in front of it."""
        return bool((self.t[1:] >= self.t[:-1]).all())

    @property
    def duration(self) -> int:
        """Microseconds from the first event in time to the last; 0 for none."""
        if not len(self):
            return 0
        first, last = (self.t[0], self.t[-1]) if self.ordered else (self.t.min(), self.t.max())
        return int(last - first)

    def sort(self) -> EventStream:
        """In order of time; events of one time stay in the order they are in. Itself where it is in order."""
        return self if self.ordered else self[np.argsort(self.t, kind="stable")]

    def between(self, start: int, stop: int) -> EventStream:
        """The events with ``start <= t < stop`` in microseconds: a view where the stream is in order."""
        if self.ordered:
            first, last = np.searchsorted(self.t, (start, stop))
            return self[first : max(first, last)]
        return self[(self.t >= start) & (self.t < stop)]

    def crop(self, left: int, top: int, width: int, height: int) -> EventStream:
        """What a rectangle of the sensor saw, as a sensor of that size.

        :raises ValueError: for a rectangle that is empty or leaves the sensor.
        """
        if min(left, top) < 0 or min(width, height) < 1 or left + width > self.width or top + height > self.height:
            raise ValueError(
                f"crop got {width}×{height} at ({left}, {top}), expected a rectangle within {self.width}×{self.height}."
            )
        inside = (self.x >= left) & (self.x < left + width) & (self.y >= top) & (self.y < top + height)
        kept = self[inside]
        return EventStream(kept.t, kept.x - np.uint16(left), kept.y - np.uint16(top), kept.p, width, height)

    def shift(self, microseconds: int) -> EventStream:
        """All times later by so much (earlier if negative)."""
        return self._with(self.t + np.int64(microseconds), self.x, self.y, self.p)

    def windows(self, duration: int, start: int | None = None, stride: int | None = None) -> Iterator[EventStream]:
        """One stream after another of so many microseconds, empty ones included, until the last event has been in one.

        :param start: where the first begins; default: at the first event.
        :param stride: from one beginning to the next; default: ``duration``.
        :raises ValueError: for a stream that is not in order, or a duration or stride below 1.
        """
        step = duration if stride is None else stride
        if duration < 1 or step < 1:
            raise ValueError(f"windows got duration={duration}, stride={step}, expected at least 1 microsecond.")
        self.needs_order("windows")
        if len(self):
            begin = int(self.t[0]) if start is None else start
            while begin <= int(self.t[-1]):
                yield self.between(begin, begin + duration)
                begin += step

    def groups(self, count: int) -> Iterator[EventStream]:
        """One stream after another of so many events, in the order they are in; the last has what is left.

        :raises ValueError: for a count below 1.
        """
        if count < 1:
            raise ValueError(f"groups got count={count}, expected at least 1.")
        for begin in range(0, len(self), count):
            yield self[begin : begin + count]

    def needs_order(self, owner: str) -> None:
        """Refuse a stream that is not in order.

        :param owner: what needs it, for the message. :raises ValueError: if it is not.
        """
        if not self.ordered:
            raise ValueError(
                f"{owner} got a stream that is not in order of time, expected one that is; call .sort() first."
            )

    def _with(self, t: NDArray, x: NDArray, y: NDArray, p: NDArray) -> EventStream:
        """Columns that were checked as parts of this stream."""
        made = object.__new__(EventStream)
        for name, value in (("t", t), ("x", x), ("y", y), ("p", p)):
            value.setflags(write=False)
            object.__setattr__(made, name, value)
        object.__setattr__(made, "width", self.width)
        object.__setattr__(made, "height", self.height)
        return made


def concatenate(streams: Sequence[EventStream]) -> EventStream:
    """One after the other, times as they are.

    :raises ValueError: for none, or sensors of several sizes.
    """
    sizes = {(s.width, s.height) for s in streams}
    if len(sizes) != 1:
        raise ValueError(
            f"concatenate got {len(streams)} streams of the sizes {sorted(sizes)}, expected some of one size."
        )
    columns = [np.concatenate([getattr(s, name) for s in streams]) for name in ("t", "x", "y", "p")]
    return streams[0]._with(*columns)


def empty(width: int, height: int) -> EventStream:
    """No events."""
    none = np.zeros(0, np.int64)
    return EventStream(none, none, none, none, width, height)


def _column(name: str, values: ArrayLike, dtype: type, limit: int | None) -> NDArray:
    column = np.asanyarray(values)
    if column.shape == (0,):  # of no type in particular: an empty list is real numbers to numpy
        column = column.astype(dtype)
    if column.ndim != 1 or not (column.dtype == bool or np.issubdtype(column.dtype, np.integer)):
        hint = " t is in whole microseconds." if name == "t" else ""
        raise ValueError(f"EventStream got {name} of {column.dtype} {column.shape}, expected whole numbers [N].{hint}")
    if len(column):
        low, high = int(column.min()), int(column.max())
        if limit is not None and (low < 0 or high >= limit):
            raise ValueError(
                f"EventStream got {name} from {low} to {high}, expected 0 to {limit - 1}; check the sensor's size."
            )
        if high > np.iinfo(np.int64).max:
            raise ValueError(f"EventStream got {name} up to {high}, expected what fits 64 bits with a sign.")
    column = column.view() if column.dtype == dtype else column.astype(dtype)
    column.setflags(write=False)
    return column
