"""Clips of a simulated spike camera and the light they are of, to learn pictures from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..camera import Layer, Path, Scene, Sensor, SpikeStream, simulate
from ..camera.leaves import leaves
from ..train import Data


@dataclass(frozen=True)
class Unpacked:
    """What :func:`packed_in_time` packed, ``[..., ⌈n/8⌉, H, W]`` bytes → floats ``[..., frames − begin, H, W]``.

    :param frames: the frame to end before. :param begin: the first.
    """

    frames: int
    begin: int = 0

    def __call__(self, x: Tensor) -> Tensor:
        """Apply it to a batch."""
        shifts = torch.arange(8, dtype=torch.uint8, device=x.device).reshape(8, 1, 1)
        bits = (x.unsqueeze(-3) >> shifts) & 1
        return bits.flatten(-4, -3)[..., self.begin : self.frames, :, :].float()


def packed_in_time(bits: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Frames ``[T, H, W]`` of zeros and ones → bytes of eight frames each ``[⌈T/8⌉, H, W]``: less to keep in memory."""
    return np.packbits(bits, 0, bitorder="little")


def clips(
    count: int, frames: int, size: int, draw: np.random.Generator, fastest: float = 0.8,
    progress: Callable[[int, int], None] | None = None,
) -> Data:  # fmt: skip
    """Clips of dead leaves that move in front of each other, and the light at their middle frame.

    Of each scene there are eight: four quarters at two times. Sensors differ in how bright they see it; half of them
    have the noise of a real one. What comes in the dark is a part of the light: which part, only a calibration knows.

    :param count: of clips, a multiple of 8. :param frames: of each. :param size: pixels on a side.
    :param fastest: pixels per frame; most are much slower. :param progress: told how many are done, of how many.
    :returns: bits packed along time, and the light ``[N, size, size]`` in spikes per frame.
    :raises ValueError: for another count.
    """
    if count < 8 or count % 8:
        raise ValueError(f"clips got count={count}, expected a multiple of 8: so many are cut from each scene.")
    x = np.empty((count, -(-frames // 8), size, size), np.uint8)
    y = np.empty((count, size, size), np.float32)
    for start in range(0, count, 8):
        stream, light, _ = recording(2 * size, 2 * frames, draw, fastest)
        bits = stream.dense()
        for half in range(2):
            packed = packed_in_time(bits[half * frames : (half + 1) * frames])
            seen = light(half * frames + frames // 2)
            for quarter in range(4):
                rows, columns = (slice(k * size, (k + 1) * size) for k in divmod(quarter, 2))
                place = start + 4 * half + quarter
                x[place], y[place] = packed[:, rows, columns], seen[rows, columns]
        if progress is not None:
            progress(start + 8, count)
    return Data(torch.from_numpy(x), torch.from_numpy(y), Unpacked(frames))


Light = Callable[[int], NDArray[np.float32]]
"""A frame → the light it saw, in spikes per frame of a pixel without noise, ``[H, W]``."""


def recording(
    size: int, frames: int, draw: np.random.Generator, fastest: float = 0.8
) -> tuple[SpikeStream, Light, float]:
    """A scene of dead leaves before a simulated sensor, its light, and what is white."""
    scene, sensor = _scene(size, draw, fastest), _sensor(draw)

    def light(frame: int) -> NDArray[np.float32]:
        seen = sensor.rate_max * scene.light(frame + 0.5) + sensor.dark  # a frame sees its middle
        return np.minimum(seen, 1).astype(np.float32)

    return simulate(scene.light, sensor, frames, draw), light, sensor.rate_max


def _scene(size: int, draw: np.random.Generator, fastest: float) -> Scene:
    def path(x: float, y: float) -> Path:
        speed, way = fastest * draw.random() ** 2, draw.uniform(0, 2 * np.pi)
        spin, growth = draw.normal(0, 2e-3, 2)
        return Path(x, y, (speed * np.cos(way), speed * np.sin(way)), spin=spin, growth=growth)

    def picture(height: int, width: int) -> NDArray[np.float32]:
        return leaves(height, width, draw, draw.uniform(1, 6), draw.uniform(30, 120))

    ground, things = Layer(picture(3 * size // 2, 3 * size // 2), path(size / 2, size / 2)), list[Layer]()
    for _ in range(draw.integers(0, 4)):
        height, width = draw.integers(size // 6, size // 2, 2)
        shape = "disc" if draw.random() < 0.5 else "rectangle"
        things.append(Layer(picture(int(height), int(width)), path(*draw.uniform(0, size, 2)), shape))
    return Scene((size, size), ground, tuple(things))


def _sensor(draw: np.random.Generator) -> Sensor:
    rate = draw.uniform(0.3, 1)
    if draw.random() < 0.5:
        return Sensor(rate)
    return Sensor(rate, 0.02, dark=0.0045, dark_spread=0.46, electrons=20_000, threshold_noise=0.006)
