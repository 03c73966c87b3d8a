"""Boxes that move evenly: a Kalman filter over any number of them at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Moving(NamedTuple):
    """What is believed of N boxes.

    :param mean: ``[N, 7]``: middle (x, y), area, width/height; and what is added to the first three in a step.
    :param covariance: ``[N, 7, 7]``.
    """

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]

    def boxes(self) -> NDArray[np.float64]:
        """As (x, y, w, h), ``[N, 4]``."""
        x, y, area, aspect = self.mean[:, :4].T
        w = np.sqrt(np.maximum(area, 1) * np.maximum(aspect, 1e-3))
        h = np.maximum(area, 1) / w
        return np.stack([x - w / 2, y - h / 2, w, h], 1)

    def take(self, which: NDArray[np.bool_] | NDArray[np.intp]) -> Moving:
        """Some of them."""
        return Moving(self.mean[which], self.covariance[which])

    def join(self, more: Moving) -> Moving:
        """These, and more behind them."""
        return Moving(*(np.concatenate(pair) for pair in zip(self, more, strict=True)))


@dataclass(frozen=True)
class Kalman:
    """Middle, area and shape of a box, of which the first three change evenly and the shape does not.

    The state is that of Bewley et al., Simple Online and Realtime Tracking, ICIP 2016, in pixels and steps of the
    detector. Its numbers are not: variances of sizes are told in parts of the size there, so that they suit a small
    thing and a large one, and a velocity may change more, since steps are much shorter than a change of direction.

    :param place: standard deviation of a measured middle, pixels. :param size: of a measured area and shape, in parts.
    :param drift: that a middle gains in a step. :param swell: that area and shape gain, in parts.
    :param turn: that a velocity gains in a step, pixels per step. :param speed: of a velocity nobody knows yet.
    """

    place: float = 1.0
    size: float = 0.15
    drift: float = 0.5
    swell: float = 0.06
    turn: float = 0.5
    speed: float = 15.0

    def start(self, boxes: NDArray[np.float64]) -> Moving:
        """Boxes seen for the first time, at rest for all that is known."""
        mean = np.concatenate([measured(boxes), np.zeros((len(boxes), 3))], 1)
        return Moving(mean, self._spread(mean, self.place, self.size, self.speed, self.swell))

    def predict(self, now: Moving) -> Moving:
        """One step on; an area that would come to 0 stops changing."""
        mean = now.mean.copy()
        mean[mean[:, 2] + mean[:, 6] <= 0, 6] = 0
        step = np.eye(7)
        step[[0, 1, 2], [4, 5, 6]] = 1
        noise = self._spread(mean, self.drift, self.swell, self.turn, self.swell / 10)
        return Moving(mean @ step.T, step @ now.covariance @ step.T + noise)

    def update(self, now: Moving, boxes: NDArray[np.float64], doubt: NDArray[np.float64] | None = None) -> Moving:
        """After a look.

        :param boxes: what was seen of each of them. :param doubt: times that the variance of its measure is larger.
        """
        noise = self._spread(now.mean, self.place, self.size, 0, 0)[:, :4, :4]
        noise = noise if doubt is None else noise * doubt[:, None, None]
        seen = now.covariance[:, :4, :4] + noise
        gain = np.linalg.solve(seen, now.covariance[:, :4, :]).transpose(0, 2, 1)
        mean = now.mean + (gain @ (measured(boxes) - now.mean[:, :4])[..., None])[..., 0]
        return Moving(mean, now.covariance - gain @ now.covariance[:, :4, :])

    def _spread(
        self, mean: NDArray[np.float64], place: float, size: float, speed: float, swell: float
    ) -> NDArray[np.float64]:
        """Variances ``[N, 7, 7]`` of middle, sizes, velocity and change of the area."""
        area, aspect, one = np.maximum(mean[:, 2], 1), np.maximum(mean[:, 3], 0.1), np.ones(len(mean))
        parts = (place * one, place * one, size * area, size * aspect, speed * one, speed * one, swell * area)
        return np.stack(parts, 1)[:, :, None] ** 2 * np.eye(7)

    def far(self, now: Moving, boxes: NDArray[np.float64]) -> NDArray[np.float64]:
        """How far the middle of each of M boxes is from where each of N is expected: Mahalanobis², ``[N, M]``."""
        seen = now.covariance[:, :2, :2] + self.place**2 * np.eye(2)
        off = measured(boxes)[None, :, :2] - now.mean[:, None, :2]
        return (off * np.linalg.solve(seen, off.transpose(0, 2, 1)).transpose(0, 2, 1)).sum(2)


def measured(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Boxes (x, y, w, h) as middle (x, y), area, width/height."""
    x, y, w, h = boxes.T
    return np.stack([x + w / 2, y + h / 2, w * h, w / np.maximum(h, 1e-3)], 1)
