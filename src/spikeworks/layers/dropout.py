"""Dropout that drops the same units at every step."""

from __future__ import annotations

import torch
from torch import Tensor

from .state import like_a_step
from .time import Temporal


class Dropout(Temporal):
    """Dropout with one mask per sample, kept over time; ``nn.Dropout`` in an SNN would draw anew at every step.

    Its state is the mask ``[B, ...]`` (values 0 and 1/(1 − p)) while training, nothing in evaluation, where it is the
    identity.

    :param p: the probability of being dropped, 0 ≤ p < 1.
    :param generator: where the draws come from, on the input's device; default torch's own.
    """

    def __init__(self, p: float = 0.5, generator: torch.Generator | None = None) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"Dropout got p={p}, expected 0 <= p < 1; pass a probability.")
        self.p, self.generator = p, generator

    def run(self, x_T: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """``[T, B, ...]`` → the same with units zeroed and the others scaled by 1/(1 − p)."""
        if state is not None:
            like_a_step(self, x_T, state)
        if not self.training:
            return x_T, state
        if state is None:
            state = torch.empty_like(x_T[0]).bernoulli_(1 - self.p, generator=self.generator) / (1 - self.p)
        return x_T * state, state

    def extra_repr(self) -> str:
        """The probability."""
        return f"p={self.p}"
