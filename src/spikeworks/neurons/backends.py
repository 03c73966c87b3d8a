"""Which backend runs: explicit by name, or the fastest one that can; a choice never changes results."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch._C._functorch import maybe_current_level

from . import eager, fused_cpu, fused_gpu
from .native import aside, constant_when_compiled
from .neuron import BY_HANDLE, Neuron, State, state_type
from .operator import program
from .trace import Untraceable

BACKENDS: dict[str, Any] = {"eager": eager, "fused_cpu": fused_cpu, "fused_gpu": fused_gpu}
"""Every backend by name; each is a module with ``run(neuron, x_T, state, parameters)``."""

Run = Callable[[Neuron, Tensor, State | None, Mapping[str, Tensor]], tuple[Tensor, State]]


def choose(neuron: Neuron, x_T: Tensor, backend: str, parameters: Mapping[str, Tensor]) -> Run:
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
    unusable = BACKENDS[name].unsupported(x_T)
    reason = unusable or _refusal(name, neuron.handle, x_T.dim() - 1, tuple(neuron.tensors(parameters)))
    if reason is None:
        return BACKENDS[name].run  # type: ignore[no-any-return]
    if backend != "auto":
        raise ValueError(f"{name} cannot run {neuron.kind.__name__} because {reason}; use backend='auto' or 'eager'.")
    if not torch.compiler.is_compiling():
        _say("Neurons run" if unusable else f"{neuron.kind.__name__} runs", reason)
    return eager.run


def forecast(neuron: Neuron, device: torch.device) -> str:
    """Which backend ``"auto"`` will take for float32 input on ``device``; nothing is compiled for the answer."""
    name = "fused_gpu" if device.type == "cuda" else "fused_cpu"
    example = torch.empty(0, device=device)
    try:
        if BACKENDS[name].unsupported(example) is None:
            program(neuron, torch.Size([1]), neuron.own, ())
            return name
    except Untraceable:
        pass
    return "eager"


def _wants_kernels(x_T: Tensor) -> bool:
    if x_T.dtype == torch.float64:  # the reference precision: only the reference computes in it
        return False
    transformed = not torch.compiler.is_compiling() and maybe_current_level() is not None
    return x_T.device.type in ("cpu", "cuda") and not transformed


@cache
def _say(who: str, reason: str) -> None:
    warnings.warn(f"{who} on the eager backend because {reason}.", stacklevel=4)


@constant_when_compiled
def _refusal(name: str, handle: str, rank: int, tensors: tuple[str, ...]) -> str | None:
    """Why a fused backend cannot run this neuron with these parameters as tensors; ``None`` if it can."""
    key = (name, handle, rank, tensors)
    if key not in _ANSWERS:
        neuron = BY_HANDLE[handle]
        numbers = tuple((k, v) for k, v in neuron.parameters.items() if k not in tensors)
        try:
            structure = (name, neuron.kind, tuple(neuron.options.items()), numbers, rank, tensors)
            if structure not in _ANSWERS:
                _ANSWERS[structure] = _try(name, neuron, rank, tensors)
            _ANSWERS[key] = _ANSWERS[structure]
        except TypeError as error:
            _ANSWERS[key] = f"an option cannot be hashed ({error})"
    return _ANSWERS[key]


_ANSWERS: dict[Any, str | None] = {}


def _try(name: str, neuron: Neuron, rank: int, tensors: tuple[str, ...]) -> str | None:
    """Trace the neuron, compile it, and compare one small run with eager."""
    held = {k: torch.as_tensor(neuron.parameters[k]) for k in tensors}
    try:
        program(neuron, torch.Size([3, *[2] * (rank - 1)]), held, ())
    except Untraceable as reason:
        return str(reason)
    try:
        agreed = aside(lambda: _agrees(BACKENDS[name], neuron, rank, tensors))
    except Exception as error:  # whatever goes wrong in code we generated, the eager step is right
        return f"its kernel failed ({type(error).__name__}: {error})"
    return None if agreed else "its kernel disagrees with the eager step"


def _agrees(fused: Any, neuron: Neuron, rank: int, tensors: tuple[str, ...]) -> bool:
    shape, home = (3, *[2] * (rank - 1)), fused.home()
    random = torch.Generator().manual_seed(0)
    x_T = (torch.rand((4, *shape), generator=random) * 2 - 0.5).to(home)
    g_T = torch.rand(x_T.shape, generator=random).to(home)
    # a tensor of any shape becomes one number: what is checked is the kernel, not the broadcasting
    values = {k: torch.as_tensor(neuron.parameters[k], dtype=torch.float32).detach() for k in tensors}
    held = {k: v.reshape(-1)[:1].to(home) for k, v in values.items()}
    results = []
    for backend in (eager.run, fused.run):
        x, given = x_T.clone().requires_grad_(), {k: v.clone().requires_grad_() for k, v in held.items()}
        start = (torch.as_tensor(v, dtype=torch.float32, device=home) for v in neuron.start(given))
        begin = (v.detach().reshape(-1)[:1].expand(shape) for v in start)
        out, end = backend(neuron, x, state_type(neuron.state_names)(*begin), given)
        total = (out * g_T).sum() + sum(e.sum() for e in end)
        grads = torch.autograd.grad(total, [x, *given.values()], allow_unused=True) if total.requires_grad else ()
        results.append([out, *end, *(torch.zeros((), device=home) if g is None else g for g in grads)])
    return all(torch.allclose(a, b, rtol=1e-4, atol=1e-5, equal_nan=True) for a, b in zip(*results, strict=True))
