"""Scenes to track things in: textured discs that move and meet before a textured wall, and a pixel's spikes of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spikeworks.camera import Layout, SpikeStream, pack


class Discs(NamedTuple):
    """A recording, and the discs' ``boxes [T, N, 4]`` of (x, y, w, h) behind ``still`` frames that show none."""

    stream: SpikeStream
    boxes: NDArray[np.float64]
    still: int


def discs(
    count: int, seed: int = 0, frames: int = 1200, height: int = 250, width: int = 400, still: int = 300,
    radius: tuple[float, float] = (6, 12), speed: tuple[float, float] = (0.1, 0.3),
) -> Discs:  # fmt: skip
    """Discs that start apart and go straight on, across each other, all in the picture; later ones cover earlier ones.

    :param radius: pixels, from, to. :param speed: pixels a frame, from, to.

    Pixels integrate light and keep the remainder (soft reset), from a random begin.
    """
    draw = np.random.default_rng(seed)
    wall = _texture(draw, height, width, 0.08, 0.25)
    size = draw.uniform(*radius, count)
    skins = [_texture(draw, 40, 40, 0.3, 0.75) for _ in range(count)]
    ends = np.empty((2, count, 2))
    for n in range(count):
        near = True
        while near:  # what touches from the begin is one thing for all that is seen
            ends[:, n] = draw.uniform(size[n], (width - size[n], height - size[n]), (2, 2))
            apart = np.hypot(*(ends[0, :n] - ends[0, n]).T) > size[:n] + size[n] + 20
            pace = np.hypot(*(ends[1, n] - ends[0, n])) / frames
            near = not apart.all() or not speed[0] <= pace <= speed[1]
    t = np.linspace(0, 1, frames)[:, None, None]
    middle = ends[0] + t * (ends[1] - ends[0])
    charge = draw.random((height, width), np.float32)
    packed = np.empty((still + frames, Layout(width, height).size), np.uint8)
    for k in range(still + frames):
        light = wall
        if k >= still:
            light = wall.copy()
            for n, (x, y) in enumerate(middle[k - still]):
                left, top = max(0, int(x - size[n])), max(0, int(y - size[n]))
                right, bottom = int(x + size[n]) + 2, int(y + size[n]) + 2
                at = np.mgrid[top : min(bottom, height), left : min(right, width)] + 0.5
                inside = np.hypot(at[1] - x, at[0] - y) < size[n]
                skin = skins[n][(at[0] - y).astype(int) + 20, (at[1] - x).astype(int) + 20]
                part = light[top:bottom, left:right]
                part[inside] = skin[inside]
        charge += light
        fires = charge >= 1
        charge -= fires
        packed[k] = pack(Layout(width, height).store(fires))
    boxes = np.concatenate([middle - size[:, None], np.broadcast_to(2 * size[:, None], middle.shape)], 2)
    return Discs(SpikeStream(packed, Layout(width, height)), boxes, still)


def _texture(draw: np.random.Generator, height: int, width: int, low: float, high: float) -> NDArray[np.float32]:
    """Light in patches of 4×4 pixels."""
    coarse = draw.uniform(low, high, (-(-height // 4), -(-width // 4)))
    return np.kron(coarse, np.ones((4, 4)))[:height, :width].astype(np.float32)
