"""Motion by matching blocks of light from intervals, coarse to fine; numpy alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .flow import Flow, arrive, consistent, per_frame, two_frames
from .intervals import KIntervals
from .stream import SpikeStream

BACK = 3.0
"""Pixels that matching on the half size, there and back again, may end beside the beginning."""

FINEST = 3
"""Shifts around the best of the level before that are tried on the whole image; two more than a parabola takes."""


def match(
    stream: SpikeStream, t0: int, t1: int, reach: int = 40, block: int = 13, spikes: int = 4, sure: float = 0.2
) -> Flow:
    """Block matching on light from intervals.

    The light of a pixel is ``(2k − 1)/(b − a)``, with ``a`` the k-th spike up to ``t`` and ``b`` the k-th after it: a
    window as long as the pixel's light asks for, short where it is bright. The cost of a shift ``d`` is the sum of
    ``|light₀(p) − light₁(p + d)|`` over a block of pixels. All shifts are tried on images of a quarter of the size,
    then those close to the best, on a half and on the whole, where a parabola through the costs on both sides of the
    least one tells the fraction: ``(c₋ − c₊) / (2(c₋ − 2c₀ + c₊))``.

    The confidence is ``1 − c₀/c₂``, with ``c₂`` the least cost at two pixels' distance: small without texture, and
    along an edge. Valid where it is at least ``sure``, where both lights are, where the pixel stays in the image, and
    where matching back from there (on the half size) leads back to it.
    Our own make of what is common knowledge; made for large motion of few parts, not for pixels that each go elsewhere.

    :param reach: pixels that anything is gone from ``t0`` to ``t1``, in x and in y, at most; 1 to 256.
    :param block: pixels of a block's side, odd, 3 to 101. :param spikes: k, 1 to 100. :param sure: 0 to below 1.
    :raises ValueError: for frames that are not two of the recording, or numbers out of range.
    """
    two_frames("match", stream, t0, t1)
    if not 1 <= reach <= 256 or block not in range(3, 102, 2) or not 1 <= spikes <= 100 or not 0 <= sure < 1:
        raise ValueError(
            f"match got reach={reach}, block={block}, spikes={spikes}, sure={sure}, expected 1 to 256, odd 3 to 101, "
            "1 to 100, and 0 to below 1."
        )
    light = KIntervals(2 * spikes - 1)  # from the k-th spike up to a frame to the k-th behind it
    first, second = light(stream, t0), light(stream, t1)
    there, back = (_coarse(a.light, b.light, reach, block) for a, b in ((first, second), (second, first)))
    uv, confidence = _fine(first.light, second.light, there, block)
    y, x, inside = arrive(uv)
    valid = inside & first.valid & second.valid[y, x] & (confidence >= max(sure, 1e-6)) & consistent(uv, back, BACK)
    return per_frame(uv, valid, t1 - t0)


def _coarse(first: NDArray[np.float32], second: NDArray[np.float32], reach: int, block: int) -> NDArray[np.intp]:
    """Pixels from one image to the other, ``[2, H, W]``, right to a pixel or two."""
    ones, twos = [first], [second]
    for _ in range(2):
        ones.append(_half(ones[-1]))
        twos.append(_half(twos[-1]))
    start = np.zeros((2, *ones[2].shape), np.intp)
    start = _best(ones[2], twos[2], start, -(-reach // 4), max(3, block // 2 | 1))
    start = _best(ones[1], twos[1], _twice(start, ones[1].shape), 2, block)
    return _middle(_twice(start, first.shape))


def _best(
    first: NDArray[np.float32], second: NDArray[np.float32], start: NDArray[np.intp], radius: int, block: int
) -> NDArray[np.intp]:
    """The shift of the least cost, of equals the one closest to the start."""
    least, best = np.full(first.shape, np.inf, np.float32), start
    for shift in sorted(_shifts(radius), key=lambda d: d[0] ** 2 + d[1] ** 2):
        at = start + np.array(shift)[:, None, None]
        cost = _cost(first, second, at, block)
        less = cost < least
        least, best = np.where(less, cost, least), np.where(less, at, best)
    return best


def _fine(
    first: NDArray[np.float32], second: NDArray[np.float32], start: NDArray[np.intp], block: int
) -> tuple[NDArray[np.float32], NDArray[Any]]:
    """The best shift and its fraction; the confidence, 0 where the least cost is at the end of the search."""
    shifts = np.array(_shifts(FINEST))
    costs = np.stack([_cost(first, second, start + d[:, None, None], block) for d in shifts])
    best = costs.argmin(0)
    least = costs.min(0)
    ends = np.abs(shifts).max(1)[best] == FINEST
    around = np.full(first.shape, np.inf, np.float32)
    for shift, cost in zip(shifts, costs, strict=True):
        far = np.abs(shifts - shift).max(1)[best] == 2
        around = np.where(far, np.minimum(around, cost), around)
    uv = start + np.moveaxis(shifts[best], -1, 0)
    fraction = np.zeros(uv.shape)
    side = 2 * FINEST + 1
    for axis, stride in ((0, 1), (1, side)):
        low, high = (np.take_along_axis(costs, np.where(ends, best, best + s)[None], 0)[0] for s in (-stride, stride))
        bend = low - 2 * least + high
        fraction[axis] = np.divide(low - high, 2 * bend, out=np.zeros(bend.shape), where=bend > 1e-9)
    confidence = np.divide(around - least, around, out=np.zeros(around.shape), where=around > 1e-9)
    return (uv + fraction).astype(np.float32), np.where(ends, 0, confidence)


def _shifts(radius: int) -> list[tuple[int, int]]:
    """(x, y), x fastest."""
    return [(x, y) for y in range(-radius, radius + 1) for x in range(-radius, radius + 1)]


def _cost(first: NDArray[np.float32], second: NDArray[np.float32], shift: NDArray[np.intp], block: int) -> NDArray[Any]:
    """The sum of absolute differences over blocks; beyond the border is the border's pixel."""
    height, width = first.shape
    y, x = np.ogrid[:height, :width]
    at = (y + shift[1]).clip(0, height - 1) * width + (x + shift[0]).clip(0, width - 1)
    return _box(np.abs(first - second.ravel()[at]), block)


def _box(values: NDArray[np.float32], side: int) -> NDArray[Any]:
    """Sums over ``side × side`` pixels around each, by running sums: ``[H, W]`` float32."""
    half = side // 2
    run = np.pad(values, ((half + 1, half), (half + 1, half)), "edge").astype(np.float64).cumsum(0)
    run = (run[side:] - run[:-side]).cumsum(1)
    return (run[:, side:] - run[:, :-side]).astype(np.float32)


def _half(light: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means of 2×2; an odd side's last row or column counts twice."""
    whole = np.pad(light, [(0, size % 2) for size in light.shape], "edge")
    return (whole[::2, ::2] + whole[1::2, ::2] + whole[::2, 1::2] + whole[1::2, 1::2]) / np.float32(4)


def _twice(shift: NDArray[np.intp], shape: tuple[int, ...]) -> NDArray[np.intp]:
    """Shifts for an image of twice the size, the medians over 3×3."""
    return 2 * _middle(shift).repeat(2, 1).repeat(2, 2)[:, : shape[0], : shape[1]]


def _middle(shift: NDArray[np.intp]) -> NDArray[np.intp]:
    height, width = shift.shape[1:]
    wide = np.pad(shift, ((0, 0), (1, 1), (1, 1)), "edge")
    around = [wide[:, y : y + height, x : x + width] for y in range(3) for x in range(3)]
    return np.partition(np.stack(around), 4, 0)[4]
