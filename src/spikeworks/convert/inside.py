"""What goes on inside a converted network while it is evaluated, gathered batch by batch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, fx

from ..layers import Spiking
from ..measure.energy import Work
from ..measure.record import record
from ..measure.result import LayerResult
from .activation import QCFS
from .coding import Coding
from .converted import Converted
from .count import Counting, Tally, fired
from .neuron import ONCE
from .schedule import Schedule, TwoStage


@dataclass
class Site:
    """One neuron layer over all samples so far. ``spikes``: at each step, all units and samples."""

    units: int = 0
    wrong: float = 0.0
    size: float = 0.0
    spikes: Tensor = field(default_factory=lambda: torch.zeros(()))
    active: float = 0.0
    offsets: Tensor | None = None


class Inside:
    """Looks inside, a batch at a time.

    :param snn: the spiking network. :param source: the normalised deep one. :param steps: T.
    """

    def __init__(self, snn: Converted, source: fx.GraphModule, steps: int) -> None:
        self.snn, self.source, self.steps = snn, source, steps
        self.tally, self.early = Tally(), Tally()
        self.sites = {name: Site() for name in snn.sites}
        self.samples = 0
        self.matched = {name: levels for name in snn.sites if (levels := _matched(source, snn, name))}

    def look(self, x: Tensor) -> Tensor:
        """Run a batch, count, and return the answers ``[T, B, C]``."""
        with record(self.source, self.snn.sites) as deep:
            self.source(x)
        see = partial(self._see, deep)

        def ignore(name: str, y_T: Tensor) -> None:
            """Spikes of a run before the run: their operations count, they themselves are no output."""

        logits_TBC = self.snn.run(x, self.steps, lambda g, c, at: Counting(g, c, at, self.tally, see),
                                  lambda g, c, at: Counting(g, c, at, self.early, ignore))  # fmt: skip
        self.samples += x.shape[0]
        return logits_TBC

    def _see(self, deep: Mapping[str, Tensor], name: str, y_T: Tensor) -> None:
        site, activation_B, coding = self.sites[name], deep[name], self.snn.method.coding
        layer = self.snn.network.get_submodule(name)
        assert isinstance(layer, Spiking)
        spikes_T = fired(layer, y_T)
        y_T, within_T = y_T[: self.steps], spikes_T[: self.steps]
        site.units = activation_B[0].numel()
        site.wrong += float((_estimate(coding, y_T) - activation_B).double().square().sum())
        site.size += float(activation_B.double().square().sum())
        site.spikes = site.spikes + spikes_T.flatten(1).sum(1).double().cpu()
        site.active += float((within_T != 0).double().sum())
        levels, bound = self.matched.get(name, (0, 1.0))
        if 0 < levels <= y_T.shape[0]:
            wanted = (activation_B * levels / bound).round().long()
            offset = within_T[:levels].sum(0).long() - wanted + levels
            count = torch.bincount(offset.flatten(), minlength=2 * levels + 1).cpu()
            site.offsets = count if site.offsets is None else site.offsets + count

    def layers(self) -> list[LayerResult]:
        """In running order; the second call of a layer is ``name_2``."""
        network = self.snn.network
        modules, found = dict(network.named_modules()), []
        for node in network.graph.nodes:
            name = str(node.target)
            if node.op == "call_module" and isinstance(module := modules[name], Spiking):
                site = self.sites[name]
                offset = None
                if site.offsets is not None:
                    share = site.offsets.double() / site.offsets.sum()
                    offset = {i - len(share) // 2: float(p) for i, p in enumerate(share) if p > 0}
                rate = site.active / (self.samples * self.steps * site.units)
                error = (site.wrong / site.size) ** 0.5 if site.size else None
                threshold = float(torch.as_tensor(module.threshold).mean())
                found.append(LayerResult(name, "neuron", site.units, rate, error, offset, threshold))
            if (done := self.tally.operations.get(node.name)) is not None:
                acs = float(done.accumulates[: self.steps].sum()) / self.samples if done.drive == "spikes" else None
                found.append(LayerResult(done.name, done.kind, done.units, macs=done.macs, acs=acs))
            elif node.op == "call_module" and name in self.tally.functions:
                found.append(LayerResult(name, *self.tally.functions[name]))
        return found

    def work(self, steps: Sequence[int], schedule: Schedule) -> Work:
        """Operations per sample, the runs before the run included."""
        macs = {drive: 0 for drive in ("still", "analog", "spikes")}
        for operation in self.tally.operations.values():
            macs[operation.drive] += operation.macs
        length = max(steps[-1], _least(schedule))
        acs_T = _per_step([o.accumulates for o in self.tally.operations.values()], length).cumsum(0) / self.samples
        spikes_T = _per_step([s.spikes for s in self.sites.values()], length).cumsum(0) / self.samples
        units = sum(s.units for s in self.sites.values())
        early_acs, early_steps = self._early(schedule, acs_T)
        at = {t: max(t, _least(schedule)) for t in steps}
        return Work(
            still=macs["still"],
            analog=macs["analog"],
            accumulates={t: early_acs + float(acs_T[n - 1]) for t, n in at.items()},
            updates={t: units * (early_steps + n) + float(spikes_T[n - 1]) for t, n in at.items()},
            deep=sum(macs.values()),
            before=early_steps,
        )

    def _early(self, schedule: Schedule, acs_T: Tensor) -> tuple[float, int]:
        """Additions and steps of the runs before: counted if the network ran; layer by layer, each layer is sent the
        first steps of its input again for every run."""
        if not schedule.before:
            return 0.0, 0
        counted = sum(float(o.accumulates.sum()) for o in self.early.operations.values()) / self.samples
        if isinstance(schedule, TwoStage) and schedule.scope == "layer":
            counted = float(acs_T[schedule.pre - 1]) * schedule.controller.iterations
        return counted, schedule.before


def _estimate(coding: Coding, y_T: Tensor) -> Tensor:
    return coding.decode(y_T)[-1]


def _least(schedule: Schedule) -> int:
    """Steps that are run at least: layer by layer, a layer needs as many corrected ones as the run before has."""
    return schedule.pre if isinstance(schedule, TwoStage) and schedule.scope == "layer" else 1


def _per_step(counts: Sequence[Tensor], length: int) -> Tensor:
    return sum((c[:length] for c in counts), torch.zeros(length, dtype=torch.float64))


def _matched(source: fx.GraphModule, snn: Converted, name: str) -> tuple[int, float] | None:
    """Levels and bound of an activation whose neuron counts to them: the same bound, started at one half."""
    kind, layer = source.get_submodule(name), snn.network.get_submodule(name)
    if not isinstance(kind, QCFS) or not isinstance(layer, Spiking):
        return None
    threshold, bound = torch.as_tensor(layer.threshold), float(kind.threshold())
    start = torch.as_tensor(layer.neuron.parameters.get("fraction", math.nan))  # one, or one per neuron
    half = bool((start == 0.5).all()) and layer.neuron.options.get("rule") == ONCE
    same = threshold.numel() == 1 and float(threshold) == bound and half
    return (int(kind.levels or 0), bound) if same else None
