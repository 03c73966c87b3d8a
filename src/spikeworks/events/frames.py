"""Events counted into frames ``[T, 2, H, W]``, every event in exactly the frames it belongs to.

Channel 0 counts darker (OFF, ``p`` 0), channel 1 brighter (ON, ``p`` 1); with ``polarity=False`` one channel counts
both. Frames are torch tensors, since what follows is a network: float32 by default, ``torch.uint8`` for storage. Their
memory is written once, by numpy's unbuffered addition, which is faster here than torch's.

Sums are exact: a frame's counts add up to the events of its span, or the call is refused.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .stream import EventStream

LARGEST = 1 << 34
"""Bytes of the largest result: 16 GiB. One wrong time stamp makes a recording of years, which is refused."""

_COUNTS = {
    torch.uint8: (np.uint8, 2**8 - 1),
    torch.int16: (np.int16, 2**15 - 1),
    torch.int32: (np.int32, 2**31 - 1),
    torch.int64: (np.int64, 2**63 - 1),
    torch.float32: (np.float32, 2**24),  # what it counts to without a gap
    torch.float64: (np.float64, 2**53),
}
_LIMIT = 1 << 63


def by_number(
    stream: EventStream,
    frames: int,
    *,
    dtype: torch.dtype = torch.float32,
    polarity: bool = True,
    saturate: bool = False,
) -> Tensor:
    """``[T, C, H, W]``: frame k counts events ``⌊kN/T⌋`` to ``⌊(k+1)N/T⌋ − 1``, so that numbers differ by at most 1.

    :param stream: N events in order of time; fewer than ``frames`` leave some frames empty.
    :param frames: T, at least 1.
    :param dtype: of the counts: uint8, int16, int32, int64, float32 or float64 of torch.
    :param polarity: one channel for each polarity (C = 2) or one for both (C = 1).
    :param saturate: counts above what ``dtype`` holds become the largest it holds; otherwise they are refused.
    :raises ValueError: for a stream not in order, no frames, a dtype that is none of these, or counts above it.
    """
    _at_least("by_number", "frames", frames)
    fits("by_number", stream, frames, dtype, polarity)
    stream.needs_order("by_number")
    edges = [k * len(stream) // frames for k in range(frames + 1)]
    return _count("by_number", stream, edges[:-1], edges[1:], dtype, polarity, saturate)


def by_time(
    stream: EventStream,
    frames: int,
    start: int | None = None,
    stop: int | None = None,
    *,
    dtype: torch.dtype = torch.float32,
    polarity: bool = True,
    saturate: bool = False,
) -> Tensor:
    """``[T, C, H, W]``: T equal parts of the time from ``start`` to ``stop``; a part without events is an empty frame.

    Event i is in frame ``⌊T(t_i − start)/(stop − start)⌋``, in whole numbers and so without rounding.

    :param stream: in any order. :param frames: T, at least 1; may be more than there are microseconds.
    :param start: first microsecond; default: that of the first event.
    :param stop: microsecond after the last; default: after the last event, which is thus in.
    Events outside are left out. The others as in :func:`by_number`.
    :raises ValueError: for no frames, ``stop`` not after ``start``, or as :func:`by_number`.
    """
    _at_least("by_time", "frames", frames)
    fits("by_time", stream, frames, dtype, polarity)
    stream = stream.sort()
    begin, end = span("by_time", stream, start, stop)
    # the first t with T(t - begin)/(end - begin) >= k is begin + ceil(k(end - begin)/T)
    edges = _places(stream, [begin - (k * (begin - end) // frames) for k in range(frames + 1)])
    return _count("by_time", stream, edges[:-1], edges[1:], dtype, polarity, saturate)


def by_duration(
    stream: EventStream,
    duration: int,
    start: int | None = None,
    stop: int | None = None,
    *,
    dtype: torch.dtype = torch.float32,
    polarity: bool = True,
    saturate: bool = False,
) -> Tensor:
    """``[T, C, H, W]`` of ``duration`` microseconds each; the last is kept although its time may end before it is full.

    ``T = ⌈(stop − start)/duration⌉`` and event i is in frame ``⌊(t_i − start)/duration⌋``. No events, no frames.

    :param stream: in any order. :param duration: microseconds, at least 1. :param start: :param stop: as in
        :func:`by_time`; a stream without events and without these has T = 0.
    The others as in :func:`by_number`.
    :raises ValueError: for a duration below 1, a result above :data:`LARGEST`, or as :func:`by_time`.
    """
    _at_least("by_duration", "duration", duration)
    stream = stream.sort()
    begin, end = 0, 0
    if len(stream) or (start is not None and stop is not None):
        begin, end = span("by_duration", stream, start, stop)
    frames = -((begin - end) // duration)
    fits("by_duration", stream, frames, dtype, polarity)
    edges = _places(stream, [min(begin + k * duration, end) for k in range(frames + 1)])
    return _count("by_duration", stream, edges[:-1], edges[1:], dtype, polarity, saturate)


def sliding(
    stream: EventStream,
    duration: int,
    stride: int,
    start: int | None = None,
    *,
    dtype: torch.dtype = torch.float32,
    polarity: bool = True,
    saturate: bool = False,
) -> Tensor:
    """``[T, C, H, W]``: frame k counts the events with ``k·stride <= t − start < k·stride + duration``.

    Frames go on while one begins at or before the last event, as those of :meth:`EventStream.windows` do. A stride
    below the duration counts an event in several frames, one above it leaves some out.

    :param stream: in any order. :param duration: microseconds, at least 1. :param stride: microseconds, at least 1.
    :param start: where the first begins; default: at the first event.
    The others as in :func:`by_number`.
    :raises ValueError: for a duration or stride below 1, a result above :data:`LARGEST`, or as :func:`by_number`.
    """
    _at_least("sliding", "duration", duration)
    _at_least("sliding", "stride", stride)
    stream = stream.sort()
    begin = start if start is not None or not len(stream) else int(stream.t[0])
    frames = 0 if begin is None or not len(stream) else max(0, (int(stream.t[-1]) - begin) // stride + 1)
    fits("sliding", stream, frames, dtype, polarity)
    begins = [(begin or 0) + k * stride for k in range(frames)]
    first, last = _places(stream, begins), _places(stream, [b + duration for b in begins])
    return _count("sliding", stream, first, last, dtype, polarity, saturate)


def pixels(stream: EventStream, polarity: bool) -> NDArray[np.int64]:
    """``[N]``: where each event is in a frame ``[C, H, W]`` that has been flattened.

    :param polarity: C is 2, one channel for each polarity; else 1.
    """
    # half the memory traffic where 32 bits do; unbuffered addition is fast only with 64
    small = 2 * stream.height * stream.width < 2**31
    place = stream.p.astype(np.int32 if small else np.int64) if polarity else np.zeros(len(stream), np.int32)
    if polarity:
        place *= stream.height
    elif not small:
        place = place.astype(np.int64)
    place += stream.y
    place *= stream.width
    place += stream.x
    return place.astype(np.int64, copy=False)


def span(owner: str, stream: EventStream, start: int | None, stop: int | None) -> tuple[int, int]:
    """The time from ``start`` to before ``stop``: by default from the first event to the microsecond after the last.

    :param owner: who asks, for messages. :param stream: in order; without events it stands for one at ``start`` or 0.
    :raises ValueError: if ``stop`` is not after ``start``, or one leaves 64 bits.
    """
    if start is None:
        start = int(stream.t[0]) if len(stream) else 0 if stop is None else stop - 1
    if stop is None:
        stop = (int(stream.t[-1]) if len(stream) else start) + 1
    if not -_LIMIT <= start < stop < min(_LIMIT, start + _LIMIT):
        raise ValueError(
            f"{owner} got start={start}, stop={stop}, expected whole microseconds, start < stop, within 64 bits."
        )
    return start, stop


def _places(stream: EventStream, times: list[int]) -> list[int]:
    """How many events are before each of the times; the stream is in order."""
    clipped = np.array([min(max(t, -_LIMIT), _LIMIT - 1) for t in times], np.int64)
    places = np.searchsorted(stream.t, clipped)
    places[[t >= _LIMIT for t in times]] = len(stream)
    return places.tolist()


def _count(
    owner: str,
    stream: EventStream,
    first: list[int],
    last: list[int],
    dtype: torch.dtype,
    polarity: bool,
    saturate: bool,
) -> Tensor:
    """The one kernel: frame k counts events ``first[k]`` to before ``last[k]``, which is not less."""
    kind, most = _COUNTS[dtype]
    channels = 2 if polarity else 1
    size = channels * stream.height * stream.width
    frames = np.zeros((len(first), size), kind)
    place, one = pixels(stream, polarity), kind(1)
    for frame, i, j in zip(frames, first, last, strict=True):
        if saturate and j - i > most:
            frame[:] = np.minimum(np.bincount(place[i:j], minlength=size), most)
            continue
        np.add.at(frame, place[i:j], one)
        # what went over wrapped around or stood still, so the sum is too small
        if j - i > most and frame.sum(dtype=np.float64 if dtype.is_floating_point else np.int64) != j - i:
            raise ValueError(
                f"{owner} got a pixel with more than {most} events in one frame, expected counts that {dtype} holds; "
                "pass dtype=torch.int32, more frames, or saturate=True."
            )
    return torch.from_numpy(frames).view(len(first), channels, stream.height, stream.width)


def fits(owner: str, stream: EventStream, frames: int, dtype: torch.dtype, polarity: bool) -> None:
    """Refuse a dtype that does not count, and a result above :data:`LARGEST`.

    :param owner: who asks, for messages. :param stream: tells the sensor. :raises ValueError: for these.
    """
    if dtype not in _COUNTS:
        raise ValueError(f"{owner} got dtype={dtype}, expected one of {', '.join(map(str, _COUNTS))}.")
    size = frames * (2 if polarity else 1) * stream.height * stream.width * dtype.itemsize
    if size > LARGEST:
        raise ValueError(
            f"{owner} got {frames:,} frames of {stream.width}×{stream.height}, {size / 2**30:,.1f} GiB, "
            f"expected at most {LARGEST >> 30} GiB; look for a wrong time stamp, or take .windows() one by one."
        )


def _at_least(owner: str, name: str, value: int) -> None:
    if value < 1:
        raise ValueError(f"{owner} got {name}={value}, expected at least 1.")
