"""Which backend runs: explicit by name, or the fastest one that can; a choice never changes results."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor

from . import eager, fused_cpu, fused_gpu, operator
from .native import aside, constant_when_compiled
from .neuron import BY_HANDLE, Neuron, State, state_type
from .operator import program
from .trace import Untraceable, said

BACKENDS: dict[str, Any] = {"eager": eager, "fused_cpu": fused_cpu, "fused_gpu": fused_gpu}
"""Every backend by name; each is a module with ``run(neuron, x_T, state, parameters)``."""

Run = Callable[[Neuron, Tensor, State | None, Mapping[str, Tensor]], tuple[Tensor, State]]


def choose(neuron: Neuron, x_T: Tensor, backend: str, parameters: Mapping[str, Tensor]) -> Run:
    """What runs ``neuron`` on an input like ``x_T``.

    ``"auto"`` takes the fused backend of the input's device and says so once, with the reason, when it has to fall
    back to eager. A backend asked for by name either runs or raises.

    :raises ValueError: for a name not in :data:`BACKENDS`, or a fused backend that cannot run, with the reason.
    """
    unseen = _unseen(x_T)
    if backend == "eager" or (backend == "auto" and (unseen or not _has_kernels(x_T))):
        return eager.run
    if backend not in (*BACKENDS, "auto"):
        raise ValueError(f"scan got backend={backend!r}, expected 'auto' or one of {list(BACKENDS)}; choose one.")
    name = backend if backend != "auto" else "fused_gpu" if x_T.is_cuda else "fused_cpu"
    unusable = unseen or BACKENDS[name].unsupported(x_T)
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
    example = torch.empty(0, dtype=torch.float32, device=device)
    try:
        if BACKENDS[name].unsupported(example) is None:
            program(neuron, torch.Size([1]), neuron.own, ())
            return name
    except Untraceable:
        pass
    return "eager"


def _unseen(x_T: Tensor) -> str | None:
    """Why no kernel may stand in this call, whatever the neuron; ``None`` if one may."""
    if torch.compiler.is_compiling():  # a compiler takes our operator; what is exported must run where we are not
        return "an exported graph holds torch's own operations" if torch.compiler.is_exporting() else None
    return None if eager.is_concrete(x_T) else "the input has no values of its own (a transform or a fake tensor)"


def _has_kernels(x_T: Tensor) -> bool:
    # float64 is the reference precision: only the reference computes in it
    return x_T.dtype != torch.float64 and x_T.device.type in ("cpu", "cuda")


@lru_cache(256)
def _say(who: str, reason: str) -> None:
    warnings.warn(f"{who} on the eager backend because {reason}.", stacklevel=4)


@constant_when_compiled
def _refusal(name: str, handle: str, rank: int, tensors: tuple[str, ...]) -> str | None:
    """Why a fused backend cannot run this neuron with these parameters as tensors; ``None`` if it can."""
    return _verdict(name, handle, rank, tensors)


@lru_cache(1024)
def _verdict(name: str, handle: str, rank: int, tensors: tuple[str, ...]) -> str | None:
    neuron = BY_HANDLE[handle]
    try:
        traced = program(neuron, torch.Size([3, *[2] * (rank - 1)]), tensors, tensors)
    except Untraceable as reason:
        return str(reason)
    if name not in traced.shared:  # kernels that were right once are right for all literals
        if name not in traced.made:
            traced.made[name] = _objection(name, neuron, rank, tensors)
        if traced.made[name]:
            return str(traced.made[name])
        traced.shared[name] = True
    return None


def _objection(name: str, neuron: Neuron, rank: int, tensors: tuple[str, ...]) -> str | None:
    """What one small run, compared with eager, says against a kernel; ``None`` if nothing."""
    device = BACKENDS[name]
    runs = (eager.run, partial(operator.run_now, device))

    def compare() -> str | None:
        for lowest in (-0.5, 0.25):  # the second time all positive, as logarithms and roots want it
            expected, made = (_outcome(run, neuron, rank, tensors, device.home(), lowest) for run in runs)
            if expected is not None:
                agree = made is not None and all(map(_close, expected, made))
                return None if agree else "its kernel disagrees with the eager step"
        return "the eager step diverges in a first small run"

    try:
        return aside(compare)  # type: ignore[no-any-return]
    except Exception as error:  # whatever goes wrong in code we generated, the eager step is right
        return f"its kernel failed ({said(error)})"


def _close(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, rtol=1e-4, atol=1e-5, equal_nan=True)


def _outcome(
    run: Run, neuron: Neuron, rank: int, tensors: tuple[str, ...], home: str, lowest: float
) -> list[Tensor] | None:
    """Outputs, states and gradients of a small run on random input; ``None`` if a state diverged."""
    shape, kind = (3, *[2] * (rank - 1)), {"dtype": torch.float32, "device": home}
    random = torch.Generator().manual_seed(0)
    x_T, g_T = (torch.rand((4, *shape), generator=random, dtype=torch.float32).to(home) for _ in range(2))
    x_T = (x_T * 2 + lowest).requires_grad_()
    # a tensor of any shape becomes one number: what is checked is the kernel, not the broadcasting
    values = {k: torch.as_tensor(neuron.parameters[k], **kind).detach() for k in tensors}
    given = {k: v.reshape(-1)[:1].clone().requires_grad_() for k, v in values.items()}
    begin = (torch.as_tensor(v, **kind).detach().reshape(-1)[:1].expand(shape) for v in neuron.start(given))
    try:
        out, end = run(neuron, x_T, state_type(neuron.state_names)(*begin), given)
    except eager.Diverged:
        return None
    if not all(bool(e.isfinite().all()) for e in end):  # nothing has looked if a compiler traces meanwhile
        return None
    total = (out * g_T).sum() + sum(e.sum() for e in end)
    wanted = [x_T, *given.values()]
    grads = torch.autograd.grad(total, wanted, allow_unused=True) if total.requires_grad else [None] * len(wanted)
    return [out, *end, *(torch.zeros((), **kind) if g is None else g for g in grads)]
