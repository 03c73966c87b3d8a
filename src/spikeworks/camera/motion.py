"""Which way spikes go: synapses that learn, for each pixel, which shift the last spikes foretell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

DIRECTIONS = ((1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1))
"""(x, y) of the eight directions; the number of one is its place: from right over down (y grows downward) around."""


class MotionField(NamedTuple):
    """Where things go.

    :param vector: pixels per step, (x, y), ``[2, H, W]``; 0 where nothing is known.
    :param direction: which of :data:`DIRECTIONS` is next to it, ``[H, W]``; -1 where nothing is known.
    """

    vector: NDArray[np.float32]
    direction: NDArray[np.int64]


class Learned(NamedTuple):
    """State of :class:`SpikeMotion`: weights of the shifts, ``[shifts, H, W]``, and the spikes before, ``[H, W]``."""

    weights: NDArray[np.float32]
    before: NDArray[np.bool_]


@dataclass(frozen=True)
class SpikeMotion:
    """Motion by spike-timing-dependent plasticity: 8 directions, each at some speeds, compete at each pixel.

    Let P be the spikes of the step before and S those of this one. Shift p = direction·speed foretells P moved by p;
    seen from P, ``F = S(· + p)``. In the square around a pixel::

        Δw_p = [ Σ F·P − 2·Σ F·(1 − P) ] / Σ S        w_p ← w_p + rate·Δw_p, scaled to 0…1 over the shifts

    The vector is the shift of the largest weight, where S is and weights differ. Then the direction with most spikes in
    a larger square wins, if it has ``votes``; pixels of another direction take the vector of the pixel around that
    won by most.

    SpikeCV's motion estimation (the model is that of Zheng et al., SNNTracker, TPAMI 2025), with its numbers. Two
    things differ. Shifts are whole pixels: the published code's are half as long as meant, half of them 0. And the
    vector is one shift, where the code sums all directions by their weights: over dense spikes the many weights that
    mean nothing then outvote the one that does.
    Weights of a pixel whose square has no spikes stay. A step is the time between two calls: of fast things every n-th
    frame, and spikes gathered since then.

    :param speeds: pixels per step, whole. :param square: side of the square that is learned in, odd.
    :param around: of the square that votes, odd. :param votes: least of the winner. :param rate: of learning.
    :raises ValueError: for numbers out of range.
    """

    speeds: tuple[int, ...] = (1, 2)
    square: int = 11
    around: int = 25
    votes: int = 5
    rate: float = 0.1

    def __post_init__(self) -> None:
        sides = (self.square, self.around)
        if not self.speeds or min(self.speeds) < 1 or any(s < 1 or s % 2 == 0 for s in sides) or not self.rate > 0:
            raise ValueError(f"{self} is out of range, expected speeds from 1, odd squares, and a rate above 0.")

    def __call__(self, spikes: NDArray[np.bool_], state: Learned | None = None) -> tuple[MotionField, Learned]:
        """Motion after one more step, and the state.

        :param spikes: ``[H, W]``, those that passed the gates. :param state: default: nothing was before.
        """
        S = spikes
        if state is None:
            count = len(self.speeds) * len(DIRECTIONS)
            state = Learned(np.full((count, *S.shape), 1 / count, np.float32), np.zeros(S.shape, bool))
        P, weights = state.before, state.weights.copy()
        near = box_sum(S, self.square)
        here = near > 0
        for number, (dx, dy) in enumerate(self.shifts()):
            F = shifted(S, -dx, -dy)
            # LTP − 2·LTD = ΣFP − 2(ΣF − ΣFP)
            change = 3 * box_sum(F & P, self.square) - 2 * box_sum(F, self.square)
            weights[number] += np.float32(self.rate) * np.divide(change, near, out=np.zeros_like(near), where=here)
        least, most = weights.min(0), weights.max(0)
        span = most - least
        weights = np.divide(weights - least, span, out=np.zeros_like(weights), where=span > 0)
        known = S & (span > 0)
        strongest = np.array(self.shifts(), np.float32)[weights.argmax(0)].transpose(2, 0, 1)
        return self._winners(np.where(known, strongest, 0), known), Learned(weights, S.copy())

    def shifts(self) -> list[tuple[int, int]]:
        """The (x, y) of each, in whole pixels, speed by speed."""
        return [(speed * dx, speed * dy) for speed in self.speeds for dx, dy in DIRECTIONS]

    def _winners(self, vector: NDArray[np.float32], known: NDArray[np.bool_]) -> MotionField:
        from scipy.ndimage import maximum_filter

        direction = np.where(known, facing(vector), -1)
        votes = np.stack([box_sum(direction == d, self.around) for d in range(len(DIRECTIONS))])
        winner, most = votes.argmax(0), votes.max(0)
        wins = known & (direction == winner) & (most >= self.votes)
        # the pixel that won by most, and of several the first: its number in the votes' last bits
        key = np.where(wins, most.astype(np.int64) * wins.size + np.arange(wins.size)[::-1].reshape(wins.shape), -1)
        best = maximum_filter(key, self.around, mode="constant", cval=-1)
        copied = known & ~wins & (best >= 0)
        source = wins.size - 1 - best[copied] % wins.size
        vector = vector * (known & (wins | copied))
        vector[:, copied] = vector.reshape(2, -1)[:, source]
        there = wins | copied
        return MotionField(vector, np.where(there, np.where(copied, facing(vector), direction), -1))


def facing(vector: NDArray[np.float32]) -> NDArray[np.int64]:
    """The number of the direction next to each vector ``[2, …]``."""
    turn = np.arctan2(vector[1], vector[0]) / (np.pi / 4)
    return np.rint(turn).astype(np.int64) % 8


def shifted(mask: NDArray[np.bool_], dx: int, dy: int) -> NDArray[np.bool_]:
    """What is at (x, y) moved to (x + dx, y + dy); nothing comes in from outside."""
    height, width = mask.shape
    out = np.zeros_like(mask)
    y0, y1, x0, x1 = max(0, dy), height + min(0, dy), max(0, dx), width + min(0, dx)
    if y0 < y1 and x0 < x1:
        out[y0:y1, x0:x1] = mask[y0 - dy : y1 - dy, x0 - dx : x1 - dx]
    return out


def box_sum(mask: NDArray[np.bool_], side: int) -> NDArray[np.float32]:
    """How many are in the square of an odd side around each pixel, by an integral image."""
    height, width = mask.shape
    half = side // 2
    total = np.zeros((height + 1, width + 1), np.int32)
    np.cumsum(mask, 0, np.int32, total[1:, 1:])
    np.cumsum(total[1:, 1:], 1, out=total[1:, 1:])
    y, x = np.arange(height), np.arange(width)
    top, bottom = np.maximum(y - half, 0), np.minimum(y + half + 1, height)
    left, right = np.maximum(x - half, 0), np.minimum(x + half + 1, width)
    rows = total[bottom] - total[top]
    return (rows[:, right] - rows[:, left]).astype(np.float32)
