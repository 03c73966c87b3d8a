"""Boxes (x, y, w, h): left edge, top edge, width and height in pixels of the picture, never (row, column)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def found(
    mask: NDArray[np.bool_], erode: int = 7, grow: int = 7, spikes: NDArray[Any] | None = None, least: int = 1
) -> NDArray[np.float64]:
    """A box around each piece of a mask ``[H, W]``: ``[N, 4]``, from the top down.

    Pieces hang together by sides or corners, after all pixels that are nearer than ``erode // 2`` to what is not in the
    mask (or to the picture's edge) are taken away. Boxes are made larger by ``grow`` pixels on each side, within the
    picture.

    :param erode: side of the square that must be within the mask, odd; 1: none. :param grow: pixels.
    :param spikes: counts ``[H, W]``: boxes are drawn around those within a piece instead of around the piece.
    :param least: spikes that a piece must have, if they are given.
    :raises ValueError: for an erosion that is not odd.
    """
    if erode < 1 or erode % 2 == 0:
        raise ValueError(f"found got erode={erode}, expected an odd number of pixels; 1 leaves the mask as it is.")
    height, width = mask.shape
    pieces, count = pieces_of(eroded(mask, erode))
    y, x = np.nonzero(pieces if spikes is None else (pieces > 0) & (spikes > 0))
    piece = pieces[y, x] - 1
    edges = np.full((count, 4), -np.inf)
    for column, value in enumerate((-y, y + 1, -x, x + 1)):
        np.maximum.at(edges[:, column], piece, value)
    if spikes is not None:
        edges = edges[np.bincount(piece, spikes[y, x], count) >= max(1, least)]
    edges *= (-1, 1, -1, 1)
    top, bottom, left, right = (edges + grow * np.array([-1, 1, -1, 1])).T
    top, left = np.maximum(top, 0), np.maximum(left, 0)
    return np.stack([left, top, np.minimum(right, width) - left, np.minimum(bottom, height) - top], 1)


def pieces_of(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], int]:
    """The pieces of a mask ``[H, W]`` that hang together by sides or corners: numbers from 1, 0 outside; how many."""
    from scipy.ndimage import label

    pieces = np.zeros(mask.shape, np.int32)
    return pieces, int(label(mask, np.ones((3, 3), int), pieces))  # type: ignore[arg-type]


def eroded(mask: NDArray[np.bool_], side: int) -> NDArray[np.bool_]:
    """The pixels whose ``side × side`` neighbours are all in the mask; nothing outside the picture is."""
    for axis in (0, 1):
        spare = [(side // 2, side // 2) if a == axis else (0, 0) for a in (0, 1)]
        rows, have = np.pad(mask, spare), 1
        while have < side:  # each pass joins two runs, which may overlap
            shift = min(have, side - have)
            end = rows.shape[axis] - shift
            rows = rows.take(range(end), axis) & rows.take(range(shift, end + shift), axis)
            have += shift
        mask = rows
    return mask


def clipped(boxes: NDArray[np.float64], height: int, width: int) -> NDArray[np.float64]:
    """The part of each box that is in the picture; of one that is not, nothing: w or h is 0."""
    left, top = np.clip(boxes[:, 0], 0, width), np.clip(boxes[:, 1], 0, height)
    right, bottom = np.clip(boxes[:, 0] + boxes[:, 2], 0, width), np.clip(boxes[:, 1] + boxes[:, 3], 0, height)
    return np.stack([left, top, right - left, bottom - top], 1)


def common(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """The area that each of ``a [N, 4]`` has in common with each of ``b [M, 4]``: ``[N, M]``."""
    near = np.maximum(a[:, None, :2], b[None, :, :2])
    far = np.minimum((a[:, :2] + a[:, 2:])[:, None], (b[:, :2] + b[:, 2:])[None])
    return np.maximum(far - near, 0).prod(2)


def overlap(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union of each of ``a [N, 4]`` with each of ``b [M, 4]``: ``[N, M]``, 0 to 1."""
    both = common(a, b)
    union = a[:, 2:].prod(1)[:, None] + b[:, 2:].prod(1)[None] - both
    return np.divide(both, union, out=np.zeros_like(both), where=union > 0)
