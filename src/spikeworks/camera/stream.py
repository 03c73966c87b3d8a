"""Recordings of a spike camera: frames of one bit per pixel, which stay packed until somebody looks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from .layout import Layout, pack, unpack

RATE = 20_000.0
"""Frames a second of most recordings, in which nothing says it."""

BLOCK = 256
"""Frames in a block, where nothing else is said."""


@runtime_checkable
class Frames(Protocol):
    """Where packed frames come from: an array, a memory map, or a file that is decompressed where it is read."""

    def __len__(self) -> int: ...
    def __getitem__(self, frames: slice, /) -> NDArray[np.uint8]:
        """Those frames, ``[n, bytes of a frame]``; not to be written to."""
        ...


@dataclass(frozen=True)
class Window:
    """A rectangle of the picture: columns ``left`` to ``left + width``, rows ``top`` to ``top + height``."""

    left: int
    top: int
    width: int
    height: int

    def of(self, pictures: NDArray[Any]) -> NDArray[Any]:
        """What it shows of pictures ``[..., H, W]``: a view."""
        return pictures[..., self.top : self.top + self.height, self.left : self.left + self.width]


@dataclass(frozen=True, eq=False, repr=False)
class SpikeStream:
    """Frames of one spike camera: in frame ``k`` a pixel is 1 if it fired since the frame before.

    Slices in time (``stream[100:200]``) and in space (:meth:`crop`) are streams again and copy nothing; bits are
    unpacked by :meth:`dense` alone. Estimators read the packed bytes.

    :param frames: packed, ``[T, layout.size]`` bytes. :param layout: how the bits of a frame lie.
    :param rate: frames a second, Hz. :param first: the number of the first frame, counted from the begin of the
        recording it is cut from.
    :param window: the part of the picture that is looked at; ``None``: all.
    :raises ValueError: for frames of another size than the layout's, a window outside of the picture, a rate of 0 or
        less, or a first frame before 0.
    """

    frames: Frames
    layout: Layout
    rate: float = RATE
    first: int = 0
    window: Window | None = None

    def __post_init__(self) -> None:
        if isinstance(self.frames, np.ndarray):
            shape, dtype = self.frames.shape, self.frames.dtype
            if dtype != np.uint8 or len(shape) != 2 or shape[1] != self.layout.size:
                raise ValueError(
                    f"SpikeStream got frames {list(shape)} of {dtype}, expected uint8 [T, {self.layout.size}] for "
                    f"{self.layout}; SpikeStream.of takes pictures of bits."
                )
        if not 0 < self.rate < np.inf or self.first < 0:
            raise ValueError(
                f"SpikeStream got rate={self.rate}, first={self.first}, expected more than 0 Hz and a frame from 0 on."
            )
        w = self.window
        if w is not None and (
            min(w.left, w.top) < 0 or min(w.width, w.height) < 1
            or w.left + w.width > self.layout.width or w.top + w.height > self.layout.height
        ):  # fmt: skip
            raise ValueError(
                f"SpikeStream got {w}, expected a rectangle within {self.layout.width}×{self.layout.height}."
            )

    @staticmethod
    def of(spikes: ArrayLike, rate: float = RATE, first: int = 0, flip: bool = True) -> SpikeStream:
        """A stream of pictures of bits ``[T, H, W]``, packed.

        :param spikes: booleans, or numbers that are 0 or 1. :param flip: stored with the lowest row first.
        :raises ValueError: for another shape, or numbers that are neither 0 nor 1.
        """
        pictures = np.asarray(spikes)
        if pictures.ndim != 3 or not (pictures.dtype == bool or np.issubdtype(pictures.dtype, np.number)):
            raise ValueError(f"SpikeStream.of got {pictures.dtype} {list(pictures.shape)}, expected bits [T, H, W].")
        if pictures.dtype != bool and not ((pictures == 0) | (pictures == 1)).all():
            raise ValueError(
                "SpikeStream.of got numbers that are neither 0 nor 1, expected bits: a pixel fires once a frame at "
                "most; threshold them."
            )
        height, width = pictures.shape[1:]
        layout = Layout(width, height, flip)
        return SpikeStream(pack(layout.store(pictures.astype(bool))), layout, rate, first)

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def width(self) -> int:
        """Columns of the picture."""
        return self.layout.width if self.window is None else self.window.width

    @property
    def height(self) -> int:
        """Rows of the picture."""
        return self.layout.height if self.window is None else self.window.height

    @property
    def duration(self) -> float:
        """Seconds."""
        return len(self) / self.rate

    def __repr__(self) -> str:
        begin = f" from {self.first}" if self.first else ""
        return f"SpikeStream({len(self):,} frames{begin}, {self.width}×{self.height}, {self.rate:g} Hz)"

    def __getitem__(self, index: slice) -> SpikeStream:
        """Some of the frames, in a row: a view.

        :raises ValueError: for anything but a slice without a step, or one that leaves the recording: frames that are
            not there are not silently left out.
        """
        if not isinstance(index, slice) or index.step not in (None, 1):
            raise ValueError(f"SpikeStream got the index {index!r}, expected start:stop; one frame is [k : k + 1].")
        ends = (0 if index.start is None else index.start, len(self) if index.stop is None else index.stop)
        start, stop = (k + len(self) if k < 0 else k for k in ends)
        if not 0 <= start <= stop <= len(self):
            raise ValueError(
                f"SpikeStream of {len(self)} frames got [{ends[0]}:{ends[1]}], expected frames within it, in order."
            )
        return replace(self, frames=_Part.of(self.frames, start, stop), first=self.first + start)

    def crop(self, left: int, top: int, width: int, height: int) -> SpikeStream:
        """A rectangle of the picture: columns from ``left``, rows from ``top``.

        :raises ValueError: for a rectangle that is empty or leaves the picture.
        """
        if min(left, top) < 0 or min(width, height) < 1 or left + width > self.width or top + height > self.height:
            raise ValueError(
                f"crop got {width}×{height} at ({left}, {top}), expected a rectangle within {self.width}×{self.height}."
            )
        inside = self.window or Window(0, 0, 0, 0)
        return replace(self, window=Window(inside.left + left, inside.top + top, width, height))

    def packed(self) -> NDArray[np.uint8]:
        """All frames as they are stored, ``[T, layout.size]``; a view where there is one."""
        return self.frames[0 : len(self)]

    def picture(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values of stored cells ``[..., N]`` as pictures ``[..., height, width]`` of the window."""
        pictures = self.layout.picture(values)
        return pictures if self.window is None else self.window.of(pictures)

    def dense(self, dtype: DTypeLike = np.uint8) -> NDArray[Any]:
        """The bits, 0 or 1, upright: ``[T, height, width]`` of ``dtype``, contiguous, yours to write to."""
        found = np.empty((len(self), self.height, self.width), dtype)
        at = 0
        for block in self.blocks():
            found[at : at + len(block)] = block.picture(unpack(block.packed()))
            at += len(block)
        return found

    def bits(self) -> NDArray[np.uint8]:
        """The bits of the window, packed and upright: ``[T, ⌈height·width/8⌉]``."""
        layout = Layout(self.width, self.height, flip=False)
        if self.window is None and self.layout == layout:
            return self.packed()
        parts = [pack(b.dense().reshape(len(b), -1)) for b in self.blocks()]
        return np.concatenate(parts) if parts else np.empty((0, layout.size), np.uint8)

    def blocks(self, count: int = BLOCK) -> Iterator[SpikeStream]:
        """One stream of ``count`` frames after another; the last has what is left. Memory holds one of them.

        :raises ValueError: for a count below 1.
        """
        if count < 1:
            raise ValueError(f"blocks got count={count}, expected at least 1.")
        for start in range(0, len(self), count):
            yield self[start : min(start + count, len(self))]


@dataclass(frozen=True)
class _Part:
    """Some frames of what is not an array."""

    whole: Frames
    start: int
    stop: int

    @staticmethod
    def of(frames: Frames, start: int, stop: int) -> Frames:
        if isinstance(frames, np.ndarray):
            return frames[start:stop]
        if isinstance(frames, _Part):
            return _Part(frames.whole, frames.start + start, frames.start + stop)
        return _Part(frames, start, stop)

    def __len__(self) -> int:
        return self.stop - self.start

    def __getitem__(self, frames: slice, /) -> NDArray[np.uint8]:
        start, stop, _ = frames.indices(len(self))
        return self.whole[self.start + start : self.start + max(start, stop)]
