"""Recordings of event cameras, learned directly: one small convolutional network of LIF neurons.

Frames of counts go in, ``[T, B, 2, H, W]``; the mean of the logits over T decides. Top-1 in % on test, mean and
standard deviation over seeds 0, 1 and 2 (``spikeworks train NAME --seed N``, then ``spikeworks spread``):

| recipe        | T=1         | T=2        | T=4        | T=8        |
|---------------|-------------|------------|------------|------------|
| train_nmnist  | 90.6 ± 1.0  | 95.2 ± 1.4 | 96.1 ± 0.5 | 96.7 ± 0.3 |
| train_gesture | 70.0 ± 10.6 | 75.3 ± 7.6 | 82.0 ± 7.2 | 84.0 ± 6.0 |
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..layers import SNN, Spiking
from ..neurons import LIF, Neuron
from ..train import TET, Plan
from .augment import crop, flip
from .bench import Bench
from .data import Split
from .event_data import gesture_windows, nmnist_small
from .small import convolutions, pooled
from .training import Training


@dataclass(frozen=True)
class Settings:
    """:param plan: how to train. :param frames: T. :param tau: time constant of all neurons, steps.
    :param channels: of the convolutions, a pooling by two after each."""

    plan: Plan
    frames: int = 8
    tau: float = 2.0
    channels: tuple[int, ...] = (16, 32, 64)


def network(split: Split, channels: tuple[int, ...], neuron: Neuron, generator: torch.Generator) -> SNN:
    """Convolutions of 3×3, each normalised, spiking, averaged over 2×2, and a linear layer that answers each step."""
    _, inside, *image = split.image
    return SNN(convolutions(pooled(channels), inside, len(split.classes), image, lambda: Spiking(neuron), generator))


def shifted(x: Tensor, generator: torch.Generator, pad: int = 2, mirror: bool = False) -> Tensor:
    """Frames ``[B, T, C, H, W]`` shifted by up to ``pad`` pixels, and mirrored or not: all frames of a sample alike."""
    still = crop(x.flatten(1, 2), generator, pad)
    return (flip(still, generator) if mirror else still).view_as(x)


def _work(load: Callable[[int], Split], pad: int, bench: Bench, settings: Settings) -> None:
    split = bench.split(load(settings.frames))
    snn = network(split, settings.channels, LIF(tau=settings.tau), bench.generator())
    bench.run("snn", snn, split, settings.plan, TET(), partial(shifted, pad=pad), "LIF, TET")


def _recipe(name: str, title: str, load: Callable[[int], Split], pad: int, plan: Plan, **about: str) -> Training:
    settings: Any = Settings(plan)
    return Training(name, title, settings, partial(_work, load, pad), about)


nmnist = _recipe(
    "train_nmnist", "N-MNIST, 600 recordings to learn from", nmnist_small, 2,
    Plan(30, 50, 3e-3, "adamw", decay=1e-2, warmup=2), data="N-MNIST, 600 train, 100 validation, 400 test",
)  # fmt: skip
"""N-MNIST, a part of it: a convolutional network of LIF neurons on 8 frames of equal duration."""

gesture = _recipe(
    "train_gesture", "DVS128 Gesture, windows of ten recordings", gesture_windows, 3,
    Plan(40, 20, 3e-3, "adamw", decay=1e-2, warmup=2),
    data="DVS128 Gesture, one recording per class, 100 ms windows: the first half of each for training",
)  # fmt: skip
"""Ten recordings of DVS128 Gesture, windows of each from early to late: that it learns, nothing of other people."""
