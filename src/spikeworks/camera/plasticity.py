"""Short-term plasticity of a synapse: resources that a spike uses up, and a release that it raises."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Plasticity:
    """Resources ``R`` and release ``u`` of a synapse, which change at spikes only.

    At a spike that ends an interval of ``k`` frames, with ``x = k / unit`` and R, u from before::

        R ← 1 − [1 − R (1 − u)] exp(−x / recover)
        u ← U + [u + C (1 − u) − U] exp(−x / facilitate)

    Under intervals that are all the same both reach a fixed point, :meth:`fixed`; whatever changes shows as a change of
    R. A synapse at rest has R = 1 and u = U. Tsodyks and Markram, 1998, in the form that Zheng et al., CVPR 2021,
    use for spike cameras; the defaults are those of their motion filter.

    :param U: release at rest, above 0 and below 1.
    :param C: what a spike adds to the release, as a part of what is left to 1; above 0, at most 1.
    :param recover: units in which resources recover by 1/e, above 0. :param facilitate: those of the release.
    :param unit: frames in a unit, above 0.
    :raises ValueError: for a value out of range.
    """

    U: float = 0.1
    C: float = 0.11
    recover: float = 0.02
    facilitate: float = 1.7
    unit: float = 2000.0

    def __post_init__(self) -> None:
        times = (self.recover, self.facilitate, self.unit)
        if not (0 < self.U < 1 and 0 < self.C <= 1 and all(0 < value < np.inf for value in times)):
            raise ValueError(f"{self} is out of range, expected 0 < U < 1, 0 < C ≤ 1, and times above 0.")

    def step(self, R: NDArray[Any], u: NDArray[Any], interval: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """R and u after a spike that ends an interval of so many frames; arrays that broadcast."""
        return self.tabled(R, u, *self.decay(interval))

    def tabled(
        self, R: NDArray[Any], u: NDArray[Any], resources: NDArray[Any], release: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """The same, where both :meth:`decay` factors are looked up: ``resources[interval], release[interval]``."""
        gone, raised = self.away(1 - R, u - self.U, resources, release)
        return 1 - gone, self.U + raised

    def away(
        self, gone: NDArray[Any], raised: NDArray[Any], resources: NDArray[Any], release: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """The same for how far both are from rest, ``1 − R`` and ``u − U``.

        After a long interval these are so small that 1 − R would lose them: R is 1 after 17 units in float32.
        """
        gone, raised = self.fired(gone, raised)
        return gone * resources, raised * release

    def fired(self, gone: NDArray[Any], raised: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """How far both are from rest right behind a spike, if they were so far right before it."""
        u = self.U + raised
        return gone + u * (1 - gone), raised + self.C * (1 - u)

    def decay(self, interval: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What is left of a departure of R from 1, and of u from U, after so many frames.

        ``decay(np.arange(256))`` is a table for whole intervals.
        """
        x = interval / self.unit
        return np.exp(-x / self.recover), np.exp(-x / self.facilitate)

    def fixed(self, interval: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """R and u that a spike leaves as they are, where all intervals have so many frames."""
        gone, raised = self.fixed_away(interval)
        return 1 - gone, self.U + raised

    def fixed_away(self, interval: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The same as ``1 − R`` and ``u − U``, without loss."""
        resources, release = self.decay(interval)
        raised = self.C * (1 - self.U) * release / (1 - (1 - self.C) * release)
        u = self.U + raised
        return u * resources / (1 - (1 - u) * resources), raised
