"""Colour from a sensor whose pixels stand behind red, green and blue filters, in blocks of two by two."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .estimate import TFP, Estimator, Image
from .stream import SpikeStream

PATTERNS = ("bggr", "rggb", "gbrg", "grbg")
"""The filters of a block, its upper row first."""


def bayer(
    source: Image | SpikeStream, pattern: str = "bggr", estimator: Estimator | None = None, at: int | None = None
) -> Image:
    """Linear red, green and blue of a mosaic: ``[..., H, W, 3]``, spikes per frame.

    A pixel keeps what it has seen of its own colour; the others are the mean of its valid neighbours of that colour,
    which inside the picture is bilinear. Valid is a colour that the pixel or a neighbour has seen. Nothing is balanced:
    white light is as far from grey as the filters make it.

    :param source: an image of the mosaic ``[..., H, W]``, or a recording, which ``estimator`` looks at at frame ``at``:
        it tells each pixel by its own spikes, so that any estimator serves.
    :param pattern: the filters of the picture's upper left block, see :data:`PATTERNS`. A crop that begins at an odd
        row or column has another pattern than the sensor.
    :param estimator: for a recording; default: :class:`.TFP`. :param at: default: the middle of the recording.
    :raises ValueError: for another pattern, a picture of one row or column, or an estimator or frame beside an image.
    """
    if pattern not in PATTERNS:
        raise ValueError(f"bayer got the pattern {pattern!r}, expected one of {', '.join(PATTERNS)}.")
    if isinstance(source, SpikeStream):
        source = (estimator or TFP())(source, len(source) // 2 if at is None else at)
    elif estimator is not None or at is not None:
        raise ValueError("bayer got an image and an estimator or a frame, expected these beside a recording only.")
    height, width = source.light.shape[-2:]
    if min(height, width) < 2:
        raise ValueError(f"bayer got a picture of {width}×{height}, expected at least one block of 2×2.")
    light = np.empty((*source.light.shape, 3), np.float32)
    valid = np.empty(light.shape, bool)
    for colour, name in enumerate("rgb"):
        seen = source.valid & _sites(pattern, name, height, width)
        total, weight = _around(np.where(seen, source.light, 0)), _around(seen.astype(np.float32))
        mean = np.divide(total, weight, out=np.zeros_like(total), where=weight > 0)
        light[..., colour] = np.where(seen, source.light, mean)
        valid[..., colour] = weight > 0
    return Image(light, valid)


def _sites(pattern: str, name: str, height: int, width: int) -> NDArray[np.bool_]:
    block = np.array([letter == name for letter in pattern]).reshape(2, 2)
    return np.tile(block, (-(-height // 2), -(-width // 2)))[:height, :width]


def _around(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Weighed sums over 3×3 pixels."""
    for axis in (-1, -2):
        padded = np.moveaxis(values, axis, -1)
        padded = np.concatenate([np.zeros_like(padded[..., :1]), padded, np.zeros_like(padded[..., :1])], -1)
        values = np.moveaxis(padded[..., :-2] + 2 * padded[..., 1:-1] + padded[..., 2:], -1, axis)
    return values
