"""Hybrid step-wise distillation: a deep network sees many frames, a spiking one made from it answers after few.

For each T there are, with equally many epochs: a network of LIF neurons trained from scratch; the deep network
converted and nothing more; converted and trained on by labels alone, by labels and the teacher's answer for the mean
over time, and by labels and the teacher's answer for every step (the method). The teacher must be ahead of the network
from scratch, or there is nothing to hand on: the run says by how much it is.

Top-1 in % at T = 1, 2 and 4 (``spikeworks train NAME --seed N``, seeds 0, 1 and 2). ``hsd_objects``, teacher
91.1 ± 2.7: from scratch 83.8 ± 4.1, 89.1 ± 1.6, 89.3 ± 2.5; by labels 84.5 ± 3.9, 87.8 ± 2.9, 90.1 ± 0.7; HSD
87.6 ± 2.2, 89.6 ± 0.8, 91.3 ± 0.7. ``hsd_cifar10_moved``, teacher 57.5 ± 1.7: from scratch 44.4 ± 1.4, 47.8 ± 0.5,
51.5 ± 1.5; by labels 43.3 ± 1.6, 51.0 ± 1.5, 56.1 ± 0.3; HSD 43.4 ± 1.0, 49.8 ± 0.6, 55.0 ± 1.3. Steps are more alike
with HSD; the gain in accuracy is that of the start from the deep network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from torch import nn

from ..convert.activation import QCFS
from ..layers import SNN, Spiking
from ..measure.trained import Trained
from ..neurons import LIF, surrogate
from ..train import Distillation, MeanCE, Plan, frame_window, rebin, student
from ..train.fit import Augment
from .bench import Bench
from .data import Split
from .event_data import cifar10_moved, objects_two_sessions
from .events_train import shifted
from .run import precision
from .small import convolutions
from .training import Training


@dataclass(frozen=True)
class Settings:
    """How a study is made.

    :param teacher: how the deep network is trained. :param student: how converted ones are trained on; those from
        scratch have the epochs of both.
    :param frames: that the teacher sees. :param steps: T of the students, divisors of ``frames``.
    :param plan: channels of the convolutions, all of 3×3; 0 is a pooling by two.
    :param levels: L of QCFS. :param bound: its λ before training.
    :param temperature: of distillation. :param weight: of its term.
    :param fewer: students see all events in fewer frames, or the first frames only.
    """

    teacher: Plan
    student: Plan
    frames: int = 8
    steps: tuple[int, ...] = (1, 2, 4)
    plan: tuple[int, ...] = (24, 0, 48, 48, 0, 96, 96, 96, 0)
    levels: int = 8
    bound: float = 2.0
    temperature: float = 4.0
    weight: float = 1.0
    fewer: Literal["rebin", "window"] = "rebin"


HYBRIDS: dict[str, tuple[str, Literal["mean", "steps"] | None]] = {
    "ce": ("converted, labels", None),
    "mean": ("converted, taught the mean", "mean"),
    "steps": ("converted, taught each step", "steps"),
}
"""What a converted network is trained on with: name → for people, and where the teacher's answer is asked for."""


def study(load: Callable[[int], Split], augment: Augment, bench: Bench, settings: Settings) -> None:
    """Train all of them, and measure."""
    split = bench.split(load(settings.frames))
    deep, taught = teacher("teacher", split, augment, bench, settings, f"deep, {settings.frames} frames")
    for steps in settings.steps:
        fewer = partial(FEWER[settings.fewer], steps=steps)
        scratch = SNN(_vgg(split, settings, lambda: Spiking(NEURON), bench), encode=fewer)
        whole = replace(settings.teacher, epochs=settings.teacher.epochs + settings.student.epochs)
        alone = bench.run(f"scratch_{steps}", scratch, split, whole, MeanCE(), augment, f"from scratch, T={steps}")
        lead = taught.accuracy - alone.accuracy
        bench.watch.say(f"T={steps}: the teacher is {lead:+.2f} points ahead" + ", nothing to hand on" * (lead <= 0))
        converted = SNN(student(deep).network, encode=fewer)
        bench.measure(f"converted_{steps}", converted, split.test, f"converted, T={steps}")
        for name, (label, at) in HYBRIDS.items():
            hybrid(f"{name}_{steps}", deep, steps, at, split, augment, bench, settings, f"{label}, T={steps}")


def teacher(
    name: str, split: Split, augment: Augment, bench: Bench, settings: Settings, label: str
) -> tuple[nn.Module, Trained]:
    """The deep network, trained, and what it reaches."""
    deep = _vgg(split, settings, partial(QCFS, settings.levels, settings.bound), bench)
    return deep, bench.run(name, SNN(deep), split, settings.teacher, MeanCE(), augment, label)


def hybrid(
    name: str, deep: nn.Module, steps: int, at: Literal["mean", "steps"] | None, split: Split, augment: Augment,
    bench: Bench, settings: Settings, label: str,
) -> Trained:  # fmt: skip
    """A spiking network made from the deep one and trained on at few steps; ``at``: see :data:`HYBRIDS`."""
    snn = SNN(student(deep).network, encode=partial(FEWER[settings.fewer], steps=steps))
    led = Distillation(deep, settings.weight, settings.temperature, at) if at else MeanCE()
    return bench.run(name, snn, split, settings.student, led, augment, label)


FEWER = {"rebin": rebin, "window": frame_window}
"""How many frames become few, by the name in the settings."""

NEURON = LIF(tau=2.0, decay_input=False, surrogate=surrogate.piecewise_quadratic())
"""v ← v/2 + x, hard reset to 0, a triangle for slope: that of the networks the method is compared with."""


def _vgg(split: Split, settings: Settings, activation: Callable[[], nn.Module], bench: Bench) -> nn.Module:
    _, inside, *image = split.image
    return convolutions(settings.plan, inside, len(split.classes), image, activation, bench.generator())


def _recipe(
    name: str, title: str, load: Callable[[int], Split], augment: Augment, settings: Any, **about: str
) -> Training:
    return Training(name, title, settings, partial(study, load, augment), about)


cifar10_dvs = _recipe(
    "hsd_cifar10_moved", "HSD: CIFAR-10 moved in front of a simulated event camera",
    partial(cifar10_moved, train=3000, test=1000), partial(shifted, pad=3, mirror=True),
    Settings(
        Plan(24, 50, 2e-3, "adamw", decay=1e-2, warmup=1, precision=precision()),
        Plan(12, 50, 1e-3, "adamw", decay=1e-2, warmup=1, precision=precision()),
    ),
    data="CIFAR-10, moved in front of a simulated event camera: 2,700 train, 300 validation, 1,000 test",
)  # fmt: skip
"""Events as CIFAR10-DVS has them, but simulated."""

objects = _recipe(
    "hsd_objects", "HSD: objects in front of a DVS128, learned on one day and tested on another",
    objects_two_sessions, partial(shifted, pad=3),
    Settings(
        Plan(24, 50, 2e-3, "adamw", decay=1e-2, warmup=1, precision=precision(), keep="last"),
        Plan(12, 50, 1e-3, "adamw", decay=1e-2, warmup=1, precision=precision(), keep="last"),
    ),
    data="five objects, 100 ms windows: 1,834 train and 206 validation of one session, 944 test of the other",
)  # fmt: skip
"""Real events of two sessions. The last weights are kept: within one session all networks are right, none is best."""
