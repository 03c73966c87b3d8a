"""Optical flow by a small network, trained on simulated scenes, beside DIS and block matching.

Scenes are a textured background and one to four textured discs and rectangles; all move, turn and grow, each its own
way, by half a pixel a frame at most. The simulated camera is noisy (``vidar``). Held-out scenes are other ones, twice
as large. What it came to is in ``docs/camera-flow.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..camera import Flow, Layer, Scene, SpikeStream, dis, flow_by, match, simulate, texture
from ..camera import Path as Way
from ..camera.flow import arrive
from ..camera.flow_network import told
from ..measure import aepe, outliers
from ..models import SpikeFlow, spike_flow_small
from ..train import Data, Plan, flow_loss
from .bench import Bench
from .data import Split
from .spike_clips import Unpacked, packed_in_time
from .training import Training

BEFORE = 24
"""Frames in front of the first of the two frames, and behind the second."""


@dataclass(frozen=True)
class Settings:
    """How the network is trained.

    :param plan: an epoch sees each scene four times, mirrored this way and that.
    :param scenes: to train on. :param validated: to choose on. :param tested: to measure on. :param size: (height,
        width) of scenes; those to measure on are twice as large.
    :param apart: frames from one clip's middle to the other's. :param passes: in measuring; in training one or two.
    """

    plan: Plan
    scenes: int = 300
    validated: int = 16
    tested: int = 16
    size: tuple[int, int] = (64, 96)
    apart: int = 20
    passes: int = 2

    def __post_init__(self) -> None:
        if min(self.scenes, self.validated, self.tested, self.apart, self.passes) < 1 or min(self.size) < 16:
            raise ValueError(f"camera_flow got {self}, expected at least 1 of each, and 16 pixels a side.")


Filmed = tuple[SpikeStream, NDArray[np.float32]]
"""A recording, and the pixels that are gone from its frame :data:`BEFORE` on to the other one."""


class Pairs(nn.Module):
    """A network on two clips ``[B, 2, T, H, W]`` → its flows, in training after one pass or two."""

    def __init__(self, network: SpikeFlow, apart: int, passes: int) -> None:
        super().__init__()
        self.network, self.apart, self.passes = network, apart, passes

    def forward(self, x: Tensor) -> list[Tensor]:
        """Pixels, of each level, the coarsest first."""
        first, second = x.unbind(1)
        passes = 1 + int(torch.randint(self.passes, ())) if self.training else self.passes
        return told(self.network, first.transpose(0, 1), second.transpose(0, 1), self.apart, passes)


def score(flows: Sequence[Tensor], truth: Tensor) -> Tensor:
    """The more the better: the mean distance of each sample, in pixels, below 0."""
    return -(flows[-1] - truth).norm(dim=1).flatten(1).mean(1)


def study(bench: Bench, settings: Settings) -> None:
    """Train on scenes, and measure on others beside what needs no training."""
    if bench.quick:
        settings = Settings(settings.plan, 4, 1, 1, (32, 48), settings.apart, settings.passes)
    draw = np.random.default_rng([0, 1])  # others than those trained on, the same for every seed
    large = (2 * settings.size[0], 2 * settings.size[1])
    held = [filmed(large, settings.apart, draw) for _ in range(settings.tested)]
    films, chosen = held, held
    if bench.learning:
        count, draw = settings.scenes + settings.validated, np.random.default_rng(bench.seed)
        bench.watch.say(f"{count} scenes are simulated")
        films = [filmed(settings.size, settings.apart, draw) for _ in range(count)]
        films, chosen = films[: settings.scenes], films[settings.scenes :]
    network = spike_flow_small(bench.generator())
    pairs, frames = Pairs(network, settings.apart, settings.passes), network.config.frames
    mirrored = [one for film in films for one in mirrors(film)]
    parts = [clips(part, settings.apart, frames) for part in (mirrored, chosen, held)]
    split = Split("scenes", (), *parts)
    history = bench.train("network", pairs, split, settings.plan, flow_loss, score=score, kept=network)
    for name, method in methods(network, settings.passes).items():
        try:
            values = compared(method, held, settings.apart)
        except ModuleNotFoundError as error:
            bench.watch.say(f"{name} is left out: {error}")
            continue
        bench.score(name, values, history=history if name == "network" else ())


def drawn_scene(size: tuple[int, int], draw: np.random.Generator, at: float) -> Scene:
    """A background and up to four objects, all within the picture about the time ``at``."""
    height, width = size

    def layer(h: int, w: int, fast: float, shape: str) -> Layer:
        low = draw.uniform(0.05, 0.5)
        grain, spin, growth = np.exp(draw.uniform(np.log(1.5), np.log(8))), *draw.normal(0, (0.002, 0.0005))
        skin = texture(h, w, draw, float(grain), low, low + draw.uniform(0.2, 0.5))
        u, v = draw.uniform(-fast, fast, 2)
        x, y = draw.uniform(0, width), draw.uniform(0, height)
        way = Way(x - u * at, y - v * at, (u, v), draw.uniform(0, 2 * np.pi), float(spin), 1.0, float(growth))
        return Layer(skin, way, shape)  # type: ignore[arg-type]

    ground = layer(2 * height, 2 * width, 0.25, "all")
    sides = [draw.uniform(0.2, 0.6, 2) * size for _ in range(int(draw.integers(1, 5)))]
    shapes = draw.choice(["disc", "rectangle"], len(sides))
    return Scene(
        size, ground, tuple(layer(int(h), int(w), 0.5, str(s)) for (h, w), s in zip(sides, shapes, strict=True))
    )


def filmed(size: tuple[int, int], apart: int, draw: np.random.Generator) -> Filmed:
    """A drawn scene before a simulated camera, and the exact flow."""
    scene = drawn_scene(size, draw, BEFORE + apart / 2)
    stream = simulate(scene.light, "vidar", 2 * BEFORE + apart + 1, draw)
    return stream, scene.flow(BEFORE + 0.5, BEFORE + apart + 0.5)  # a frame sees the light of its middle


Bits = tuple[NDArray[np.uint8], NDArray[np.float32]]
"""Decoded frames, and the flow."""


def mirrors(film: Filmed) -> list[Bits]:
    """A film, and the three that mirrors show: a mirrored picture has a mirrored flow."""
    bits, found = film[0].dense(), []
    for axes in ((), (1,), (2,), (1, 2)):
        signs = np.array([-1 if axis in axes else 1 for axis in (2, 1)], np.float32)
        found.append((np.flip(bits, axes), np.flip(film[1], axes) * signs[:, None, None]))
    return found


def clips(films: Sequence[Filmed | Bits], apart: int, frames: int) -> Data:
    """The clips around both frames, and the flow between them."""
    x, y = [], []
    for film, truth in films:
        bits = film.dense() if isinstance(film, SpikeStream) else film
        begins = [t - frames // 2 for t in (BEFORE, BEFORE + apart)]
        x.append(np.stack([packed_in_time(bits[begin : begin + frames]) for begin in begins]))
        y.append(truth.astype(np.float32))
    return Data(torch.from_numpy(np.stack(x)), torch.from_numpy(np.stack(y)), Unpacked(frames))


Method = Callable[[SpikeStream, int, int, bool], Flow]
"""Flow between two frames of a recording; True: what is doubtful is not valid, False: everything that can be is."""


def methods(network: SpikeFlow, passes: int = 2) -> dict[str, Method]:
    """The network, and what it is held against: DIS and block matching on the same frames, and no motion at all."""

    def still(stream: SpikeStream, t0: int, t1: int, strict: bool) -> Flow:
        shape = (stream.height, stream.width)
        return Flow(np.zeros((2, *shape), np.float32), np.ones(shape, bool))

    def by_dis(stream: SpikeStream, t0: int, t1: int, strict: bool) -> Flow:
        return dis(stream, t0, t1, network.config.frames, most=1.0 if strict else np.inf)

    def by_match(stream: SpikeStream, t0: int, t1: int, strict: bool) -> Flow:
        return match(stream, t0, t1, reach=16, sure=0.2 if strict else 0.0)

    def by_network(stream: SpikeStream, t0: int, t1: int, strict: bool) -> Flow:
        return flow_by(network, stream, t0, t1, passes, most=1.0 if strict else np.inf)

    return {"still": still, "dis": by_dis, "match": by_match, "network": by_network}


def compared(method: Method, films: Sequence[Filmed], apart: int) -> dict[str, float]:
    """How far a method is from the truth: over all pixels that stay in the picture, what it cannot tell counts as
    still; and over those of them that it calls valid.

    :raises ModuleNotFoundError: where the method needs a library that is not there.
    """
    t0, t1 = BEFORE, BEFORE + apart
    truth = np.stack([truth for _, truth in films])
    stays = np.stack([arrive(uv)[2] for uv in truth])
    every, sure = ([method(stream, t0, t1, strict) for stream, _ in films] for strict in (False, True))
    all_uv, sure_uv = (apart * np.stack([flow.uv for flow in flows]) for flows in (every, sure))
    known = np.stack([flow.valid for flow in sure])
    values = {"AEPE, px": aepe(all_uv, truth, stays), "outliers, %": 100 * outliers(all_uv, truth, stays)}
    values["called valid, %"] = 100 * float(known.mean())
    if (known & stays).any():
        values["AEPE of valid, px"] = aepe(sure_uv, truth, known & stays)
    return values


scenes = Training(
    "camera_flow", "Optical flow of a spike camera",
    Settings(Plan(4, 4, 1e-3, "adamw", decay=4e-4, warmup=0, clip=10.0)), study,
    {"data": "simulated scenes: 300 to learn from, 16 to choose on, 16 larger ones to test"},
)  # fmt: skip
"""A network of 0.15 million parameters, DIS, block matching, and that nothing moves."""
