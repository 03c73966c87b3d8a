"""What moves, in the spikes of a camera at rest: spikes that short-term plasticity did not expect, and company.

Two gates, each spikes in and fewer spikes out, frame by frame. :class:`MotionGate` lets a spike through if the rate of
its pixel changes; :class:`LocalGate` fires where several such spikes lie close together. Parameters are frozen; the
state is handed in and handed back, so that a recording may come in blocks of any length.

Where LLVM is not usable, numpy gives the same bits, some thirty times slower.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .layout import Layout, pack, unpack
from .planes import compiled
from .plasticity import Plasticity
from .stream import SpikeStream

TINY = 1e-30
"""What fades stops here, where numbers are still quick to reckon with."""

BLOCK = 64
"""Frames that are unpacked at once."""


class MotionState(NamedTuple):
    """State of a :class:`MotionGate`, ``[8·bytes]`` float32 each.

    :param resources: R. :param release: u. :param change: g, how much R changed lately.
    :param recovering: exp(−Δ/τ_D) since the last spike. :param facilitating: exp(−Δ/τ_F).
    """

    resources: NDArray[np.float32]
    release: NDArray[np.float32]
    change: NDArray[np.float32]
    recovering: NDArray[np.float32]
    facilitating: NDArray[np.float32]


@dataclass(frozen=True)
class MotionGate:
    """Spikes of pixels whose rate changes.

    A pixel has resources R and a release probability u, which change at its spikes alone, by the frames Δ since the one
    before (:class:`~spikeworks.camera.Plasticity`)::

        R ← 1 − [1 − R(1 − u)]·exp(−Δ/τ_D)        u ← U + [u + C(1 − u) − U]·exp(−Δ/τ_F)

    Under still light both stay; a spike passes if R moved by more than a threshold, lower where it moved before::

        g ← g/2 in each frame, and + d/(2R) at a spike, d = |R − R before|        d·(1 + √g) ≥ threshold

    The first intervals count from the frame before the first one, and nothing is known yet: go through some 150 frames
    before the output is used (more in the dark). SpikeCV's STP filter, written out for spikes alone, which gives the
    same: between spikes d is 0. Exponentials are carried on by one factor a frame, in float32; the published code's
    comparison over several frames is left out.

    :param plasticity: U, C and the time constants. :param threshold: of d, 0.1 as published.
    :raises ValueError: for a threshold of 0 or less.
    """

    plasticity: Plasticity = Plasticity()
    threshold: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.threshold < np.inf:
            raise ValueError(f"MotionGate got threshold={self.threshold}, expected more than 0.")

    def start(self, stream: SpikeStream) -> MotionState:
        """The state before the first frame: rested pixels."""
        cells = plain(stream[:0]).layout.size * 8
        full, none = np.ones(cells, np.float32), np.zeros(cells, np.float32)
        return MotionState(full, np.full(cells, self.plasticity.U, np.float32), none, full, full)

    def __call__(
        self, stream: SpikeStream, state: MotionState | None = None, threads: int = 1
    ) -> tuple[SpikeStream, MotionState]:
        """The spikes that pass, and the state after them.

        :param stream: frames in a row; of a window, those of the window.
        :param state: after the frames before; default: fresh. :param threads: that pixels are shared among.
        :raises ValueError: for a state of another size.
        """
        stream = plain(stream)
        state = self.start(stream) if state is None else state
        arrays = _own(self, state, stream.layout.size * 8)
        frames = np.ascontiguousarray(stream.packed())
        out = np.empty_like(frames)
        if len(frames) and compiled() is not None:
            from . import gate_kernels

            gate_kernels.motion(self.constants(), frames, arrays, out, threads)
            return stream_of(stream, out), MotionState(*arrays)
        recover, facilitate, threshold = (np.float32(c) for c in self.constants()[2:])
        R, u, g, D, F = arrays
        one, half, tiny = np.float32(1), np.float32(0.5), np.float32(TINY)
        for k in range(len(frames)):
            fires = unpack(frames[k]) > 0
            D, F, g = (np.maximum(x * by, tiny) for x, by in ((D, recover), (F, facilitate), (g, half)))
            new, released = self.plasticity.tabled(R, u, D, F)
            d = np.abs(new - R)
            changed = g + half * (d / new)
            out[k] = pack(fires & (d * (one + np.sqrt(changed)) >= threshold))
            R, u, g = np.where(fires, new, R), np.where(fires, released, u), np.where(fires, changed, g)
            D, F = np.where(fires, one, D), np.where(fires, one, F)
        return stream_of(stream, out), MotionState(R, u, g, D, F)

    def constants(self) -> tuple[float, float, float, float, float]:
        """U, C, the two factors of a frame, and the threshold."""
        p = self.plasticity
        recover, facilitate = (factor[0] for factor in p.decay(np.ones(1)))
        return p.U, p.C, float(recover), float(facilitate), self.threshold


@dataclass(frozen=True)
class LocalGate:
    """A neuron at each pixel, which fires where several spikes come close together.

    In each frame, with S the spikes of the 3×3 pixels around (none outside the picture)::

        V ← V − leak where no spike is        V ← max(V + gain·ΣS, floor)        fire, and V ← keep·V, where V ≥ fire

    SpikeCV's ``local_connect``, with its numbers.

    :raises ValueError: for a firing threshold that is not above the floor, or a ``keep`` outside of 0 to 1.
    """

    gain: float = 3.0
    leak: float = 1.0
    floor: float = -8.0
    fire: float = 2.0
    keep: float = 0.8

    def __post_init__(self) -> None:
        if not self.floor < self.fire or not 0 <= self.keep <= 1:
            raise ValueError(
                f"LocalGate got floor={self.floor}, fire={self.fire}, keep={self.keep}, expected a floor below the "
                "threshold and 0 to 1."
            )

    def start(self, stream: SpikeStream) -> NDArray[np.float32]:
        """The voltages before the first frame."""
        return np.zeros(plain(stream[:0]).layout.size * 8, np.float32)

    def __call__(
        self, stream: SpikeStream, state: NDArray[np.float32] | None = None
    ) -> tuple[SpikeStream, NDArray[np.float32]]:
        """The spikes of the neurons, and their voltages after them; see :meth:`MotionGate.__call__`."""
        stream = plain(stream)
        (V,) = _own(self, (self.start(stream) if state is None else state,), stream.layout.size * 8)
        frames, width, cells = np.ascontiguousarray(stream.packed()), stream.width, stream.layout.cells
        out = np.zeros_like(frames)
        if len(frames) and compiled() is not None:
            from . import gate_kernels

            gate_kernels.local((self.gain, self.leak, self.floor, self.fire, self.keep), frames, V, out, width, cells)
            out[:, -1] &= 255 >> out.shape[1] * 8 - cells  # what fills up the last byte is no pixel
            V[cells:] = 0
            return stream_of(stream, out), V
        gain, leak, floor, fire, keep = (
            np.float32(c) for c in (self.gain, self.leak, self.floor, self.fire, self.keep)
        )
        V = V[:cells].reshape(stream.height, width)
        for k in range(len(frames)):
            spikes = unpack(frames[k])[:cells].reshape(V.shape)
            V = np.where(spikes > 0, V, V - leak)
            V = np.maximum(V + gain * around(spikes), floor)
            fires = fire <= V
            out[k] = pack(fires.reshape(-1))
            V = np.where(fires, V * keep, V)
        return stream_of(stream, out), np.pad(V.reshape(-1), (0, out.shape[1] * 8 - cells))


def around(spikes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The sum of the 3×3 pixels around each one of ``[H, W]``, 0 outside."""
    rows = np.pad(spikes, 1)
    rows = rows[:-2] + rows[1:-1] + rows[2:]
    return (rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]).astype(np.float32)


def plain(stream: SpikeStream) -> SpikeStream:
    """The same picture with every cell a pixel; copied only if it was not so."""
    if stream.window is None and stream.layout.plain:
        return stream
    return stream_of(stream, stream.bits(), Layout(stream.width, stream.height, flip=False))


def stream_of(stream: SpikeStream, frames: NDArray[np.uint8], layout: Layout | None = None) -> SpikeStream:
    """Other frames at the same time."""
    return SpikeStream(frames, layout or stream.layout, stream.rate, stream.first)


def _own(gate: Any, state: Any, cells: int) -> list[NDArray[np.float32]]:
    """Copies of a state's arrays, to change."""
    if wrong := [array.shape for array in state if array.shape != (cells,) or array.dtype != np.float32]:
        raise ValueError(
            f"{type(gate).__name__} got a state of {wrong[0]}, expected float32 [{cells}]; it is of another sensor."
        )
    return [array.copy() for array in state]
