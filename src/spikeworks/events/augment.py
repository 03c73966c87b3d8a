"""Augmentation: frozen callables ``(stream, generator) -> stream``, put together.

What moves events is in :mod:`~spikeworks.events.geometry`, what moves time in :mod:`~spikeworks.events.retime`, what
leaves events out in :mod:`~spikeworks.events.drop` and, by rule, :mod:`~spikeworks.events.filters`; two streams are
mixed in :mod:`~spikeworks.events.mix`. The same state of the generator gives the same stream; the stream that is given
stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .geometry import Flip, Roll, Rotate, Shear
from .stream import EventStream

Augmentation = Callable[[EventStream, np.random.Generator], EventStream]
"""What an augmentation is; the deterministic ones can be called without a generator."""


@dataclass(frozen=True, init=False)
class Compose:
    """One after the other.

    :param steps: augmentations, in the order they are applied; none changes nothing.
    """

    steps: tuple[Augmentation, ...]

    def __init__(self, *steps: Augmentation) -> None:
        object.__setattr__(self, "steps", steps)

    def __call__(self, stream: EventStream, generator: np.random.Generator) -> EventStream:
        for step in self.steps:
            stream = step(stream, generator)
        return stream


@dataclass(frozen=True, init=False)
class OneOf:
    """One of them, each as likely as the others.

    :param choices: augmentations, at least one. :raises ValueError: for none.
    """

    choices: tuple[Augmentation, ...]

    def __init__(self, *choices: Augmentation) -> None:
        if not choices:
            raise ValueError("OneOf got no augmentations, expected at least one.")
        object.__setattr__(self, "choices", choices)

    def __call__(self, stream: EventStream, generator: np.random.Generator) -> EventStream:
        return self.choices[int(generator.integers(len(self.choices)))](stream, generator)


@dataclass(frozen=True)
class RandomApply:
    """With a probability, else the stream as it is.

    :param augmentation: what. :param probability: 0 to 1.
    :raises ValueError: for another probability.
    """

    augmentation: Augmentation
    probability: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise ValueError(f"RandomApply got probability={self.probability}, expected 0 to 1.")

    def __call__(self, stream: EventStream, generator: np.random.Generator) -> EventStream:
        return self.augmentation(stream, generator) if generator.random() < self.probability else stream


def nda(roll: int = 5, degrees: float = 30.0) -> Compose:
    """Neuromorphic data augmentation: a mirror image half of the time, then one of roll, rotation and shear.

    Li, Kim, Park, Geller, Panda, ECCV 2022. The defaults are those of their published loader for CIFAR10-DVS at
    48 × 48; N-Caltech101 takes 3 and 15. The paper's policy also cuts out
    (:class:`~spikeworks.events.drop.Cutout`) and mixes by CutMix, which that loader leaves to the training loop; it
    leaves out the mirror image too. Theirs moves frames, this moves events.

    :param roll: pixels at most, circular, each way. :param degrees: of the rotation and of the shear, at most.
    """
    return Compose(RandomApply(Flip("x")), OneOf(Roll(roll, roll), Rotate(degrees), Shear(degrees)))
