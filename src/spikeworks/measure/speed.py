"""How fast the neuron core runs: a fused backend against eager, timed only after both gave the same answer."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..neurons import Neuron, scan


@dataclass(frozen=True)
class Speed:
    """One neuron on one backend.

    :param neuron: its ``repr``. :param backend: its name. :param shape: of the input, ``[T, B, N]``.
    :param equal: spikes equal to eager's, and gradients within 1e-5 relative to the largest.
    :param eager, fused: median seconds of one forward and backward pass; ``None`` where results were not equal.
    :param reason: why it was not timed; empty if it was.
    """

    neuron: str
    backend: str
    shape: tuple[int, ...]
    equal: bool
    eager: float | None = None
    fused: float | None = None
    reason: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times faster than eager; ``None`` if there is nothing to compare."""
        return self.eager / self.fused if self.eager and self.fused else None


def compare(
    neuron: Neuron, backend: str, shape: tuple[int, ...], generator: torch.Generator, repeats: int = 5
) -> Speed:
    """Run forward and backward on eager and on ``backend``; time them only if they agree.

    :param shape: ``[T, B, ...]``; the input is drawn from ``generator``, uniform in [−0.5, 1.5].
    :param repeats: timed runs of each, taken in turns so that a busy machine hits both; the median counts.
    """
    device = "cuda" if backend == "fused_gpu" else "cpu"
    x_T = (torch.rand(shape, generator=generator) * 2 - 0.5).to(device)
    grad_T = torch.rand(shape, generator=generator).to(device)
    name = repr(neuron)
    try:
        fused = _run(neuron, x_T, grad_T, backend)
    except ValueError as error:  # a backend that cannot run says why
        return Speed(name, backend, shape, False, reason=str(error))
    eager = _run(neuron, x_T, grad_T, "eager")
    spikes_equal = torch.equal(eager[0], fused[0])
    apart = float((eager[1] - fused[1]).abs().max() / eager[1].abs().max().clamp(min=1e-30))
    if not spikes_equal or not apart <= 1e-5:
        what = "spikes differ from eager's" if not spikes_equal else f"gradients differ from eager's by {apart:.1e}"
        return Speed(name, backend, shape, False, reason=f"{what}; not timed")
    times: dict[str, list[float]] = {"eager": [], backend: []}
    for _ in range(repeats):
        for which, taken in times.items():
            taken.append(_time(lambda which=which: _run(neuron, x_T, grad_T, which), device))
    return Speed(name, backend, shape, True, statistics.median(times["eager"]), statistics.median(times[backend]))


def _run(neuron: Neuron, x_T: Tensor, grad_T: Tensor, backend: str) -> tuple[Tensor, Tensor]:
    x = x_T.detach().requires_grad_()
    out, _ = scan(neuron, x, backend=backend)
    out.backward(grad_T)
    assert x.grad is not None
    return out.detach(), x.grad


def _time(what: Callable[[], object], device: str) -> float:
    begin = time.perf_counter()
    what()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - begin
