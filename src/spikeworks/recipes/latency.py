"""Latency coding: images become one spike per feature, early where it is strong, and the network decides early.

The same network is trained by four losses (the last step's cross-entropy, every step's, the temporal adaptive decision
loss, and, which is ours, that one with its floor on the last step alone), with learned features (LE) and, as a control,
with pixels as intensities; and once with neurons that fire once at most. Decisions are read from the sum of the logits
so far. A deep network of the same shape is the yardstick for corrupted images. What the published work says of its loss
and its encoder is little; see :class:`~spikeworks.train.TAD` and :class:`~spikeworks.layers.LatencyEncoder` for what is
reconstructed.

``latency_digits``, seeds 0, 1 and 2, top-1 in % after one step and after eight: LE, last step 73.8, 98.8, every
step 97.4, 98.7, TAD 97.8, 96.8, TAD and last step 97.0, 98.4; pixels 63.9, 95.8, 79.9, 94.8, 81.9, 93.2, 82.2, 95.3.
``latency_fashion``, the same seeds: LE, last step 59.2, 87.0, every step 82.3, 85.5, TAD 83.7, 84.7, TAD and last step
82.9, 85.5; pixels 45.5, 85.5, 59.7, 84.9, 62.4, 82.9, 60.9, 84.4. More is in the page on training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from statistics import fmean

import torch
from torch import nn

from ..layers import SNN, LatencyEncoder, SingleSpike, Spiking, latency_features, running_sum
from ..models import initialise
from ..neurons import LIF, surrogate
from ..train import TAD, TET, After, Data, LastCE, MeanCE, Objective, Plan
from .bench import Bench, logits
from .convert_fashion_vgg import augmented
from .corrupt import CORRUPTIONS
from .data import Normalise, Split, fashion_mnist
from .data import digits as digits_split
from .run import precision
from .small import convolutions, pooled
from .training import Training


@dataclass(frozen=True)
class Settings:
    """How a study is made.

    :param plan: how every network is trained. :param steps: T.
    :param train: how many images to learn from. :param features: that the encoder makes of an image.
    :param channels: of the convolutions, a pooling by two after each.
    :param floor: ε of the temporal adaptive decision loss.
    :param tested: how many images are corrupted.
    """

    plan: Plan
    steps: int = 8
    train: int = 12_000
    features: int = 12
    channels: tuple[int, ...] = (16, 32)
    floor: float = 0.3
    tested: int = 2000

    def __post_init__(self) -> None:
        if self.train < 1 or self.tested < 1:
            raise ValueError(
                f"latency recipes got train={self.train}, tested={self.tested}, expected at least 1 of each."
            )


NEURON = LIF(tau=2.0, decay_input=False, detach_reset=True, surrogate=surrogate.piecewise_quadratic())
"""v ← v/2 + x, hard reset that passes no gradient, a triangle for slope."""


def study(load: Callable[[], Split], bench: Bench, settings: Settings) -> None:
    """Train all of them, and measure."""
    split = bench.split(_intensities(load(), settings.train))
    adaptive, last = TAD(floor=settings.floor), LastCE()
    both = (1 - settings.floor) * replace(adaptive, floor=0.0) + settings.floor * last
    losses: dict[str, tuple[str, Objective]] = {
        "last": ("last step", last), "tet": ("every step", TET(0.0)), "tad": ("TAD", adaptive),
        "both": ("TAD and last step", both),
    }  # fmt: skip
    kinds = [(f"le_{name}", f"LE, {label}", True, False, loss) for name, (label, loss) in losses.items()]
    kinds += [(f"direct_{name}", f"pixels, {label}", False, False, loss) for name, (label, loss) in losses.items()]
    kinds += [("single_tad", "LE, one spike each, TAD", True, True, losses["tad"][1])]
    augment = augmented if min(split.image[1:]) >= 28 else None  # which would cut out most of a smaller image
    corrupted = partial(robustness, split=split, count=settings.tested)
    for name, label, learned, single, loss in kinds:
        snn = network(split, settings, learned, single, bench.generator())
        bench.run(name, snn, split, settings.plan, After(running_sum, loss), augment, label, running_sum, corrupted)
    deep = _vgg(split, settings, split.image[0], nn.ReLU, bench.generator())
    bench.run("deep", deep, split, settings.plan, MeanCE(), augment, "deep", values=corrupted)


def network(split: Split, settings: Settings, learned: bool, single: bool, generator: torch.Generator) -> SNN:
    """Encoder and network; ``learned``: of features, else of pixels; ``single``: at most one spike per neuron."""
    inside = split.image[0]
    features = latency_features(inside, settings.features) if learned else None
    channels = settings.features if learned else inside

    def fires() -> nn.Module:
        return nn.Sequential(Spiking(NEURON), Spiking(SingleSpike())) if single else Spiking(NEURON)

    network = _vgg(split, settings, channels, fires, generator)
    if features is not None:
        initialise(features, generator)
    return SNN(network, LatencyEncoder(settings.steps, features))


def robustness(network: nn.Module, split: Split, count: int) -> Mapping[str, float]:
    """Top-1 in percent on corrupted test images: the mean over five severities, for each corruption."""
    test = split.test.take(slice(0, count))
    clean, found = test.prepare(test.x), dict[str, float]()
    for name, corrupt in CORRUPTIONS.items():
        at = []
        for severity in range(1, 6):
            data = Data(corrupt(clean, severity, torch.Generator().manual_seed(severity)), test.y)
            z_TBC, y_B = logits(network, data)
            at.append(100 * float((z_TBC.sum(0).argmax(-1) == y_B).double().mean()))
        found[name] = fmean(at)
    return found


def _intensities(split: Split, train: int) -> Split:
    """Pixels from 0 to 1, and the first of the training images."""
    prepare = Normalise((0.0,), (1.0,), getattr(split.train.prepare, "scale", 1.0))
    parts = {"train": split.train.take(slice(0, train)), "validation": split.validation, "test": split.test}
    return replace(split, **{name: Data(part.x, part.y, prepare) for name, part in parts.items()})


def _vgg(
    split: Split, settings: Settings, channels: int, activation: Callable[[], nn.Module], generator: torch.Generator
) -> nn.Module:
    plan, image = pooled(settings.channels), split.image[1:]
    return convolutions(plan, channels, len(split.classes), image, activation, generator)


digits = Training(
    "latency_digits", "Latency coding on handwritten digits",
    Settings(Plan(40, 32, 3e-3, "adamw", decay=1e-2, warmup=1), channels=(24, 24)),
    partial(study, digits_split), {"data": "digits (scikit-learn), 1,197 train, 300 validation, 300 test"},
)  # fmt: skip
"""Digits of 8×8 pixels, which come with scikit-learn: losses, encoders and corruptions compared at T = 8."""

fashion = Training(
    "latency_fashion", "Latency coding on Fashion-MNIST",
    Settings(Plan(8, 64, 3e-3, "adamw", decay=1e-2, warmup=0.5, precision=precision())),
    partial(study, fashion_mnist), {"data": "Fashion-MNIST, 12,000 train, 5,000 validation, 10,000 test"},
)  # fmt: skip
"""Fashion-MNIST: the same."""
