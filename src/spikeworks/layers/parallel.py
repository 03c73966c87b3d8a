"""Parallel spiking neurons: no reset, so the membrane is a matrix product over time and needs no loop.

``h = W x + b`` over the time axis, ``s = Θ(h)``. Fang et al., NeurIPS 2023, "Parallel Spiking Neurons with High
Efficiency and Ability to Learn Long-term Dependencies"; initial values follow SpikingJelly 2.0: W Kaiming-uniform with
a = √5 (the sliding one halves per step into the past), b = −1, atan surrogate.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..neurons import spike
from ..neurons import surrogate as sg
from ..neurons.state import compute_dtype
from ..neurons.surrogate import Surrogate
from .time import Temporal, at_least, recent, span


class PSN(Temporal):
    """Parallel spiking neuron: ``h[t] = Σ_u W[t, u]·x[u] + b[t]``, every step sees every other.

    It is not causal: it takes exactly ``steps`` steps in one call and cannot carry on from a state.

    :param steps: T.
    :param surrogate: the slope of the spike.
    """

    def __init__(self, steps: int, surrogate: Surrogate = sg.atan()) -> None:
        super().__init__()
        at_least(type(self).__name__, "steps", steps, 1)
        self.steps, self.surrogate = steps, surrogate
        self.weight = nn.Parameter(torch.empty(steps, steps))
        self.bias = nn.Parameter(torch.full((steps,), -1.0))
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))

    def run(self, x_T: Tensor, state: int | None) -> tuple[Tensor, int]:
        """``[T, B, ...]`` with T = ``steps`` → spikes of the same shape."""
        if state is not None or x_T.shape[0] != self.steps:
            raise ValueError(
                f"PSN got a window of {x_T.shape[0]} steps after {state or 0}, expected all {self.steps} at once; it "
                "is not causal, use SlidingPSN for streams."
            )
        return _fire(self.weight, x_T, self.bias, self.surrogate), self.steps

    def extra_repr(self) -> str:
        """Steps and surrogate."""
        return f"steps={self.steps}, surrogate={self.surrogate!r}"


class MaskedState(NamedTuple):
    """What :class:`MaskedPSN` carries: the number of steps seen, and up to order − 1 inputs, oldest first."""

    seen: int
    past: tuple[Tensor, ...]


class MaskedPSN(PSN):
    """Masked parallel spiking neuron: W times ``λM + (1 − λ)``, M the band of the present and ``order − 1`` past steps.

    Training anneals λ from 0 (a PSN) to 1 (causal) by :meth:`anneal`. At λ = 1 it can be streamed, up to ``steps``
    steps in all.

    :param steps: the most steps a run may have.
    :param order: how many steps it sees, the present one included; 1 to ``steps``.
    :param surrogate: the slope of the spike.
    :param mask: the initial λ, 0 to 1; kept in the ``state_dict``.
    """

    band: Tensor
    mask: Tensor

    def __init__(self, steps: int, order: int, surrogate: Surrogate = sg.atan(), mask: float = 0.0) -> None:
        super().__init__(steps, surrogate)
        if at_least("MaskedPSN", "order", order, 1) > steps:
            raise ValueError(f"MaskedPSN got order={order}, expected at most steps={steps}; lower it.")
        self.order = order
        ones = torch.ones(steps, steps)
        self.register_buffer("band", ones.tril() * ones.triu(1 - order), persistent=False)
        self.register_buffer("mask", torch.zeros(()))
        self.anneal(mask)

    def anneal(self, mask: float) -> None:
        """Set λ; raises ``ValueError`` outside [0, 1]."""
        if not 0 <= mask <= 1:
            raise ValueError(f"MaskedPSN got mask={mask}, expected 0 to 1; pass the fraction of the schedule done.")
        self.mask.fill_(mask)

    def run(self, x_T: Tensor, state: MaskedState | None) -> tuple[Tensor, MaskedState]:  # type: ignore[override]
        """``[T, B, ...]`` → spikes of the same shape; T below ``steps``, or a state, needs λ = 1."""
        seen, past = state or MaskedState(0, ())
        first, end = span(self, x_T, seen, self.steps)
        if end - first < self.steps and self.mask < 1:
            raise ValueError(
                f"MaskedPSN got {end - first} of {self.steps} steps with mask={self.mask.item():g}, expected mask=1 "
                "for a part of them; it is not causal before, call anneal(1.0)."
            )
        weight = self.weight * (self.mask * self.band + (1 - self.mask))
        known_T = torch.cat([torch.stack(past), x_T]) if past else x_T
        part = weight[first:end, end - known_T.shape[0] : end]
        out_T = _fire(part, known_T, self.bias[first:end], self.surrogate)
        return out_T, MaskedState(end, recent(past, x_T, self.order - 1))

    def extra_repr(self) -> str:
        """Steps, order and surrogate."""
        return f"steps={self.steps}, order={self.order}, surrogate={self.surrogate!r}"


class SlidingPSN(Temporal):
    """Sliding parallel spiking neuron: ``h[t] = Σ_{i<order} w[i]·x[t − order + 1 + i] + b``, shared by all steps.

    Causal and of any length: its state is the last ``order − 1`` inputs, oldest first (zero before the start). Computed
    tap by tap, each a pass over memory, so a stream gives the same bits as the whole.

    :param order: taps, the last one for the present step; at least 1.
    :param surrogate: the slope of the spike.
    """

    def __init__(self, order: int, surrogate: Surrogate = sg.atan()) -> None:
        super().__init__()
        at_least("SlidingPSN", "order", order, 1)
        self.order, self.surrogate = order, surrogate
        self.weight = nn.Parameter(0.5 ** torch.arange(order - 1, -1, -1.0))
        self.bias = nn.Parameter(torch.tensor(-1.0))

    def run(self, x_T: Tensor, state: tuple[Tensor, ...] | None) -> tuple[Tensor, tuple[Tensor, ...]]:
        """``[T, B, ...]`` → spikes of the same shape and the inputs to carry on from."""
        past = (torch.zeros_like(x_T[0]),) * (self.order - 1) if state is None else state
        known_T = (torch.stack((*past, *x_T.unbind(0))) if past else x_T).to(compute_dtype(x_T))
        h_T = sum((w * known_T[i : i + x_T.shape[0]] for i, w in enumerate(self.weight)), self.bias)
        return spike(h_T, self.surrogate).to(x_T.dtype), recent(past, x_T, self.order - 1)

    def extra_repr(self) -> str:
        """Order and surrogate."""
        return f"order={self.order}, surrogate={self.surrogate!r}"


def _fire(weight: Tensor, x_T: Tensor, bias: Tensor, surrogate: Surrogate) -> Tensor:
    """``Θ(weight · x + bias)`` over the first axis; a memory layout such as channels_last is kept, not copied away."""
    order = sorted(range(1, x_T.dim()), key=lambda axis: -x_T.stride(axis))
    packed_T = x_T.permute(0, *order).to(compute_dtype(x_T))
    h_T = torch.addmm(bias.unsqueeze(1), weight, packed_T.flatten(1)).unflatten(1, packed_T.shape[1:])
    back = sorted(range(len(order)), key=lambda axis: order[axis])
    return spike(h_T, surrogate).to(x_T.dtype).permute(0, *(axis + 1 for axis in back))
