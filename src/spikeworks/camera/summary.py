"""What a recording holds, in numbers: how often its pixels fire, and which of them do not work as the others do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import planes
from .stream import SpikeStream

HOT = 0.25
"""Spikes per frame that a hot pixel fires above the median of its neighbours."""

BINS = 10
"""Bars of the histogram, over 0 to 1 spikes per frame."""


@dataclass(frozen=True)
class Summary:
    """Numbers of a recording. Shares are of pixels, 0 to 1.

    :param spikes: all of them. :param rate: mean spikes per frame and pixel. :param low: the 5th percentile of pixels.
    :param high: the 95th. :param dead: share of pixels that never fire. :param saturated: that fire in every frame.
    :param hot: that fire :data:`HOT` more than the median of their eight neighbours.
    :param histogram: share of pixels in each tenth of 0 to 1 spikes per frame.
    """

    spikes: int
    rate: float
    low: float
    high: float
    dead: float
    saturated: float
    hot: float
    histogram: tuple[float, ...]


class Counting:
    """Counts the spikes of each pixel, block by block.

    :param stream: what the blocks are cut from.
    """

    def __init__(self, stream: SpikeStream) -> None:
        self.stream = stream
        self.cells = np.zeros(stream.layout.size * 8, np.int64)
        self.frames = 0

    def add(self, block: SpikeStream) -> None:
        """The next frames, at most 65535."""
        self.cells += planes.total(np.ascontiguousarray(block.packed()))
        self.frames += len(block)

    def summary(self) -> Summary:
        """The numbers of all frames so far.

        :raises ValueError: for none.
        """
        if not self.frames:
            raise ValueError(f"summary of {self.stream} got no frames, expected some.")
        counts = self.stream.picture(self.cells)
        rate = counts / self.frames
        low, high = np.percentile(rate, (5, 95))
        return Summary(
            int(counts.sum()), float(rate.mean()), float(low), float(high), float((counts == 0).mean()),
            float((counts == self.frames).mean()), float((rate > _around(rate) + HOT).mean()),
            tuple(float(n) for n in np.histogram(rate, BINS, (0, 1))[0] / rate.size),
        )  # fmt: skip


def summarise(stream: SpikeStream) -> Summary:
    """Go through a recording once, in bounded memory.

    :raises ValueError: for a recording without frames.
    """
    counting = Counting(stream)
    for block in stream.blocks():
        counting.add(block)
    return counting.summary()


def _around(rate: NDArray[Any]) -> NDArray[Any]:
    """The median of the eight neighbours; at the border of those that are there, mirrored."""
    wide = np.pad(rate, 1, "reflect" if min(rate.shape) > 1 else "edge")
    h, w = rate.shape
    shifts = [wide[i : i + h, j : j + w] for i in range(3) for j in range(3) if (i, j) != (1, 1)]
    return np.median(np.stack(shifts), 0)
