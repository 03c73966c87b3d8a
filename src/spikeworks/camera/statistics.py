"""What a recording of a still scene tells of its sensor: eight statistics that a simulated one should share."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .layout import pack, unpack
from .stream import SpikeStream

BINS = (2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 12.0, 20.0)
"""Edges of the mean interval, in frames, between which pixels are taken together."""
WINDOWS = (10, 20, 40, 80)
"""Frames over which spikes are counted."""
TILE = 25
"""Rows and columns of a tile that is asked whether it is flat."""
LONGEST = 1 << 16
"""Intervals from this on are counted as this long."""
_AT_ONCE = 1 << 24  # bits that are unpacked at once


@dataclass(frozen=True, eq=False)
class Statistics:
    """The eight, of one recording; ``nan`` where there was nothing to tell it by.

    :param excess: variance of a pixel's intervals above that of rounding to whole frames, ``f·(1 - f)`` with f what the
        mean has behind the point, frames²; mean over the pixels of each of :data:`BINS`. 0: a pixel without noise.
    :param lag: correlation of an interval with the next, median over the pixels of each bin; pixels whose intervals are
        all the same have none.
    :param same: share of the pixels whose intervals are all the same, of those with eight or more.
    :param fano: variance over mean of the spikes in a window, mean over pixels, for each of :data:`WINDOWS`.
    :param spread: of the rate over a flat patch, relative, after a high-pass; see :func:`flat_spread`.
    :param dark: histogram of the intervals of the dimmest hundredth of the pixels: shares of :data:`DARK_BINS`.
    :param saturated: share of pixels that fire in every frame.
    :param entropy: bits per interval, of their histogram over all pixels.
    :param zlib_frames: how much zlib (level 6) packs frame after frame. :param zlib_pixels: and pixel after pixel.
    :param rate: mean over the recording, spikes per frame, ``[H, W]``.
    :param frames: how many there were.
    """

    excess: NDArray[np.float64]
    lag: NDArray[np.float64]
    same: float
    fano: NDArray[np.float64]
    spread: float
    dark: NDArray[np.float64]
    saturated: float
    entropy: float
    zlib_frames: float
    zlib_pixels: float
    rate: NDArray[np.float64]
    frames: int


DARK_BINS = tuple(2 ** (k / 2) for k in range(0, 21))
"""Edges of the intervals of dim pixels, in frames: two to the double; longer ones are in the last bin."""


def statistics(stream: SpikeStream) -> Statistics:
    """Measure a recording. Holds the packed recording once, and once more pixel by pixel; 500 frames take seconds.

    :raises ValueError: for fewer than 20 frames, or a picture smaller than 25×25.
    """
    if len(stream) < 2 * WINDOWS[0] or min(stream.height, stream.width) < TILE:
        raise ValueError(
            f"statistics got {stream}, expected at least {2 * WINDOWS[0]} frames of at least {TILE}×{TILE} pixels."
        )
    cells, packed = stream.height * stream.width, stream.bits()
    bands = list(_bands(packed, cells))
    rows = pack(np.concatenate(bands)) if len(bands) > 1 else pack(bands[0])
    found = [_intervals(band) for band in bands]
    count, mean, square, product = (np.concatenate([f[k] for f in found]) for k in range(4))
    histogram = np.sum([f[4] for f in found], 0)
    rate = np.concatenate([band.mean(1) for band in bands])
    part = mean % 1
    enough = count >= 8
    excess, lag = square / np.maximum(count, 1) - part * (1 - part), product / np.where(square > 0, square, np.nan)
    which = np.where(enough, np.searchsorted(BINS, mean, "right") - 1, -1)
    inside = [which == k for k in range(len(BINS) - 1)]
    shares = histogram[1:] / max(histogram.sum(), 1)
    return Statistics(
        excess=np.array([excess[i].mean() if i.any() else np.nan for i in inside]),
        lag=np.array([np.median(lag[i & (square > 0)]) if (i & (square > 0)).any() else np.nan for i in inside]),
        same=float((square[enough] == 0).mean()) if enough.any() else np.nan,
        fano=np.array([_fano(bands, window) for window in WINDOWS]),
        spread=flat_spread(rate.reshape(stream.height, stream.width)),
        dark=dark_intervals(stream),
        saturated=float((rate == 1).mean()),
        entropy=float(-(shares[shares > 0] * np.log2(shares[shares > 0])).sum()),
        zlib_frames=_packs(packed),
        zlib_pixels=_packs(rows),
        rate=rate.reshape(stream.height, stream.width),
        frames=len(stream),
    )


def dark_intervals(stream: SpikeStream, which: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
    """The histogram of the intervals of the dimmest hundredth of the pixels, or of those in a mask ``[H, W]``.

    :returns: the share of the intervals in each of :data:`DARK_BINS`; of no interval, 0.
    """
    packed, cells = stream.bits(), stream.height * stream.width
    rate = np.concatenate([band.mean(1) for band in _bands(packed, cells)])
    asked = np.ones(cells, bool) if which is None else which.reshape(-1)
    at = np.flatnonzero(asked & (rate <= np.quantile(rate[asked], 0.01)))
    bits = ((packed[:, at // 8] >> (at % 8)) & 1).astype(np.uint8)
    histogram = _intervals(np.ascontiguousarray(bits.T))[4]
    bins = np.minimum(np.searchsorted(DARK_BINS, np.arange(1, len(histogram)), "right") - 1, len(DARK_BINS) - 1)
    counts = np.bincount(bins, histogram[1:], len(DARK_BINS))
    return counts / max(counts.sum(), 1)


def flat_spread(rate: NDArray[np.float64]) -> float:
    """How pixels differ where the scene does not: what gain and dark charge do, and texture too fine to be told apart.

    Of each pixel the mean of its eight neighbours is taken off and divided by (white noise keeps 9/8 of its variance,
    which is undone); in tiles of 25×25 the standard deviation is taken, a robust one so that a scratch does not count;
    the tenth of the tiles that are flattest tell the value, by their median.

    :param rate: ``[H, W]``, at least 25×25.
    """
    height, width = rate.shape
    box = sum(rate[y : height - 2 + y, x : width - 2 + x] for y in range(3) for x in range(3))
    around = (box - rate[1:-1, 1:-1]) / 8
    beyond = np.where(around > 0, rate[1:-1, 1:-1] / np.where(around > 0, around, 1) - 1, np.nan) / np.sqrt(9 / 8)
    step = TILE - 2
    tiles = [
        beyond[y : y + step, x : x + step]
        for y in range(0, height - TILE + 1, step)
        for x in range(0, width - TILE + 1, step)
    ]
    spreads = [1.4826 * np.median(np.abs(t - np.median(t))) for t in tiles if not np.isnan(t).any()]
    if not spreads:
        return float("nan")
    return float(np.median(np.sort(spreads)[: max(1, len(spreads) // 10)]))


def _bands(packed: NDArray[np.uint8], cells: int) -> Iterator[NDArray[np.uint8]]:
    """The bits of some pixels after the other, ``[pixels, T]``."""
    step = max(1, _AT_ONCE // len(packed) // 8)
    for start in range(0, packed.shape[1], step):
        bits = unpack(np.ascontiguousarray(packed[:, start : start + step]))
        yield np.ascontiguousarray(bits[:, : cells - 8 * start].T)


def _intervals(band: NDArray[np.uint8]) -> tuple[NDArray[Any], ...]:
    """Of each pixel: intervals, their mean, sum of squares and of products with the next; a histogram of all."""
    pixels, frames = band.shape
    at = np.flatnonzero(band.reshape(-1))
    owner = at // frames
    inside = owner[1:] == owner[:-1]
    gap, owner = np.diff(at)[inside], owner[1:][inside]
    count = np.bincount(owner, minlength=pixels)
    mean = np.bincount(owner, gap, pixels) / np.maximum(count, 1)
    rest = gap - mean[owner]
    square = np.bincount(owner, rest * rest, pixels)
    square[square < 1e-9] = 0  # of equal intervals, whose mean is rounded
    pair = owner[1:] == owner[:-1]
    product = np.bincount(owner[1:][pair], (rest[1:] * rest[:-1])[pair], pixels)
    return count, mean, square, product, np.bincount(np.minimum(gap, LONGEST), minlength=LONGEST + 1)


def _fano(bands: list[NDArray[np.uint8]], window: int) -> float:
    parts = []
    for band in bands:
        windows = band.shape[1] // window
        if windows < 2:
            return float("nan")
        counts = band[:, : windows * window].reshape(len(band), windows, window).sum(2, dtype=np.int32)
        mean = counts.mean(1)
        parts.append((counts.var(1, ddof=1) / np.where(mean > 0, mean, np.nan))[mean > 0])
    values = np.concatenate(parts)
    return float(values.mean()) if len(values) else float("nan")


def _packs(packed: NDArray[np.uint8]) -> float:
    squeezed, pack_ = 0, zlib.compressobj(6)
    for start in range(0, len(packed), 4096):
        squeezed += len(pack_.compress(np.ascontiguousarray(packed[start : start + 4096]).tobytes()))
    return packed.nbytes / (squeezed + len(pack_.flush()))
