"""In which order a converted network is run over time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from ..layers import NetworkState

Execute = Callable[[Tensor, int, NetworkState | None], tuple[Tensor, NetworkState]]
"""Runs the network: input ``[B, ...]``, steps, state or ``None`` for a fresh start → outputs ``[T, B, ...]``, state."""


@dataclass(frozen=True)
class Plain:
    """All neurons start fresh and run for ``steps``; outputs count from step ``start`` on.

    :param steps: T, at least 1.
    :param start: steps at the beginning that are not read, 0 to T − 1 (a delayed readout lets deep layers settle).
    :raises ValueError: for values out of range.
    """

    steps: int = 32
    start: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or not 0 <= self.start < self.steps:
            raise ValueError(
                f"the schedule got steps={self.steps}, start={self.start}, expected steps >= 1 and 0 <= start < steps; "
                "run longer or read earlier."
            )

    def run(self, execute: Execute, x: Tensor) -> Tensor:
        """``[B, ...]`` → the outputs that count, ``[T − start, B, ...]``."""
        y_T, _ = execute(x, self.steps, None)
        return y_T[self.start :]
