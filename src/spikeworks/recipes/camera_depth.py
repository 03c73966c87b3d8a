"""Depth from one spike camera that moves sideways, as out of a train's window, by a small network.

Scenes are a far wall and textured things before it, the near ones larger, coarser and in front; all move past at
``focal · speed / depth`` pixels per frame. The simulated camera is noisy (``vidar``). Beside the network stand one
depth for everything, and the same geometry on the flow that block matching tells. What it came to is in
``docs/camera-networks.md``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..camera import Layer, Path, Scene, SpikeStream, match, simulate, texture
from ..models import SpikeDepth, spike_depth
from ..train import Data, Plan
from .bench import Bench
from .data import Split
from .spike_clips import Unpacked, packed_in_time
from .training import Training


@dataclass(frozen=True)
class Settings:
    """How the network is trained.

    :param scenes: to learn from. :param validated: to choose on. :param tested: to measure on. :param size: (height,
        width) in pixels. :param focal: length of the lens, in pixels. :param speed: of the camera, metres per frame:
        0.0014 are 100 km/h at 20,000 frames a second. :param nearest: metres. :param farthest: metres.
    """

    plan: Plan
    scenes: int = 1200
    validated: int = 64
    tested: int = 64
    size: tuple[int, int] = (64, 96)
    focal: float = 400.0
    speed: float = 0.0014
    nearest: float = 1.5
    farthest: float = 30.0

    def __post_init__(self) -> None:
        if not (self.focal > 0 and self.speed > 0 and 0 < self.nearest < self.farthest):
            raise ValueError(f"camera_depth got {self}, expected numbers above 0, and the nearest before the farthest.")
        if min(self.scenes, self.validated, self.tested) < 1 or min(self.size) < 16:
            raise ValueError(f"camera_depth got {self}, expected at least a scene of each, and 16 pixels a side.")


Filmed = tuple[SpikeStream, NDArray[np.float32]]
"""A recording, and the depth of each pixel at its middle frame, in metres."""


def study(bench: Bench, settings: Settings) -> None:
    """Film scenes, train, and measure."""
    if bench.quick:
        settings = replace(settings, scenes=8, validated=2, tested=2, size=(32, 48))
    network = spike_depth(bench.generator(), nearest=settings.nearest / 1.5, farthest=settings.farthest * 5 / 3)
    frames = network.config.frames
    bench.watch.say(f"{settings.scenes + settings.validated + settings.tested} scenes are simulated")
    draw, other = np.random.default_rng([bench.seed, 0]), np.random.default_rng([0, 1])  # all seeds are tested alike
    train = [filmed(settings, frames, draw) for _ in range(settings.scenes if bench.learning else 1)]
    held = [filmed(settings, frames, other) for _ in range(settings.validated + settings.tested)]
    chosen, test = held[: settings.validated], held[settings.validated :]
    split = Split("scenes", (), *(clips(part, frames) for part in (train, chosen, test)))
    history = bench.train("network", network, split, settings.plan, logarithmic, score=nearness)
    truth = np.stack([depth for _, depth in test])
    same = np.full_like(truth, np.exp(np.log(np.stack([depth for _, depth in chosen])).mean()))
    bench.score("one depth", errors(same, truth), "one depth for everything")
    by_flow = np.stack([from_flow(stream, settings) for stream, _ in test])
    bench.score("flow", errors(by_flow, truth), "flow by block matching")
    bench.score("network", errors(told(network, split.test), truth), "network", history)


def logarithmic(found: Tensor, truth: Tensor) -> Tensor:
    """What is made small: the mean distance of logarithms."""
    return (found.log() - truth.log()).abs().mean()


def nearness(found: Tensor, truth: Tensor) -> Tensor:
    """The more the better: the mean relative error of each sample in percent, below 0."""
    return -100 * ((found - truth).abs() / truth).flatten(1).mean(1)


def filmed(settings: Settings, frames: int, draw: np.random.Generator) -> Filmed:
    """A scene that a camera passes, and how far what it sees is."""
    scene, depths = drawn(settings, frames, draw)
    owner = scene.owner(frames // 2 + 0.5)  # a frame sees the light of its middle
    return simulate(scene.light, "vidar", frames, draw), depths[owner]


def drawn(settings: Settings, frames: int, draw: np.random.Generator) -> tuple[Scene, NDArray[np.float32]]:
    """A scene, and the depth of each of its objects, and of the wall behind them, which comes last."""
    height, width = settings.size
    far = settings.farthest

    def layer(depth: float, h: int, w: int, shape: str) -> Layer:
        low = draw.uniform(0.05, 0.5)
        grain = float(np.exp(draw.uniform(np.log(6), np.log(40))) / depth)  # a pattern some centimetres wide
        skin = texture(h, w, draw, float(np.clip(grain, 1.2, 8)), low, low + draw.uniform(0.2, 0.5))
        x, y = draw.uniform(0, width), draw.uniform(0, height)
        pace = settings.focal * settings.speed / depth
        return Layer(skin, Path(x + pace * frames / 2, y, (-pace, 0.0)), shape)  # type: ignore[arg-type]

    depths = np.sort(np.exp(draw.uniform(np.log(settings.nearest), np.log(far), draw.integers(2, 7))))[::-1]
    wall = layer(far, 2 * height, 2 * width, "all")
    things = []
    for depth in depths:
        h, w = np.clip(draw.uniform(0.2, 0.6, 2) * settings.focal / depth, 6, (height, width)).astype(int)
        things.append(layer(float(depth), int(h), int(w), "disc" if draw.random() < 0.5 else "rectangle"))
    return Scene(settings.size, wall, tuple(things)), np.append(depths, far).astype(np.float32)


def clips(films: list[Filmed], frames: int) -> Data:
    """The bits packed along time, and the depth."""
    x = np.stack([packed_in_time(stream.dense()) for stream, _ in films])
    return Data(torch.from_numpy(x), torch.from_numpy(np.stack([depth for _, depth in films])), Unpacked(frames))


@torch.no_grad()
def told(network: SpikeDepth, data: Data) -> NDArray[np.float32]:
    """What a network tells, in metres."""
    return torch.cat([network(data.prepare(x)) for x in data.x.split(16)]).numpy()


def from_flow(stream: SpikeStream, settings: Settings) -> NDArray[np.float32]:
    """``focal · speed / |flow|`` of block matching over the clip's middle part; what stands still is far."""
    least, most = (settings.focal * settings.speed / depth for depth in (settings.farthest, settings.nearest))
    t0, t1 = len(stream) // 2 - 8, len(stream) // 2 + 8
    pace = np.hypot(*match(stream, t0, t1, reach=max(16, int(np.ceil((t1 - t0) * most))), sure=0.0).uv)
    return np.float32(settings.focal * settings.speed) / np.clip(pace, least, most).astype(np.float32)


def errors(found: NDArray[np.float32], truth: NDArray[np.float32]) -> dict[str, float]:
    """The usual errors of depth: relative, root of the mean square, and the share of pixels within a quarter."""
    ratio = np.maximum(found / truth, truth / found)
    return {
        "relative error, %": float(100 * np.mean(np.abs(found - truth) / truth)),
        "RMSE, m": float(np.sqrt(np.mean((found - truth) ** 2))),
        "within 1.25, %": float(100 * np.mean(ratio < 1.25)),
    }


scenes = Training(
    "camera_depth", "Depth from one spike camera that moves",
    Settings(Plan(20, 8, 2e-3, "adamw", decay=1e-4, warmup=0.5)), study,
    {"data": "simulated scenes of 96×64: 1,200 to learn from, 64 to choose on, 64 to test"},
)  # fmt: skip
"""A network of 0.2 million parameters, flow, and one depth for everything."""
