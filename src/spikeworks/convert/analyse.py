"""Looking for where a converted network loses accuracy: which neurons fire too often or too rarely, and since when."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, fx, nn

from ..layers import NetworkState, Spiking, Temporal
from ..layers.time import unfold
from ..measure.analysis import CASES, EDGES, Analysis, LayerAnalysis
from ..measure.batches import Batches, batches
from ..measure.curves import FitCurve
from ..measure.record import record
from .coding import Coding
from .control import Controller, Seen, Silence
from .converted import Converted, source_of
from .execute import At, Folded, window
from .neuron import DifferentialIF, ValueIF
from .parallel import ParallelIF
from .schedule import Plain, Schedule, TwoStage


def analyse(snn: Converted, ann: nn.Module, data: Batches, steps: int | None = None, look: int = 256) -> Analysis:
    """Run both networks and compare each neuron layer, before and after each correction of a two-stage method.

    For neurons that count units (integrate-and-fire, groups of equal levels) against two references, kept apart: the
    count that a layer's own input asks for, ``clip(⌊Σ I/θ + v(0)/θ⌋, 0, K·T)``, which shows what uneven arrival does in
    this layer alone; and the count that the deep network's activation asks for, which includes what earlier layers did.
    For other neurons the relative error, K(t) and the residual alone.

    Stages: ``"as it runs"`` for a method without a run before the run; else ``"uncorrected"``, then ``"after
    silencing"`` (SRP) or ``"after 1 correction"``, ``"after 2 corrections"``, ... (COS). All are of T steps from the
    first on, whatever the method does not read.

    :param snn: as :func:`spikeworks.convert` returned it. :param ann: the network it came from, in evaluation mode.
    :param data: batches ``x`` or ``(x, y)``; labels are not needed. What is in memory at a time does not grow with
        their number, but with a batch times T.
    :param steps: T; default the method's. :param look: how many samples to run, the first ones.
    :raises ValueError: for data that is empty or not finite, no steps or no samples, or another network.
    """
    if look < 1:
        raise ValueError(f"analyse got look={look}, expected at least one sample to run; pass 256, say.")
    method = snn.method
    source = source_of(snn, ann, "analyse")
    length = method.schedule.steps if steps is None else steps
    stages = dict(_stages(method.schedule, length))
    found = {stage: {name: _Sums(length) for name in snn.sites} for stage in stages}
    seen = 0
    with torch.no_grad():
        for x, _ in batches(data, ann, "analyse"):
            x = x[: look - seen]
            with record(source, snn.sites) as deep:
                source(x)
            for stage, schedule in stages.items():
                _run(snn, schedule, x, deep, found[stage])
            seen += len(x)
            if seen >= look:
                break
    layers = {stage: [sums.analysis(name) for name, sums in sites.items()] for stage, sites in found.items()}
    meta = {"network": type(ann).__name__, "method": method.name, "steps before step 1": method.schedule.before}
    return Analysis(method.describe(source), length, seen, layers, meta)


@dataclass(frozen=True)
class _First(Controller):
    """The first corrections of another controller."""

    controller: Controller
    iterations: int = 1

    def adjust(self, first: Seen, last: Seen, iteration: int) -> Tensor:
        return self.controller.adjust(first, last, iteration)


def _stages(schedule: Schedule, steps: int) -> Iterator[tuple[str, Schedule]]:
    """Name → schedule: the run without correction, and after 1, 2, ... of them."""
    if not isinstance(schedule, TwoStage) or not schedule.pre:
        yield "as it runs", replace(schedule, steps=steps, start=0)
        return
    yield "uncorrected", Plain(steps)
    for i in range(1, schedule.controller.iterations + 1):
        name = f"after {i} correction{'s' * (i > 1)}"
        if isinstance(schedule.controller, Silence):
            name = "after silencing"
        yield name, replace(schedule, steps=steps, start=0, controller=_First(schedule.controller, i))


def _run(
    snn: Converted, schedule: Schedule, x: Tensor, deep: Mapping[str, Tensor], sums: Mapping[str, _Sums]
) -> None:  # fmt: skip
    """Run a batch as the schedule says, in one window, and add what is seen; runs before the run are not looked at."""

    def look(graph: fx.GraphModule, coding: Coding, at: At | None) -> Folded:
        return _Looking(graph, coding, at, deep, sums)

    def run(
        x: Tensor, steps: int, state: NetworkState | None = None, at: At | None = None, least: int = 1,
        early: bool = False,
    ) -> tuple[Tensor, NetworkState]:  # fmt: skip
        return window(snn.network, x, steps, state, at, snn.method.coding, Folded if early else look, steps)

    schedule.run(run, x)


class _Looking(Folded):
    """Runs in one window and adds what each neuron layer did to its sums."""

    def __init__(
        self, graph: fx.GraphModule, coding: Coding, at: At | None, deep: Mapping[str, Tensor],
        sums: Mapping[str, _Sums],
    ) -> None:  # fmt: skip
        super().__init__(graph, coding, at)
        self.deep, self.sums = deep, sums

    def _through(self, name: str, layer: Temporal, inputs: tuple[Tensor, ...]) -> Tensor:
        y = super()._through(name, layer, inputs)
        if isinstance(layer, Spiking):
            y_T = unfold(y, self.steps)
            self.sums[name].add(layer, inputs[0], y_T, self.states[name], self.deep[name], self.coding)
        return y


@dataclass
class _Sums:
    """One layer over all samples so far; counts are whole, so that no order of batches changes them."""

    steps: int
    units: int = 0
    wrong: float = 0.0
    size: float = 0.0
    cases: dict[str, Tensor] = field(default_factory=dict)
    offsets: dict[str, Tensor] = field(default_factory=dict)
    residual: Tensor | None = None
    distance: Tensor | None = None  # at each t, of the curve
    rates: tuple[float, float] = (0.0, 0.0)  # Σ r̂ and Σ r̂²
    bounded: bool = False

    def add(self, layer: Spiking, x_T: Tensor, y_T: Tensor, state: Any, deep: Tensor, coding: Coding) -> None:
        """Add a batch: current, output and state of the layer, and the deep network's activation.

        A run can be longer than T, where a correction needs more steps: the first T are looked at.
        """
        late, self.units = _late(x_T, y_T, self.steps), deep[0].numel()
        eps = torch.finfo(deep.dtype).eps
        x_T, y_T, deep = x_T[: self.steps], y_T[: self.steps], deep.double()
        estimate_T = coding.decode(y_T)
        self.wrong += float((estimate_T[-1] - deep).square().sum())
        self.size += float(deep.square().sum())
        unit = _unit(layer, deep)
        if counting := _counts(layer):
            most = layer.neuron.options["rule"].top * len(y_T)
            count = (y_T.sum(0, dtype=torch.float64) / unit).round()
            own = x_T.sum(0, dtype=torch.float64) / unit + _parameter(layer, "fraction", deep)
            self._compare("own", count, own, most, eps)
            self._compare("source", count, deep * len(y_T) / unit + 0.5, most, eps)
        if (left := _left(layer, state)) is not None:
            edges = torch.tensor(EDGES, device=deep.device, dtype=torch.float64)
            place = torch.bucketize(((left - late) / unit).flatten(), edges, right=True)
            self.residual = _plus(self.residual, torch.bincount(place, minlength=len(EDGES) + 1))
        if not isinstance(layer, ParallelIF):  # which sorts its spikes: before step T they say nothing
            self._follow(estimate_T, deep, unit if counting else torch.ones_like(unit))
            self.bounded = counting

    def _compare(self, by: str, count: Tensor, charge: Tensor, most: int, eps: float) -> None:
        """How many units are of each of :data:`~spikeworks.measure.analysis.CASES`, and how far off.

        :param charge: in units, its floor is what is asked for. Where it is whole up to rounding, the number below is
            as right: the deep network asks for half a unit there, or a membrane ends at its threshold.
        """
        whole = charge.round()
        tie = (charge - whole).abs() <= min(16 * most * eps, 1e-3)
        wanted = torch.where(tie, count.clamp(whole - 1, whole), charge.floor()).clamp(0, most)
        over, under = count > wanted, count < wanted
        masks = (over & (wanted == 0), over & (wanted > 0), under & (count == 0), under & (count > 0))
        self.cases[by] = _plus(self.cases.get(by), torch.stack([mask.sum() for mask in masks]))
        offset = torch.bincount((count - wanted + most).long().flatten(), minlength=2 * most + 1)
        self.offsets[by] = _plus(self.offsets.get(by), offset)

    def _follow(self, estimate_T: Tensor, deep: Tensor, unit: Tensor) -> None:
        rate = deep / unit
        distance_T = torch.stack([(e / unit - rate).square().sum() for e in estimate_T])
        self.distance = _plus(self.distance, distance_T)
        self.rates = self.rates[0] + float(rate.abs().sum()), self.rates[1] + float(rate.square().sum())

    def analysis(self, name: str) -> LayerAnalysis:
        """Shares of all."""
        cases: dict[str, dict[str, float]] = {}
        for by, n in self.cases.items():
            cases[by] = dict(zip(CASES, _shares(n, self.offsets[by]), strict=True))
        offsets = {
            by: {i - len(n) // 2: share for i, share in enumerate(_shares(n, n)) if share}
            for by, n in self.offsets.items()
        }
        return LayerAnalysis(
            name, self.units, (self.wrong / self.size) ** 0.5 if self.size else None, cases.get("own"),
            cases.get("source"), offsets.get("own"), None if self.residual is None else _shares(*[self.residual] * 2),
            offsets.get("source"), self._curve(name),
        )  # fmt: skip

    def _curve(self, name: str) -> FitCurve | None:
        if self.distance is None:
            return None
        total, power = self.rates
        values = [float(d) / power if power else math.nan for d in self.distance]
        return FitCurve(name, values, total / power if power and self.bounded else math.nan)


def _counts(layer: Spiking) -> bool:
    """Whether what a neuron emits is a number of equal units, none below zero."""
    if layer.neuron.kind is not ValueIF:
        return False
    rule = layer.neuron.options["rule"]
    return not rule.signed and rule.top == len(rule.levels)


def _parameter(layer: Spiking, name: str, like: Tensor) -> Tensor:
    """A parameter of the neuron, which the layer holds if it is a tensor."""
    return torch.as_tensor(layer.value(name)).to(like)


def _unit(layer: Spiking, like: Tensor) -> Tensor:
    """θ, the smallest level; 1 for a neuron of another kind."""
    return _parameter(layer, "threshold", like) if "threshold" in layer.neuron.parameters else like.new_ones(())


def _left(layer: Spiking, state: Any) -> Tensor | None:
    """The membrane after the last step; ``None`` for a neuron that keeps none, or of an unknown kind."""
    if layer.neuron.kind is DifferentialIF:
        d, t, _ = state
        return d.double() * t
    if isinstance(layer, ParallelIF) or "v" not in layer.neuron.state_names:
        return None
    return state[layer.neuron.state_names.index("v")].double()


def _late(x_T: Tensor, y_T: Tensor, steps: int) -> Tensor | float:
    """What the membrane gained after step T: charge is conserved."""
    if len(y_T) <= steps:
        return 0.0
    return x_T[steps:].sum(0, dtype=torch.float64) - y_T[steps:].sum(0, dtype=torch.float64)


def _plus(total: Tensor | None, more: Tensor) -> Tensor:
    return more.cpu() if total is None else total + more.cpu()


def _shares(counts: Tensor, of: Tensor) -> list[float]:
    total = float(of.sum())
    return [float(n) / total for n in counts]
