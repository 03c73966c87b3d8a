"""Two streams mixed into one, and the share of the first for its label."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .stream import EventStream, concatenate

_POINTS = 4096
"""Where the mixture is sampled to find how much of the volume is above a density."""


@dataclass(frozen=True)
class EventMix:
    """Events of a second stream in a cloud of space and time, events of the first outside of it.

    The cloud is where a mixture of Gaussians in (t, x, y) is densest, a share ``1 − λ`` of the volume, λ ~ Beta(b, b).
    In units of the sensor and of the longer recording, middles are uniform, deviations ``max(u, 0.1)/2`` with u
    uniform in each direction, weights uniform. The first stream's share of the label is ``1 − f₂/(1 − f₁ + f₂)`` with
    f the fraction of each stream's events that is in the cloud; of a mixture without events it is λ. Shen, Zhao, Zeng,
    EventMix, Information Sciences 644 (2023), with the label by counts; theirs masks frames, this chooses events, and
    the share of the volume is found at 4096 random points.

    :param beta: b, above 0. :param least: fewest Gaussians, from 1. :param most: most of them.
    Called on two streams of one sensor and a generator; the second begins when the first does. Returns the mixed
    stream, in order of time, and the first one's share, 0 to 1.
    :raises ValueError: for others; when called, for two sensors.
    """

    beta: float = 1.0
    least: int = 2
    most: int = 4

    def __post_init__(self) -> None:
        if not 0 < self.beta < np.inf or not 1 <= self.least <= self.most:
            raise ValueError(
                f"EventMix got beta={self.beta}, least={self.least}, most={self.most}, expected beta > 0 and "
                "1 <= least <= most."
            )

    def __call__(
        self, first: EventStream, second: EventStream, generator: np.random.Generator
    ) -> tuple[EventStream, float]:
        if (first.width, first.height) != (second.width, second.height):
            raise ValueError(
                f"EventMix got {first.width}×{first.height} and {second.width}×{second.height}, expected one sensor; "
                "crop or resize them."
            )
        kept = float(generator.beta(self.beta, self.beta))
        count = int(generator.integers(self.least, self.most, endpoint=True))
        middles, weights = generator.random((count, 3)), generator.random(count)
        deviations = np.maximum(generator.random((count, 3)), 0.1) / 2
        level = np.quantile(_density(generator.random((_POINTS, 3)), middles, deviations, weights), kept)
        length = max(first.duration, second.duration, 1)
        inside = [_density(_place(s, length), middles, deviations, weights) > level for s in (first, second)]
        if len(first) and len(second):
            second = second.shift(int(first.t.min()) - int(second.t.min()))
        mixed = concatenate([first[~inside[0]], second[inside[1]]]).sort()
        taken = [float(i.mean()) if len(i) else 1 - kept for i in inside]
        return mixed, 1 - taken[1] / (1 - taken[0] + taken[1]) if len(mixed) else kept


def _place(stream: EventStream, length: int) -> NDArray[np.float64]:
    age = (stream.t - stream.t.min()) / length if len(stream) else np.zeros(0)
    return np.stack([age, (stream.x + 0.5) / stream.width, (stream.y + 0.5) / stream.height], axis=1)


def _density(
    place: NDArray[np.float64],
    middles: NDArray[np.float64],
    deviations: NDArray[np.float64],
    weights: NDArray[np.float64],
) -> NDArray[np.float64]:
    total = np.zeros(len(place))
    for middle, deviation, weight in zip(middles, deviations, weights, strict=True):
        total += weight * np.exp(-(((place - middle) / deviation) ** 2).sum(1) / 2)
    return total
