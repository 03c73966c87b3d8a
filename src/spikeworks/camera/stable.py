"""Light from as many intervals as one and the same light explains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import planes
from .estimate import Reaching


@dataclass(frozen=True)
class Stable(Reaching):
    """The intervals around t that still light explains, as many as there are.

    Spikes of still light come at the frames ``⌈c + j x⌉``, j = 0, 1 …, so that any two of them, j apart, are more than
    ``j x − 1`` and less than ``j x + 1`` frames apart. From the interval that t is in, the set of spikes grows by the
    next one behind it and before it in turn, and ends on a side where no x is left that all pairs allow. The light is
    one over the middle of those x, whose range falls with the square of the number of intervals.

    ``exact=False`` is the rule without parameters of Zhang et al., 2024, reconstructed from its summary: grow while all
    intervals have n or n + 1 frames, and take their number over their sum. That lets light change by up to a half where
    it is bright, and its error falls with the number of intervals only.

    :param reach: frames looked at on each side of t, which is itself among those before it, 1 to 65535. Valid where
        there is an interval.
    :param causal: grow from the last interval that is over at t, to its past.
    :param most: intervals on each side of the first, at most: more take more time, and few scenes stand still.
    :param exact: hold all pairs of spikes to still light, not only neighbours.
    :raises ValueError: for a value out of range.
    """

    reach: int = 255
    causal: bool = False
    most: int = 8
    exact: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.reach <= planes.WIDEST or self.most < 0:
            raise ValueError(f"{self} is out of range, expected a reach of 1 to {planes.WIDEST} frames, most from 0.")

    def estimate(self, packed: NDArray[np.uint8], at: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Grow the set of all cells together, as long as that of any grows."""
        back = at + 1 - planes.nearest(packed[: at + 1], self.most + 2).astype(np.int32)  # places; none: at + 1
        if self.causal:
            end, back, forth = back[0], back[1:], back[:0]
        else:
            forth = at + planes.nearest(packed[at + 1 :][::-1], self.most + 1).astype(np.int32)  # none: at
            end, back, forth = forth[0], back[: self.most + 1], forth[1:]
        light, valid = np.zeros(end.shape, np.float32), (back[0] <= at) & (end <= at if self.causal else end > at)
        cells = np.flatnonzero(valid)
        light[cells] = _grow(at, end[cells], back[:, cells], forth[:, cells], self.exact)
        return light, valid


def _grow(at: int, end: NDArray[Any], back: NDArray[Any], forth: NDArray[Any], exact: bool) -> NDArray[np.float64]:
    """Light of the set that grows from ``back[0]`` to ``end``."""
    times = np.concatenate([back[::-1], end[None], forth])
    known = np.concatenate([back[::-1] <= at, np.ones((1, end.size), bool), forth > at])
    first, last = np.full(end.size, len(back) - 1), np.full(end.size, len(back))  # places in times
    low = (end - back[0] - 1).astype(float)  # x is between
    high = low + 2
    growing = {1: np.arange(end.size), -1: np.arange(end.size)}  # cells that may grow forth, and back
    for turn in range(2 * len(times)):
        side = -1 if turn % 2 else 1
        cells = growing[side]
        place = (last if side > 0 else first)[cells] + side
        there = (place >= 0) & (place < len(times))
        cells, place = cells[there], place[there]
        there = known[place, cells]
        cells, place = cells[there], place[there]
        apart = (last - first)[cells] + 1  # intervals, from the farthest spike of the set
        spike, least, most = times[place, cells], low[cells], high[cells]
        for j in range(1, 1 + (int(apart.max(initial=0)) if exact else min(1, len(cells)))):
            near = np.minimum(j, apart)  # beyond the set: its farthest spike once more
            gap = np.abs(spike - times[place - near * side, cells])
            least, most = np.maximum(least, (gap - 1) / near), np.minimum(most, (gap + 1) / near)
        fits = least < most
        cells = growing[side] = cells[fits]
        (last if side > 0 else first)[cells] += side
        low[cells], high[cells] = least[fits], most[fits]
    every = np.arange(end.size)
    return 2 / (low + high) if exact else (last - first) / (times[last, every] - times[first, every])
