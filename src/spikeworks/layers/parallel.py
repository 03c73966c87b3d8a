"""Parallel spiking neurons: no reset, so the membrane is a matrix product over time and needs no loop.

``h = W x + b`` over the time axis, ``s = Θ(h)``. Fang et al., NeurIPS 2023, "Parallel Spiking Neurons with High
Efficiency and Ability to Learn Long-term Dependencies"; initial values follow SpikingJelly 2.0: W Kaiming-uniform with
a = √5 (the sliding one halves per step into the past), b = −1, atan surrogate.

Input is any floating dtype; h is float32 (float64 for float64 input) under autocast and in half-precision modules, too.
On the CPU a membrane that comes to NaN or infinity is refused, as in :func:`spikeworks.scan`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..neurons import spike
from ..neurons import surrogate as sg
from ..neurons.eager import is_concrete
from ..neurons.state import compute_dtype
from ..neurons.surrogate import Surrogate
from .check import at_least, floating
from .state import carried, counted, recent, span, unfit
from .time import Temporal


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
        if (seen := counted(self, state)) or x_T.shape[0] != self.steps:
            raise ValueError(
                f"PSN got a window of {x_T.shape[0]} steps after {seen}, expected all {self.steps} at once; it "
                "is not causal, use SlidingPSN for streams."
            )
        return _fire(self, x_T, lambda x: _product(self.weight, x, self.bias)), self.steps

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
        if state is not None and not isinstance(state, MaskedState):
            raise unfit(self, state, "a MaskedState")
        seen, past = state or MaskedState(0, ())
        first, end = span(self, x_T, seen, self.steps)
        past = carried(self, x_T, past, min(first, self.order - 1))
        if end - first < self.steps and self.mask < 1:
            raise ValueError(
                f"MaskedPSN got {end - first} of {self.steps} steps with mask={self.mask.item():g}, expected mask=1 "
                "for a part of them; it is not causal before, call anneal(1.0)."
            )

        def membrane(known_T: Tensor) -> Tensor:
            weight, band, mask = (tensor.to(known_T.dtype) for tensor in (self.weight, self.band, self.mask))
            part = (weight * (mask * band + (1 - mask)))[first:end, end - known_T.shape[0] : end]
            return _product(part, known_T, self.bias[first:end])

        known_T = torch.cat([torch.stack(past), x_T]) if past else x_T
        return _fire(self, known_T, membrane), MaskedState(end, recent(past, x_T, self.order - 1))

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
        past = carried(self, x_T, state, self.order - 1)

        def membrane(known_T: Tensor) -> Tensor:
            weight, bias = self.weight.to(known_T.dtype), self.bias.to(known_T.dtype)
            return sum((w * known_T[i : i + x_T.shape[0]] for i, w in enumerate(weight)), bias)

        known_T = torch.stack((*past, *x_T.unbind(0))) if past else x_T
        return _fire(self, known_T, membrane), recent(past, x_T, self.order - 1)

    def extra_repr(self) -> str:
        """Order and surrogate."""
        return f"order={self.order}, surrogate={self.surrogate!r}"


def _fire(layer: PSN | SlidingPSN, x_T: Tensor, membrane: Callable[[Tensor], Tensor]) -> Tensor:
    """``Θ(membrane(x))``, x and the membrane in float32 or float64 whatever autocast would like."""
    name, device = type(layer).__name__, x_T.device.type
    plain = torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext()
    with plain:
        h_T = membrane(floating(name, x_T).to(compute_dtype(x_T)))
        looking = device == "cpu" and not torch.compiler.is_compiling() and is_concrete(h_T)  # on a GPU it would stall
        # a sum takes one pass, and is finite only if all are; large ones may overflow it, so it does not convict
        if looking and not math.isfinite(h_T.sum().item()) and not bool(h_T.isfinite().all()):
            raise ValueError(
                f"{name} got input that drove its membrane to NaN or infinity, expected finite values; check the input "
                "and the weights before this neuron."
            )
        return spike(h_T, layer.surrogate).to(x_T.dtype)


def _product(weight: Tensor, x_T: Tensor, bias: Tensor) -> Tensor:
    """``weight · x + bias`` over the first axis; a memory layout such as channels_last is kept, not copied away."""
    order = sorted(range(1, x_T.dim()), key=lambda axis: -x_T.stride(axis))
    packed_T, weight, bias = x_T.permute(0, *order), weight.to(x_T.dtype), bias.to(x_T.dtype)
    h_T = torch.addmm(bias.unsqueeze(1), weight, packed_T.flatten(1)).unflatten(1, packed_T.shape[1:])
    back = sorted(range(len(order)), key=lambda axis: order[axis])
    return h_T.permute(0, *(axis + 1 for axis in back))
