"""Looking for where a converted network loses accuracy: which neurons fire too often or too rarely, and since when."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, fx, nn

from ..layers import NetworkState, Spiking, Temporal
from ..measure.analysis import CASES, EDGES, Analysis, LayerAnalysis
from ..measure.batches import Batches, batches
from ..measure.record import record
from .coding import Coding
from .control import Shift
from .converted import Converted, source_of
from .execute import At, Folded, window
from .fit_curve import fit_curves
from .neuron import ValueIF
from .parallel import ParallelIF
from .schedule import Plain, Schedule, TwoStage


def analyse(snn: Converted, ann: nn.Module, data: Batches, steps: int | None = None, look: int = 256) -> Analysis:
    """Run both networks and compare each neuron layer, before and after each correction of a two-stage method.

    For neurons that count units (integrate-and-fire, groups of equal levels) against two references, kept apart: the
    count that a layer's own input asks for, ``clip(⌊Σ I/θ + ½⌋, 0, K·T)``, which shows what uneven arrival does in this
    layer alone; and the count that the deep network's activation asks for, which includes what earlier layers did. For
    other neurons the relative error alone.

    :param snn: as :func:`spikeworks.convert` returned it. :param ann: the network it came from.
    :param data: batches ``x`` or ``(x, y)``; labels are not needed.
    :param steps: T; default the method's, at least the steps of its run before. :param look: samples to run.
    :raises ValueError: for data that is empty or not finite, or another network.
    """
    method = snn.method
    source = source_of(snn, ann, "analyse")
    schedules = dict(_stages(method.schedule, steps))
    length = next(iter(schedules.values())).steps
    found = {stage: {name: _Sums() for name in snn.sites} for stage in schedules}
    outputs: dict[str, Tensor] = {}
    seen, first = 0, None
    with torch.no_grad():
        for x, _ in batches(data, ann, "analyse"):
            if seen >= look:
                break
            with record(source, snn.sites) as deep:
                source(x)
            for stage, schedule in schedules.items():
                _run(snn, schedule, x, deep, found[stage], outputs if seen == 0 else {})
            first = deep if first is None else first
            seen += len(x)
    layers = {stage: [sums.analysis(name) for name, sums in sites.items()] for stage, sites in found.items()}
    assert first is not None
    units = {n: torch.as_tensor(snn.network.get_submodule(n).threshold) for n in snn.sites}
    counted = all(layer.own is not None for layer in next(iter(layers.values())))
    curves = fit_curves(outputs, {n: first[n] for n in outputs}, units) if counted else []
    return Analysis(method.describe(source), length, seen, layers, curves)


def _stages(schedule: Schedule, steps: int | None) -> Iterator[tuple[str, Schedule]]:
    """Name → schedule: the run without correction, and after 1, 2, ... of them."""
    length = schedule.steps if steps is None else steps
    if not isinstance(schedule, TwoStage) or not schedule.pre:
        yield "as it runs", replace(schedule, steps=length, start=0)
        return
    length = max(length, schedule.pre)
    yield "uncorrected", Plain(length)
    for i in range(1, schedule.controller.iterations + 1):
        controller = replace(schedule.controller, iterations=i) if isinstance(schedule.controller, Shift) else None
        name = f"after {i} correction{'s' * (i > 1)}" if controller else "after silencing"
        yield name, replace(schedule, steps=length, start=0, controller=controller or schedule.controller)


def _run(
    snn: Converted, schedule: Schedule, x: Tensor, deep: dict[str, Any], sums: dict[str, _Sums], keep: dict[str, Tensor]
) -> None:
    def look(graph: fx.GraphModule, coding: Coding, at: At | None) -> Folded:
        return _Looking(graph, coding, at, deep, sums, keep)

    def run(
        x: Tensor, steps: int, state: NetworkState | None = None, at: At | None = None, least: int = 1,
        early: bool = False,
    ) -> tuple[Tensor, NetworkState]:  # fmt: skip
        return window(snn.network, x, steps, state, at, snn.method.coding, Folded if early else look, steps)

    schedule.run(run, x)


class _Looking(Folded):
    """Runs in one window and adds what each neuron layer did to its sums."""

    def __init__(
        self, graph: fx.GraphModule, coding: Coding, at: At | None, deep: dict[str, Any], sums: dict[str, _Sums],
        keep: dict[str, Tensor],
    ) -> None:  # fmt: skip
        super().__init__(graph, coding, at)
        self.deep, self.sums, self.keep = deep, sums, keep

    def _through(self, name: str, layer: Temporal, inputs: tuple[Tensor, ...]) -> Tensor:
        y = super()._through(name, layer, inputs)
        if isinstance(layer, Spiking):
            y_T = y.unflatten(0, (self.steps, -1))
            self.keep[name] = y_T
            self.sums[name].add(layer, inputs[0], y_T, self.states[name], self.deep[name], self.coding)
        return y


@dataclass
class _Sums:
    """One layer over all samples so far."""

    units: int = 0
    wrong: float = 0.0
    size: float = 0.0
    own: Tensor | None = None
    source: Tensor | None = None
    offset: Tensor | None = None
    residual: Tensor | None = None

    def add(self, layer: Spiking, x_T: Tensor, y_T: Tensor, state: Any, deep: Tensor, coding: Coding) -> None:
        """Add a batch: current, output and state of the layer, and the deep network's activation."""
        self.units = deep[0].numel()
        self.wrong += float((coding.decode(y_T)[-1] - deep).double().square().sum())
        self.size += float(deep.double().square().sum())
        rule = layer.neuron.options["rule"] if layer.neuron.kind is ValueIF else None
        if rule is None or rule.signed or rule.top != len(rule.levels):
            return
        unit = torch.as_tensor(layer._tensors().get("threshold", layer.neuron.parameters["threshold"])).to(deep)
        most = rule.top * len(y_T)
        count = (y_T.sum(0) / unit).round()
        own = (x_T.sum(0) / unit + 0.5).floor().clamp(0, most)
        wanted = (deep * len(y_T) / unit + 0.5).floor().clamp(0, most)
        self.own = _plus(self.own, _cases(count, own))
        self.source = _plus(self.source, _cases(count, wanted))
        offset = (count - own + most).long().flatten()
        self.offset = _plus(self.offset, torch.bincount(offset, minlength=2 * most + 1))
        if not isinstance(layer, ParallelIF):
            edges = torch.tensor(EDGES, device=deep.device, dtype=deep.dtype)
            place = torch.bucketize((state[0] / unit).flatten(), edges)
            self.residual = _plus(self.residual, torch.bincount(place, minlength=len(EDGES) + 1))

    def analysis(self, name: str) -> LayerAnalysis:
        """Shares of all."""
        error = (self.wrong / self.size) ** 0.5 if self.size else None
        if self.own is None or self.source is None or self.offset is None:
            return LayerAnalysis(name, self.units, error)
        total, most = float(self.offset.sum()), len(self.offset) // 2
        return LayerAnalysis(
            name, self.units, error, *({c: float(n) / total for c, n in zip(CASES, cases, strict=True)}
                                       for cases in (self.own, self.source)),
            offset={i - most: float(n) / total for i, n in enumerate(self.offset) if n},
            residual=None if self.residual is None else [float(n) / total for n in self.residual],
        )  # fmt: skip


def _cases(count: Tensor, wanted: Tensor) -> Tensor:
    """How many units are of each of :data:`~spikeworks.measure.analysis.CASES`."""
    over, under = count > wanted, count < wanted
    masks = (over & (wanted == 0), over & (wanted > 0), under & (count == 0), under & (count > 0))
    return torch.stack([mask.sum() for mask in masks])


def _plus(total: Tensor | None, more: Tensor) -> Tensor:
    return more.cpu() if total is None else total + more.cpu()
