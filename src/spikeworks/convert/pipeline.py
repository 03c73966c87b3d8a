"""From a trained network to a spiking one, in one call."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

from torch import Tensor, nn

from ..measure.batches import Batches, batches, shared
from ..measure.result import Report
from . import report as measuring
from .build import spiking
from .converted import Converted
from .graph import normalise
from .methods import Method
from .verify import verify


def convert(
    ann: nn.Module,
    method: Method,
    calibration: Batches | None = None,
    evaluate: Batches | None = None,
    steps: Sequence[int] = measuring.STEPS,
    executor: Literal["window", "step"] = "window",
    progress: Callable[[int], None] | None = None,
) -> tuple[Converted, Report]:
    """Make a spiking network of a trained deep one, and measure it.

        snn, report = sw.convert(ann.eval(), sw.convert.Robust(), calibration=train_loader, evaluate=test_loader)
        logits = snn(x, steps=16)

    :param ann: ``[B, ...]`` → ``[B, C]``, in evaluation mode; left as it was.
    :param method: e.g. ``sw.convert.QCFS()``; see :data:`spikeworks.convert.METHODS`.
    :param calibration: batches ``x`` or ``(x, y)`` from the training data; what thresholds are chosen by.
    :param evaluate: labelled batches ``(x, y)`` that nothing was chosen by; what the report measures. Without it the
        report measures the calibration data, and says so, if these are labelled and can be read again; else it has no
        results, and :func:`spikeworks.convert.evaluate` measures later.
    :param steps: the T at which the report reads accuracy.
    :param executor: ``"window"`` or ``"step"``.
    :param progress: called while the report is measured, with the number of samples so far.
    :returns: the spiking network, on the device of ``ann``, and the report.
    :raises ValueError: if the network, the method and the data do not fit together, or a batch is to choose thresholds
        and to judge them; says what to do.
    """
    if not isinstance(method, Method):
        raise ValueError(f"convert got method={method!r}, expected one such as sw.convert.QCFS(); see convert.METHODS.")
    if evaluate is not None and shared(calibration, evaluate):
        raise ValueError(
            "convert got batches that are in calibration and in evaluate, expected data to judge by that nothing was "
            "chosen by; split them, or leave evaluate out to have the calibration data measured, and called so."
        )
    began = time.perf_counter()
    x = next((_first(d, ann) for d in (calibration, evaluate) if d is not None and iter(d) is not d), None)
    example = None if x is None else x[:1]
    network = normalise(ann, method.pooling, method.fold, method.nonlinear, example)
    method.prepare(network)
    if x is not None:
        verify(None if method.pooling == "avg" else network, ann, x, "convert")
    network, specs = method.refine(network, method.thresholds(network, calibration), calibration)
    neurons = spiking(network, specs, method.pooling, method.coding, method.layer)
    snn = Converted(neurons, method, specs, executor, example)
    seconds = time.perf_counter() - began
    title = f"{type(ann).__name__}: {method.describe(network)}"
    notes = []
    if evaluate is None and _labelled(calibration):
        evaluate, notes = calibration, ["measured on the calibration data: optimistic"]
    if evaluate is None:
        return snn, Report(title, [], {"seconds": seconds})
    result = measuring.evaluate(snn, ann, evaluate, steps, progress=progress or _ignore)
    return snn, Report(title, [replace(result, seconds=seconds, notes=[*notes, *result.notes])], {"seconds": seconds})


def _first(data: Batches, ann: nn.Module) -> Tensor:
    """The first batch of data that can be read again: a generator has no second."""
    x, _ = next(batches(data, ann, "convert"))
    return x


def _labelled(data: Batches | None) -> bool:
    if data is None or iter(data) is data:
        return False
    first = next(iter(data), None)
    return isinstance(first, tuple | list) and len(first) == 2


def _ignore(samples: int) -> None:
    """Nobody watches."""
