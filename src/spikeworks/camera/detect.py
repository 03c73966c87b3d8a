"""From spikes to what moves: gates, then, now and then, a look at where spikes have passed them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import planes
from .attend import Attention
from .boxes import found
from .gate import LocalGate, MotionGate, MotionState, plain
from .stream import SpikeStream


class Look(NamedTuple):
    """What is seen at one time.

    :param frame: the middle of the frames looked at, counted from the begin of the recording.
    :param spikes: that passed in them, ``[H, W]``. :param mask: which pixels are attended to, ``[H, W]``.
    """

    frame: int
    spikes: NDArray[np.uint16]
    mask: NDArray[np.bool_]

    def boxes(self, least: int = 1) -> NDArray[np.float64]:
        """A box around the spikes of each piece of the mask that has so many of them: (x, y, w, h), ``[N, 4]``."""
        return found(self.mask, 1, 0, self.spikes, least)


class Seeing(NamedTuple):
    """State of a :class:`Detector`."""

    motion: MotionState | None = None
    local: NDArray[np.float32] | None = None
    field: NDArray[np.float32] | None = None
    past: NDArray[np.uint8] | None = None
    seen: int = 0


@dataclass(frozen=True)
class Detector:
    """Motion gate, local gate, attention; a look every ``every`` frames at the last ``window``.

    Defaults find small things, too: attention joins what is some ``2·reach`` pixels apart, and no more, and boxes are
    drawn around the spikes. SpikeCV's numbers are ``local=LocalGate(), attention=Attention()``; they are for single
    large things, and join what is 40 pixels apart.

    :param motion: the gate for motion. :param local: the gate for company; ``None``: none.
    :param attention: the field. :param every: frames between looks. :param window: frames of a look.
    :raises ValueError: for less than one frame, or a window wider than the step.
    """

    motion: MotionGate = MotionGate()
    local: LocalGate | None = None
    attention: Attention = Attention(8, 0.1, excite=0, pool=2)
    every: int = 20
    window: int = 16

    def __post_init__(self) -> None:
        if not 1 <= self.window <= self.every:
            raise ValueError(
                f"Detector got every={self.every}, window={self.window}, expected a window of 1 to {self.every} frames."
            )

    def gate(self, stream: SpikeStream, state: Seeing | None = None) -> tuple[SpikeStream, Seeing]:
        """The spikes that pass, and the state after them; nothing is looked at."""
        state = Seeing() if state is None else state
        passed, motion = self.motion(stream, state.motion)
        local = state.local
        if self.local is not None:
            passed, local = self.local(passed, local)
        return passed, state._replace(motion=motion, local=local)

    def __call__(self, stream: SpikeStream, state: Seeing | None = None) -> tuple[list[Look], Seeing]:
        """The looks that are due in these frames, and the state after them.

        :param state: after the frames before, however many; default: fresh.
        """
        passed, state = self.gate(plain(stream), state)
        frames = passed.packed()
        if state.past is not None and len(state.past):
            frames = np.concatenate([state.past, frames])
        before = len(frames) - len(passed)
        looks, field = [], state.field
        for end in self._due(state.seen, len(passed)):
            stop = before + end
            counts = passed.picture(planes.total(frames[max(0, stop - self.window) : stop]))
            mask, field = self.attention(counts / np.float32(self.window), field, self.every)
            looks.append(Look(passed.first + end - 1 - (self.window - 1) // 2, counts, mask))
        past = frames[max(0, len(frames) - self.window) :].copy()
        return looks, state._replace(field=field, past=past, seen=state.seen + len(passed))

    def _due(self, seen: int, count: int) -> Iterator[int]:
        """Ends of looks among the next ``count`` frames."""
        return iter(range(self.every - seen % self.every, count + 1, self.every))
