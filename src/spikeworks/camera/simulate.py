"""A spike camera that looks at light: charge is integrated, pixels that are full fire, frames are read out packed.

In frame ``k`` each pixel gets the charge ``x = gain·rate_max·light(k + ½) + dark``, with noise; where its charge is 1
or more it fires, and keeps what is above whole thresholds (Huang et al., Engineering 2022: the pixel resets itself at
once, the clock only reads). Charges begin evenly spread over 0 to 1. See :class:`.Pixels` for the random numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .lights import Light, still
from .pixels import Pixels
from .sensor import PRESETS, Pattern, Sensor
from .stream import BLOCK, RATE, SpikeStream

CHUNK = 16
"""Frames whose light is held at once."""


def simulate(
    light: NDArray[Any] | Light, sensor: Sensor | str, frames: int, draw: np.random.Generator,
    pattern: Pattern | None = None, rate: float = RATE, threads: int = 1,
) -> SpikeStream:  # fmt: skip
    """What a sensor records of some light, in memory; see :func:`simulate_blocks`."""
    blocks = list(simulate_blocks(light, sensor, frames, draw, pattern, rate, threads=threads))
    packed = np.concatenate([block.packed() for block in blocks])
    return SpikeStream(packed, blocks[0].layout, rate)


def simulate_blocks(
    light: NDArray[Any] | Light, sensor: Sensor | str, frames: int, draw: np.random.Generator,
    pattern: Pattern | None = None, rate: float = RATE, block: int = BLOCK, threads: int = 1,
) -> Iterator[SpikeStream]:  # fmt: skip
    """The same, block by block: memory holds one of them, whatever ``frames`` is.

    :param light: a still picture ``[H, W]``, or a function of the time in frames: a :class:`.Film`, ``scene.light``.
    :param sensor: a kind of sensor, or the name of one of :data:`.PRESETS`.
    :param frames: how many to record, at least 1.
    :param draw: 64 bits are taken from it, after those for the pattern, if one is to be drawn: the same generator,
        the same bits. :param pattern: the pixels; ``None``: drawn anew.
    :param rate: frames a second, Hz, told to whom it may concern. :param block: frames in a block.
    :param threads: that the pixels are shared among.
    :raises ValueError: for light that is below 0, not finite, or of another size than the pattern, an unknown sensor,
        or no frames.
    """
    if isinstance(sensor, str):
        if sensor not in PRESETS:
            raise ValueError(f"simulate got the sensor {sensor!r}, expected one of {', '.join(PRESETS)}.")
        sensor = PRESETS[sensor]
    if frames < 1 or block < 1:
        raise ValueError(f"simulate got frames={frames}, block={block}, expected at least 1.")
    moving = callable(light)
    light = light if callable(light) else still(light)
    height, width = light(0.5).shape if pattern is None else pattern.shape
    pattern = Pattern.of(sensor, height, width, draw) if pattern is None else pattern
    pixels = Pixels(sensor, pattern, draw, threads)
    return _blocks(light, moving, pixels, frames, rate, block)


def _blocks(light: Light, moving: bool, pixels: Pixels, frames: int, rate: float, block: int) -> Iterator[SpikeStream]:
    for start in range(0, frames, block):
        stop = min(start + block, frames)
        packed = np.empty((stop - start, pixels.layout.size), np.uint8)
        for at in range(start, stop, CHUNK):
            count = min(CHUNK, stop - at)
            shown = [pixels.charged(light(at + k + 0.5)) for k in range(count if moving else 1)]
            pixels.step(np.stack(shown), packed[at - start : at - start + count])
        yield SpikeStream(packed, pixels.layout, rate, start)
