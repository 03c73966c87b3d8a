"""Penalties on what neurons do, of recorded spikes or membranes: scalars to be added to a loss.

Spikes come from :func:`spikeworks.measure.record`. A membrane before its threshold is nowhere in a network that runs
fused; :func:`potential` computes it from a layer's input, with gradients.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..layers import Spiking
from ..neurons import Neuron, Parameter, scan, start
from ..neurons.neuron import State


def information_penalty(h: Tensor, threshold: Parameter = 1.0) -> Tensor:
    """``(mean h − θ)²``: a membrane that is above and below threshold equally often tells most, one bit per spike.

    The mean stands for the median. IM-Loss: Guo et al., NeurIPS 2022 (reconstructed: they sum this over layers, and let
    the surrogate grow sharper during training, which is not part of this).

    :param h: membranes before the threshold, any shape. :param threshold: θ, a number, or a tensor that broadcasts.
    """
    return (h - threshold).mean().square()


def membrane_penalty(
    h: Tensor, threshold: Parameter = 1.0, reach: float = 1.0, width: float = 1.0, axis: int = 1
) -> Tensor:
    """``mean_c [max(0, |μ_c| − reach·σ_c)² + max(0, σ_c − width)²]`` of ``h − θ``, per channel c.

    The first term is above 0 where a channel lies on one side of its threshold (degenerate: always or never firing),
    the second where it is spread far beyond the window of the surrogate (saturated: no gradient). In the sense of
    RecDis-SNN, Guo et al., CVPR 2022; the form is reconstructed.

    :param h: membranes before the threshold, ``[T·B, C, ...]`` for the default axis.
    :param reach: how many deviations the threshold may be away from the mean, ≥ 0.
    :param width: half the width of the surrogate's window, in units of the membrane, > 0.
    :param axis: which axis is the channel.
    :raises ValueError: for a tensor without that axis, or with fewer than two values per channel.
    """
    if not -h.dim() <= axis < h.dim() or h.numel() < 2 * h.shape[axis] or not h.numel():
        raise ValueError(
            f"membrane_penalty got {tuple(h.shape)} and axis={axis}, expected a channel axis with two values or more "
            "per channel; pass more samples."
        )
    away = (h - threshold).movedim(axis, 0).flatten(1)
    variance, mean = torch.var_mean(away, 1, correction=0)
    sigma = variance.clamp(min=1e-12).sqrt()  # the root has no finite slope at 0
    degenerate, saturated = (mean.abs() - reach * sigma).relu(), (sigma - width).relu()
    return (degenerate.square() + saturated.square()).mean()


def rate_penalty(s: Tensor, low: float = 0.0, high: float = 0.0, keep: int = 0) -> Tensor:
    """``mean [max(0, low − r)² + max(0, r − high)²]``: rates are drawn into ``[low, high]``; ``(0, 0)``: to silence.

    :param s: spikes, counted as their values. :param low: least rate that costs nothing, spikes per step.
    :param high: largest such rate, at least ``low``.
    :param keep: how many of the last axes have a rate of their own; 0: one rate for the whole tensor, which leaves it
        to the network which neurons fire.
    :raises ValueError: for ``low`` above ``high``, or more axes than there are.
    """
    if not low <= high or not 0 <= keep < s.dim():
        raise ValueError(
            f"rate_penalty got low={low}, high={high}, keep={keep} for {tuple(s.shape)}, expected low <= high and "
            "fewer axes kept than there are; check them."
        )
    rate = s.mean(tuple(range(s.dim() - keep)))
    return ((low - rate).relu().square() + (rate - high).relu().square()).mean()


def potential(neuron: Neuron | Spiking, x_T: Tensor) -> Tensor:
    """The membrane of a neuron before threshold and reset at each step: ``[T, B, ...]`` → the same, with gradients.

    The neuron is run step by step; then all steps at once, each from the state it started from, with ``reset="none"``:
    what is left in the membrane is what met the threshold. Costs about two more runs of the neuron.

    :param neuron: with the option ``reset`` and the state ``v``, as ``IF`` and ``LIF`` have, or a layer of one.
    :param x_T: its input current.
    :raises ValueError: for a neuron without these.
    """
    layer, one = (neuron, neuron.neuron) if isinstance(neuron, Spiking) else (None, neuron)
    if "reset" not in one.options or "v" not in one.state_names:
        raise ValueError(
            f"potential got a {one.kind.__name__}, expected a neuron with the option 'reset' and a state 'v', such as "
            "sw.LIF; take its membrane from sw.measure.watch."
        )
    tensors = {} if layer is None else layer.tensors()
    now: State = start(one, x_T, tensors) if layer is None else layer.fresh(x_T)
    states: list[State] = []
    for x in x_T.split(1):
        states.append(now)
        _, now = scan(one, x, now, "auto", **tensors)
    # one step of a batch [T, B, ...]: per-channel parameters broadcast from the other end
    together = tuple(torch.stack(values) for values in zip(*states, strict=True))
    _, after = scan(one.replace(reset="none"), x_T.unsqueeze(0), together, "auto", **tensors)
    return after[one.state_names.index("v")].to(x_T.dtype)
