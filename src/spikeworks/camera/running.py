"""What is counted up to each frame of a recording, and what is ahead of it, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import planes
from .stream import SpikeStream

BLOCK = 64
"""Frames that are gone through at once: what is counted over them then stays in the cache."""

AHEAD = 256
"""Frames whose future is gone through at once, of which each time ``reach`` more have to be looked at."""

HELD = 1 << 25
"""Bytes of what is counted over them."""


def past(
    stream: SpikeStream, frames: range, counter: planes.Counts | planes.Ages, later: int = 0
) -> Iterator[NDArray[Any]]:
    """What the counter shows ``later`` frames behind each of ``frames``, ``[8·size]``."""
    wait, left = frames.start + later + 1, len(frames)
    for block in stream.blocks(BLOCK):
        rows = counter.push(block.packed(), frames.step, wait)[:left]
        yield from rows
        left -= len(rows)
        wait = planes.carried(len(block), frames.step, wait)
        if not left:
            return


def ahead(stream: SpikeStream, frames: range, reach: int, place: int = 1) -> Iterator[NDArray[Any]]:
    """Frames between each of ``frames`` and the ``place``-th spike behind it, ``[8·size]``; see :class:`.planes.Ages`.

    The frame before the first, -1, may be among them. Time runs backwards through a block of frames and the ``reach``
    frames behind it.
    """
    cells, step = stream.layout.size * 8, frames.step
    count = max(1, min(AHEAD // step, HELD // (cells * (1 + (reach > 255)))))
    for at in range(0, len(frames), count):
        due = frames[at : at + count]
        stop = min(len(stream), due[-1] + 1 + reach)
        ages, phase = planes.Ages(stream.layout.size, reach, place), stop - 1 - due[-1]
        last = [] if phase else [np.full(cells, ages.none, ages.ages.dtype)]
        rows = ages.push(stream.frames[due[0] + 1 : stop][::-1], step, phase or step)
        yield from reversed([*last, *rows])
