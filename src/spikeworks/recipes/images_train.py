"""Images, learned directly by spiking networks at T = 4: each pixel is the same current at every step.

Top-1 in % on test after 1, 2 and 4 steps (``spikeworks train NAME --seed N``), seeds 0, 1 and 2: ``train_digits``
97.2 ± 1.7, 99.2 ± 0.2, 99.4 ± 0.4; ``train_fashion`` 85.1 ± 0.3, 87.1 ± 0.2, 87.7 ± 0.1; ``train_cifar10``, seed 0
alone, 65.5, 69.6, 71.1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from ..layers import SNN, Repeat, Spiking
from ..models import ResNet, ResNetConfig, initialise
from ..neurons import LIF
from ..train import TET, Plan
from ..train.fit import Augment
from .augment import flip
from .bench import Bench
from .convert_cifar10_vit import augmented
from .data import Split, cifar10, fashion_mnist
from .data import digits as digits_split
from .run import precision
from .training import Training


@dataclass(frozen=True)
class Settings:
    """:param plan: how to train. :param steps: T. :param tau: time constant of all neurons, in steps.
    :param blocks: in each stage. :param channels: of each stage. :param form: of the blocks, ``"ms"`` or ``"sew"``."""

    plan: Plan
    steps: int = 4
    tau: float = 2.0
    blocks: tuple[int, ...] = (1, 1, 1)
    channels: tuple[int, ...] = (32, 64, 128)
    form: Literal["ms", "sew"] = "ms"


def _work(load: Callable[[], Split], augment: Augment | None, bench: Bench, settings: Settings) -> None:
    split = bench.split(load())
    shape = ResNetConfig(
        settings.blocks, settings.channels, settings.form, classes=len(split.classes), in_channels=split.image[0]
    )  # type: ignore[arg-type]
    network = ResNet(shape, lambda: Spiking(LIF(tau=settings.tau)))
    initialise(network, bench.generator())
    snn = SNN(network, Repeat(settings.steps))
    label = f"{settings.form.upper()}-ResNet, LIF, T={settings.steps}"
    bench.run("snn", snn, split, settings.plan, TET(0.0), augment, label)


def _recipe(
    name: str, title: str, load: Callable[[], Split], augment: Augment | None, settings: Settings, **about: str
) -> Training:
    return Training(name, title, settings, partial(_work, load, augment), about)


digits = _recipe(
    "train_digits", "Handwritten digits, MS-ResNet at T = 4", digits_split, None,
    Settings(Plan(15, 32, 0.1, decay=5e-4, warmup=1), channels=(16, 32, 64)),
    data="digits (scikit-learn), 1,197 train, 300 validation, 300 test",
)  # fmt: skip
"""Digits of 8×8 pixels, which come with scikit-learn."""

cifar10_resnet = _recipe(
    "train_cifar10", "CIFAR-10, MS-ResNet at T = 4", cifar10, augmented,
    Settings(Plan(10, 64, 0.1, decay=5e-4, warmup=0.5, precision=precision())),
    data="CIFAR-10, JPEG, 45,000 train, 5,000 validation, 10,000 test", augmentation="shifts, mirror images",
)  # fmt: skip
"""CIFAR-10: a residual network of LIF neurons with membrane shortcuts, at T = 4."""

fashion_resnet = _recipe(
    "train_fashion", "Fashion-MNIST, MS-ResNet at T = 4", fashion_mnist, flip,
    Settings(Plan(5, 64, 0.1, decay=5e-4, warmup=0.5, precision=precision()), channels=(16, 32, 64)),
    data="Fashion-MNIST, 55,000 train, 5,000 validation, 10,000 test", augmentation="mirror images",
)  # fmt: skip
"""Fashion-MNIST: the same, with half the channels."""
