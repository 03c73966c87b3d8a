"""Events as pictures: where it became brighter blue, darker orange, on white."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..disk import whole
from ..events import EventStream
from ..measure.looks import PALETTE

BRIGHTER, DARKER = (np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) for colour in PALETTE[:2])
ENOUGH = 3
"""Events of a pixel in a frame that give the full colour."""

SIDE = 320
"""Pixels that a frame is wide or high at least: small sensors are drawn larger."""


def picture(stream: EventStream) -> NDArray[np.uint8]:
    """``[H, W, 3]``: the fuller the colour the more events, blue for more ON than OFF, orange for more OFF."""
    place = stream.y.astype(np.int64) * stream.width + stream.x
    size = stream.width * stream.height
    on, off = (np.bincount(place[stream.p == sign], minlength=size) for sign in (1, 0))
    strength = np.minimum(np.maximum(on, off) / ENOUGH, 1)[:, None]
    colour = np.where((on >= off)[:, None], BRIGHTER, DARKER)
    return (255 + (colour - 255) * strength).round().astype(np.uint8).reshape(stream.height, stream.width, 3)


def save(streams: Iterable[EventStream], path: str | Path, window: int) -> int:
    """Write a picture per stream: an animated GIF, or one PNG with all of them side by side.

    :param path: ``.gif`` or ``.png``. :param window: microseconds of each; a GIF shows them in that time, though no
        faster than 50 a second.
    :returns: how many. :raises ValueError: for another suffix, or no streams.
    """
    from PIL import Image

    path = Path(path)
    if path.suffix.lower() not in (".gif", ".png"):
        raise ValueError(f"events got the picture {path.name}, expected .gif or .png; name it so.")
    frames = [picture(stream) for stream in streams]
    if not frames:
        raise ValueError(
            "events got nothing to draw, expected at least one event; look at it by `spikeworks events info`."
        )
    times = max(1, SIDE // max(frames[0].shape[:2]))
    frames = [frame.repeat(times, 0).repeat(times, 1) for frame in frames]
    with whole(path) as temporary:
        if path.suffix.lower() == ".gif":
            first, *rest = (Image.fromarray(frame) for frame in frames)
            first.save(temporary, save_all=True, append_images=rest, duration=max(20, window // 1000), loop=0)
        else:
            across = math.ceil(math.sqrt(len(frames)))
            high, wide, _ = frames[0].shape
            sheet = np.full((math.ceil(len(frames) / across) * (high + 4), across * (wide + 4), 3), 225, np.uint8)
            for i, frame in enumerate(frames):
                top, left = i // across * (high + 4), i % across * (wide + 4)
                sheet[top : top + high, left : left + wide] = frame
            Image.fromarray(sheet).save(temporary)
    return len(frames)
