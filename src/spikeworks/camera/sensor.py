"""What a sensor is like: its noise, and the pattern of its pixels, which stays the same over all clips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Sensor:
    """A kind of sensor; as it stands, one without noise. Charge is told in thresholds, 1 makes a spike.

    :param rate_max: spikes per frame of light 1, at a gain of 1; more than 0.
    :param gain_spread: how pixels differ, the standard deviation of the logarithm of the gain.
    :param vignette: the share of the light that is lost in the corners; in between with the square of the distance.
    :param dark: median of the charge that comes without light, per frame. :param dark_spread: of its logarithm.
    :param hot: share of hot pixels. :param hot_dark: charge per frame of the hottest; that of the others is spread
        evenly, in logarithm, between ten times ``dark`` and this.
    :param dead: share of pixels that never fire.
    :param electrons: per spike; the charge of a frame ``x`` gets shot noise of variance ``x/electrons``.
    :param threshold_noise: standard deviation of the charge that is needed for a spike, drawn anew at each reset, as
        the thermal noise of a reset is: it does not change the mean rate.
    :param dead_time: share of a frame's charge that arrives in the frame after a spike; 1: all.
    :param drops: share of the spikes that are lost while they are read out.
    :param reset: ``soft``: what is above the threshold stays, whole thresholds do not (a saturated pixel stores no
        charge); ``hard``: nothing stays, for comparison: no known camera does so.
    :raises ValueError: for a value out of range.
    """

    rate_max: float = 1.0
    gain_spread: float = 0.0
    vignette: float = 0.0
    dark: float = 0.0
    dark_spread: float = 0.0
    hot: float = 0.0
    hot_dark: float = 0.6
    dead: float = 0.0
    electrons: float = np.inf
    threshold_noise: float = 0.0
    dead_time: float = 1.0
    drops: float = 0.0
    reset: Literal["soft", "hard"] = "soft"

    def __post_init__(self) -> None:
        most = {"gain_spread": 0.5, "threshold_noise": 0.5, "dark_spread": 2.0}
        for name in ("vignette", "hot", "dead", "dead_time", "drops", "dark", "hot_dark", *most):
            if not 0 <= getattr(self, name) <= most.get(name, 1.0):
                raise ValueError(f"Sensor got {name}={getattr(self, name)}, expected 0 to {most.get(name, 1.0)}.")
        if not 0 < self.rate_max < np.inf or not self.electrons >= 1:
            raise ValueError(
                f"Sensor got rate_max={self.rate_max}, electrons={self.electrons}, expected a rate above 0 and at "
                "least 1 electron per spike."
            )


PRESETS = {
    "ideal": Sensor(),
    "vidar": Sensor(
        gain_spread=0.017, dark=0.0045, dark_spread=0.46, hot=1e-4, electrons=21_000, threshold_noise=0.006,
    ),
    "low light": Sensor(
        rate_max=0.05, gain_spread=0.017, dark=0.0045, dark_spread=0.46, hot=1e-3, electrons=21_000,
        threshold_noise=0.006,
    ),
    "worn": Sensor(
        gain_spread=0.05, vignette=0.2, dark=0.01, dark_spread=0.6, hot=2e-3, dead=1e-3, electrons=10_000,
        threshold_noise=0.01, dead_time=0.998, drops=1e-3,
    ),
}  # fmt: skip
"""Sensors by name."""


@dataclass(frozen=True, eq=False)
class Pattern:
    """The pixels of one sensor: what calibration is to find.

    :param gain: of light, ``[H, W]`` float32, 0 for dead pixels. :param dark: charge per frame without light,
        ``[H, W]`` float32. :param hot: which pixels are hot. :param dead: which are dead.
    :raises ValueError: for maps of different shapes, or below 0.
    """

    gain: NDArray[np.float32]
    dark: NDArray[np.float32]
    hot: NDArray[np.bool_]
    dead: NDArray[np.bool_]

    def __post_init__(self) -> None:
        shapes = [list(a.shape) for a in (self.gain, self.dark, self.hot, self.dead)]
        if len(shapes[0]) != 2 or any(shape != shapes[0] for shape in shapes):
            raise ValueError(f"Pattern got maps of the shapes {shapes}, expected [H, W] each.")
        if not (self.gain >= 0).all() or not (self.dark >= 0).all():
            raise ValueError("Pattern got a gain or a dark charge below 0 or not a number, expected 0 or more.")

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        height, width = self.gain.shape
        return height, width

    @staticmethod
    def of(sensor: Sensor, height: int, width: int, draw: np.random.Generator) -> Pattern:
        """Draw one sensor of a kind. Always takes the same share of the random numbers, whatever the kind."""
        size = (height, width)
        y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
        gain = np.exp(sensor.gain_spread * draw.standard_normal(size)) * (1 - sensor.vignette * (x**2 + y**2) / 2)
        dark = sensor.dark * np.exp(sensor.dark_spread * draw.standard_normal(size))
        hot, dead, heat = (draw.random(size) for _ in range(3))
        hot, dead = hot < sensor.hot, dead < sensor.dead
        least = min(10 * max(sensor.dark, 1e-3), sensor.hot_dark)
        dark = np.where(hot, least * (sensor.hot_dark / max(least, 1e-9)) ** heat, dark)
        gain, dark = np.where(dead, 0, gain), np.where(dead, 0, dark)
        return Pattern(gain.astype(np.float32), dark.astype(np.float32), hot & ~dead, dead)
