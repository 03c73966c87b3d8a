"""Light from the frames between spikes: of the interval that a frame is in, of several, of all in a window."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import planes, running
from .estimate import Image, Reaching, Windowed, image, ratio
from .stream import SpikeStream


@dataclass(frozen=True)
class KIntervals(Reaching):
    """The mean of ``k`` intervals: ``k`` over the frames that they take together.

    The frames that k intervals of still light take are known to less than one, so that the error is about
    ``light² / k`` at most. What moves is smeared over few frames where it is bright, over many where it is dark. The
    idea of DSFT: Zhao et al., CVPR 2024, who hand several such means to a network.

    :param k: intervals, at least 1: the one that t is in, and as many before it as behind it; of an even k one more
        before.
    :param reach: frames looked at on each side of t, which is itself among those before it, 1 to 65535. Where the
        spikes of the intervals are not among them, the image is not valid.
    :param causal: the last k intervals that are over at t, of spikes up to t, instead.
    :raises ValueError: for k or reach out of range.
    """

    k: int = 3
    reach: int = 255
    causal: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.reach <= planes.WIDEST or self.k < 1:
            raise ValueError(f"{self} is out of range, expected k from 1 and a reach of 1 to {planes.WIDEST} frames.")

    @property
    def places(self) -> tuple[int, int]:
        """Which of the last spikes, and which of those behind t, the intervals lie between."""
        return (self.k + 1, 0) if self.causal else (self.k // 2 + 1, self.k - self.k // 2)

    def estimate(self, packed: NDArray[np.uint8], at: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """k over the frames from spike to spike."""
        first, last = self.places
        back = planes.nearest(packed[: at + 1], first).astype(np.int32)
        if self.causal:
            return self._rate(np.where(back[-1] > 0, back[-1] - back[0], 0))
        forth = planes.nearest(packed[at + 1 :][::-1], last)[-1].astype(np.int32)
        return self._rate(np.where((back[-1] > 0) & (forth > 0), back[-1] + forth - 1, 0))

    def _running(self, stream: SpikeStream, frames: range) -> Iterator[tuple[int, Image]]:
        size, (first, last) = stream.layout.size, self.places
        if self.causal:
            intervals = planes.Intervals(size, self.reach, first)
            for t, found in zip(frames, running.past(stream, frames, intervals), strict=True):
                yield t, image(stream, *self._rate(found))
            return
        ages = planes.Ages(size, self.reach, first)
        past, ahead = running.past(stream, frames, ages), running.ahead(stream, frames, self.reach, last)
        for t, back, forth in zip(frames, past, ahead, strict=True):
            known = (back < ages.none) & (forth < ages.none)
            yield t, image(stream, *self._rate(np.where(known, back.astype(np.int32) + forth + 1, 0)))

    def _rate(self, frames: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        return ratio(self.k, frames)


@dataclass(frozen=True)
class TFI(KIntervals):
    """Texture from interval: one over the frames from one spike to the next, :class:`KIntervals` of one.

    Sharp where things move, and coarse where it is bright: the intervals of 1, 2 and 3 frames are the rates 1, ½ and ⅓.
    Zhu et al., ICME 2019.

    :param reach: frames looked at on each side of t, which is itself among those before it, 1 to 65535. Where the
        spikes of an interval are not among them, the image is not valid.
    :param causal: the last interval that is over at t, of spikes ``a < b ≤ t``, instead of the one that t is in.
    :raises ValueError: for a reach out of range.
    """

    k: int = field(default=1, init=False, repr=False)


@dataclass(frozen=True)
class WindowIntervals(Windowed):
    """All intervals in a window: how many there are, over the frames from its first spike to its last.

    What lies in the window before its first and behind its last spike says nothing and is left out: n spikes of still
    light tell it to ``1 / (n − 1)`` of an interval, while their number in the window, :class:`.TFP`, is off by up to 1.
    Valid where there are two spikes; where the recording begins or ends within the window, of what there is.

    :param window: frames, 2 to 65535. :param causal: those up to t; otherwise t is in their middle, of an even window
        the frame behind the middle.
    :raises ValueError: for a window out of range.
    """

    window: int = 41
    causal: bool = False

    def __post_init__(self) -> None:
        if not 2 <= self.window <= planes.WIDEST:
            raise ValueError(f"{self} is out of range, expected a window of 2 to {planes.WIDEST} frames.")

    def estimate(self, packed: NDArray[np.uint8], at: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """Intervals over frames from the first spike to the last."""
        count, last = planes.total(packed), planes.nearest(packed)[0].astype(np.int32)
        first = planes.nearest(packed[::-1])[0]
        return _inside(count, len(packed) + 1 - last - first)

    def _running(self, stream: SpikeStream, frames: range) -> Iterator[tuple[int, Image]]:
        size, window = stream.layout.size, self.window
        count = running.past(stream, frames, planes.Counts(size, window), self.after)
        last = running.past(stream, frames, planes.Ages(size, window), self.after)
        begin = range(frames.start - self.before - 1, frames.stop - self.before - 1, frames.step)
        first = running.ahead(stream, begin, window)
        for t, n, behind, before in zip(frames, count, last, first, strict=True):
            yield t, image(stream, *_inside(n, window - 1 - behind.astype(np.int32) - before))


def _inside(count: NDArray[Any], frames: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    several = count > 1
    return ratio(np.where(several, count - np.ones((), count.dtype), 0), np.where(several, frames, 0))
