"""Pictures of a spike camera by networks, trained on simulated clips, beside the estimators that need no training.

Clips are of dead leaves that move, turn and grow in front of each other, before simulated sensors with noise and
without. They are held against the estimators on other such scenes, and, where the data are at hand, on two clips made
from video (REDS) by an ideal pixel, of which nothing was learned. What it came to is in ``docs/camera-networks.md``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .. import camera
from ..camera import SpikeStream
from ..measure import psnr, ssim
from ..models import RECONSTRUCTIONS
from ..train import Data, Plan
from .bench import Bench
from .data import VARIABLE, Split
from .run import precision
from .spike_clips import Unpacked, clips, packed_in_time, recording
from .training import Training

HELD = 257
"""Frames of a held-out recording, the picture is that of the middle one: none of the estimators looks further."""

REDS = ("200_part1", "200_part3")
"""Clips of 301 frames and the picture of frame 150, white at a rate of 0.6."""


UNTRAINED: dict[str, camera.Estimator] = {
    "TFP, 21 frames": camera.TFP(21), "TFP, 41 frames": camera.TFP(41), "TFI": camera.TFI(),
    "7 intervals": camera.KIntervals(7), "stable": camera.Stable(),
}  # fmt: skip
"""What the networks are held against."""


FRAMES = 41
"""Of a clip; a network of fewer sees those around the same middle."""


@dataclass(frozen=True)
class Settings:
    """How a network is trained.

    :param network: its name. :param count: clips to learn from, a multiple of 8. :param size: pixels on a side.
    :param fastest: pixels per frame. :param validated: clips to choose on, a multiple of 8.
    :param tested: recordings to measure on.
    """

    plan: Plan
    network: Literal["convolutions", "spiking"] = "convolutions"
    count: int = 8000
    size: int = 64
    fastest: float = 0.8
    validated: int = 128
    tested: int = 16

    def __post_init__(self) -> None:
        eights = self.count, self.validated
        if min(*eights, self.tested) < 1 or any(n % 8 for n in eights) or self.size < 16 or self.fastest < 0:
            raise ValueError(
                f"camera_pictures got {self}, expected count and validated in eights, at least one test, 16 pixels a "
                "side, and no speed below 0."
            )


@dataclass(frozen=True)
class Held:
    """A recording, the light of its frame ``at`` in spikes per frame, and what is white."""

    stream: SpikeStream
    at: int
    light: NDArray[np.float32]
    white: float


def distance(found: Tensor, light: Tensor) -> Tensor:
    """What is made small: the logarithm of each clip's mean square error, which is its PSNR below 0."""
    return ((found - light).square().flatten(1).mean(1) + 1e-6).log().mean()


def decibel(found: Tensor, light: Tensor) -> Tensor:
    """PSNR of each clip against one spike per frame."""
    return -10 * torch.log10((found.clamp(0, 1) - light).square().flatten(1).mean(1).clamp(min=1e-10))


def study(bench: Bench, settings: Settings) -> None:
    """Train a network, and measure it beside what needs no training."""
    if bench.quick:
        settings = replace(settings, count=16, size=32, validated=8, tested=1)
    network, frames = RECONSTRUCTIONS[settings.network](bench.generator()), FRAMES
    draw = np.random.default_rng([0, 1])  # other scenes than those trained on, the same for every seed
    held = [_held(2 * settings.size, settings.fastest, draw) for _ in range(settings.tested)]
    tests = {"scenes": held} | reds()
    train = validation = clips(settings.validated, frames, settings.size, draw, settings.fastest)
    if bench.learning:
        draw = np.random.default_rng(bench.seed)
        train = clips(settings.count, frames, settings.size, draw, settings.fastest, _told(bench))
    seen = network.config.frames
    split = Split("clips", (), *(_shortened(part, seen) for part in (train, validation, _data(held, frames))))
    history = bench.train(settings.network, network, split, settings.plan, distance, score=decibel)
    for name, estimator in UNTRAINED.items():
        bench.score(name, _measured(estimator, tests))
    values = _measured(camera.Learned(network), tests)
    bench.score(settings.network, values, settings.network, history, network, split.test)


def reds() -> dict[str, list[Held]]:
    """The clips made from video, if the folder that ``SPIKEWORKS_DATA`` names has them under ``spikecam``."""
    if VARIABLE not in os.environ:
        return {}
    from PIL import Image

    folder, found = Path(os.environ[VARIABLE]) / "spikecam", dict[str, list[Held]]()
    for number, name in enumerate(REDS, 1):
        place, picture = folder / f"reds_{name}_key151.dat", folder / f"reds_{name}_key151_gt.png"
        if place.is_file() and picture.is_file():
            grey = np.asarray(Image.open(picture).convert("L"), np.float32)
            found[f"REDS {number}"] = [Held(camera.open(place, 250, 400), 150, 0.6 / 255 * grey, 0.6)]
    return found


def _held(size: int, fastest: float, draw: np.random.Generator) -> Held:
    stream, light, white = recording(size, HELD, draw, fastest)
    return Held(stream, HELD // 2, light(HELD // 2), white)


def _measured(estimator: camera.Estimator, tests: dict[str, list[Held]]) -> dict[str, float]:
    """Mean PSNR and SSIM of each set; light above white is white."""
    values: dict[str, float] = {}
    for name, held in tests.items():
        pairs = [
            (np.minimum(estimator(one.stream, one.at).light / one.white, 1), np.minimum(one.light / one.white, 1))
            for one in held
        ]
        values[f"{name}, dB"] = float(np.mean([psnr(*pair) for pair in pairs]))
        values[f"{name}, SSIM"] = float(np.mean([ssim(*pair) for pair in pairs]))
    return values


def _data(held: Sequence[Held], frames: int) -> Data:
    x = np.stack([packed_in_time(one.stream.dense()[one.at - frames // 2 :][:frames]) for one in held])
    return Data(torch.from_numpy(x), torch.from_numpy(np.stack([one.light for one in held])), Unpacked(frames))


def _shortened(data: Data, frames: int) -> Data:
    """The same, of fewer frames with the same middle one."""
    seen = data.prepare.frames  # type: ignore[attr-defined]
    if frames == seen:
        return data
    begin = seen // 2 - frames // 2
    return Data(data.x, data.y, Unpacked(begin + frames, begin))


def _told(bench: Bench) -> Callable[[int, int], None]:
    def tell(done: int, count: int) -> None:
        if done % 800 == 0 or done == count:
            bench.watch.say(f"{done:,} of {count:,} clips are simulated")

    return tell


def _recipe(name: str, settings: Settings) -> Training:
    data = f"simulated clips of 64×64, {settings.count:,} to learn from, 128 to choose on, 16 recordings to test; REDS"
    return Training(name, f"Pictures of a spike camera: {settings.network}", settings, study, {"data": data})


convolutions = _recipe(
    "camera_pictures", Settings(Plan(16, 8, 1e-3, "adamw", decay=1e-4, warmup=0.2, precision=precision()))
)
"""Five convolutions, beside what needs no training."""

spiking = _recipe(
    "camera_pictures_spiking",
    Settings(Plan(8, 8, 2e-3, "adamw", decay=1e-4, warmup=0.2, precision=precision()), "spiking", 4000),
)
"""A spiking network, the same."""
