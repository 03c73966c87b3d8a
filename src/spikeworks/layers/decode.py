"""From outputs over time to one answer: functions ``[T, B, ...]`` → ``[B, ...]`` for ``SNN(decode=...)``.

:func:`running_sum` and :func:`running_mean` keep the axis of time: an answer after each step.
"""

from __future__ import annotations

import torch
from torch import Tensor


def mean(y_T: Tensor) -> Tensor:
    """The mean over time: the firing rate of spikes, the average of logits."""
    return y_T.mean(0)


def last(y_T: Tensor) -> Tensor:
    """The output at the last step."""
    return y_T[-1]


def running_sum(y_T: Tensor) -> Tensor:
    """The sum up to and including each step, ``[T, B, ...]``: the potential of a readout that integrates."""
    return y_T.cumsum(0)


def running_mean(y_T: Tensor) -> Tensor:
    """The mean up to and including each step, ``[T, B, ...]``: the answer if the network had stopped there."""
    steps_T = torch.arange(1, len(y_T) + 1, device=y_T.device, dtype=y_T.dtype)
    return y_T.cumsum(0) / steps_T.view(-1, *(1,) * (y_T.dim() - 1))


def maximum(y_T: Tensor) -> Tensor:
    """The largest value over time; steps that share it share the gradient."""
    return y_T.amax(0)


def first_spike(y_T: Tensor) -> Tensor:
    """The step of the first non-zero output, 0 to T − 1, or T if there is none; int64, without gradient."""
    fired_T = y_T != 0
    return torch.where(fired_T.any(0), fired_T.to(torch.uint8).argmax(0), y_T.shape[0])


def soft_first_spike(y_T: Tensor) -> Tensor:
    """``Σ_t Π_{u≤t} (1 − s[u])``: the expected step of the first spike if outputs in [0, 1] are firing probabilities.

    Equal to :func:`first_spike` for spikes of 0 and 1, and differentiable.
    """
    return (1 - y_T).cumprod(0).sum(0)
