"""Light from the state of a synapse with short-term plasticity."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import planes
from .estimate import CellByCell, Image, image
from .layout import unpack
from .plasticity import Plasticity
from .running import BLOCK
from .stream import SpikeStream

LIGHT = Plasticity(0.15, 0.15, 1, 10, 1)
"""The synapse of TFSTP: resources forget within a frame or so, the release within ten."""


@dataclass(frozen=True)
class TFSTP(CellByCell):
    """Texture from short-term plasticity: the interval at whose fixed point the synapse would be.

    The spikes of a pixel drive a :class:`.Plasticity`. From its step at the last spike, which ends an interval of k
    frames, with ``D = 1 − R`` and ``v = u − U`` before and after it, the equations of the fixed point give::

        k_R = k + recover · ln([D' + u' (1 − D')] / [D + u (1 − D)])
        k_u = k + facilitate · ln([v' + C (1 − u')] / [v + C (1 − u)])

    (times in frames; primes: after the step), both k itself where all intervals are. k_R follows the light at once; k_u
    is a mean of the past. An interval of still light is off by up to a frame, with a variance of ¼ at most; ``k_u`` is
    off by what the light has changed, of which ``(k_R − k_u)²`` tells the size. Weighed by one over these::

        light = (d² + ¼) / (d² k_R + ¼ k_u),   d = k_R − k_u

    Zheng et al., CVPR 2021. Their public code adds 1 / k_R and a term in place of 1 / k_u that has the facilitation's
    time where C belongs and hardly depends on the interval, then stretches and equalises each picture; this is light in
    spikes per frame, the same whatever is around it. The logarithms are of sums that stay above 0, so that no interval
    is too long. The synapse starts at the fixed point of the oldest interval that is looked at. Causal.

    :param intervals: the last intervals that the synapse goes through, at least 1.
    :param reach: frames up to t within which the last spike is, and frames up to that within which the others are, 1 to
        32767. Valid where there is an interval.
    :param synapse: its constants.
    :raises ValueError: for intervals or a reach out of range.
    """

    intervals: int = 8
    reach: int = 255
    synapse: Plasticity = LIGHT

    def __post_init__(self) -> None:
        if not 1 <= self.reach <= planes.WIDEST // 2 or self.intervals < 1:
            raise ValueError(
                f"{self} is out of range, expected at least 1 interval, a reach of 1 to {planes.WIDEST // 2} frames."
            )

    @property
    def before(self) -> int:
        """Frames in front of t."""
        return 2 * self.reach - 1

    @property
    def after(self) -> int:
        """0: causal."""
        return 0

    def frames(self, stream: SpikeStream) -> range:
        """All of them: where no interval is over, the image is not valid."""
        return range(len(stream))

    def estimate(self, packed: NDArray[np.uint8], at: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Go through the last intervals of all cells."""
        ages = planes.nearest(packed[: at + 1], self.intervals + 1).astype(np.int32) - 1
        light, valid = np.zeros(ages.shape[1], np.float32), np.zeros(ages.shape[1], bool)
        cells = np.flatnonzero((ages[0] >= 0) & (ages[0] < self.reach))
        light[cells], valid[cells] = self._light(np.where(ages < 0, -planes.WIDEST, -ages)[:, cells])
        return light, valid

    def _running(self, stream: SpikeStream, frames: range) -> Iterator[tuple[int, Image]]:
        shape = (self.intervals + 1, stream.layout.size * 8)
        times = np.full(shape, -2 * planes.WIDEST, np.int64)  # of the last spikes
        light, valid = np.zeros(shape[1], np.float32), np.zeros(shape[1], bool)
        t = 0
        for block in stream.blocks(BLOCK):
            for packed in block.packed():
                fires = np.flatnonzero(unpack(packed))
                recent = np.concatenate([np.full((1, fires.size), t), times[:-1, fires]])
                times[:, fires] = recent
                light[fires], valid[fires] = self._light(recent)
                if t in frames:
                    yield t, image(stream, light, valid & (t - times[0] < self.reach))
                t += 1

    def _light(self, times: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Of cells whose last spikes came at ``[places, N]``, the last first."""
        there = times > times[0] - self.reach
        intervals = np.where(there[1:], times[:-1] - times[1:], 0)
        for newer, older in pairwise(intervals):  # the oldest stands for those that are missing
            np.copyto(older, newer, where=older == 0)
        valid, synapse, (fixed, tables) = intervals[0] > 0, self.synapse, _tables(self.synapse, self.reach)
        gone, raised = (table[intervals[-1]] for table in fixed)
        fired = synapse.fired(gone, raised)
        for k in intervals[::-1]:
            fired = synapse.fired(gone, raised)
            gone, raised = (amount * table[k] for amount, table in zip(fired, tables, strict=True))
        ended = synapse.fired(gone, raised)
        scales = (synapse.unit * synapse.recover, synapse.unit * synapse.facilitate)
        quick, slow = (intervals[0] + s * np.log(b / a) for s, a, b in zip(scales, fired, ended, strict=True))
        doubt = (quick - slow) ** 2
        light = (doubt + 0.25) / (doubt * quick + 0.25 * slow)
        return np.where(valid, light, 0).astype(np.float32), valid


@cache
def _tables(synapse: Plasticity, reach: int) -> tuple[tuple[NDArray[np.float64], ...], tuple[NDArray[np.float64], ...]]:
    """By whole intervals below ``reach``: the fixed point, and what is left of a departure from rest."""
    intervals = np.arange(reach)
    return synapse.fixed_away(np.maximum(1, intervals)), synapse.decay(intervals)
