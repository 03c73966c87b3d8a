"""Measuring a converted network against the network it came from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, fx, nn

from ..layers import Spiking
from ..measure.accuracy import correct
from ..measure.batches import Batches, batches
from ..measure.energy import Work, energies
from ..measure.record import record
from ..measure.result import LayerResult, MethodResult
from .activation import Activation
from .affine import MAX_POOLS, NORMS, calls
from .converted import Converted
from .count import Counting, Tally
from .graph import normalise, sites
from .verify import verify

STEPS = (1, 2, 4, 8, 16, 32)
"""The T at which accuracy is read when nothing else is said."""


@dataclass
class _Site:
    """One neuron layer over all samples so far. ``spikes``: at each step, all units and samples."""

    units: int = 0
    wrong: float = 0.0
    size: float = 0.0
    spikes: Tensor = field(default_factory=lambda: torch.zeros(()))
    offsets: Tensor | None = None


def evaluate(
    snn: Converted, ann: nn.Module, data: Batches, steps: Sequence[int] = STEPS, look: int = 1000
) -> MethodResult:
    """Run both networks over labelled data once and measure everything a report holds.

    Accuracy at each T; for each neuron layer the relative error of its mean output at the largest T, its firing rate,
    and, where the activation has L ≤ T levels and the neuron counts to them, the histogram of the offset of spike
    counts after L steps; for each convolution and linear layer the operations of the deep network and of the spiking
    one, counted from its spikes; energy under every convention of :data:`spikeworks.measure.CONVENTIONS`.

    :param snn: as :func:`spikeworks.convert` returned it. :param ann: the network it came from, in evaluation mode.
    :param data: batches ``(x, y)``; all outputs of the neurons of one batch are never held at once.
    :param steps: the T to read accuracy at; those the schedule does not read (``start``) are refused.
    :param look: after how many samples to stop looking inside (errors, rates, operations, energy), which takes three
        times as long as running; accuracy is measured on all. The notes say when it applied.
    :raises ValueError: for steps out of range, data without labels, empty or not finite.
    """
    steps, start = sorted(set(steps)), snn.method.start
    if not steps or steps[0] <= start:
        raise ValueError(f"evaluate got steps={steps}, expected at least one, all above start={start}; read later.")
    source = normalise(ann, snn.method.pooling, snn.method.fold)
    names, tally = sites(source), Tally()
    if names != snn.sites:
        raise ValueError(
            f"evaluate got {type(ann).__name__} with the activations {names}, expected the network that was converted, "
            f"which has {snn.sites}; pass that one."
        )
    matched = {name: levels for name in names if (levels := _matched(source, snn, name))}
    measured = {name: _Site() for name in names}
    right, deep_right, samples, looked = torch.zeros(steps[-1] - start, dtype=torch.int64), 0, 0, 0
    same = None if snn.method.pooling == "avg" else source
    with torch.no_grad():
        for x, y in batches(data, ann, "evaluate"):
            if y is None:
                raise ValueError("evaluate got a batch without labels, expected (x, y) with class numbers y; add them.")
            deep_logits = verify(None if samples else same, ann, x, "evaluate")
            _check_labels(deep_logits, y)
            if looked < max(1, look):
                with record(source, names) as deep:
                    source(x)
                watch = partial(_see, measured, matched, deep)
                logits_TBC = snn.watch(x, steps[-1], lambda g, t, w=watch: Counting(g, t, tally, w))
                looked += len(y)
            else:
                logits_TBC = snn.over_time(x, steps[-1])
            right += correct(logits_TBC, y).cpu()
            deep_right += int(correct(deep_logits, y))
            samples += len(y)
    layers = _layers(snn.network, tally, measured, looked, steps[-1])
    return MethodResult(
        method=snn.method.name,
        label=snn.method.describe(source),
        steps=steps,
        accuracy=[100 * int(right[t - 1 - start]) / samples for t in steps],
        source_accuracy=100 * deep_right / samples,
        layers=layers,
        energy=energies(_work(tally, measured, looked, steps)),
        notes=_notes(snn, source, tally) + _part(looked, samples),
    )


def _matched(source: fx.GraphModule, snn: Converted, name: str) -> tuple[int, float] | None:
    """Levels and bound of an activation whose neuron counts to them: the same bound, started at one half."""
    kind, layer = source.get_submodule(name), snn.network.get_submodule(name)
    if not isinstance(kind, Activation) or kind.levels is None or not isinstance(layer, Spiking):
        return None
    threshold, bound = torch.as_tensor(layer.threshold), float(kind.threshold())
    same = threshold.numel() == 1 and float(threshold) == bound and layer.neuron.parameters.get("fraction") == 0.5
    return (kind.levels, bound) if same else None


def _check_labels(logits: Tensor, y_B: Tensor) -> None:
    if not isinstance(logits, Tensor) or logits.dim() != 2 or logits.shape[1] < 2:
        got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ValueError(f"evaluate got a network that returns {got}, expected logits [B, C] of two classes or more.")
    if int(y_B.min()) < 0 or int(y_B.max()) >= logits.shape[1]:
        raise ValueError(
            f"evaluate got labels from {int(y_B.min())} to {int(y_B.max())}, expected class numbers from 0 to "
            f"{logits.shape[1] - 1}, one for each logit; number the classes from 0."
        )


def _see(
    measured: Mapping[str, _Site], matched: Mapping[str, tuple[int, float]], deep: Mapping[str, Tensor], name: str,
    y_T: Tensor,
) -> None:  # fmt: skip
    site, activation_B = measured[name], deep[name]
    fired_T = y_T != 0
    site.units = activation_B[0].numel()
    site.wrong += float((y_T.mean(0) - activation_B).double().square().sum())
    site.size += float(activation_B.double().square().sum())
    site.spikes = site.spikes + fired_T.flatten(1).sum(1).double().cpu()
    levels, bound = matched.get(name, (0, 1.0))
    if 0 < levels <= y_T.shape[0]:
        wanted = (activation_B * levels / bound).round().long()
        offset = fired_T[:levels].sum(0) - wanted + levels
        count = torch.bincount(offset.flatten(), minlength=2 * levels + 1).cpu()
        site.offsets = count if site.offsets is None else site.offsets + count


def _layers(
    network: fx.GraphModule, tally: Tally, measured: Mapping[str, _Site], samples: int, steps: int
) -> list[LayerResult]:
    """In running order; the second call of a layer is ``name_2``."""
    modules, found = dict(network.named_modules()), []
    for node in network.graph.nodes:
        name = str(node.target)
        if node.op == "call_module" and isinstance(module := modules[name], Spiking):
            site = measured[name]
            offset = None
            if site.offsets is not None:
                share = site.offsets.double() / site.offsets.sum()
                offset = {i - len(share) // 2: float(p) for i, p in enumerate(share) if p > 0}
            rate = float(site.spikes.sum()) / (samples * steps * site.units)
            error = (site.wrong / site.size) ** 0.5 if site.size else None
            threshold = float(torch.as_tensor(module.threshold).mean())
            found.append(LayerResult(name, "neuron", site.units, rate, error, offset, threshold))
        if (done := tally.operations.get(node.name)) is not None:
            acs = float(done.accumulates.sum()) / samples if done.drive == "spikes" else None
            found.append(LayerResult(done.name, done.kind, done.units, macs=done.macs, acs=acs))
    return found


def _work(tally: Tally, measured: Mapping[str, _Site], samples: int, steps: Sequence[int]) -> Work:
    macs = {drive: 0 for drive in ("still", "analog", "spikes")}
    for operation in tally.operations.values():
        macs[operation.drive] += operation.macs
    acs_T = sum((o.accumulates for o in tally.operations.values()), torch.zeros(steps[-1])).cumsum(0) / samples
    spikes_T = sum((s.spikes for s in measured.values()), torch.zeros(())).cumsum(0) / samples
    units = sum(s.units for s in measured.values())
    return Work(
        still=macs["still"],
        analog=macs["analog"],
        accumulates={t: float(acs_T[t - 1]) for t in steps},
        updates={t: units * t + float(spikes_T[t - 1]) for t in steps},
        deep=sum(macs.values()),
    )


def _part(looked: int, samples: int) -> list[str]:
    if looked == samples:
        return []
    return [f"errors, rates, operations and energy are those of the first {looked:,} of {samples:,} samples"]


def _notes(snn: Converted, source: fx.GraphModule, tally: Tally) -> list[str]:
    notes = []
    if calls(source, MAX_POOLS):
        notes.append(f"max pooling: {snn.method.pooling}")
    elif snn.method.pooling == "avg":
        notes.append("max pooling, if any, replaced by average pooling")
    if calls(source, NORMS):
        notes.append("batch normalisation is kept as a scale and a shift at every step, and not counted")
    if analog := [o.name for o in tally.operations.values() if o.drive == "analog"]:
        notes.append(f"run on analog currents at every step, counted as multiply-accumulates: {', '.join(analog)}")
    if snn.method.start:
        notes.append(f"outputs count from step {snn.method.start + 1} on")
    return notes
