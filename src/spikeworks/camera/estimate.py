"""Light from spikes: what every estimator is, and the plainest.

Light is told in spikes per frame, 0 to 1, as float32: a pixel whose charge reaches the threshold ``r`` times per frame
fires at the rate ``r``; times :attr:`.SpikeStream.rate` it is in Hz. One convention for time holds everywhere: frame
``t`` belongs to the interval from spike ``a`` to spike ``b`` if ``a ≤ t < b``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import planes, running
from .stream import SpikeStream


class Image(NamedTuple):
    """Light, and where it could be told.

    :param light: spikes per frame, ``[..., H, W]`` float32, 0 where it could not be told.
    :param valid: where it could, booleans of the same shape.
    """

    light: NDArray[np.float32]
    valid: NDArray[np.bool_]


class Estimator(ABC):
    """Light at frame ``t`` from the frames around it: :attr:`before` of them, and :attr:`after`; frozen.

    ``estimator(stream, at=100)`` reads what it needs and no more; ``estimator.every(stream)`` goes through a recording
    of any length in bounded memory. Both give the same numbers, bit for bit.
    """

    @property
    @abstractmethod
    def before(self) -> int:
        """Frames in front of ``t`` that are looked at."""

    @property
    @abstractmethod
    def after(self) -> int:
        """Frames behind ``t`` that are looked at; 0: causal."""

    @property
    def around(self) -> int:
        """Pixels on each side of one that its light is told from."""
        return 0

    @abstractmethod
    def picture(self, stream: SpikeStream, at: int) -> Image:
        """The image at a frame of a stream that holds what is looked at, but where the recording begins or ends."""

    def __call__(self, stream: SpikeStream, at: int | Sequence[int]) -> Image:
        """The image at a frame ``[H, W]``, or at several ``[N, H, W]``; frames are counted from the stream's first.

        :raises ValueError: for a frame that is not in the recording, or a recording shorter than the window.
        """
        several = not isinstance(at, int | np.integer)
        frames = [int(t) for t in at] if several else [int(at)]  # type: ignore[union-attr, arg-type]
        if wrong := [t for t in frames if not 0 <= t < len(stream)]:
            raise ValueError(f"{self} got frame {wrong[0]}, expected 0 to {len(stream) - 1}, those of {stream}.")
        self.frames(stream)
        found = [self._one(stream, t) for t in frames]
        if not several:
            return found[0]
        shape = (0, stream.height, stream.width)
        if not found:
            return Image(np.zeros(shape, np.float32), np.zeros(shape, bool))
        return Image(np.stack([image.light for image in found]), np.stack([image.valid for image in found]))

    def every(self, stream: SpikeStream, step: int = 1, first: int | None = None) -> Iterator[tuple[int, Image]]:
        """Every ``step``-th frame of :meth:`frames`, and its image, in bounded memory.

        :param first: the first of them; default: the first there is.
        :raises ValueError: for a step or a first frame out of range, or a recording shorter than the window.
        """
        frames = self.frames(stream)
        start = frames.start if first is None else first
        if step < 1 or start < frames.start:
            raise ValueError(
                f"{self}.every got step={step}, first={first}, expected at least 1 and at least {frames.start}."
            )
        yield from self._running(stream, range(start, frames.stop, step))

    def frames(self, stream: SpikeStream) -> range:
        """The frames of a recording whose neighbours are all in it.

        :raises ValueError: if there are none.
        """
        if len(stream) < self.before + 1 + self.after:
            raise ValueError(
                f"{self} looks at {self.before + 1 + self.after} frames, but there are {len(stream)}; choose a shorter "
                "window, or a longer recording."
            )
        return range(self.before, len(stream) - self.after)

    def _one(self, stream: SpikeStream, t: int) -> Image:
        start, stop = max(0, t - self.before), min(len(stream), t + self.after + 1)
        return self.picture(stream[start:stop], t - start)

    def _running(self, stream: SpikeStream, frames: range) -> Iterator[tuple[int, Image]]:
        for t in frames:
            yield t, self._one(stream, t)


def image(stream: SpikeStream, light: NDArray[Any], valid: NDArray[Any]) -> Image:
    """Numbers of stored cells as an image of the stream's picture: contiguous, the light 0 where it is not valid."""
    seen = np.ascontiguousarray(stream.picture(valid), bool)
    shown = np.where(seen, stream.picture(light), np.float32(0))
    return Image(np.ascontiguousarray(shown, np.float32), seen)


