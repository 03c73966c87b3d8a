"""Hybrid step-wise distillation: train a deep network on many frames, then a spiking one on few, led by the first.

    ann = ...                                      # QCFS activations, trained with MeanCE()(SNN(ann)(x_T), y_B)
    snn = student(ann)                             # the same weights, spikes in the place of activations
    led = Distillation(ann, temperature=10.0)      # its teacher is a frozen copy
    for x_T, y_B in ...:                           # N frames
        loss = led.of(x_T)(snn(rebin(x_T, 2)), y_B)

Hu et al., ACM MM 2024 (HSD), reconstructed from their code. Departures, each from what cannot have been meant there:
the teacher is a copy, so that it does not turn into the student when that is converted; spikes carry the threshold, as
conversion needs; the divergence is divided by B, not by B·C; the teacher sees all frames, the student all events
(:func:`~spikeworks.train.rebin`) unless told otherwise (:func:`~spikeworks.train.frame_window`).
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from ..convert import QCFS, ValueIF, convert
from ..layers import SNN, Spiking
from ..layers.check import in_time
from ..neurons import surrogate as sg
from ..neurons.surrogate import SurrogateType
from .objective import MeanCE, Objective
from .soft_labels import Distil


def frozen(network: nn.Module) -> nn.Module:
    """A copy in evaluation mode that shares no memory with the network and takes no gradient."""
    return copy.deepcopy(network).eval().requires_grad_(False)


@torch.no_grad()
def teach(teacher: nn.Module, x_T: Tensor) -> Tensor:
    """The mean over frames of the logits of each: ``[N, B, ...]`` → ``[B, C]``, without gradient.

    :param teacher: ``[B, ...]`` → ``[B, C]``, in evaluation mode; it has no memory from frame to frame.
    :raises ValueError: in training mode, in which an answer would depend on the other samples.
    """
    if any(module.training for module in teacher.modules()):
        raise ValueError("teach got a teacher in training mode, expected evaluation mode; pass frozen(teacher).")
    steps, size = in_time("teach", x_T).shape[:2]
    return teacher(x_T.flatten(0, 1)).view(steps, size, -1).mean(0)


def student(ann: nn.Module, surrogate: SurrogateType = sg.piecewise_quadratic, example: Tensor | None = None) -> SNN:
    """A spiking network with the weights of a deep one trained with ``activation.QCFS``, to be trained further.

    Each activation becomes a ``ValueIF`` with θ the bound that was learned, v(0) = θ/2, soft reset, spikes of value θ;
    θ is no longer learned. Batch normalisation stays as it is and goes on learning in training mode. The network takes
    ``[T, B, ...]`` and answers ``[T, B, C]``, and shares nothing with ``ann``, which is left as it was.

    :param ann: ``[B, ...]`` → ``[B, C]``; its mode does not matter.
    :param surrogate: a slope with the parameter ``alpha``, height and width being α and 1/α of those at 1. It is laid
        out in units of each threshold, α = 1/θ: where the membrane is less than θ away from firing, a spike, which is
        worth θ, has a slope of up to 1. Default the triangle.
    :param example: one input ``[1, ...]``, for networks that cannot be traced without.
    :raises ValueError: if the network cannot be converted, or for a surrogate without ``alpha``.
    """
    if "alpha" not in surrogate.defaults:
        raise ValueError(f"student got surrogate={surrogate.__name__}, expected a slope with the parameter alpha.")
    converted, _ = convert(copy.deepcopy(ann).eval(), QCFS(), calibration=None if example is None else [example])
    for layer in converted.network.modules():
        if isinstance(layer, Spiking) and layer.neuron.kind is ValueIF:
            threshold = float(torch.as_tensor(layer.value("threshold")))
            layer.neuron = layer.neuron.replace(surrogate=surrogate(alpha=1 / threshold))
    return SNN(converted.network.train())


@dataclass(frozen=True, eq=False)
class Distillation:
    """The objective of a batch, given what the teacher sees of it: labels, and the teacher's answer for every step.

    ``CE(mean_t z_t, y) + w · 1/T Σ_t τ² KL(softmax(q/τ) ‖ softmax(z_t/τ))`` by default.

    :param teacher: a deep network; kept as a frozen copy.
    :param weight: w ≥ 0. :param temperature: τ > 0. :param at: as in :class:`~spikeworks.train.Distil`.
    :param labels: the objective on labels.
    :raises ValueError: for values out of range.
    """

    teacher: nn.Module
    weight: float = 1.0
    temperature: float = 10.0
    at: Literal["steps", "mean", "last"] = "steps"
    labels: Objective = field(default_factory=MeanCE)

    def __post_init__(self) -> None:
        if not 0 <= self.weight < math.inf:
            raise ValueError(f"Distillation got weight={self.weight}, expected a finite number of at least 0.")
        self._term(torch.zeros(1, 1))  # refuses what Distil refuses
        object.__setattr__(self, "teacher", frozen(self.teacher))

    def of(self, x_T: Tensor) -> Objective:
        """The objective for the batch whose frames, as the teacher takes them, are ``x_T`` ``[N, B, ...]``."""
        return self.labels + self.weight * self._term(teach(self.teacher, x_T))

    def _term(self, target_BC: Tensor) -> Distil:
        return Distil(target_BC, self.temperature, self.at)
