"""Attention in time: which steps, and which channels at each, count how much. A weight is a function of all steps.

So these layers are not causal: they take exactly ``steps`` steps in one call, as :class:`~spikeworks.layers.PSN` does,
and cannot carry on from a state. Their state is the number of steps seen, by which they refuse a second window.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .check import at_least, floating
from .state import counted
from .time import Temporal


class TemporalAttention(Temporal):
    """TA: ``y[t] = d[t]·x[t]`` with ``d = σ(W₂·relu(W₁·s))``, ``s[t]`` the mean of all values of step t of one sample.

    With a threshold, evaluation drops the steps that score less and leaves the others as they are: ``y[t] = x[t]`` if
    ``d[t] ≥ threshold``, else 0. Yao et al., ICCV 2021, "Temporal-wise Attention Spiking Neural Networks for Event
    Streams Classification" (reconstructed).

    :param steps: T, exactly. :param reduction: ``W₁`` maps T scores to ``T // reduction``, at least one.
    :param threshold: 0 to 1, of the score in evaluation; ``None`` to weigh there as in training.
    :raises ValueError: for a number out of range.
    """

    def __init__(self, steps: int, reduction: int = 1, threshold: float | None = None) -> None:
        super().__init__()
        at_least("TemporalAttention", "steps", steps, 1)
        at_least("TemporalAttention", "reduction", reduction, 1)
        if threshold is not None and not 0 <= threshold <= 1:
            raise ValueError(f"TemporalAttention got threshold={threshold}, expected 0 to 1; scores are in there.")
        self.steps, self.threshold = steps, threshold
        hidden = max(1, steps // reduction)
        self.fc1, self.fc2 = nn.Linear(steps, hidden, bias=False), nn.Linear(hidden, steps, bias=False)

    def run(self, x_T: Tensor, state: int | None) -> tuple[Tensor, int]:
        """``[T, B, ...]`` with T = ``steps`` → the same, weighed."""
        _whole(self, x_T, self.steps, state)
        d_TB = self.scores(x_T)
        if self.threshold is not None and not self.training:
            d_TB = (d_TB >= self.threshold).to(x_T.dtype)
        return x_T * d_TB.view(*d_TB.shape, *(1,) * (x_T.dim() - 2)), self.steps

    def scores(self, x_T: Tensor) -> Tensor:
        """``d``: one score in (0, 1) for each step of each sample, ``[T, B]``."""
        s_TB = _mean(x_T, 2)
        return torch.sigmoid(self.fc2(torch.relu(self.fc1(s_TB.t())))).t()

    def extra_repr(self) -> str:
        """The steps and the threshold."""
        return f"steps={self.steps}, threshold={self.threshold}"


class TemporalChannelAttention(Temporal):
    """TCJA: ``y = x·σ(U ∘ V)`` for each step and channel, from ``Z``, the mean over space, ``[T, C]`` of one sample.

    ``U[t, c] = Σ_{c', m} A[c, c', m]·Z[t + m, c']`` looks along time, ``V[t, c] = Σ_{t', n} E[t, t', n]·Z[t', c + n]``
    along channels; m and n run over a kernel around 0 (an even one reaches one further ahead), Z is 0 outside. Zhu et
    al., TNNLS 2024, "TCJA-SNN: Temporal-Channel Joint Attention for Spiking Neural Networks".

    :param steps: T, exactly. :param channels: C.
    :param kernel_time: taps along time. :param kernel_channel: taps along channels.
    :raises ValueError: for a number less than 1.
    """

    def __init__(self, steps: int, channels: int, kernel_time: int = 3, kernel_channel: int = 3) -> None:
        super().__init__()
        sizes = {"steps": steps, "channels": channels, "kernel_time": kernel_time, "kernel_channel": kernel_channel}
        for name, value in sizes.items():
            at_least("TemporalChannelAttention", name, value, 1)
        self.steps, self.channels = steps, channels
        self.time = nn.Conv1d(channels, channels, kernel_time, bias=False)
        self.channel = nn.Conv1d(steps, steps, kernel_channel, bias=False)

    def run(self, x_T: Tensor, state: int | None) -> tuple[Tensor, int]:
        """``[T, B, C, ...]`` with T = ``steps`` → the same, weighed."""
        _whole(self, x_T, self.steps, state)
        if x_T.dim() < 3 or x_T.shape[2] != self.channels:
            raise ValueError(
                f"TemporalChannelAttention got {tuple(x_T.shape)}, expected [T, B, {self.channels}, ...]; channels "
                "come after the batch."
            )
        z_TBC = _mean(x_T, 3)
        u_TBC = _along(self.time, z_TBC.permute(1, 2, 0)).permute(2, 0, 1)
        v_TBC = _along(self.channel, z_TBC.permute(1, 0, 2)).permute(1, 0, 2)
        weight_TBC = torch.sigmoid(u_TBC * v_TBC)
        return x_T * weight_TBC.view(*weight_TBC.shape, *(1,) * (x_T.dim() - 3)), self.steps

    def extra_repr(self) -> str:
        """Steps and channels."""
        return f"steps={self.steps}, channels={self.channels}"


def _whole(layer: nn.Module, x_T: Tensor, steps: int, state: int | None) -> None:
    floating(name := type(layer).__name__, x_T)
    if (seen := counted(layer, state)) or x_T.shape[0] != steps:
        raise ValueError(
            f"{name} got a window of {x_T.shape[0]} steps after {seen}, expected all {steps} at once; a weight depends "
            "on every step, so it cannot stream."
        )


def _mean(x_T: Tensor, first: int) -> Tensor:
    return x_T.mean(tuple(range(first, x_T.dim()))) if x_T.dim() > first else x_T


def _along(conv: nn.Conv1d, x: Tensor) -> Tensor:
    """A convolution as long as its input; torch's own padding warns of even kernels."""
    missing = math.prod(conv.kernel_size) - 1
    return conv(nn.functional.pad(x, (missing // 2, missing - missing // 2)))
