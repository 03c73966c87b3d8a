"""What stands in the place of one activation: threshold, start, levels, and how its current comes in."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from ..neurons import Neuron
from .coding import Coding, Differential, Rate
from .neuron import ONCE, BoundedIF, DifferentialIF, Rule, ValueIF, equal


@dataclass(frozen=True, eq=False)
class ThresholdSpec:
    """What a neuron site needs. Immutable: correctors return another.

    :param threshold: θ, what the largest level is worth: shape ``[]``, or one that broadcasts against ``[B, ...]``
        (``[C, 1, 1]``: per channel); finite and > 0, in units of the activation.
    :param fraction: v(0) in units of the smallest level: 0, ½, or a tensor that broadcasts.
    :param rule: what one step may emit.
    :param negative: what the largest level below zero is worth, for signed rules; ``None``: as above zero.
    :param gain: factor on the current before the neuron; ``None``: 1. A site that puts out rates has ``1/θ``.
    :param drive: current added at every step, after ``gain``; ``None``: 0.
    :param low: least total a signed neuron may have put out, ``None``: any; 0 stands for a ReLU.
    :param high: the largest; ``None``: any.
    :param reach: the largest activation worth telling apart, where θ is not that; for the quantised network beside it.
    """

    threshold: Tensor
    fraction: float | Tensor = 0.0
    rule: Rule = ONCE
    negative: Tensor | None = None
    gain: Tensor | None = None
    drive: Tensor | None = None
    low: Tensor | None = None
    high: Tensor | None = None
    reach: Tensor | None = None

    @property
    def unit(self) -> Tensor:
        """The smallest level."""
        return self.threshold / self.rule.top

    def levels(self, count: int) -> ThresholdSpec:
        """The same range in ``count`` equal levels, v(0) as many of the smaller ones."""
        return replace(self, rule=equal(count))

    def neuron(self, coding: Coding = Rate()) -> Neuron:
        """The neuron with these levels and this start, for messages of that coding."""
        down = self.unit if self.negative is None else self.negative / self.rule.top
        common = {"threshold": self.unit, "negative": down, "rule": self.rule}
        if isinstance(coding, Differential):
            return DifferentialIF(**common, **({} if self.low is None else {"low": self.low}))
        if self.rule.signed and (self.low is not None or self.high is not None):
            ends = {"low": -3e38 if self.low is None else self.low, "high": 3e38 if self.high is None else self.high}
            return BoundedIF(**common, fraction=self.fraction, **ends)
        if not self.rule.signed:
            del common["negative"]
        return ValueIF(**common, fraction=self.fraction)


Specs = dict[str, ThresholdSpec]
"""Site → what its neuron needs."""
