"""Optical flow by a small network, trained on simulated scenes, beside DIS and block matching.

Scenes are a textured background and one to four textured discs and rectangles; all move, turn and grow, each its own
way, by half a pixel a frame at most. The simulated camera is noisy (``vidar``). Held-out scenes are other ones, twice
as large. :func:`run` gives the table; what it came to is in ``docs/camera-flow.md``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ..camera import Flow, Layer, Scene, SpikeStream, dis, flow_by, match, simulate, texture
from ..camera import Path as Way
from ..camera.flow import arrive
from ..camera.flow_network import told
from ..disk import whole
from ..measure import aepe, outliers
from ..models import SpikeFlow, spike_flow_small
from ..train import flow_loss, save_weights
from .run import Watch

BEFORE = 24
"""Frames in front of the first of the two frames, and behind the second."""


@dataclass(frozen=True)
class FlowSettings:
    """How the network is trained.

    :param scenes: to train on. :param held_out: to measure on. :param size: (height, width) of training scenes.
    :param apart: frames from one clip's middle to the other's. :param steps: of the optimiser (AdamW). :param batch:
        scenes in a step. :param rate: the most; it falls to 0 along half a cosine. :param decay: of weights.
    :param passes: in measuring; in training every second step has two.
    """

    scenes: int = 300
    held_out: int = 16
    size: tuple[int, int] = (64, 96)
    apart: int = 20
    steps: int = 1200
    batch: int = 4
    rate: float = 1e-3
    decay: float = 4e-4
    passes: int = 2


@dataclass(frozen=True)
class FlowResult:
    """How far a method is from the truth.

    :param name: of the method. :param error: AEPE in pixels over all pixels that stay in the picture; what a method
        cannot tell counts as still. :param outliers: share of them, see :func:`~spikeworks.measure.outliers`.
    :param known: the share of pixels that the method calls valid. :param error_known: AEPE over those.
    """

    name: str
    error: float
    outliers: float
    known: float
    error_known: float


@dataclass(frozen=True)
class FlowStudy:
    """What came of a run.

    :param results: a line per method. :param losses: of the training steps. :param network: as trained.
    """

    results: list[FlowResult]
    losses: list[float]
    network: SpikeFlow

    def save(self, path: str | Path) -> None:
        """Write results and losses as JSON."""
        with whole(path) as temporary:
            words = {"results": [asdict(r) for r in self.results], "losses": self.losses}
            temporary.write_text(json.dumps(words, indent=1), encoding="utf-8")


def run(
    seed: int = 0, quick: bool = False, watch: Watch = Watch(), folder: str | Path | None = None,
    settings: FlowSettings = FlowSettings(),
) -> FlowStudy:  # fmt: skip
    """Train, and measure on held-out scenes.

    :param seed: of scenes, noise, weights and order. :param quick: only to see whether it runs.
    :param watch: who is told what happens.
    :param folder: where ``weights.safetensors`` and ``flow.json`` are left; default: nowhere.
    """
    if quick:
        settings = FlowSettings(scenes=4, held_out=1, size=(32, 48), steps=2, batch=2)
    draw = np.random.default_rng(seed)
    watch.say(f"{settings.scenes} scenes are simulated")
    films = [filmed(settings.size, settings.apart, draw) for _ in range(settings.scenes)]
    network = spike_flow_small(torch.Generator().manual_seed(seed))
    losses = train(network, films, settings, draw, watch)
    large = (2 * settings.size[0], 2 * settings.size[1])
    apart = np.random.default_rng([seed, 1])  # others than those trained on, however many these are
    held = [filmed(large, settings.apart, apart) for _ in range(settings.held_out)]
    study = FlowStudy(compared(network, held, settings, watch), losses, network)
    if folder is not None:
        save_weights(network, Path(folder) / "weights.safetensors")
        study.save(Path(folder) / "flow.json")
    return study


Filmed = tuple[SpikeStream, NDArray[np.float32]]
"""A recording, and the pixels that are gone from its frame :data:`BEFORE` on to the other one."""


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


def train(
    network: SpikeFlow, films: list[Filmed], settings: FlowSettings, draw: np.random.Generator, watch: Watch
) -> list[float]:
    """Train in place; pictures are mirrored at random. The loss of each step.

    The loop is its own: :func:`spikeworks.train.fit` trains classifiers.

    :raises ValueError: for a loss that is not finite.
    """
    optimiser = torch.optim.AdamW(network.parameters(), settings.rate, weight_decay=settings.decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, settings.steps)
    losses: list[float] = []
    for step in range(settings.steps):
        chosen = draw.choice(len(films), min(settings.batch, len(films)), replace=False)
        first, second, truth = _batch([films[i] for i in chosen], settings.apart, network.config.frames, draw)
        loss = flow_loss(told(network, first, second, settings.apart, 1 + step % 2), truth)
        if not torch.isfinite(loss):
            raise ValueError(f"camera_flow got a loss of {float(loss)} in step {step}; lower rate={settings.rate}.")
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 10.0)
        optimiser.step()
        schedule.step()
        losses.append(float(loss.detach()))
        if (step + 1) % 100 == 0:
            watch.say(f"step {step + 1} of {settings.steps}: loss {np.mean(losses[-100:]):.2f}")
    return losses


def _batch(
    films: list[Filmed], apart: int, frames: int, draw: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    clips: list[list[NDArray[np.float32]]] = [[], []]
    truths = []
    for stream, truth in films:
        axes = tuple(axis for axis in (1, 2) if draw.random() < 0.5)
        for kept, t in zip(clips, (BEFORE, BEFORE + apart), strict=True):
            begin = t - frames // 2
            kept.append(np.flip(stream[begin : begin + frames].dense(np.float32), axes))
        signs = np.array([-1 if axis in axes else 1 for axis in (2, 1)], np.float32)
        truths.append(np.flip(truth, axes) * signs[:, None, None])
    first, second = (torch.from_numpy(np.stack(kept, 1)) for kept in clips)
    return first, second, torch.from_numpy(np.stack(truths))


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


def compared(
    network: SpikeFlow, films: list[Filmed], settings: FlowSettings = FlowSettings(), watch: Watch = Watch()
) -> list[FlowResult]:
    """Every one of :func:`methods` on the same films; DIS only where OpenCV is installed."""
    t0, t1 = BEFORE, BEFORE + settings.apart
    truth = np.stack([truth for _, truth in films])
    stays = np.stack([arrive(uv)[2] for uv in truth])
    results = []
    for name, method in methods(network, settings.passes).items():
        try:
            every, sure = ([method(stream, t0, t1, strict) for stream, _ in films] for strict in (False, True))
        except ModuleNotFoundError as error:
            watch.say(f"{name} is left out: {error}")
            continue
        all_uv, sure_uv = (settings.apart * np.stack([flow.uv for flow in flows]) for flows in (every, sure))
        known = np.stack([flow.valid for flow in sure])
        both = known & stays
        error_known = aepe(sure_uv, truth, both) if both.any() else np.nan
        results.append(
            FlowResult(
                name, aepe(all_uv, truth, stays), outliers(all_uv, truth, stays), float(known.mean()), error_known
            )
        )
        watch.say(f"{name}: {results[-1].error:.2f} pixels")
    return results
