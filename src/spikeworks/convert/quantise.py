"""The network beside every spiking one: the same deep network with its activations rounded to as many values.

T steps of a neuron with K levels tell K·T values apart, and so does this network at one pass. What a spiking network
gains has to be seen against it.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

from torch import Tensor, fx, nn

from .encoders import site_kind
from .spec import ThresholdSpec


class Staircase(nn.Module):
    """``clip(⌊x·gain·L/r + ½⌋, −L or 0, L)·r/L``: L even levels up to ``reach`` r, below zero too if ``signed``."""

    reach: Tensor
    gain: Tensor | None

    def __init__(self, reach: Tensor, levels: int, gain: Tensor | None, signed: bool) -> None:
        super().__init__()
        self.register_buffer("reach", reach)
        self.register_buffer("gain", gain)
        self.levels, self.signed = levels, signed

    def forward(self, x: Tensor) -> Tensor:
        """``[B, ...]`` → the same shape."""
        scaled = x if self.gain is None else x * self.gain
        step = self.reach / self.levels
        return (scaled / step + 0.5).floor().clamp(-self.levels if self.signed else 0, self.levels) * step


def quantised(source: fx.GraphModule, specs: Mapping[str, ThresholdSpec], steps: int) -> fx.GraphModule:
    """The source with every site rounded to the values that T steps of its neuron tell apart, on its thresholds.

    Signed neurons of n levels count n·T values to either side, up to the ``reach`` of their spec.
    """
    network = copy.deepcopy(source)
    for name, spec in specs.items():
        rule = spec.rule
        count = (rule.top if rule.additive else len(rule.levels)) * steps
        reach = spec.reach if spec.reach is not None else spec.threshold if spec.high is None else spec.high
        signed = rule.signed and site_kind(network, name) != "relu"
        network.set_submodule(name, Staircase(reach, count, spec.gain, signed))
    return network.eval()
