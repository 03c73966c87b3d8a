"""What hybrid step-wise distillation hangs on: frames of the teacher, temperature, levels of its activations.

One of them is varied at a time, the others are those of the main recipe; each student has the same few steps. What it
is trained on (labels, the mean, each step) is varied in :mod:`.hsd` itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from torch import nn

from ..train.fit import Augment
from . import hsd
from .bench import Bench
from .data import Split
from .event_data import objects_two_sessions
from .events_train import shifted
from .training import Training


@dataclass(frozen=True)
class Settings:
    """:param base: what is not varied. :param steps: T of all students, a divisor of all ``frames``.
    :param frames: that teachers see. :param temperatures: of distillation. :param levels: L of QCFS."""

    base: hsd.Settings
    steps: int = 2
    frames: tuple[int, ...] = (2, 4, 8)
    temperatures: tuple[float, ...] = (1.0, 2.0, 4.0, 10.0)
    levels: tuple[int, ...] = (2, 4, 8, 16)


def study(load: Callable[[int], Split], augment: Augment, bench: Bench, settings: Settings) -> None:
    """Train a teacher for each number of frames and levels, a student for each setting, and measure."""
    base, teachers = settings.base, dict[tuple[int, int], tuple[nn.Module, Split]]()
    varied = [replace(base, frames=frames) for frames in settings.frames]
    varied += [replace(base, levels=levels) for levels in settings.levels]
    varied += [replace(base, temperature=temperature) for temperature in settings.temperatures]
    for one in dict.fromkeys(varied):  # the main recipe's own is in each list
        key = one.frames, one.levels
        if key not in teachers:
            split = bench.split(load(one.frames))
            label = f"deep, {one.frames} frames, L={one.levels}"
            teachers[key] = (
                hsd.teacher(f"teacher_{one.frames}_{one.levels}", split, augment, bench, one, label)[0],
                split,
            )
        deep, split = teachers[key]
        name = f"steps_{one.frames}_{one.levels}_{one.temperature:g}"
        label = f"T={settings.steps}, {one.frames} frames, L={one.levels}, temperature {one.temperature:g}"
        hsd.hybrid(name, deep, settings.steps, "steps", split, augment, bench, one, label)


objects = Training(
    "hsd_ablations", "HSD: what it hangs on, objects in front of a DVS128", Settings(hsd.objects.settings),
    partial(study, objects_two_sessions, partial(shifted, pad=3)), hsd.objects.about,
)  # fmt: skip
"""The objects of :data:`.hsd.objects`, whose seeds make the same teacher."""
