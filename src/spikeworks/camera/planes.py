"""What is counted over packed frames: spikes in a window, intervals, the spikes nearest to a frame.

All of it is of stored cells; :meth:`.SpikeStream.picture` makes pictures of them. Where LLVM is not usable, numpy does
the same, some ten times slower.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .layout import unpack

WIDEST = 65535
"""The most frames that a search goes through."""


class Counts:
    """Spikes of each cell in the last ``window`` frames, carried from block to block.

    :param size: bytes of a frame. :param window: frames, 1 to 65535. :param threads: that a block is shared among.
    :raises ValueError: for a window out of range.
    """

    def __init__(self, size: int, window: int, threads: int = 1) -> None:
        if not 1 <= window <= WIDEST:
            raise ValueError(f"Counts got window={window}, expected 1 to {WIDEST} frames.")
        self.window, self.threads = window, threads
        dtype = np.uint8 if window < 256 else np.uint16
        self.state = np.zeros(size * 8, dtype)
        self.past = np.zeros((0, size), np.uint8)
        self.seen = 0

    def push(self, packed: NDArray[np.uint8], step: int = 1, phase: int | None = None) -> NDArray[Any]:
        """Go through more frames: the counts after each ``step``-th of them, the first after ``phase`` (default: step).

        :param packed: ``[n, size]``. :returns: ``[rows, 8·size]``; frames before the first count as dark.
        """
        phase = step if phase is None else phase
        out = np.empty((_rows(len(packed), step, phase), self.state.size), self.state.dtype)
        held = np.concatenate([self.past, packed]) if len(self.past) else np.ascontiguousarray(packed)
        begin = len(self.past)
        grow = min(len(packed), max(0, self.window - self.seen))  # frames that none leaves for
        rows = _rows(grow, step, phase)
        self._go(held[begin : begin + grow], None, out[:rows], step, phase)
        rest = held[begin + grow :]
        if len(rest):
            old = held[begin + grow - self.window : begin + grow - self.window + len(rest)]
            self._go(rest, old, out[rows:], step, carried(grow, step, phase))
        self.seen += len(packed)
        self.past = held[max(0, len(held) - self.window) :].copy()
        return out

    def _go(
        self, new: NDArray[np.uint8], old: NDArray[np.uint8] | None, out: NDArray[Any], step: int, phase: int
    ) -> None:
        if not len(new):
            return
        if (kernels := compiled()) is not None:
            fields = _fields(new, self.state, out, step, phase)
            fields |= {"old": 0 if old is None else address(old)}
            kernels.run(kernels.count, (self.state.itemsize * 8, old is not None), fields, self.threads)
            return
        row = 0
        for k in range(len(new)):
            self.state += unpack(new[k])
            if old is not None:
                self.state -= unpack(old[k])
            if _due(k, step, phase):
                out[row] = self.state
                row += 1


class Ages:
    """Frames since the ``place``-th last spike of each cell, if that is among the last ``reach`` frames.

    :param size: bytes of a frame. :param reach: frames, 1 to 65535. :param place: 1: the last spike, 2: the one before
        it … :param threads: that a block is shared among.
    :raises ValueError: for a reach out of range, or no place.
    """

    between = False

    def __init__(self, size: int, reach: int = 255, place: int = 1, threads: int = 1) -> None:
        if not 1 <= reach <= WIDEST or place < 1:
            raise ValueError(
                f"{type(self).__name__} got reach={reach}, place={place}, expected 1 to {WIDEST} frames, at least 1."
            )
        dtype = np.uint8 if reach < 256 else np.uint16
        self.reach, self.threads, self.none = reach, threads, np.iinfo(dtype).max
        self.ages = np.full((place, size * 8), self.none, dtype)

    def push(self, packed: NDArray[np.uint8], step: int = 1, phase: int | None = None) -> NDArray[Any]:
        """Go through more frames: the ages at each ``step``-th of them, see :meth:`Counts.push`.

        :returns: ``[rows, 8·size]`` of uint8, of uint16 for a reach above 255; the largest number: none.
        """
        phase = step if phase is None else phase
        packed = packed if packed.strides[1] == 1 else np.ascontiguousarray(packed)
        ages = self.ages
        out = np.empty((_rows(len(packed), step, phase), ages.shape[1]), ages.dtype)
        if len(packed) and (kernels := compiled()) is not None:
            fields = _fields(packed, ages, out, step, phase) | {"number": self.reach}
            kernels.run(kernels.ages, (ages.itemsize * 8, len(ages), self.between), fields, self.threads)
            return out
        row = 0
        for k in range(len(packed)):
            fires = unpack(packed[k]) > 0
            ages += ages < self.none
            ages[1:, fires] = ages[:-1, fires]
            ages[0, fires] = 0
            if _due(k, step, phase):
                out[row] = self._shown(ages[-1] < self.reach)
                row += 1
        return out

    def _shown(self, near: NDArray[np.bool_]) -> NDArray[Any]:
        return np.where(near, self.ages[-1], self.none)


class Intervals(Ages):
    """The last ``place − 1`` intervals of each cell that are over, together, if their spikes are among the last frames.

    As :class:`Ages`, with place 2 or more, the interval that was over last; 0: none.
    """

    between = True

    def __init__(self, size: int, reach: int = 255, place: int = 2, threads: int = 1) -> None:
        super().__init__(size, reach, place, threads)

    def _shown(self, near: NDArray[np.bool_]) -> NDArray[Any]:
        return np.where(near, self.ages[-1] - self.ages[0], 0)


def nearest(packed: NDArray[np.uint8], places: int = 1, threads: int = 1) -> NDArray[np.uint16]:
    """The last spikes of each cell, the last first: 1 for the last frame, 2 for the one before it …, 0 for none.

    :param packed: ``[n, size]``, n at most 65535; ``packed[::-1]`` finds the first spikes.
    :returns: ``[places, 8·size]``.
    :raises ValueError: for more frames, or no place.
    """
    if len(packed) > WIDEST or places < 1:
        raise ValueError(
            f"nearest got {len(packed)} frames, places={places}, expected at most {WIDEST} and at least 1."
        )
    size = packed.shape[1]
    found = np.zeros((places, size * 8), np.uint16)
    if not len(packed):
        return found
    if (kernels := compiled()) is not None:
        if packed.strides[1] != 1:
            packed = np.ascontiguousarray(packed)
        fields = _fields(packed, found, found[:0], 1, 1) | {"number": len(packed)}
        kernels.run(kernels.nearest, (places,), fields, threads)
        return found
    for k in range(len(packed)):
        fires = unpack(packed[k]) > 0
        found[1:, fires] = found[:-1, fires]
        found[0, fires] = len(packed) - k
    return found


def total(packed: NDArray[np.uint8], threads: int = 1) -> NDArray[Any]:
    """Spikes of each cell: ``[8·size]`` of uint16.

    :raises ValueError: for more than 65535 frames.
    """
    if not len(packed):
        return np.zeros(packed.shape[1] * 8, np.uint16)
    counts = Counts(packed.shape[1], len(packed), threads)
    return counts.push(packed, len(packed))[0].astype(np.uint16)


def _rows(frames: int, step: int, phase: int) -> int:
    return 0 if frames < phase else 1 + (frames - phase) // step


def _due(frame: int, step: int, phase: int) -> bool:
    return frame + 1 >= phase and (frame + 1 - phase) % step == 0


def carried(frames: int, step: int, phase: int) -> int:
    """How many frames it is to the next row, after so many."""
    return phase - frames if frames < phase else step - (frames - phase) % step


def _fields(packed: NDArray[np.uint8], state: NDArray[Any], out: NDArray[Any], step: int, phase: int) -> dict[str, int]:
    return {
        "packed": address(packed), "frames": len(packed), "stride": packed.strides[0], "bytes": packed.shape[1],
        "state": address(state), "out": address(out), "step": step, "phase": phase, "rows": len(out),
    }  # fmt: skip


def address(array: NDArray[Any]) -> int:
    """Where an array's first number is."""
    return int(array.__array_interface__["data"][0])


def compiled() -> Any:
    """:mod:`.kernels` where LLVM is usable, else ``None``."""
    from ..neurons import native
    from . import kernels  # which imports torch

    return kernels if native.unavailable() is None else None
