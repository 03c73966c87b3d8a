"""The neurons a converted network is made of: what they may emit in one step, and what they do with the rest.

One rule of emission serves all of them. A neuron has levels, whole multiples of a smallest value θ, and emits the
largest whose firing point its membrane has reached; what it emits is taken from the membrane, so charge is conserved:
``Σ output + v(T) = Σ input + v(0)`` for any input. Integrate-and-fire has one level; K equal ones make a group neuron;
powers of two, with a sign, the multi-threshold neurons of transformers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from torch import Tensor

from ..neurons import Parameter, neuron, spike
from ..neurons import surrogate as sg
from ..neurons.surrogate import Surrogate


@dataclass(frozen=True)
class Rule:
    """What one step may emit.

    :param name: for people.
    :param levels: whole multiples of θ, ascending, at least 1.
    :param at: the firing point of each, in θ: it fires where ``m ≥ at·θ`` and no larger level does.
    :param signed: whether the same levels exist below zero, fired where ``−m ≥ at·θ`` (``m < 0`` for ``down = 0``).
    :param down: the firing points below zero, if they are others.
    :param additive: whether a level is that many unit spikes (a group of comparators) or one spike of that value.
    """

    name: str
    levels: tuple[int, ...]
    at: tuple[float, ...]
    signed: bool = False
    down: tuple[float, ...] | None = None
    additive: bool = False

    def __post_init__(self) -> None:
        points = (self.at, self.at if self.down is None else self.down)
        ascending = all(a < b for row in (self.levels, *points) for a, b in pairwise(row))
        if not self.levels or self.levels[0] < 1 or not ascending or {len(p) for p in points} != {len(self.levels)}:
            raise ValueError(
                f"Rule got levels={self.levels}, at={self.at}, down={self.down}, expected whole numbers from 1 and one "
                "firing point for each, all ascending; check them."
            )

    @property
    def top(self) -> int:
        """The largest level, in θ."""
        return self.levels[-1]

    @property
    def values(self) -> int:
        """How many values besides 0 one step can emit."""
        return len(self.levels) * (1 + self.signed)


ONCE = Rule("one spike", (1,), (1.0,))
"""Integrate and fire: θ or nothing."""


def equal(count: int) -> Rule:
    """``count`` equal levels: ``clip(⌊m/θ⌋, 0, count)·θ``, the group neuron, M-HT and LM-HT."""
    if count < 1:
        raise ValueError(f"equal got count={count}, expected at least one level; pass one.")
    whole = tuple(range(1, count + 1))
    return Rule(f"{count} equal levels" if count > 1 else ONCE.name, whole, tuple(map(float, whole)), additive=True)


def powers(count: int, rule: str = "half") -> Rule:
    """``count`` levels 1, 2, 4, ... of either sign.

    :param rule: ``"half"``: level L fires from L − ½ on (ECMT, its released code); ``"nearest"``: from ¾·L on, halfway
        from the level below (DCGS).
    :raises ValueError: for no level, more than 24, or an unknown rule.
    """
    if not 1 <= count <= 24 or rule not in ("half", "nearest"):
        raise ValueError(f"powers got count={count}, rule={rule!r}, expected 1 to 24 and 'half' or 'nearest'.")
    levels = tuple(2**j for j in range(count))
    at = tuple(0.75 * level if rule == "nearest" else level - 0.5 for level in levels)
    return Rule(f"±{count} powers of two", levels, at, signed=True)


TERNARY = Rule("ternary", (1,), (1.0,), signed=True, down=(0.0,))
"""ST-BIF: +θ from θ on, −θ below 0; the membrane starts at θ/2, so both are half a level away."""


def _start(bound: Mapping[str, Any]) -> Parameter:
    return bound["fraction"] * bound["threshold"]


def _emitted(
    m: Tensor, threshold: Any, negative: Any, rule: Rule, surrogate: Surrogate, down: Any = None, up: Any = None
) -> Tensor:
    """The value emitted from a membrane ``m``; ``down``, ``up``: how far below and above 0 it may be."""
    out = _side(m, threshold, rule.levels, rule.at, surrogate, up)
    if rule.signed:
        points = rule.at if rule.down is None else rule.down
        out = out - _side(-m, negative, rule.levels, points, surrogate, down)
    return out


def _side(m: Tensor, unit: Any, levels: Any, points: Any, surrogate: Surrogate, room: Tensor | None) -> Tensor:
    count: Any = 0.0  # in units, a whole number, so that one product gives the value
    for below, level, at in zip((0, *levels), levels, points, strict=False):
        fires = spike(m - at * unit, surrogate) if at else 1 - spike(-m, surrogate)
        if room is not None:
            fires = fires * (room >= level * unit)
        count = count + (level - below) * fires
    return count * unit


@neuron(initial={"v": _start}, positive=("threshold", "negative"))
def ValueIF(  # noqa: N802  neurons read as types
    x: Tensor, v: Tensor, *, threshold: Parameter = 1.0, negative: Parameter = 1.0, fraction: Parameter = 0.5,
    rule: Rule = ONCE, surrogate: Surrogate = sg.rect(),
) -> tuple[Tensor, Any]:  # fmt: skip
    """Integrate and fire with spikes worth what they stand for: ``m = v + x``, output o by the rule, ``v = m − o``.

    No leak, soft reset, no lower bound, so charge is conserved for any input: ``Σ o + v(T) = Σ x + v(0)``, with
    ``v(0) = fraction·θ``. As spikes carry θ, the weights of the source network serve unchanged; the form with 0/1
    spikes and θ folded into the next weights is the same numbers scaled.

    :param threshold: θ > 0, the smallest positive level; one number or per channel, ``[C, 1, 1]`` for images.
    :param negative: the smallest level below zero, for signed rules.
    :param fraction: v(0)/θ: 0, or ½ which makes the expected error zero (Bu et al., AAAI 2022).
    :param rule: what one step may emit; default one spike of θ.
    """
    m = v + x
    out = _emitted(m, threshold, negative, rule, surrogate)
    return out, m - out


@neuron(initial={"v": _start}, positive=("threshold", "negative"))
def BoundedIF(  # noqa: N802
    x: Tensor, v: Tensor, total: Tensor, *, threshold: Parameter = 1.0, negative: Parameter = 1.0,
    fraction: Parameter = 0.0, low: Parameter = 0.0, high: Parameter = 3e38, rule: Rule = TERNARY,
    surrogate: Surrogate = sg.rect(),
) -> tuple[Tensor, Any]:  # fmt: skip
    """:func:`ValueIF` whose emitted total stays in ``[low, high]``: a level that would leave the range is not fired.

    ``low = 0`` makes of a signed neuron one that stands for a ReLU: it takes back what it fired too much, never more.
    ST-BIF: Wang et al. (STA) and You et al., ICML 2024 (SpikeZIP-TF), reconstructed from their code.

    :param low: least total, ≤ 0, in units of the output. :param high: largest total.
    """
    m = v + x
    # half a unit of grace: a total of levels is a level only up to rounding
    down, up = total - low + 0.5 * negative, high - total + 0.5 * threshold
    out = _emitted(m, threshold, negative, rule, surrogate, down, up)
    return out, (m - out, total + out)


@neuron(positive=("threshold", "negative"))
def DifferentialIF(  # noqa: N802
    x: Tensor, d: Tensor, t: Tensor, total: Tensor, *, threshold: Parameter = 1.0, negative: Parameter = 1.0,
    low: Parameter = -3e38, rule: Rule = powers(8, "nearest"), surrogate: Surrogate = sg.rect(),
) -> tuple[Tensor, Any]:  # fmt: skip
    """The neuron of differential coding: what it sends at step t counts 1/t; it sends what is missing, t-fold.

    With estimates ``ê_in = Σ x/t`` and ``ê_out = Σ o/t``, and d their difference: ``m = x + t·d``, output o by the
    rule, ``d = (m − o)/t``. A level below zero is fired only if ``ê_out`` stays at or above ``low`` (0 stands for a
    ReLU).

    Huang et al., ICML 2025 (DCGS), reconstructed from their code: there the membrane, ``t·d``, and both estimates are
    kept; this is the same in two variables, and the total.
    """
    now = t + 1
    m = x + now * d
    out = _emitted(m, threshold, negative, rule, surrogate, now * (total - low))
    return out, ((m - out) / now, now, total + out / now)
