"""Events to look at: a picture of a stretch of time, a contact sheet, an animation."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..events.stream import EventStream
from . import film

PALETTE = np.array(
    [(16, 18, 24), (54, 104, 160), (82, 150, 220), (150, 205, 255),
     (150, 76, 36), (220, 112, 52), (255, 170, 100), (200, 200, 200)], np.uint8
)  # fmt: skip
"""Colours ``[8, 3]`` of a picture: nothing; one, two, more events brighter; the same darker; as many of both."""

SMALLEST = 256
"""Pixels of a picture's longer side: sensors with fewer are drawn in whole multiples."""


def picture(events: EventStream, scale: int = 1) -> NDArray[np.uint8]:
    """Colours of :data:`PALETTE`, ``[height · scale, width · scale]``: by more events brighter or darker, and how many.

    :raises ValueError: for a scale below 1.
    """
    if scale < 1:
        raise ValueError(f"picture got scale={scale}, expected at least 1.")
    pixels = events.width * events.height
    at = events.y.astype(np.int64) * events.width + events.x
    on = np.bincount(at[events.p == 1], minlength=pixels)
    off = np.bincount(at[events.p == 0], minlength=pixels)
    net = on - off
    index = np.where(net > 0, np.minimum(net, 3), np.where(net < 0, 3 + np.minimum(-net, 3), 7 * (on > 0)))
    image = index.astype(np.uint8).reshape(events.height, events.width)
    return np.repeat(np.repeat(image, scale, 0), scale, 1)


def animate(windows: Iterable[EventStream], path: str | Path, fps: float = 30.0, cells: int = 24) -> tuple[int, int]:
    """Draw one picture per window into a file, whole or not at all: .gif, .mp4 (needs PyAV), or .png, a contact sheet.

    A contact sheet takes every k-th window, k a power of two, so that there are ``cells`` pictures at most.

    :param windows: of one sensor, e.g. :meth:`~spikeworks.events.EventFile.windows`.
    :param fps: pictures a second, 1 to 240; a .gif counts in 1/100 s, so that it takes at most 50.
    :returns: how many windows there were, and how many are drawn.
    :raises ValueError: for another suffix, no events, an fps out of range, or a .gif of more than 256 MiB of pixels.
    """
    path = Path(path)
    film.check("animate", path, fps, cells)
    waiting = iter(windows)
    first = next(waiting, None)
    if first is None:
        raise ValueError(f"animate got no events for {path.name}, expected some.")
    scale = max(1, SMALLEST // max(first.width, first.height))
    pictures = (picture(w, scale) for w in chain([first], waiting))
    return film.write(pictures, path, fps, cells, PALETTE, gap=7)
