"""Other pictures of events than counts: voxel grids, time surfaces, latencies; and frames made smaller.

All are float32 tensors ``[..., C, H, W]`` with darker (OFF) in channel 0 and brighter (ON) in channel 1, as in
:mod:`~spikeworks.events.frames`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from .frames import by_number, fits, pixels, span
from .stream import EventStream


def count_map(stream: EventStream, *, dtype: torch.dtype = torch.float32, polarity: bool = True) -> Tensor:
    """``[C, H, W]``: how many events each pixel had in all.

    :param stream: in any order. :param dtype: :param polarity: as in :func:`~spikeworks.events.frames.by_number`.
    :raises ValueError: for counts above what ``dtype`` holds.
    """
    return by_number(stream.sort(), 1, dtype=dtype, polarity=polarity)[0]


def binary(frames: Tensor) -> Tensor:
    """1 where a frame of any shape counts an event, else 0; of the same dtype."""
    return (frames > 0).to(frames.dtype)


def voxel_grid(
    stream: EventStream, bins: int, start: int | None = None, stop: int | None = None, *, polarity: bool = False
) -> Tensor:
    """``[T, 1, H, W]``: each event's sign shared between the two bins next to it in time, by nearness.

    ``V(k, y, x) = Σ_i s_i max(0, 1 − |k − t*_i|)`` over the events of the pixel, with ``t*_i = (T − 1)(t_i −
    t_0)/(t_N − t_0)`` and s = ±1. The shares of an event add up to its sign, so the grid's sum is brighter less darker
    events. Zhu, Yuan, Chaney, Daniilidis, CVPR 2019, eq. 1–3 (theirs divides by no time of 0; here t* is then 0).

    :param stream: in any order. :param bins: T, at least 1. :param start: time of the first bin; default: first event.
    :param stop: microsecond after the time of the last bin; default: after the last event. Events outside are left out.
    :param polarity: ``[T, 2, H, W]`` instead: shares of 1 in one channel for each polarity.
    :raises ValueError: for no bins, or ``stop`` not after ``start``.
    """
    if bins < 1:
        raise ValueError(f"voxel_grid got bins={bins}, expected at least 1.")
    fits("voxel_grid", stream, bins, torch.float64, polarity)
    begin, end = span("voxel_grid", stream.sort(), start, stop)
    stream = stream.between(begin, end)
    size = (2 if polarity else 1) * stream.height * stream.width
    position = (stream.t - begin) * ((bins - 1) / max(1, end - 1 - begin))
    left = np.minimum(position.astype(np.int64), max(0, bins - 2))
    share = position - left
    weight = np.ones(len(stream)) if polarity else np.where(stream.p == 1, 1.0, -1.0)
    place = left * size + pixels(stream, polarity)
    grid = np.bincount(place, weight * (1 - share), minlength=bins * size)
    if bins > 1:
        grid += np.bincount(place + size, weight * share, minlength=bins * size)
    shape = (bins, size // (stream.height * stream.width), stream.height, stream.width)
    return torch.from_numpy(grid.astype(np.float32)).view(shape)


def time_surface(
    stream: EventStream,
    times: Sequence[int],
    tau: float,
    *,
    decay: Literal["exponential", "linear"] = "exponential",
    polarity: bool = True,
) -> Tensor:
    """``[T, C, H, W]``: at each of the times, how fresh each pixel's last event is: 1 now, 0 for none or long ago.

    With a the age ``times[k] − t`` of the pixel's last event until then: ``exp(−a/tau)`` (HOTS: Lagorce et al., IEEE
    TPAMI 39(7), 2017, eq. 3), or ``max(0, 1 − a/tau)``. The ages themselves are the surface of active events
    (Benosman et al., IEEE TNNLS 25(2), 2014); HOTS takes it for each polarity, as here by default.

    :param stream: in any order. :param times: microseconds, in order; an event of that time counts.
    :param tau: microseconds, above 0.
    :param decay: ``"exponential"`` or ``"linear"``. :param polarity: a surface for each polarity (C = 2), or one.
    :raises ValueError: for times not in order, a tau not above 0, or another decay.
    """
    if decay not in ("exponential", "linear"):
        raise ValueError(f"time_surface got decay={decay!r}, expected 'exponential' or 'linear'; choose one.")
    if not tau > 0:
        raise ValueError(f"time_surface got tau={tau}, expected above 0 microseconds.")
    if any(b < a for a, b in pairwise(times)):
        raise ValueError("time_surface got times that are not in order, expected ascending ones; sort them.")
    fits("time_surface", stream, len(times), torch.float32, polarity)
    stream = stream.sort()
    channels = 2 if polarity else 1
    place = pixels(stream, polarity)
    seen = np.zeros(channels * stream.height * stream.width, bool)
    last = np.zeros(len(seen), np.int64)
    surface = np.zeros((len(times), len(seen)), np.float32)
    done = 0
    for k, now in enumerate(times):
        until = int(np.searchsorted(stream.t, now, "right"))
        last[place[done:until]] = stream.t[done:until]  # of events at one place the last one stays
        seen[place[done:until]] = True
        age = (now - last[seen]) / tau
        surface[k, seen] = np.exp(-age) if decay == "exponential" else np.maximum(0, 1 - age)
        done = until
    return torch.from_numpy(surface).view(len(times), channels, stream.height, stream.width)


def latency_map(
    stream: EventStream, start: int | None = None, stop: int | None = None, *, polarity: bool = True
) -> Tensor:
    """``[C, H, W]``: how early each pixel's first event is: 1 at ``start``, towards 0 at ``stop``, 0 for none.

    ``1 − (t_first − start)/(stop − start)``: time to the first spike, as ``layers.Latency`` reads it, which makes one
    spike of each value and fires the earlier the larger it is.

    :param stream: in any order. :param start: default: the first event's time. :param stop: default: the microsecond
        after the last event. :param polarity: a map for each polarity (C = 2), or one.
    :raises ValueError: if ``stop`` is not after ``start``.
    """
    fits("latency_map", stream, 1, torch.float32, polarity)
    stream = stream.sort()
    begin, end = span("latency_map", stream, start, stop)
    stream = stream.between(begin, end)
    channels = 2 if polarity else 1
    latency = np.zeros(channels * stream.height * stream.width, np.float32)
    value = 1 - (stream.t - begin) / (end - begin)
    latency[pixels(stream, polarity)[::-1]] = value[::-1]  # of events at one place the first one stays
    return torch.from_numpy(latency).view(channels, stream.height, stream.width)


def downsample(frames: Tensor, factor: int | tuple[int, int]) -> Tensor:
    """``[..., H, W]`` → ``[..., ⌈H/f⌉, ⌈W/f⌉]``: sums over squares of f × f pixels, so that no event is lost.

    :param frames: counts of any dtype, which is kept. The last row and column of squares may be smaller.
    :param factor: f, at least 1; or one for rows and one for columns.
    :raises ValueError: for a factor below 1, fewer than two axes, or sums above what an integer dtype holds.
    """
    rows, columns = (factor, factor) if isinstance(factor, int) else factor
    if min(rows, columns) < 1 or frames.dim() < 2:
        raise ValueError(
            f"downsample got factor={factor} for frames {tuple(frames.shape)}, expected at least 1 and [..., H, W]."
        )
    height, width = frames.shape[-2:]
    padded = torch.nn.functional.pad(frames, (0, -width % columns, 0, -height % rows))
    pooled = padded.unflatten(-1, (-1, columns)).unflatten(-3, (-1, rows)).sum((-3, -1))
    if not frames.is_floating_point() and pooled.numel() and int(pooled.max()) > torch.iinfo(frames.dtype).max:
        raise ValueError(
            f"downsample got sums up to {int(pooled.max())}, expected what {frames.dtype} holds; convert the frames to "
            "a wider dtype first."
        )
    return pooled.to(frames.dtype)
