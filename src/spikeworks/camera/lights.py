"""Light that falls on a sensor, as a function of time: still pictures, and films with what is between theirs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Light = Callable[[float], NDArray[Any]]
"""From the time, in spike frames, to a picture ``[H, W]`` of light, 0 or more."""


def still(picture: NDArray[Any], gamma: float = 1.0) -> Light:
    """One picture all the time.

    :param picture: ``[H, W]``; 0 to 255 if it is uint8, else light as it is.
    :param gamma: light is the value to this power; 2.2 undoes the curve of most pictures, 1 takes values as light.
    """
    light = linear(picture, gamma)
    return lambda t: light


class Film:
    """Pictures in a row, mixed linearly in time: ``light(t)`` at ``t·fps/rate`` pictures after the first.

    Holds two of them at a time, so it takes any number; time must not run backwards. Where things move by more than
    about a pixel from one picture to the next, a linear mix shows them twice: more pictures are needed then.

    :param pictures: ``[H, W]`` each; see :func:`still`. :param fps: pictures a second. :param rate: spike frames a
        second. :param gamma: see :func:`still`.
    :raises ValueError: for a rate of 0 or less, no pictures, a time before the last one asked for, or after the last
        picture.
    """

    def __init__(self, pictures: Iterable[NDArray[Any]], fps: float, rate: float, gamma: float = 1.0) -> None:
        if not 0 < fps < np.inf or not 0 < rate < np.inf:
            raise ValueError(f"Film got fps={fps}, rate={rate}, expected more than 0 Hz.")
        self._pictures, self._step, self._gamma = iter(pictures), fps / rate, gamma
        self._at, self._now = 0, None
        self._now = self._take()
        if self._now is None:
            raise ValueError("Film got no pictures, expected at least one.")
        self._next = self._take()

    def __call__(self, t: float) -> NDArray[np.float32]:
        """The light at a time."""
        at = t * self._step
        if at < self._at:
            raise ValueError(f"Film got the time {t} after a later one, expected times in order; make another Film.")
        while at > self._at + 1 and self._next is not None:
            self._at, self._now, self._next = self._at + 1, self._next, self._take()
        part = at - self._at
        if self._next is None and part > 0:
            raise ValueError(
                f"Film got the time {t}, but its pictures end at {self._at / self._step:.6g}; ask for fewer frames."
            )
        assert self._now is not None
        if self._next is None:
            return self._now
        return (self._now + (self._next - self._now) * np.float32(part)).astype(np.float32, copy=False)

    def _take(self) -> NDArray[np.float32] | None:
        picture = next(self._pictures, None)
        if picture is None:
            return None
        light = linear(picture, self._gamma)
        if self._now is not None and light.shape != self._now.shape:
            raise ValueError(
                f"Film got a picture {list(light.shape)} after one of {list(self._now.shape)}, expected one size."
            )
        return light


def linear(picture: NDArray[Any], gamma: float = 1.0) -> NDArray[np.float32]:
    """A picture's values as light: float32, of uint8 the 255th part, to the power of ``gamma``.

    :raises ValueError: for anything but a picture ``[H, W]`` of finite light, 0 or more, or a gamma of 0 or less.
    """
    if picture.ndim != 2 or not gamma > 0:
        raise ValueError(f"Light got a picture {list(picture.shape)}, gamma={gamma}, expected [H, W] and more than 0.")
    light = picture.astype(np.float32) / np.float32(255 if picture.dtype == np.uint8 else 1)
    light = light if gamma == 1 else light ** np.float32(gamma)
    if light.size and not (light.min() >= 0 and light.max() < np.inf):
        raise ValueError(f"Light got values from {light.min()} to {light.max()}, expected finite ones of 0 or more.")
    return light
