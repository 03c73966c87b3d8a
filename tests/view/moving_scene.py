"""A small recording for the viewer: a textured scene that moves, seen by pixels that keep their remainder."""

from __future__ import annotations

import numpy as np

from spikeworks.camera import SpikeStream


def moving_scene(frames: int = 400, height: int = 120, width: int = 200, seed: int = 0) -> SpikeStream:
    """A disc with stripes that moves to the right over a still texture; charge above the threshold is kept."""
    draw = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    waves = [(draw.uniform(0.02, 0.25, 2), draw.uniform(0, 6.3), draw.uniform(0.02, 0.07)) for _ in range(14)]
    ground = 0.22 + sum(a * np.sin(k[0] * columns + k[1] * rows + p) for k, p, a in waves)
    ground = np.clip(ground * (0.6 + 0.5 * rows / height), 0.02, 0.8)
    charge, spikes = draw.random((height, width)), np.zeros((frames, height, width), bool)
    for t in range(frames):
        x, y = centre(t, height, width)
        inside = (columns - x) ** 2 + (rows - y) ** 2 < (height * 0.24) ** 2
        stripes = 0.55 + 0.38 * np.sign(np.sin((columns - x) * 0.55 + (rows - y) * 0.2))
        charge += np.where(inside, stripes, ground)
        spikes[t] = charge >= 1
        charge -= spikes[t]
    return SpikeStream.of(spikes)


def centre(t: int, height: int, width: int) -> tuple[float, float]:
    """Where the disc is, (x, y)."""
    return width * 0.25 + 0.12 * t, height * (0.52 + 0.1 * np.sin(t / 60))


def its_tracks(frames: int = 400, height: int = 120, width: int = 200) -> str:
    """The disc's box in every fourth frame, as a text file of tracks."""
    side = height * 0.48
    boxes = [(t, *centre(t, height, width)) for t in range(0, frames, 4)]
    return "".join(
        f"{t},7,{x - side / 2:.1f},{y - side / 2:.1f},{side:.1f},{side:.1f},1,-1,-1,-1\n" for t, x, y in boxes
    )
