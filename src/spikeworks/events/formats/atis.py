"""N-MNIST and N-Caltech101 (``.bin``): five bytes each, x 8, y 8, polarity 1, microseconds 23 bits, largest first.

Nothing in such a file says what it is or how large its sensor is (34×34 of N-MNIST; N-Caltech101 up to 240×180). A
record of row 240, below the sensor, is no event: from it on, times are 2¹³ microseconds later.

Source: Orchard et al., Converting static image datasets to spiking neuromorphic datasets using saccades, 2015, and the
readers published with the data.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from ..stream import EventStream
from .base import Format, Opened, sensor
from .records import records
from .scan import at_most, stream, within

_RECORD = np.dtype((np.uint8, 5))
_MARK = 240
_STEP = 13
_SPAN = 1 << 23


def _recognises(head: bytes, path: Path) -> bool:
    return path.suffix.lower() == ".bin" and path.stat().st_size % _RECORD.itemsize == 0


def _open(path: Path, width: int | None, height: int | None) -> Opened:
    size = sensor("atis", path, None, width, height)
    _fits(*size)
    return Opened(*size, partial(_blocks, path, size))


def _fits(width: int, height: int) -> None:
    at_most("atis", width, height, 1 << 8, _MARK)


def _blocks(path: Path, size: tuple[int, int], count: int) -> Iterator[EventStream]:
    marks = 0
    for block in records("atis", path, 0, _RECORD, count):
        x, y, high, middle, low = block.T
        t = ((high & 127).astype(np.int64) << 16) | (middle.astype(np.int64) << 8) | low
        mark = y == _MARK
        t += marks << _STEP
        if mark.any():
            later = np.cumsum(mark)
            t += later << _STEP
            marks += int(later[-1])
            t, x, y, high = (column[~mark] for column in (t, x, y, high))
        if len(t):
            yield stream("atis", path, t, x, y, high >> 7, size)


def _write(path: Path, blocks: Iterable[EventStream], width: int, height: int) -> None:
    _fits(width, height)
    marks = 0
    with path.open("wb") as file:
        for block in blocks:
            within("atis", block, 1 << 32)
            needed = np.maximum(0, (block.t - _SPAN + (1 << _STEP)) >> _STEP)  # that many, and what is left fits
            new = np.diff(needed, prepend=marks)
            marks = int(needed[-1]) if len(block) else marks
            made = np.zeros((len(block) + int(new.sum()), 5), np.uint8)
            made[:, 1] = _MARK
            t = block.t - (needed << _STEP)
            columns = block.x, block.y, (block.p << 7) | (t >> 16).astype(np.uint8), t >> 8 & 255, t & 255
            made[np.arange(len(block)) + np.cumsum(new)] = np.stack(columns, axis=1)
            file.write(made.tobytes())


ATIS = Format("atis", (".bin",), _recognises, _open, _write)
"""N-MNIST and N-Caltech101; writes sensors up to 256×240, times below 2³² microseconds."""
