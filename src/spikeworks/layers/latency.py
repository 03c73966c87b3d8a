"""Latency coding that learns: what is strong fires early, and gradients move spikes in time.

    snn = SNN(network, encode=LatencyEncoder(8, latency_features(1, 12)))

An intensity a in [0, 1] has the latency ``τ = (1 − a)·T`` and one spike in the bin ``⌊τ⌋``; τ = T fires never. Latency
coding by learned features with straight-through estimators: Lu, Ding & Yu, 2026, whose abstract says that much; the
formulas here are reconstructed. :class:`~spikeworks.layers.Latency` is the fixed code, without gradient.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..neurons import neuron
from .check import at_least, floating

Estimator = Literal["triangle", "difference"]
"""Which two neighbouring bins the gradient moves a spike between."""


class _Spikes(torch.autograd.Function):
    """One-hot in time; backward, what a spike that moves from bin i + 1 to bin i would change, times T."""

    @staticmethod
    def forward(a: Tensor, steps: int, estimator: str) -> Tensor:  # type: ignore[override]
        clock_T = torch.arange(steps, device=a.device, dtype=a.dtype).view(-1, *(1,) * a.dim())
        return (clock_T == _latency(a, steps).floor()).to(a.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, int, str], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0])
        ctx.steps, ctx.estimator = inputs[1:]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (a,) = ctx.saved_tensors
        tau = _latency(a, ctx.steps)
        earlier = (tau - 0.5).floor() if ctx.estimator == "triangle" else tau.floor() - 1
        # clamped, so that a spike in the first bin can be moved out of it, and a silent unit can be made to fire
        i = earlier.long().clamp(0, ctx.steps - 1).unsqueeze(0)
        padded_T = torch.cat([grads[0], torch.zeros_like(grads[0][:1])])  # bin T is no spike: nobody asks about it
        return ctx.steps * (padded_T.gather(0, i) - padded_T.gather(0, i + 1)).squeeze(0), None, None


def _latency(a: Tensor, steps: int) -> Tensor:
    return (1 - a) * steps


def chosen(estimator: Estimator) -> Estimator:
    """``estimator``, if there is such a one; else ``ValueError``."""
    if estimator not in ("triangle", "difference"):
        raise ValueError(
            f"latency coding got estimator={estimator!r}, expected 'triangle' or 'difference'; choose one."
        )
    return estimator


def latency_spikes(a: Tensor, steps: int, estimator: Estimator = "triangle") -> Tensor:
    """Intensities ``[B, ...]`` in [0, 1] → spikes ``[T, B, ...]``: at most one each, the earlier the larger a.

    The gradient goes straight through the rounding of τ. ``"triangle"``: it is that of the soft occupancy
    ``g_t = max(0, 1 − |τ − (t + ½)|)``, so raising a lifts the nearest bin that is earlier by its centre and lowers the
    next. ``"difference"``: raising a moves the spike one bin earlier than it is. Both with slope T, and at both ends as
    at the nearest pair of bins, so that every unit has a gradient (both reconstructed).

    :raises ValueError: for values out of [0, 1] or NaN, fewer steps than 1, or another estimator.
    """
    at_least("latency_spikes", "steps", steps, 1)
    chosen(estimator)
    if not bool(((floating("latency_spikes", a) >= 0) & (a <= 1)).all()):  # written so that NaN fails
        raise ValueError(
            f"latency_spikes got values from {float(a.min()):g} to {float(a.max()):g}, expected all in [0, 1]; end the "
            "features in a sigmoid, or scale the input."
        )
    return _Spikes.apply(a, steps, estimator)  # type: ignore[no-any-return]


def latency_features(channels: int, features: int, kernel: int = 3) -> nn.Sequential:
    """Convolution (``kernel``, same size out), batch normalisation, sigmoid: intensities of learned features.

    Channels and features: how many come in and go out. The form is reconstructed.
    """
    at_least("latency_features", "channels", channels, 1)
    at_least("latency_features", "features", features, 1)
    if at_least("latency_features", "kernel", kernel, 1) % 2 == 0:
        raise ValueError(f"latency_features got kernel={kernel}, expected an odd number; 3 is usual.")
    convolution = nn.Conv2d(channels, features, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(features), nn.Sigmoid())


class LatencyEncoder(nn.Module):
    """Images ``[B, C, H, W]`` → spikes in time ``[T, B, features, H, W]``, to be given to ``SNN(encode=...)``.

    :param steps: T, at least 1.
    :param features: what makes intensities in [0, 1] of the input, e.g. :func:`latency_features`; ``None``: the input
        is intensities already, direct coding, the control.
    :param estimator: as in :func:`latency_spikes`.
    :raises ValueError: as :func:`latency_spikes`.
    """

    def __init__(self, steps: int, features: nn.Module | None = None, estimator: Estimator = "triangle") -> None:
        super().__init__()
        self.steps = at_least("LatencyEncoder", "steps", steps, 1)
        self.features = features
        self.estimator: Estimator = chosen(estimator)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, ...]`` → ``[T, B, ...]``."""
        return latency_spikes(x if self.features is None else self.features(x), self.steps, self.estimator)

    def extra_repr(self) -> str:
        """T and the estimator."""
        return f"steps={self.steps}, estimator={self.estimator!r}"


@neuron
def SingleSpike(x: Tensor, fired: Tensor) -> tuple[Tensor, Any]:  # noqa: N802  neurons read as types
    """Lets the first non-zero input of each unit pass, and nothing after it: strict time-to-first-spike coding.

    As a layer after the spikes of another, ``Spiking(SingleSpike())``: ``y_t = x_t · Π_{u<t} (1 − [x_u ≠ 0])``, the
    mask without gradient. The neuron before it goes on as if it had fired; only what is sent differs.
    """
    return x * (1 - fired), torch.where(x == 0, fired, 1.0)