def ratio(count: NDArray[Any] | int, frames: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Light of so many intervals that take so many frames together; valid where these are not 0."""
    some = np.maximum(frames, frames.dtype.type(1)).astype(np.float32)
    return np.divide(count, some, dtype=np.float32, casting="unsafe"), frames > 0


def grey(found: Image, white: float = 1.0, gamma: float = 1.0) -> NDArray[np.uint8]:
    """An image to look at: ``255 · (light / white)^(1/gamma)``, rounded, at most 255.

    :param white: what becomes 255, in spikes per frame.
    :raises ValueError: for a white or a gamma of 0 or less.
    """
    if not white > 0 or not gamma > 0:
        raise ValueError(f"grey got white={white}, gamma={gamma}, expected more than 0.")
    return np.rint(255 * np.clip(found.light / white, 0, 1) ** (1 / gamma)).astype(np.uint8)


class CellByCell(Estimator):
    """One that tells each pixel's light from its own spikes."""

    @abstractmethod
    def estimate(self, packed: NDArray[np.uint8], at: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Light and validity of all stored cells.

        :param packed: frames ``[n, bytes]``; fewer than asked for where the recording begins or ends.
        :param at: which of them is ``t``.
        :returns: ``[8·bytes]`` each.
        """

    def picture(self, stream: SpikeStream, at: int) -> Image:
        """That of all cells."""
        return image(stream, *self.estimate(stream.packed(), at))


class Windowed(CellByCell):
    """One that looks at a window: up to t if it is causal, else around t, of an even one behind its middle."""

    window: int
    causal: bool

    @property
    def before(self) -> int:
        """Frames in front of t."""
        return self.window - 1 if self.causal else self.window // 2

    @property
    def after(self) -> int:
        """Frames behind t."""
        return self.window - 1 - self.before


class Reaching(CellByCell):
    """One that looks for spikes among so many frames up to t, and behind t unless it is causal."""

    reach: int
    causal: bool

    @property
    def before(self) -> int:
        """Frames in front of t."""
        return self.reach - 1

    @property
    def after(self) -> int:
        """Frames behind t."""
        return 0 if self.causal else self.reach

    def frames(self, stream: SpikeStream) -> range:
        """All of them: where a spike is missing, the image is not valid."""
        return range(len(stream))


@dataclass(frozen=True)
class TFP(Windowed):
    """Texture from playback: the mean of the bits in a window.

    Unbiased for still light, in steps of ``1/window``, with an error below that; what moves is smeared over the window.
    Valid where the window lies within the recording. Zhu et al., ICME 2019.

    :param window: frames, 1 to 65535. :param causal: those up to t; otherwise t is in their middle, of an even window
        the frame behind the middle.
    :raises ValueError: for a window out of range.
    """

    window: int = 41
    causal: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.window <= planes.WIDEST:
            raise ValueError(f"TFP got window={self.window}, expected 1 to {planes.WIDEST} frames.")

    def estimate(self, packed: NDArray[np.uint8], at: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """The mean over the frames that are there."""
        counts = planes.total(packed)
        return counts / np.float32(len(packed)), np.full(counts.shape, len(packed) == self.window)

    def _running(self, stream: SpikeStream, frames: range) -> Iterator[tuple[int, Image]]:
        counts = planes.Counts(stream.layout.size, self.window)
        for t, count in zip(frames, running.past(stream, frames, counts, self.after), strict=True):
            yield t, image(stream, count / np.float32(self.window), np.ones(count.shape, bool))
