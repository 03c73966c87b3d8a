"""Where to look: a dynamic neural field, whose bumps stand over what moves and hold it together."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Attention:
    """A field U over the picture, excited by spikes S and by itself, with what is excited dampening all::

        U ← U + ½·(J∗S + excite·J∗r − U)        r = relu(U)² / (1 + damp·Σ relu(U)²)        attended: U > threshold

    J is a Gaussian of ``(2·reach + 1)²`` pixels with σ = round(reach/2) + 1, scaled so that its least number is 0 and
    its largest is 1; nothing is outside the picture. So it is the difference of a Gaussian and a box, each of which is
    separable. S is told in spikes per frame, so that the field may be looked at every n-th frame: it has then gone
    ``1 − ½ⁿ`` of its way. SpikeCV's attention, which has ``reach=20, threshold=40`` and sees single frames.

    :param reach: pixels; parts of one thing may be about twice as far apart. :param threshold: of U.
    :param excite: how much U excites itself; a bump that is over 1 then stays where it is, also without spikes. 0: U is
        what J gathers. :param damp: of what is excited.
    :param pool: sites of the field are squares of so many pixels a side; 1: each pixel.
    :raises ValueError: for a reach or a pool below 1, or a damping below 0.
    """

    reach: int = 20
    threshold: float = 40.0
    excite: float = 1.0
    damp: float = 0.01
    pool: int = 1

    def __post_init__(self) -> None:
        if min(self.reach, self.pool) < 1 or self.damp < 0:
            raise ValueError(
                f"Attention got reach={self.reach}, pool={self.pool}, damp={self.damp}, expected at least 1, 1 and 0."
            )

    def start(self, height: int, width: int) -> NDArray[np.float32]:
        """The field before the first frame."""
        return np.zeros((-(-height // self.pool), -(-width // self.pool)), np.float32)

    def __call__(
        self, spikes: NDArray[Any], field: NDArray[np.float32] | None = None, frames: int = 1
    ) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        """Which pixels are attended to, ``[H, W]``, and the field.

        :param spikes: spikes per frame, ``[H, W]``, in the last ``frames``.
        :raises ValueError: for a field of another size.
        """
        height, width = spikes.shape
        field = self.start(height, width) if field is None else field
        if field.shape != self.start(height, width).shape:
            raise ValueError(f"Attention got a field {list(field.shape)} and spikes {height}×{width}; start anew.")
        come = self.pooled(spikes)
        if self.excite:
            excited = np.maximum(field, 0) ** 2
            excited *= self.excite / (1 + self.damp * self.pool**2 * excited.sum())
            come = come + np.float32(self.pool**2) * excited
        come = self.spread(come)
        field = (field + np.float32(1 - 0.5**frames) * (come - field)).astype(np.float32)
        mask = field > self.threshold
        if self.pool > 1:
            mask = np.repeat(np.repeat(mask, self.pool, 0), self.pool, 1)[:height, :width]
        return mask, field

    def pooled(self, spikes: NDArray[Any]) -> NDArray[np.float32]:
        """Sums over the squares of the field's sites."""
        spikes, n = spikes.astype(np.float32), self.pool
        if n == 1:
            return spikes
        rest = [(0, -side % n) for side in spikes.shape]
        padded = np.pad(spikes, rest) if any(r[1] for r in rest) else spikes
        rows = padded.reshape(len(padded) // n, n, -1).sum(1)
        return rows.reshape(len(rows), -1, n).sum(2)

    def spread(self, sites: NDArray[np.float32]) -> NDArray[np.float32]:
        """J∗S, 0 outside: two products with banded matrices each for the Gaussian and the box."""
        rows, columns = (self._bands(side) for side in sites.shape)
        least = np.float32(self._least)
        gathered = rows[0] @ sites @ columns[0] - least * (rows[1] @ sites @ columns[1])
        return (gathered / (1 - least)).astype(np.float32)

    @property
    def _sigma(self) -> int:
        return round(self.reach / 2) + 1

    @property
    def _least(self) -> float:
        return float(np.exp(-((self.reach // self.pool * self.pool / self._sigma) ** 2)))

    @cached_property
    def _kept(self) -> dict[int, tuple[NDArray[np.float32], NDArray[np.float32]]]:
        return {}

    def _bands(self, side: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        if side not in self._kept:
            far = np.abs(np.subtract.outer(np.arange(side), np.arange(side))) * self.pool
            near = far <= self.reach
            gauss = np.where(near, np.exp(-(far**2) / (2 * self._sigma**2)), 0)
            self._kept[side] = gauss.astype(np.float32), near.astype(np.float32)
        return self._kept[side]
