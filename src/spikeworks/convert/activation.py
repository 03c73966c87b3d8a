"""Activations to train a deep network with, so that a spiking network can follow it: a learned bound, and levels.

    model = sw.convert.replace_activations(relu_network, lambda: sw.convert.activation.QCFS(levels=4))
    ...train as usual...
    snn, report = sw.convert(model.eval(), sw.convert.QCFS())

An integrate-and-fire neuron emits at most one threshold per step and never less than nothing, so the activation it
stands for is bounded: the bound becomes the threshold. Over T steps it emits whole spikes: levels are those.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ..neurons import Parameter, neuron, scan


class Activation(nn.Module):
    """What a spiking neuron stands for: ``[B, ...]`` in, the same shape out, between 0 and a learned bound λ.

    :param init: λ before training, finite and > 0, in units of the activation.
    :param trained: whether λ is learned.
    :raises ValueError: for another ``init``.
    """

    levels: int | None = None
    """How many values above 0 the activation takes; ``None``: a continuum."""

    def __init__(self, init: float, trained: bool = True) -> None:
        super().__init__()
        if not (math.isfinite(init) and init > 0):
            raise ValueError(f"{type(self).__name__} got init={init}, expected a finite number above 0; pass one.")
        self.bound = nn.Parameter(torch.tensor(float(init)), requires_grad=trained)

    def threshold(self) -> Tensor:
        """The threshold of the neuron that stands for it: λ, detached, shape ``[]``."""
        return self.bound.detach().clone()

    def extra_repr(self) -> str:
        """The bound, and the levels if there are any."""
        return f"bound={self.bound.item():g}" + (f", levels={self.levels}" if self.levels else "")


# Activations are steps without state, so that they run as one kernel instead of a pass over memory per operation.


@neuron
def clip(z: Tensor, *, bound: Parameter = 1.0) -> tuple[Tensor, tuple[()]]:
    """``min(max(z, 0), λ)`` as a step."""
    return torch.where(z > bound, bound, z.relu()), ()  # in this order NaN stays NaN


class Clip(Activation):
    """``min(max(z, 0), λ)``; the gradient of λ is 1 above the bound, 0 below.

    Trainable clipping, Ho & Chang, DAC 2021 (reconstructed; initial bound 2 for CIFAR and 4 for ImageNet there, 4 for
    all in the code of QCFS). Weight decay on λ is part of the method: it keeps the threshold low.
    """

    def __init__(self, init: float = 4.0, trained: bool = True) -> None:
        super().__init__(init, trained)
        self.clip = clip()

    def forward(self, z: Tensor) -> Tensor:
        """``[B, ...]`` → the same shape, in [0, λ]."""
        return scan(self.clip, z.unsqueeze(0), bound=self.bound)[0].squeeze(0)


class _Floor(torch.autograd.Function):
    """⌊x⌋, its gradient that of x: the straight-through estimator."""

    @staticmethod
    def forward(x: Tensor) -> Tensor:  # type: ignore[override]
        return x.floor()

    @staticmethod
    def setup_context(ctx: object, inputs: tuple[Tensor], output: Tensor) -> None:
        """Nothing to keep: the gradient does not depend on x."""

    @staticmethod
    def backward(ctx: object, *grads: Tensor) -> Tensor:
        return grads[0]


@neuron(positive=("levels",))
def staircase(z: Tensor, *, bound: Parameter = 1.0, levels: Parameter = 4.0) -> tuple[Tensor, tuple[()]]:
    """QCFS as a step: 5 times as fast as its seven operations one by one (float32, forward and backward)."""
    scaled = torch.clamp(z / bound, 0, 1) * levels + 0.5
    floored: Tensor = _Floor.apply(scaled)  # type: ignore[assignment]
    return floored / levels * bound, ()


class QCFS(Activation):
    """Quantisation, clip, floor, shift: ``λ·⌊clip(z/λ, 0, 1)·L + 1/2⌋ / L``.

    Equal to ``λ·clip(⌊zL/λ + 1/2⌋/L, 0, 1)``: the number of spikes of threshold λ that a neuron starting at λ/2 emits
    in L steps of constant input z, times λ/L. Straight-through floor: ``dĥ/dz`` is 1 for 0 ≤ z ≤ λ, else 0; ``dĥ/dλ``
    follows from it: ``(ĥ − z)/λ`` inside, 1 above, 0 below.

    :param levels: L, at least 1. Small L helps few steps; 4 or 8 is usual.
    :param init: λ before training.
    :raises ValueError: for ``levels`` below 1.
    Bu et al., ICLR 2022. Departures: the formula for the gradient of λ there is wrong (so say its authors), and of the
    three windows in print and code this is that of their newer code.
    """

    def __init__(self, levels: int = 4, init: float = 8.0, trained: bool = True) -> None:
        super().__init__(init, trained)
        if levels < 1:
            raise ValueError(f"QCFS got levels={levels}, expected a whole number of at least 1; pass one.")
        self.levels = levels
        self.staircase = staircase(levels=float(levels))

    def forward(self, z: Tensor) -> Tensor:
        """``[B, ...]`` → the same shape, one of the L + 1 multiples of λ/L from 0 to λ."""
        return scan(self.staircase, z.unsqueeze(0), bound=self.bound)[0].squeeze(0)
