"""Augmentations that leave events out: a while, an area, some at random, or squares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .stream import EventStream

TENTHS = tuple(k / 10 for k in range(1, 10))
"""0.1 to 0.9: the shares EventDrop draws from in time and at random."""

TWENTIETHS = tuple(k / 20 for k in range(1, 6))
"""0.05 to 0.25: the shares of each side EventDrop draws from."""


@dataclass(frozen=True)
class DropTime:
    """Leaves out a while: it begins anywhere in the recording, so that its end may be cut off.

    :param ratios: its length as shares of the recording's, 0 to 1; one is drawn.
    :raises ValueError: for no ratios or others. Gu et al., IJCAI 2021.
    """

    ratios: tuple[float, ...] = TENTHS

    def __post_init__(self) -> None:
        _ratios("DropTime", self.ratios)

    def __call__(self, stream: EventStream, generator: np.random.Generator) -> EventStream:
        ratio, place = _drawn(generator, self.ratios), generator.random()
        if not len(stream):
            return stream
        age = stream.t - stream.t.min()
        begin = place * stream.duration
        return stream[(age < begin) | (age >= begin + ratio * stream.duration)]


@dataclass(frozen=True)
class DropArea:
    """Leaves out a rectangle of the sensor's shape: its middle is anywhere, so that it may be cut at the border.

    :param ratios: its sides as shares of the sensor's, 0 to 1; one is drawn.
    :raises ValueError: for no ratios or others. Gu et al., IJCAI 2021.
    """

    ratios: tuple[float, ...] = TWENTIETHS

    def __post_init__(self) -> None:
        _ratios("DropArea", self.ratios)

    def __call__(self, stream: EventStream, generator: np.random.Generator) -> EventStream:
        ratio = _drawn(generator, self.ratios)
        sizes = stream.width, stream.height
        left, top = (generator.uniform(0, size) - ratio * size / 2 for size in sizes)
        return stream[~_inside(stream, left, top, ratio * stream.width, ratio * stream.height)]


@dataclass(frozen=True)
class DropRandom:
    """Leaves out ``⌊ratio·N⌋`` of N events, all sets of them as likely.

    :param ratios: 0 to 1; one is drawn.
    :raises ValueError: for no ratios or others. Gu et al., IJCAI 2021.
    """

    ratios: tuple[float, ...] = TENTHS

    def __post_init__(self) -> None:
        _ratios("DropRandom", self.ratios)

    def __call__(self, stream: EventStream, generator: np.random.Generator) -> EventStream:
        kept = np.arange(len(stream)) >= int(_drawn(generator, self.ratios) * len(stream))
        generator.shuffle(kept)
        return stream[kept]


@dataclass(frozen=True)
class EventDrop:
    """One of four, each as likely: nothing, :class:`DropTime`, :class:`DropArea`, :class:`DropRandom`.

    Where that would leave no event, the stream is as it was. Gu, Sng, Hu, Yu: EventDrop, IJCAI 2021, with the shares
    of the published code.
    """

    def __call__(self, stream: EventStream, generator: np.random.Generator) -> EventStream:
        chosen = int(generator.integers(4))
        if chosen == 0:
            return stream
        left = (DropTime(), DropArea(), DropRandom())[chosen - 1](stream, generator)
        return left if len(left) else stream


@dataclass(frozen=True)
class Cutout:
    """Leaves out squares at any time. DeVries and Taylor, arXiv 1708.04552, as NDA uses it.

    :param side: pixels, from 1; the middle is any pixel, so that the border may cut it.
    :param holes: how many squares, from 0.
    :raises ValueError: for others.
    """

    side: int = 8
    holes: int = 1

    def __post_init__(self) -> None:
        if self.side < 1 or self.holes < 0:
            raise ValueError(f"Cutout got side={self.side}, holes={self.holes}, expected at least 1 and 0.")

    def __call__(self, stream: EventStream, generator: np.random.Generator) -> EventStream:
        for _ in range(self.holes):
            x, y = int(generator.integers(stream.width)), int(generator.integers(stream.height))
            left, top = x - self.side // 2, y - self.side // 2
            stream = stream[~_inside(stream, left, top, self.side, self.side)]
        return stream


def _inside(stream: EventStream, left: float, top: float, width: float, height: float) -> NDArray[np.bool_]:
    across = (stream.x >= left) & (stream.x < left + width)
    return across & (stream.y >= top) & (stream.y < top + height)


def _drawn(generator: np.random.Generator, ratios: tuple[float, ...]) -> float:
    return ratios[int(generator.integers(len(ratios)))]


def _ratios(owner: str, ratios: tuple[float, ...]) -> None:
    if not ratios or not all(0 <= r <= 1 for r in ratios):
        raise ValueError(f"{owner} got ratios={ratios}, expected some from 0 to 1.")
