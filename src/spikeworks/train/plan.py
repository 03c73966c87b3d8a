"""How a network is trained: a plan, in numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """How to train.

    :param epochs: passes over the training set. :param batch: samples per step.
    :param rate: peak learning rate; it falls to 0 along half a cosine after ``warmup`` epochs of linear rise.
    :param optimiser: ``"sgd"`` (Nesterov momentum 0.9) or ``"adamw"``.
    :param decay: weight decay on every parameter. :param smoothing: label smoothing, 0 to 1.
    :param clip: largest gradient norm, 0 for none.
    :param accumulate: parts a batch is run in, one after the other, where memory does not hold it whole; the gradient
        is that of the whole batch (but batch normalisation sees the parts).
    :param average: share of the old in a running average of weights, 0 for none; it is the average that is validated
        and kept. Early on the share is less, ``(1 + n)/(10 + n)`` after n steps.
    :param keep: which weights the network is left with: ``"best"`` on validation (the first of equals), or ``"last"``.
    :param precision: ``"float32"``, or ``"bfloat16"`` for autocast in training (evaluation is always float32).
    """

    epochs: int = 20
    batch: int = 128
    rate: float = 0.1
    optimiser: str = "sgd"
    decay: float = 5e-4
    smoothing: float = 0.0
    warmup: float = 0.0
    clip: float = 0.0
    precision: str = "float32"
    accumulate: int = 1
    average: float = 0.0
    keep: str = "best"

    def __post_init__(self) -> None:
        whole = isinstance(self.epochs, int) and isinstance(self.batch, int)
        for names, fits, expected in (
            ("epochs, batch", whole and self.epochs >= 1 and self.batch >= 1, "whole numbers from 1"),
            ("rate", 0 < self.rate < math.inf, "a finite number above 0"),
            ("decay, clip", 0 <= self.decay < math.inf and 0 <= self.clip < math.inf, "finite numbers of at least 0"),
            ("smoothing", 0 <= self.smoothing <= 1, "0 to 1"),
            ("warmup, epochs", 0 <= self.warmup <= self.epochs, "a warm-up of at least 0 and at most all epochs"),
            ("accumulate", isinstance(self.accumulate, int) and self.accumulate >= 1, "a whole number from 1"),
            ("average", 0 <= self.average < 1, "0 to below 1; 0.999 is usual"),
            ("keep", self.keep in ("best", "last"), "'best' or 'last'"),
        ):
            if not fits:
                got = ", ".join(f"{name}={getattr(self, name)!r}" for name in names.split(", "))
                raise ValueError(f"Plan got {got}, expected {expected}.")
        if self.optimiser not in ("sgd", "adamw") or self.precision not in ("float32", "bfloat16"):
            raise ValueError(
                f"Plan got optimiser={self.optimiser!r}, precision={self.precision!r}, expected 'sgd' or 'adamw' and "
                "'float32' or 'bfloat16'."
            )

    def rate_at(self, progress: float) -> float:
        """The learning rate after ``progress`` epochs, 0 to ``epochs``."""
        if progress < self.warmup:
            return self.rate * progress / self.warmup
        return self.rate / 2 * (1 + math.cos(math.pi * (progress - self.warmup) / max(self.epochs - self.warmup, 1e-9)))
