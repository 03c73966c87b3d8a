"""Captures of the megapixel camera: 1000 rows of 1024 cells, of which two pieces of 12 are tags.

Each half of a row, 64 bytes, ends with 16 bits, the lower byte first: channel (0 to 3) in bits 15 and 14, line (1 to
500) in bits 13 to 4, the last four pixels in bits 3 to 0. A capture begins and ends anywhere. A frame is from the half
of channel 0, line 500 to the half of channel 3, line 500; what is in front of the first, and behind the last whole
frame, is left out. In which order the other tags come is not relied on: every channel and line has to be there once,
and the order to be that of the first frame in every frame that is read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..layout import MEGAPIXEL as LAYOUT
from ..stream import SpikeStream
from .base import Format, Told

HALF = 64
"""Bytes of half a row."""
HALVES = LAYOUT.size // HALF
FIRST, LAST = 500 << 4, 3 << 14 | 500 << 4
"""The tags of the first half of a frame and of the last."""
TAG = 0xFFF0
"""The bits of a tag that are channel and line."""


def tags(frames: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Channel and line of every half row ``[n, 2000]``, of frames ``[n, 128000]``."""
    halves = frames.reshape(len(frames), HALVES, HALF)
    return _tag(halves[..., -2], halves[..., -1])


def _tag(low: NDArray[np.uint8], high: NDArray[np.uint8]) -> NDArray[np.uint16]:
    return (low | high.astype(np.uint16) << np.uint16(8)) & np.uint16(TAG)


@dataclass(frozen=True)
class _Tagged:
    """Frames whose tags are looked at whenever they are read."""

    path: Path
    frames: NDArray[np.uint8]
    expected: NDArray[np.uint16]

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, frames: slice, /) -> NDArray[np.uint8]:
        found = self.frames[frames]
        wrong = (tags(found) != self.expected).any(1)
        if wrong.any():
            at = range(len(self))[frames][int(wrong.argmax())]
            raise ValueError(f"{self.path} (megapixel) is out of step at frame {at:,}; cut the stream in front of it.")
        return found


def _complete(found: NDArray[np.uint16]) -> bool:
    """Every channel and line once, the first and the last where they have to be."""
    every = np.arange(4)[:, None] << 14 | np.arange(1, 501) << 4
    ends = (int(found[0]), int(found[-1])) == (FIRST, LAST)
    return ends and np.array_equal(np.sort(found), np.sort(every.ravel()))


def _start(data: NDArray[np.uint8]) -> int | None:
    """Where the first frame begins."""
    head = data[: 2 * LAYOUT.size]
    if len(head) < LAYOUT.size:
        return None
    pairs = _tag(head[:-1], head[1:])
    last = pairs[LAYOUT.size - 2 :]
    for start in np.flatnonzero((pairs[HALF - 2 :][: len(last)] == FIRST) & (last == LAST)):
        if _complete(tags(head[None, start : start + LAYOUT.size])[0]):
            return int(start)
    return None


def _open(path: Path, told: Told) -> SpikeStream:
    told.size(path, LAYOUT.height, LAYOUT.width)
    layout = LAYOUT if told.flip is None else replace(LAYOUT, flip=told.flip)
    data = np.memmap(path, np.uint8, "r")
    start = _start(data)
    if start is None:
        raise ValueError(
            f"{path} (megapixel) holds no whole frame: nowhere in its first {2 * LAYOUT.size:,} bytes do the tags of "
            "all channels and lines follow one another; it is damaged, or another format."
        )
    count = (len(data) - start) // LAYOUT.size
    frames = data[start : start + count * LAYOUT.size].reshape(count, LAYOUT.size)
    expected = tags(frames[:1])[0]
    good, bad = 0, count  # frames that are in step, and the first that is not: found as if one loss shifts all behind
    while bad - good > 1 and not (bad == count and np.array_equal(tags(frames[-1:])[0], expected)):
        middle = (good + bad) // 2
        good, bad = (middle, bad) if np.array_equal(tags(frames[middle : middle + 1])[0], expected) else (good, middle)
    if bad < count and not told.partial:
        raise ValueError(
            f"{path} (megapixel) is out of step at frame {bad:,} of {count:,}: bytes are lost there; partial=True "
            "reads the frames in front of it."
        )
    return SpikeStream(_Tagged(path, frames[:bad], expected), layout, told.frequency(path))


def _recognises(head: bytes, path: Path) -> bool:
    data = np.frombuffer(head, np.uint8)
    for offset in range(HALF):
        halves = data[offset:]
        halves = halves[: len(halves) // HALF * HALF].reshape(-1, HALF)
        found = _tag(halves[:, -2], halves[:, -1])
        lines = found >> 4 & 0x3FF
        if len(found) > 30 and ((lines >= 1) & (lines <= 500)).all() and len(np.unique(found)) == len(found):
            return True
    return False


MEGAPIXEL = Format("megapixel", (), _recognises, _open, None, ("partial",))
"""Raw captures of the megapixel camera; only read."""
