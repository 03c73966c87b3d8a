"""Spikes as events and back: which pixels fired when, instead of which fired in each frame."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..events.stream import EventStream, concatenate, empty
from .layout import Layout, ones, unpack
from .stream import BLOCK, RATE, SpikeStream

LARGEST = 1 << 32
"""Bytes of a stream that is made of events, at most, unless its number of frames is given."""

CELLS = 1 << 24
"""Pixels of frames that are unpacked at a time."""


def event_blocks(stream: SpikeStream, count: int = BLOCK) -> Iterator[EventStream]:
    """The spikes of so many frames after another as events, in order of time; memory holds one block.

    A spike of frame ``k``, counted from the begin of the recording (``stream.first`` on), is an event at
    ``t = round(k · 10⁶ / rate)`` µs of polarity 1. ``events.write(path, event_blocks(stream))`` writes any recording.

    :param count: frames of a block, fewer where pictures are large.
    :raises ValueError: for a rate above 1 MHz: frames would share their microsecond.
    """
    if stream.rate > 1e6:
        raise ValueError(f"event_blocks got {stream}, expected at most 1 MHz: events are timed in microseconds.")
    for block in stream.blocks(max(1, min(count, CELLS // (stream.width * stream.height)))):
        pictures = np.ascontiguousarray(block.picture(unpack(block.packed())))
        frame, pixel = np.divmod(np.flatnonzero(pictures), stream.width * stream.height)
        y, x = np.divmod(pixel, stream.width)
        t = _times(block.first + np.arange(len(block)), stream.rate)[frame]
        yield EventStream(t, x, y, np.ones(len(t), np.uint8), stream.width, stream.height)


def to_events(stream: SpikeStream) -> EventStream:
    """All spikes as events, see :func:`event_blocks`; 13 bytes a spike, unpacked block by block.

    :raises ValueError: for a rate above 1 MHz.
    """
    blocks = list(event_blocks(stream))
    return concatenate(blocks) if blocks else empty(stream.width, stream.height)


def from_events(
    events: EventStream, rate: float = RATE, frames: int | None = None, first: int = 0, flip: bool = True,
    nearest: bool = False, merge: bool = False,
) -> SpikeStream:  # fmt: skip
    """A stream whose pixels fire in the frames of their events: ``k = round(t · rate / 10⁶)``.

    ``from_events(to_events(s), s.rate, len(s), s.first)`` shows what ``s`` shows.

    :param events: in any order, of polarity 1. :param rate: frames a second, Hz, at most 10⁶.
    :param frames: how many; default: to the last event. :param first: the number of the first frame.
    :param flip: stored with the lowest row first. :param nearest: an event between two frames belongs to the nearer
        one; else it is refused. :param merge: several events of a pixel in one frame are one spike; else they are
        refused.
    :raises ValueError: for polarity 0, times of no frame or before the first, two events in one place, a rate out of
        range, or events so far apart that the frames between them would fill gigabytes.
    """
    if not 0 < rate <= 1e6 or first < 0 or (frames is not None and frames < 0):
        raise ValueError(
            f"from_events got rate={rate}, frames={frames}, first={first}, expected more than 0 and at most 10⁶ Hz, "
            "and no number below 0."
        )
    if len(events) and not events.p.all():
        raise ValueError(
            "from_events got events of polarity 0, expected those of spikes, which have 1; take events[events.p == 1]."
        )
    layout = Layout(events.width, events.height, flip)
    number = np.rint(events.t * (rate / 1e6)).astype(np.int64)
    late = _times(number, rate) != events.t
    if late.any() and not nearest:
        raise ValueError(
            f"from_events got t={events.t[late.argmax()]} µs, which is no frame at {rate:g} Hz ({late.sum():,} such "
            "events); check the rate, or pass nearest=True."
        )
    number -= first
    last = int(number.max()) if len(number) else -1
    count = last + 1 if frames is None else frames
    if len(number) and (int(number.min()) < 0 or last >= count):
        raise ValueError(
            f"from_events got events of the frames {int(number.min()) + first:,} to {last + first:,}, expected "
            f"{first:,} to {first + count - 1:,}; take those between, or pass first= and frames=."
        )
    if frames is None and count * layout.size > LARGEST:
        raise ValueError(
            f"from_events got events up to frame {last + first:,}, {count * layout.size >> 20:,} MiB of frames from "
            f"{first:,} on; pass first= and frames=, or take events of a shorter time."
        )
    packed = np.zeros((count, layout.size), np.uint8)
    row = events.height - 1 - events.y.astype(np.int64) if flip else events.y.astype(np.int64)
    cell = row * events.width + events.x
    np.bitwise_or.at(packed.reshape(-1), number * layout.size + (cell >> 3), np.uint8(1) << (cell & 7).astype(np.uint8))
    spikes = sum(ones(packed[k : k + BLOCK]) for k in range(0, count, BLOCK))
    if spikes != len(events) and not merge:
        raise ValueError(
            f"from_events got {len(events) - spikes:,} events of pixels that have fired in that frame already, "
            "expected one a frame at most; pass merge=True to make them one."
        )
    return SpikeStream(packed, layout, rate, first)


def _times(numbers: NDArray[np.int64], rate: float) -> NDArray[np.int64]:
    return np.rint(numbers * (1e6 / rate)).astype(np.int64)
