"""Pictures of dead leaves: shapes of all sizes that cover each other, each with a tone, a shade and a grain of its own.

Leaves whose sizes follow ``r^-3`` and hide each other have edges, contrast and spectrum like photographs (Lee, Mumford
and Huang, International Journal of Computer Vision 2001), so that what is learned on them serves for photographs
(Achddou et al., ICIP 2021), and they belong to nobody.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

TIMES = 2
"""Leaves are drawn so many times larger, and averaged: their edges are soft."""


def leaves(
    height: int, width: int, draw: np.random.Generator, least: float = 1.5, most: float = 60.0, low: float = 0.02,
    high: float = 1.0,
) -> NDArray[np.float32]:  # fmt: skip
    """A picture of light, ``[height, width]`` float32, from ``low`` to ``high``.

    :param least: radius of the smallest leaves, in pixels. :param most: of the largest.
    :raises ValueError: unless 0 < least < most and 0 ≤ low < high ≤ 1.
    """
    if not 0 < least < most or not 0 <= low < high <= 1:
        raise ValueError(
            f"leaves got least={least}, most={most}, low={low}, high={high}, expected radii above 0 and light from 0 "
            "to 1, in order."
        )
    rows, columns = TIMES * height, TIMES * width
    found, bare = np.zeros((rows, columns), np.float32), np.ones((rows, columns), bool)
    left = rows * columns
    while left:
        # the n-th leaf is in front of the next; once little is bare, leaves are large, or it would never end
        inverse = draw.uniform((most * TIMES) ** -2, (least * TIMES) ** -2)
        radius = inverse**-0.5 if left > 0.02 * rows * columns else draw.uniform(0.5, 1) * most * TIMES
        left -= _leaf(found, bare, radius, draw)
    found = low + (high - low) * np.clip(found, 0, 1)
    return found.reshape(height, TIMES, width, TIMES).mean((1, 3)).astype(np.float32)


def _leaf(found: NDArray[np.float32], bare: NDArray[np.bool_], radius: float, draw: np.random.Generator) -> int:
    """Lay a leaf where nothing lies; how much of it shows."""
    (rows, columns), angle, slim = found.shape, draw.uniform(0, np.pi), draw.uniform(0.3, 1)
    y, x = draw.uniform(-radius, rows + radius), draw.uniform(-radius, columns + radius)
    top, bottom = max(0, int(y - radius)), min(rows, int(y + radius) + 2)
    left, right = max(0, int(x - radius)), min(columns, int(x + radius) + 2)
    if top >= bottom or left >= right or not bare[top:bottom, left:right].any():
        return 0
    down, across = np.arange(top, bottom)[:, None] - y, np.arange(left, right) - x
    along = (across * np.cos(angle) + down * np.sin(angle)) / radius
    beside = (down * np.cos(angle) - across * np.sin(angle)) / (radius * slim)
    if draw.random() < 0.3:  # a rectangle
        inside = (np.abs(along) < 0.7) & (np.abs(beside) < 0.7)
    else:
        inside = along**2 + beside**2 < 1
    shown = inside & bare[top:bottom, left:right]
    count = int(shown.sum())
    if count:
        tone, shade = draw.uniform(0, 1) ** 1.5, draw.uniform(-0.3, 0.3)
        light = tone * (1 + shade * along + shade * draw.uniform(-1, 1) * beside)
        if draw.random() < 0.3:  # a grain of stripes
            light = light * (1 + draw.uniform(0, 0.4) * np.sin(2 * np.pi * radius * along / draw.uniform(4, 16)))
        found[top:bottom, left:right][shown] = light[shown]
        bare[top:bottom, left:right][shown] = False
    return count
