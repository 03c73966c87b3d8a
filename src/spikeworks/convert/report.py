"""Measuring a converted network against the network it came from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence, Sized

import torch
from torch import Tensor, fx, nn

from ..measure.accuracy import correct
from ..measure.batches import Batches, batches
from ..measure.energy import energies
from ..measure.result import MethodResult
from .affine import MAX_POOLS, NORMS, calls
from .converted import Converted, source_of
from .count import Tally
from .inside import Inside
from .quantise import quantised
from .verify import verify

STEPS = (1, 2, 4, 8, 16, 32)
"""The T at which accuracy is read when nothing else is said."""


def _ignore(samples: int) -> None:
    """Nobody watches."""


def evaluate(
    snn: Converted, ann: nn.Module, data: Batches, steps: Sequence[int] = STEPS, look: int = 256,
    progress: Callable[[int], None] = _ignore,
) -> MethodResult:  # fmt: skip
    """Run both networks over labelled data once and measure everything a report holds.

    Accuracy at each T, beside that of the deep network and of the deep network with activations rounded to as many
    values as T steps tell apart; for each neuron layer the relative error of its output at the largest T, its firing
    rate, and, where the activation has L ≤ T levels and the neuron counts to them, the histogram of the offset of spike
    counts after L steps; for each convolution, linear layer and product the operations of the deep network and of the
    spiking one, counted from its spikes, runs before the run included; energy under every convention of
    :data:`spikeworks.measure.CONVENTIONS`.

    :param snn: as :func:`spikeworks.convert` returned it. :param ann: the network it came from, in evaluation mode.
    :param data: batches ``(x, y)``; what is in memory at a time does not grow with their number.
    :param steps: the T to read accuracy at; those the schedule does not read (``start``) are refused.
    :param look: after how many samples to stop looking inside (errors, rates, operations, energy), which takes three
        times as long as running; accuracy is measured on all. The notes say when it applied.
    :param progress: called after each batch with the number of samples so far.
    :raises ValueError: for steps out of range, data without labels, empty or not finite.
    """
    method = snn.method
    steps, start = sorted(set(steps)), method.start
    if not steps or steps[0] <= start:
        raise ValueError(f"evaluate got steps={steps}, expected at least one, all above start={start}; read later.")
    source = source_of(snn, ann, "evaluate")
    inside = Inside(snn, source, steps[-1])
    rounded = [quantised(source, snn.specs, t) for t in steps] if snn.specs else []
    right = torch.zeros(len(steps), dtype=torch.int64)
    right_rounded, right_deep, samples = torch.zeros_like(right), 0, 0
    runner: Converted | None = None
    same = None if method.pooling == "avg" else source
    with torch.no_grad():
        for x, y in batches(data, ann, "evaluate"):
            if y is None:
                raise ValueError("evaluate got a batch without labels, expected (x, y) with class numbers y; add them.")
            deep_logits = verify(None if samples else same, ann, x, "evaluate")
            _check_labels(deep_logits, y)
            over = inside.look(x) if inside.samples < max(1, look) else None
            if over is None and runner is None:
                runner = _quick(snn, x, steps[-1], len(x) * _batches_left(data, samples // len(x)))
            right += _right(runner or snn, over, x, y, steps)
            right_deep += int(correct(deep_logits, y))
            for i, network in enumerate(rounded):
                right_rounded[i] += int(correct(network(x), y))
            samples += len(y)
            progress(samples)
    schedule = method.schedule
    return MethodResult(
        method=method.name,
        label=method.describe(source),
        steps=steps,
        accuracy=[100 * int(n) / samples for n in right],
        source_accuracy=100 * right_deep / samples,
        quantised=[100 * int(n) / samples for n in right_rounded] if rounded else [],
        pre=schedule.before,
        levels=max((spec.rule.values for spec in snn.specs.values()), default=1),
        causal=schedule.causal,
        layers=inside.layers(),
        energy=energies(inside.work(steps, schedule)),
        notes=_notes(snn, source, inside.tally) + _part(inside.samples, samples, runner not in (None, snn)),
    )


MANY = 500
"""Samples from which on it pays to time the layers' forms."""


def _quick(snn: Converted, x: Tensor, steps: int, samples: int) -> Converted:
    """What runs the samples that are not looked into: event-driven where that is faster, if there are many."""
    if samples < MANY or x.device.type != "cpu" or x.dtype != torch.float32 or not snn.method.schedule.prefix:
        return snn
    return snn.accelerated(x, min(steps, 8))[0]


def _batches_left(data: Batches, done: int) -> int:
    return len(data) - done if isinstance(data, Sized) else 0


def _right(snn: Converted, over: Tensor | None, x: Tensor, y: Tensor, steps: Sequence[int]) -> Tensor:
    """How many are right at each T: from one run, or where t steps of a longer run are no run of t, from one each."""
    if not snn.method.schedule.prefix:
        return torch.stack([correct(snn(x, t), y) for t in steps]).cpu()
    logits_TBC = snn.over_time(x, steps[-1]) if over is None else over
    return correct(logits_TBC, y).cpu()[[t - 1 - snn.method.start for t in steps]]


def _check_labels(logits: Tensor, y_B: Tensor) -> None:
    if not isinstance(logits, Tensor) or logits.dim() != 2 or logits.shape[1] < 2:
        got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ValueError(f"evaluate got a network that returns {got}, expected logits [B, C] of two classes or more.")
    if int(y_B.min()) < 0 or int(y_B.max()) >= logits.shape[1]:
        raise ValueError(
            f"evaluate got labels from {int(y_B.min())} to {int(y_B.max())}, expected class numbers from 0 to "
            f"{logits.shape[1] - 1}, one for each logit; number the classes from 0."
        )


def _part(looked: int, samples: int, quick: bool) -> list[str]:
    if looked == samples:
        return []
    event = "; the others were run event-driven, where sums differ in rounding" if quick else ""
    return [f"errors, rates, operations and energy are those of the first {looked:,} of {samples:,} samples{event}"]


def _notes(snn: Converted, source: fx.GraphModule, tally: Tally) -> list[str]:
    notes, schedule = [], snn.method.schedule
    if schedule.before:
        notes.append(f"{schedule.before} steps before step 1, in energy included")
    if not schedule.causal:
        notes.append("not causal: a layer waits for several steps of the one before")
    if calls(source, MAX_POOLS):
        notes.append(f"max pooling: {snn.method.pooling}")
    elif snn.method.pooling == "avg":
        notes.append("max pooling, if any, replaced by average pooling")
    if calls(source, NORMS):
        notes.append("batch normalisation is kept as a scale and a shift at every step, and not counted")
    if analog := [o.name for o in tally.operations.values() if o.drive == "analog"]:
        notes.append(f"run on analog currents at every step, counted as multiply-accumulates: {', '.join(analog)}")
    if tally.functions:
        kinds = Counter[str]()
        for kind, values in tally.functions.values():
            kinds[kind] += values
        listed = ", ".join(f"{kind} ({values:,} values)" for kind, values in kinds.items())
        notes.append(f"computed in floating point at every step, and not counted: {listed}")
    if schedule.start:
        notes.append(f"outputs count from step {schedule.start + 1} on")
    return notes
