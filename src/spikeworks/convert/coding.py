"""How an input becomes currents over time, and outputs over time an answer."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Rate:
    """Constant current: the same analog input at every step, biases included; the answer is the mean of the outputs.

    Linear and affine layers pass means on, so with enough steps every mean is what the deep network computes.
    """

    def decode(self, y_T: Tensor) -> Tensor:
        """Outputs of each step ``[T, B, ...]`` → their mean up to and including each step, ``[T, B, ...]``."""
        count_T = torch.arange(1, y_T.shape[0] + 1, device=y_T.device, dtype=y_T.dtype)
        return y_T.cumsum(0) / count_T.view(-1, *(1,) * (y_T.dim() - 1))
