"""What a network is trained on: samples and what it shall answer, in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Augment = Callable[[Tensor, torch.Generator], Tensor]
"""A training batch ``[B, ...]`` and a generator to another view of it, of the same labels."""


@dataclass(frozen=True)
class Data:
    """Samples and labels in memory.

    :param x: ``[N, ...]``, any dtype. :param y: class numbers from 0, ``[N]``; or, for a regression, what the network
        shall answer, finite floats ``[N, ...]``.
    :param prepare: a batch of ``x`` → what the network takes (to float, normalised); it serves training and evaluation.
    """

    x: Tensor
    y: Tensor
    prepare: Callable[[Tensor], Tensor] = torch.Tensor.float

    def __post_init__(self) -> None:
        if len(self.x) != len(self.y) or len(self.y) == 0 or (self.y.dim() != 1 and self.classes):
            raise ValueError(
                f"Data got samples {tuple(self.x.shape)} and labels {tuple(self.y.shape)}, expected [N, ...] and [N] "
                "with N >= 1; give one label per sample."
            )
        if self.classes and int(self.y.min()) < 0:
            raise ValueError(
                f"Data got labels from {int(self.y.min())}, expected whole numbers from 0; map the classes to "
                "0, 1, 2, ..."
            )
        if not self.classes and not bool(self.y.isfinite().all()):
            raise ValueError("Data got NaN or infinity among the answers, expected finite values; clean them first.")
        if self.x.is_floating_point() and not bool(self.x.isfinite().all()):
            raise ValueError("Data got NaN or infinity among the samples, expected finite values; clean them first.")

    @property
    def classes(self) -> bool:
        """Whether ``y`` are class numbers."""
        return not self.y.is_floating_point()

    def take(self, index: Tensor | slice) -> Data:
        """Some of the samples, in the order of ``index``."""
        return Data(self.x[index], self.y[index], self.prepare)

    def batches(self, size: int = 256) -> list[tuple[Tensor, Tensor]]:
        """All samples, prepared, as a list of ``(x, y)`` batches: what conversion and evaluation take."""
        return [
            (self.prepare(x), y.long() if self.classes else y)
            for x, y in zip(self.x.split(size), self.y.split(size), strict=True)
        ]  # fmt: skip
