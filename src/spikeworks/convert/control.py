"""Corrections of single neurons from a run before the run: what they did decides where they start.

All rest on one identity. Let a neuron with levels of one unit θ (one spike, or K equal ones) start at θ/2 and emit n
units in T steps; then the count that its activation asks for, given the same total input, is

    k = clip(n + ⌊v(T)/θ⌋, 0, K·T).

So the residual v(T) tells who fired too often (v < 0 with n ≥ 1), who too rarely (v ≥ θ with n < K·T), and by how many.
A correction is a start: nothing is kept on modules, and what a neuron needs to be silent is to start far below.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..layers import Spiking
from ..neurons import Parameter, State, neuron, scan
from ..neurons import surrogate as sg
from ..neurons.surrogate import Surrogate
from .neuron import ONCE, Rule, ValueIF
from .parallel import ParallelIF

SILENT = -1e30
"""Where a neuron starts that must not fire: no current of a network comes near its threshold from there."""

SLACK = 1e-3
"""ε of the published rules, in θ."""


def _start(bound: Mapping[str, Any]) -> Parameter:
    return bound["fraction"] * bound["threshold"]


@neuron(initial={"v": _start, "low": 3e38, "high": -3e38}, positive=("threshold",))
def ObservedIF(  # noqa: N802
    x: Tensor, v: Tensor, count: Tensor, low: Tensor, high: Tensor, *, threshold: Parameter = 1.0,
    negative: Parameter = 1.0, fraction: Parameter = 0.5, rule: Rule = ONCE, surrogate: Surrogate = sg.rect(),
) -> tuple[Tensor, Any]:  # fmt: skip
    """:func:`~spikeworks.convert.neuron.ValueIF`, the same step, that keeps an account of it, in units of θ.

    ``count``: units emitted. ``low``: the least membrane it was left with after a step that emitted. ``high``: the
    largest after one that could have emitted more.
    """
    out, after = ValueIF.step(x, v, threshold=threshold, negative=negative, fraction=fraction, rule=rule,
                              surrogate=surrogate)  # fmt: skip
    units, left = out / threshold, after / threshold
    low = torch.where(units > 0.5, torch.minimum(low, left), low)
    high = torch.where(units < rule.top - 0.5, torch.maximum(high, left), high)
    return out, (after, count + units, low, high)


@dataclass(frozen=True, eq=False)
class Seen:
    """What a neuron site did in a run, each ``[B, ...]``.

    :param start: v(0). :param v: the residual v(T), in θ. :param count: units emitted. :param low: the least membrane
        left after a step that emitted, in θ. :param high: the largest left after one that could have emitted more.
    :param unit: θ, one unit; broadcasts. :param most: units that could have been emitted, K·T.
    """

    start: Tensor
    v: Tensor
    count: Tensor
    low: Tensor
    high: Tensor
    unit: Tensor
    most: int

    def wanted(self) -> Tensor:
        """The count that the activation asks for: the identity above."""
        return (self.count + self.v.floor()).clamp(0, self.most)

    def offset(self) -> Tensor:
        """ψ: units emitted too many (> 0) or too few (< 0)."""
        return self.count - self.wanted()


def observing(name: str, layer: Spiking, x_T: Tensor, state: State | None) -> tuple[Tensor, State]:
    """Run a site as it runs, and keep the account as its state: see :data:`~spikeworks.convert.execute.At`.

    :param state: ``None``, the account of the window before, or the start alone, ``(v,)``.
    :raises ValueError: for a neuron that has other levels than units above 0.
    """
    spiker = layer.neuron
    rule = spiker.options.get("rule", ONCE)
    if (
        spiker.kind is not ValueIF
        or isinstance(layer, ParallelIF)
        or rule.signed
        or rule.levels[-1] != len(rule.levels)
    ):
        kind = type(layer).__name__ if isinstance(layer, ParallelIF) else f"{spiker.kind.__name__} ({rule.name})"
        raise ValueError(
            f"{name!r} is {kind}, expected ValueIF with one level or equal ones, of which counts of units can be "
            "corrected; choose another base."
        )
    observed = ObservedIF(**spiker.parameters, **spiker.options)
    if state is not None and len(state) == 1:
        (v,) = state
        empty = torch.zeros_like(v)
        state = (v, empty, torch.full_like(v, 3e38), torch.full_like(v, -3e38))
    return scan(observed, x_T, state, layer.backend, **layer.tensors())


def account(layer: Spiking, state: State, start: Tensor, steps: int) -> Seen:
    """The account that :func:`observing` kept over ``steps`` steps, from ``start``."""
    v, count, low, high = state
    unit = torch.as_tensor(layer.value("threshold")).to(v)
    rule: Rule = layer.neuron.options["rule"]
    return Seen(start, v / unit, count, low, high, unit, rule.top * steps)


class Controller(ABC):
    """Where each neuron of a site starts, from what it did in a run before."""

    iterations: int
    """How many runs it needs."""

    @abstractmethod
    def adjust(self, first: Seen, last: Seen, iteration: int) -> Tensor:
        """The start v(0) ``[B, ...]``. ``first``: the run before any correction. ``last``: the latest, which started at
        ``last.start``. ``iteration``: corrections so far."""


@dataclass(frozen=True)
class Silence(Controller):
    """Silence neurons that end a run with ``v ≤ 10⁻³·θ``: among them are all that fired although their activation is 0.

    SRP: Hao et al., AAAI 2023; the tolerance is that of the released code. What ends in (0, 10⁻³·θ] and did well is
    silenced too, for good: at many steps this caps accuracy below the source's.
    """

    iterations: int = 1

    def adjust(self, first: Seen, last: Seen, iteration: int) -> Tensor:
        """The usual start, or one far below."""
        return torch.where(last.v > SLACK, last.start, SILENT)


@dataclass(frozen=True)
class Shift(Controller):
    """Shift the start so that a neuron emits exactly one unit less, or one more: ψ moves by one per iteration.

    In θ, ``low`` and ``high`` of the last run: down by ``max(1, low + ε)``, up by ``max(1, 1 + ε − high)``. Iteration i
    goes to neurons whose *first* run ended with ``v < −i`` and ``n > i``, or ``v ≥ 1 + i`` and fewer than all but i
    units; the residual after a correction tells nothing more.

    COS: Hao et al., ICLR 2023. Departures from the released code: it does one iteration, and lacks the guard for
    neurons that fired at every step, which it sets to fire for ever after.

    :param iterations: corrections, at least 1; |ψ| ≤ iterations are repaired.
    """

    iterations: int = 1

    def __post_init__(self) -> None:
        if self.iterations < 1:
            raise ValueError(f"Shift got iterations={self.iterations}, expected at least 1; pass one.")

    def adjust(self, first: Seen, last: Seen, iteration: int) -> Tensor:
        """The start, shifted where the first run says so."""
        over = (first.v < -iteration) & (first.count > iteration)
        under = (first.v >= 1 + iteration) & (first.count < first.most - iteration)
        down = (last.low + SLACK).clamp(min=1.0)
        up = (1 + SLACK - last.high).clamp(min=1.0)
        shift = torch.where(over, -down, torch.where(under, up, torch.zeros_like(up)))
        return last.start + shift * last.unit
