"""Is a simulated recording like a real one? Eight statistics of both, and bands that the real one sets itself.

A band is what the statistic takes over parts of the real recording: all of it, its two halves in time, and the four
quarters of its picture; nothing is added to it. Three are told otherwise:

- the histogram of dark intervals is compared by the share of intervals that are in another bin, which may be as large
  as between the pixels that are black and white on a chessboard: the same scene, seen by other pixels;
- the share of saturated pixels may be 3 of all pixels more than the most of the parts (that none of N was seen still
  allows for 3/N, at 95 %);
- the mean pictures may differ by ``√2`` times the spread of the real one's pixels: so much do two sensors that film
  the same scene.

The share of pixels whose intervals are all the same is shown, but not held against a band: see the documentation.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .sensor import Sensor
from .statistics import BINS, WINDOWS, Statistics, dark_intervals, statistics
from .stream import SpikeStream


class Line(NamedTuple):
    """One number of both recordings, and from where to where it may be.

    :param group: number of the statistic, 1 to 8. :param name: what it is.
    """

    group: int
    name: str
    simulated: float
    recorded: float
    low: float
    high: float

    @property
    def within(self) -> bool:
        """Whether the simulated one is in the band, if there is one; a number that could not be told is not."""
        spare = 1e-9 * abs(self.simulated)  # medians of fractions are often equal, but for their last bit
        return not self.held or bool(self.low - spare <= self.simulated <= self.high + spare)

    @property
    def held(self) -> bool:
        """Whether there is a band."""
        return self.high < np.inf


@dataclass(frozen=True, eq=False)
class Validation:
    """Numbers of a simulated and of a real recording, side by side.

    :param lines: each number and its band. :param simulated: statistics. :param recorded: statistics.
    """

    lines: tuple[Line, ...]
    simulated: Statistics
    recorded: Statistics

    @property
    def within(self) -> bool:
        """Whether all numbers are in their bands."""
        return all(line.within for line in self.lines)

    @property
    def failed(self) -> tuple[int, ...]:
        """Numbers of the statistics that are not: 1 to 8."""
        return tuple(sorted({line.group for line in self.lines if not line.within}))

    def text(self) -> str:
        """A table."""
        rows = [f"{'':2} {'statistic':34} {'simulated':>9} {'recorded':>9}   band"]
        for line in self.lines:
            band = f"{line.low:.4f} to {line.high:.4f}" if line.held else "none"
            mark = "" if line.within else "   outside"
            rows.append(f"{line.group:2} {line.name:34} {line.simulated:9.4f} {line.recorded:9.4f}   {band}{mark}")
        held = [line.within for line in self.lines if line.held]
        return "\n".join([*rows, f"{sum(held)} of {len(held)} numbers are within their bands."])

    def plot(self, path: str | Path) -> None:
        """Draw the eight statistics as a picture file; the suffix says which kind."""
        from .validate_figure import draw

        draw(path, {"simulated": self})


@dataclass(frozen=True, eq=False)
class Bands:
    """A real recording, and what its parts take: made once, many simulated ones are held against it."""

    recorded: Statistics
    parts: tuple[Statistics, ...]
    moved: float
    """The share of dark intervals in other bins, between the two colours of a chessboard."""

    @staticmethod
    def of(recorded: SpikeStream) -> Bands:
        """Measure a recording and its parts.

        :raises ValueError: for fewer than 40 frames, or a picture smaller than 50×50.
        """
        frames, height, width = len(recorded), recorded.height, recorded.width
        if frames < 40 or min(height, width) < 50:
            raise ValueError(f"validate got {recorded} to hold up, expected at least 40 frames of at least 50×50.")
        y, x = height // 2, width // 2
        quarters = [
            recorded.crop(left, top, x if left == 0 else width - x, y if top == 0 else height - y)
            for top in (0, y)
            for left in (0, x)
        ]
        parts = [statistics(part) for part in (recorded[: frames // 2], recorded[frames // 2 :], *quarters)]
        white = np.indices((height, width)).sum(0) % 2 == 0
        colours = [dark_intervals(recorded, which) for which in (white, ~white)]
        return Bands(statistics(recorded), tuple(parts), _moved(*colours))

    def validate(self, simulated: SpikeStream) -> Validation:
        """Hold a simulated recording of the same scene against it.

        :raises ValueError: for another size of picture.
        """
        if (simulated.height, simulated.width) != self.recorded.rate.shape:
            raise ValueError(
                f"validate got {simulated} and a recording of {self.recorded.rate.shape[::-1]} pixels, expected both "
                "of the same scene and size; crop one of them."
            )
        found = statistics(simulated)
        lines = [self._line(k, name, found, get) for k, name, get in _NUMBERS]
        spare = 3 / simulated.height / simulated.width
        lines = [line._replace(high=line.high + spare) if line.group == 6 else line for line in lines]
        lines.append(Line(2, "pixels of equal intervals", found.same, self.recorded.same, -np.inf, np.inf))
        lines.append(
            Line(5, "dark intervals in other bins", _moved(found.dark, self.recorded.dark), 0.0, 0.0, self.moved)
        )
        apart = _apart(found.rate, self.recorded.rate)
        lines.append(Line(8, "mean pictures apart", apart, 0.0, 0.0, 2**0.5 * self.recorded.spread))
        return Validation(tuple(sorted(lines, key=lambda line: line.group)), found, self.recorded)

    def _line(self, group: int, name: str, found: Statistics, get: _Get) -> Line:
        values = [get(s) for s in (self.recorded, *self.parts)]
        known = [v for v in values if not np.isnan(v)] or [np.nan]
        return Line(group, name, get(found), values[0], min(known), max(known))


def validate(simulated: SpikeStream, recorded: SpikeStream) -> Validation:
    """Compare two recordings of the same still scene by the eight statistics; see :class:`Bands`."""
    return Bands.of(recorded).validate(simulated)


def scene_light(recorded: SpikeStream, sensor: Sensor) -> NDArray[np.float32]:
    """The light of a still scene from its recording, without what a sensor of a kind adds: to simulate it again.

    The mean over all frames, less the mean dark charge. What pixels differ by among their neighbours (5×5) is shrunk by
    what the sensor's pattern would add to it: by ``√(1 - σ²/v)``, σ² the variance of the pattern there and v that of
    the mean picture, by 0 where the pattern explains all of it. With a pattern of the same kind drawn anew, the
    variance is that of the recording again.

    :returns: light ``[H, W]`` for :func:`.simulate` with that sensor.
    """
    from .estimate import TFP

    rate = TFP(len(recorded))(recorded, len(recorded) // 2).light.astype(np.float64)
    mean = _box(rate)
    variance = _box((rate - mean) ** 2) * 25 / 24
    dark = sensor.dark * np.exp(sensor.dark_spread**2 / 2)
    added = (sensor.gain_spread * (mean - dark)) ** 2 + dark**2 * (np.exp(sensor.dark_spread**2) - 1)
    kept = np.sqrt(np.clip(1 - added / np.maximum(variance, 1e-12), 0, 1))
    return (np.maximum(mean + kept * (rate - mean) - dark, 0) / sensor.rate_max).astype(np.float32)


class _Get:
    """How a number is read off statistics."""

    def __init__(self, name: str, index: int | None = None) -> None:
        self.name, self.index = name, index

    def __call__(self, found: Statistics) -> float:
        value = getattr(found, self.name)
        return float(value if self.index is None else value[self.index])


_NUMBERS = (
    *((1, f"excess variance, {a:g} to {b:g} frames", _Get("excess", k))
      for k, (a, b) in enumerate(pairwise(BINS))),
    *((2, f"lag-1 correlation, {a:g} to {b:g} frames", _Get("lag", k))
      for k, (a, b) in enumerate(pairwise(BINS))),
    *((3, f"Fano factor, {window} frames", _Get("fano", k)) for k, window in enumerate(WINDOWS)),
    (4, "spread over flat patches", _Get("spread")),
    (6, "saturated pixels", _Get("saturated")),
    (7, "entropy of intervals, bits", _Get("entropy")),
    (7, "zlib, frame after frame", _Get("zlib_frames")),
    (7, "zlib, pixel after pixel", _Get("zlib_pixels")),
)  # fmt: skip


def _moved(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """The share of one histogram that is in other bins of the other."""
    return float(np.abs(a - b).sum() / 2)


def _apart(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """The standard deviation of the relative difference, a robust one."""
    seen = b > 0
    return float(1.4826 * np.median(np.abs(a[seen] / b[seen] - 1))) if seen.any() else float("nan")


def _box(picture: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of 5×5 pixels, at the edges of those mirrored in."""
    padded = np.pad(picture, 2, mode="reflect")
    rows = np.sum([padded[k : k + picture.shape[0]] for k in range(5)], 0)
    return np.sum([rows[:, k : k + picture.shape[1]] for k in range(5)], 0) / 25
