"""Which backend runs: explicit by name, or the fastest one that can; a choice never changes results."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor

from . import eager, fused_cpu, fused_gpu, operator
from .neuron import Neuron, NeuronType, Parameter, State, state_type
from .trace import Untraceable

BACKENDS: dict[str, Any] = {"eager": eager, "fused_cpu": fused_cpu, "fused_gpu": fused_gpu}
"""Every backend by name; each is a module with ``run(neuron, x_T, state, parameters)``."""

Run = Callable[[Neuron, Tensor, State, Mapping[str, Parameter]], tuple[Tensor, State]]


def choose(neuron: Neuron, x_T: Tensor, backend: str, parameters: Mapping[str, Parameter]) -> Run:
    """What runs ``neuron`` on an input like ``x_T``.

    ``"auto"`` takes the fused backend of the input's device and says so once, with the reason, when it has to fall
    back to eager. A backend asked for by name either runs or raises.

    :raises ValueError: for a name not in :data:`BACKENDS`, or a fused backend that cannot run, with the reason.
    """
    if backend == "eager" or (backend == "auto" and not _wants_kernels(x_T)):
        return eager.run
    if backend not in (*BACKENDS, "auto"):
        raise ValueError(f"scan got backend={backend!r}, expected 'auto' or one of {list(BACKENDS)}; choose one.")
    name = backend if backend != "auto" else "fused_gpu" if x_T.is_cuda else "fused_cpu"
    bound = {**neuron.parameters, **parameters}
    plain = tuple((k, None if isinstance(v, Tensor) else v) for k, v in bound.items())
    reason = BACKENDS[name].unsupported(x_T) or _refusal(name, _Asked(neuron, bound, x_T.dim() - 1, plain))
    if reason is None:
        return BACKENDS[name].run  # type: ignore[no-any-return]
    if backend != "auto":
        raise ValueError(f"{name} cannot run {neuron.kind.__name__} because {reason}; use backend='auto' or 'eager'.")
    _say(neuron.kind, reason)
    return eager.run


def _wants_kernels(x_T: Tensor) -> bool:
    if x_T.dtype == torch.float64:  # the reference precision: only the reference computes in it
        return False
    return x_T.device.type in ("cpu", "cuda") and torch._C._functorch.peek_interpreter_stack() is None


@cache
def _say(kind: NeuronType, reason: str) -> None:
    warnings.warn(f"{kind.__name__} runs on the eager backend because {reason}.", stacklevel=4)


class _Asked:
    """A question that is answered once for all neurons of the same structure, whatever their tensors hold."""

    def __init__(self, neuron: Neuron, bound: Mapping[str, Parameter], rank: int, plain: tuple[Any, ...]) -> None:
        self.neuron, self.bound, self.rank = neuron, bound, rank
        self.key = (neuron.kind, rank, plain, tuple(neuron.options.items()))

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Asked) and self.key == other.key


def _refusal(name: str, asked: _Asked) -> str | None:
    try:
        return _cached_refusal(name, asked)
    except TypeError as error:
        return f"an option cannot be hashed ({error})"


@cache
def _cached_refusal(name: str, asked: _Asked) -> str | None:
    """Why a fused backend cannot run this neuron, found by tracing it and comparing one small run with eager."""
    try:
        return None if _agrees(BACKENDS[name].run, asked) else "its kernel disagrees with the eager step"
    except Untraceable as error:
        return str(error)


def _agrees(run: Run, asked: _Asked) -> bool:
    shape = (3, *[2] * (asked.rank - 1))
    random = torch.Generator().manual_seed(0)
    x_T = torch.rand((4, *shape), generator=random) * 2 - 0.5
    g_T = torch.rand(x_T.shape, generator=random)
    # tensors of any shape become one number: what is checked is the kernel, not the broadcasting
    held = {k: v.detach().reshape(-1)[:1].cpu() for k, v in asked.bound.items() if isinstance(v, Tensor)}
    results = []
    for backend in (eager.run, run):
        x, tensors = x_T.clone().requires_grad_(), {k: v.clone().requires_grad_() for k, v in held.items()}
        start = asked.neuron.start({**asked.bound, **tensors})
        values = (torch.as_tensor(v, dtype=torch.float32).detach().expand(shape) for v in start)
        out, end = backend(asked.neuron, x, state_type(asked.neuron.state_names)(*values), {**asked.bound, **tensors})
        total = (out * g_T).sum() + sum(e.sum() for e in end)
        grads = torch.autograd.grad(total, [x, *tensors.values()], allow_unused=True) if total.requires_grad else ()
        results.append([out, *end, *(torch.zeros(()) if g is None else g for g in grads)])
    return all(torch.allclose(a, b, rtol=1e-4, atol=1e-5, equal_nan=True) for a, b in zip(*results, strict=True))
