"""Where live frames come from: a camera's SDK, a recording played back, a connection."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..layout import Layout
from ..stream import SpikeStream

FRAMES = 64
"""Frames of a block, where nothing else is said: 3.2 ms at 20 kHz."""


@dataclass(frozen=True, eq=False, repr=False)
class Block:
    """Some frames in a row, as they came; several consumers look at the same one, so that none may write to it.

    :param first: the number of the first of them, counted from the source's begin; frames that were lost are counted.
    :param packed: ``[n, layout.size]``. :param layout: how their bits lie. :param rate: frames a second, Hz.
    :param arrived: when the last of them was there, in seconds of :func:`time.monotonic`.
    :raises ValueError: for frames of another shape, or none.
    """

    first: int
    packed: NDArray[np.uint8]
    layout: Layout
    rate: float
    arrived: float

    def __post_init__(self) -> None:
        if self.packed.ndim != 2 or self.packed.shape[1] != self.layout.size or not len(self.packed) or self.first < 0:
            raise ValueError(
                f"Block got frames {list(self.packed.shape)} from {self.first} on, expected [n, {self.layout.size}], n "
                "at least 1, from 0 on."
            )
        view = self.packed[:]
        view.flags.writeable = False
        object.__setattr__(self, "packed", view)

    def __len__(self) -> int:
        return len(self.packed)

    @property
    def stop(self) -> int:
        """The number of the frame behind the last."""
        return self.first + len(self)

    def stream(self) -> SpikeStream:
        """The same as a recording."""
        return SpikeStream(self.packed, self.layout, self.rate, self.first)

    def __repr__(self) -> str:
        return f"Block({self.first}:{self.stop}, {self.layout.width}×{self.layout.height})"


@runtime_checkable
class Source(Protocol):
    """What hands out blocks. A vendor's SDK becomes one with a class of these two attributes and two methods.

    ``first`` of the blocks grows; where frames were lost it jumps, and they are never made up.
    """

    layout: Layout
    rate: float

    def read(self, timeout: float) -> Block | None:
        """The next block, as soon as it is there; ``None`` if none came for ``timeout`` seconds.

        :raises EOFError: once the source is at its end.
        """
        ...

    def close(self) -> None:
        """Free what it holds; closing again does nothing."""
        ...


class Replay:
    """A recording that comes as if from a camera: each block when its last frame would have been taken.

    Times are counted from the first :meth:`read`, and not from block to block, so that they do not drift; a reader that
    is late gets blocks at once until it has caught up. :attr:`Block.arrived` is the time at which the block was due.

    :param stream: what to play. :param rate: frames a second, Hz; ``None``: the recording's own; ``inf``: as fast as it
        can be read. :param loop: begin again at the end; frames are counted on. :param block: frames of a block.
    :raises ValueError: for a stream without frames, a rate of 0 or less, a block below 1.
    """

    def __init__(
        self, stream: SpikeStream, rate: float | None = None, loop: bool = False, block: int = FRAMES
    ) -> None:  # fmt: skip
        self.pace = stream.rate if rate is None else rate
        if not len(stream) or not self.pace > 0 or block < 1:
            raise ValueError(
                f"Replay got {stream}, rate={rate}, block={block}, expected frames, more than 0 Hz, at least 1 frame."
            )
        self.stream, self.loop, self.block = stream, loop, block
        cut = stream.window is not None  # its pixels alone
        self.layout = Layout(stream.width, stream.height, flip=False) if cut else stream.layout
        self.rate = stream.rate
        self._begun: float | None = None
        self._sent = 0

    def read(self, timeout: float) -> Block | None:
        """The next block, see :class:`Source`."""
        length = len(self.stream)
        if self._sent >= length and not self.loop:
            raise EOFError("the recording is at its end")
        if self._begun is None:
            self._begun = time.monotonic()
        at = self._sent % length
        stop = min(length, at + self.block)
        due = self._begun + (self._sent + stop - at) / self.pace
        wait = due - time.monotonic()
        if wait > 0:
            time.sleep(min(wait, timeout))
            if wait > timeout:
                return None
        part = self.stream[at:stop]
        packed = part.packed() if part.window is None else part.bits()
        arrived = due if np.isfinite(self.pace) else time.monotonic()
        found = Block(self.stream.first + self._sent, packed, self.layout, self.rate, arrived)
        self._sent += len(packed)
        return found

    def close(self) -> None:
        """Nothing is held."""
