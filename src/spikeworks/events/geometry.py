"""Augmentations that move events on the sensor: coordinates are rounded to the nearest pixel, time and order stay.

An event that would leave the sensor is dropped, so that events in are events out and events dropped.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, radians, sin, tan
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .stream import EventStream

Range = float | tuple[float, float]
"""A number for − itself to itself, or from the first to the second, both included."""


def ends(owner: str, name: str, value: Range) -> tuple[float, float]:
    """The two ends of a range.

    :param owner: whose, for messages. :param name: which. :raises ValueError: if the first is above the second.
    """
    low, high = value if isinstance(value, tuple) else (-value, value)
    if not -np.inf < low <= high < np.inf:
        raise ValueError(f"{owner} got {name}={value}, expected a number from 0, or a tuple (low, high) in that order.")
    return low, high


@dataclass(frozen=True)
class Flip:
    """The mirror image: twice is the stream itself. For half of the time: ``RandomApply(Flip())``.

    :param axis: ``"x"``: left and right change places; ``"y"``: top and bottom.
    :raises ValueError: for another axis.
    """

    axis: Literal["x", "y"] = "x"

    def __post_init__(self) -> None:
        _axis("Flip", self.axis)

    def __call__(self, stream: EventStream, generator: np.random.Generator | None = None) -> EventStream:
        if self.axis == "x":
            return _moved(stream, stream.width - 1 - stream.x.astype(np.int64), stream.y)
        return _moved(stream, stream.x, stream.height - 1 - stream.y.astype(np.int64))


@dataclass(frozen=True)
class Roll:
    """A circular shift: what leaves on one side comes in on the other, so no event is dropped.

    :param x: pixels to the right, a range of whole numbers. :param y: pixels down.
    :raises ValueError: for a range that is none.
    """

    x: int | tuple[int, int] = 5
    y: int | tuple[int, int] = 5

    def __post_init__(self) -> None:
        ends("Roll", "x", self.x)
        ends("Roll", "y", self.y)

    def __call__(self, stream: EventStream, generator: np.random.Generator) -> EventStream:
        dx, dy = (_whole(generator, r) for r in (self.x, self.y))
        return _moved(stream, (stream.x + np.int64(dx)) % stream.width, (stream.y + np.int64(dy)) % stream.height)


@dataclass(frozen=True)
class Translate:
    """A shift into emptiness: what leaves the sensor is dropped.

    :param x: pixels to the right, a range of whole numbers. :param y: pixels down.
    :raises ValueError: for a range that is none.
    """

    x: int | tuple[int, int] = 5
    y: int | tuple[int, int] = 5

    def __post_init__(self) -> None:
        ends("Translate", "x", self.x)
        ends("Translate", "y", self.y)

    def __call__(self, stream: EventStream, generator: np.random.Generator) -> EventStream:
        dx, dy = (_whole(generator, r) for r in (self.x, self.y))
        return _moved(stream, stream.x + np.int64(dx), stream.y + np.int64(dy))


@dataclass(frozen=True)
class Rotate:
    """A turn about the middle of the sensor.

    :param degrees: counter-clockwise as the sensor is looked at, a range.
    :raises ValueError: for a range that is none.
    """

    degrees: Range = 15.0

    def __post_init__(self) -> None:
        ends("Rotate", "degrees", self.degrees)

    def __call__(self, stream: EventStream, generator: np.random.Generator) -> EventStream:
        angle = radians(generator.uniform(*ends("Rotate", "degrees", self.degrees)))
        middle_x, middle_y = (stream.width - 1) / 2, (stream.height - 1) / 2
        x, y = stream.x - middle_x, stream.y - middle_y
        return _moved(
            stream,
            _nearest(middle_x + cos(angle) * x + sin(angle) * y),
            _nearest(middle_y - sin(angle) * x + cos(angle) * y),
        )


@dataclass(frozen=True)
class Shear:
    """A slant about the middle: ``x + tan(a)(y − middle)``, or the same of y.

    :param degrees: a, a range within −90 to 90, both excluded. :param axis: what moves.
    :raises ValueError: for a range that is none or too wide, or another axis.
    """

    degrees: Range = 15.0
    axis: Literal["x", "y"] = "x"

    def __post_init__(self) -> None:
        _axis("Shear", self.axis)
        low, high = ends("Shear", "degrees", self.degrees)
        if low <= -90 or high >= 90:
            raise ValueError(f"Shear got degrees={self.degrees}, expected less than 90 either way.")

    def __call__(self, stream: EventStream, generator: np.random.Generator) -> EventStream:
        slope = tan(radians(generator.uniform(*ends("Shear", "degrees", self.degrees))))
        if self.axis == "x":
            return _moved(stream, _nearest(stream.x + slope * (stream.y - (stream.height - 1) / 2)), stream.y)
        return _moved(stream, stream.x, _nearest(stream.y + slope * (stream.x - (stream.width - 1) / 2)))


@dataclass(frozen=True)
class SpaceJitter:
    """Each event moved on its own by normal noise.

    :param x: standard deviation in pixels, from 0. :param y: the same of rows.
    :raises ValueError: for one below 0.
    """

    x: float = 1.0
    y: float = 1.0

    def __post_init__(self) -> None:
        if not (0 <= self.x < np.inf and 0 <= self.y < np.inf):
            raise ValueError(f"SpaceJitter got x={self.x}, y={self.y}, expected standard deviations from 0.")

    def __call__(self, stream: EventStream, generator: np.random.Generator) -> EventStream:
        x = _nearest(stream.x + generator.normal(0, self.x, len(stream)))
        return _moved(stream, x, _nearest(stream.y + generator.normal(0, self.y, len(stream))))


@dataclass(frozen=True)
class Crop:
    """What a rectangle saw, as a sensor of that size.

    :param width: columns, from 1. :param height: rows.
    :param random: anywhere; otherwise in the middle (of two middles the upper left).
    :raises ValueError: for a size below 1; when called, for one above the sensor's.
    """

    width: int
    height: int
    random: bool = True

    def __post_init__(self) -> None:
        _size("Crop", self.width, self.height)

    def __call__(self, stream: EventStream, generator: np.random.Generator) -> EventStream:
        room_x, room_y = stream.width - self.width, stream.height - self.height
        if min(room_x, room_y) < 0:
            raise ValueError(
                f"Crop got a sensor of {stream.width}×{stream.height}, expected at least {self.width}×{self.height}; "
                "crop less."
            )
        if self.random:
            left, top = int(generator.integers(room_x + 1)), int(generator.integers(room_y + 1))
            return stream.crop(left, top, self.width, self.height)
        return stream.crop(room_x // 2, room_y // 2, self.width, self.height)


@dataclass(frozen=True)
class Resize:
    """A sensor of another size: pixel x of W becomes ``⌊x·width/W⌋``, and so for rows.

    On a smaller sensor more events would come from each pixel. With ``thin`` an event stays with the probability
    ``width·height/(W·H)``, if below 1, so that pixels are as busy as before, as if the smaller sensor had seen it.

    :param width: columns, from 1. :param height: rows. :param thin: or all events stay.
    :raises ValueError: for a size below 1.
    """

    width: int
    height: int
    thin: bool = True

    def __post_init__(self) -> None:
        _size("Resize", self.width, self.height)

    def __call__(self, stream: EventStream, generator: np.random.Generator) -> EventStream:
        share = self.width * self.height / (stream.width * stream.height)
        if self.thin and share < 1:
            stream = stream[generator.random(len(stream)) < share]
        x = stream.x.astype(np.int64) * self.width // stream.width
        y = stream.y.astype(np.int64) * self.height // stream.height
        return EventStream(stream.t, x, y, stream.p, self.width, self.height)


def _moved(stream: EventStream, x: NDArray, y: NDArray) -> EventStream:
    inside = (x >= 0) & (x < stream.width) & (y >= 0) & (y < stream.height)
    if inside.all():
        return EventStream(stream.t, x, y, stream.p, stream.width, stream.height)
    return EventStream(stream.t[inside], x[inside], y[inside], stream.p[inside], stream.width, stream.height)


def _nearest(place: NDArray) -> NDArray[np.int64]:
    """Halves go up everywhere, so that a shift by whole pixels shifts what is rounded."""
    return np.floor(place + 0.5).astype(np.int64)


def _whole(generator: np.random.Generator, value: int | tuple[int, int]) -> int:
    low, high = value if isinstance(value, tuple) else (-value, value)
    return int(generator.integers(low, high, endpoint=True))


def _axis(owner: str, axis: str) -> None:
    if axis not in ("x", "y"):
        raise ValueError(f"{owner} got axis={axis!r}, expected 'x' or 'y'; choose one.")


def _size(owner: str, width: int, height: int) -> None:
    if min(width, height) < 1:
        raise ValueError(f"{owner} got {width}×{height}, expected at least 1×1.")
