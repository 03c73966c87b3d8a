"""The multi-step operator: a traced step under autograd and ``torch.library``, whatever device runs it.

Forward saves its inputs and nothing else. In eager mode it is an ``autograd.Function``; ``torch.compile`` and
``torch.export`` see the same functions as the registered operator ``spikeworks::scan``, which costs 55 µs more per call
in Python (of about 80), hence not used where nobody looks at the graph.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from .native import aside
from .neuron import BY_HANDLE, Neuron, State, state_type
from .state import start, start_small
from .trace import Program, Untraceable, trace

_PROGRAMS: dict[Any, Program] = {}


def program(neuron: Neuron, shape: torch.Size, tensors: Mapping[str, Tensor], wrt: tuple[str, ...]) -> Program:
    """The traced step of a neuron at a per-step shape; kept, since a trace costs about a millisecond.

    :param tensors: the parameters that stay variable. :param wrt: those whose gradient is wanted.
    :raises Untraceable: with the reason.
    """
    key = (shape, tuple(tensors), wrt)
    if (found := neuron.programs.get(key)) is None:
        found = neuron.programs[key] = _shared(neuron, shape, tensors, wrt)
    return found  # type: ignore[no-any-return]


def _shared(neuron: Neuron, shape: torch.Size, tensors: Mapping[str, Tensor], wrt: tuple[str, ...]) -> Program:
    """One program, and so one set of kernels, for all neurons that differ in nothing but their tensors' values."""
    numbers = tuple((k, v) for k, v in neuron.parameters.items() if k not in tensors)
    key = (neuron.kind, numbers, tuple(neuron.options.items()), shape, tuple(tensors), wrt)
    try:
        found = _PROGRAMS.get(key)
    except TypeError as error:
        raise Untraceable(f"an option cannot be hashed ({error})") from error
    if found is None:
        found = _PROGRAMS[key] = aside(lambda: trace(neuron, shape, {**neuron.parameters, **tensors}, wrt))
    return found


def run(
    device: Any, neuron: Neuron, x_T: Tensor, state: State | None, parameters: Mapping[str, Tensor]
) -> tuple[Tensor, State]:
    """As :func:`spikeworks.neurons.eager.run`, through the kernels of ``device``: a backend module with ``forward``
    and ``backward``."""
    tensors = neuron.tensors(parameters)
    if torch.compiler.is_compiling():
        states = list(start(neuron, x_T, parameters) if state is None else state)
        out, *end = torch.ops.spikeworks.scan(x_T, states, list(tensors.values()), list(tensors), neuron.handle)
    else:
        states = start_small(neuron, x_T, parameters) if state is None else state
        wrt = tuple(k for k, v in tensors.items() if v.requires_grad) if tensors and torch.is_grad_enabled() else ()
        traced = program(neuron, x_T.shape[1:], tensors, wrt)
        out, *end = _Scan.apply(device, traced, len(states), x_T, *states, *tensors.values())
    return out, state_type(neuron.state_names)(*end)


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, device: Any, program: Program, states: int, x: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        ctx.device, ctx.program, ctx.states = device, program, states
        ctx.save_for_backward(x, *rest)
        ctx.set_materialize_grads(False)
        return tuple(device.forward(program, x, rest[:states], rest[states:]))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        if torch.is_grad_enabled():
            raise RuntimeError(
                "The fused backward cannot be differentiated again (create_graph=True); run the neuron with "
                "backend='eager' for second derivatives."
            )
        x, *rest = ctx.saved_tensors
        states, parameters = rest[: ctx.states], rest[ctx.states :]
        gx, g_states, g_parameters = ctx.device.backward(ctx.program, x, states, parameters, grads[0], grads[1:])
        return None, None, None, gx, *g_states, *g_parameters


# ---- the same as a registered operator, for compilers ----

_LIBRARY = torch.library.Library("spikeworks", "DEF")
_LIBRARY.define("scan(Tensor x, Tensor[] state, Tensor[] parameters, str[] names, str neuron) -> Tensor[]")
_LIBRARY.define(
    "scan_backward(Tensor x, Tensor[] state, Tensor[] parameters, Tensor g, Tensor[] g_end, str[] names, str neuron)"
    " -> Tensor[]"
)


def _device(x: Tensor) -> Any:
    from . import fused_cpu, fused_gpu

    return fused_gpu if x.is_cuda else fused_cpu


def _retrace(handle: str, x: Tensor, names: Sequence[str], parameters: Sequence[Tensor]) -> Program:
    return program(BY_HANDLE[handle], x.shape[1:], dict(zip(names, parameters, strict=True)), tuple(names))


def _scan(x: Tensor, state: list[Tensor], parameters: list[Tensor], names: list[str], neuron: str) -> list[Tensor]:
    return _device(x).forward(_retrace(neuron, x, names, parameters), x, state, parameters)


def _scan_backward(
    x: Tensor,
    state: list[Tensor],
    parameters: list[Tensor],
    g: Tensor,
    g_end: list[Tensor],
    names: list[str],
    neuron: str,
) -> list[Tensor]:
    traced = _retrace(neuron, x, names, parameters)
    gx, g_state, g_parameters = _device(x).backward(traced, x, state, parameters, g, g_end)
    return [gx, *g_state, *g_parameters]


def _fake_scan(x: Tensor, state: list[Tensor], parameters: list[Tensor], names: list[str], neuron: str) -> list[Tensor]:
    return [torch.empty_like(x), *(torch.empty_like(x[0], dtype=torch.float32) for _ in state)]


def _fake_backward(
    x: Tensor,
    state: list[Tensor],
    parameters: list[Tensor],
    g: Tensor,
    g_end: list[Tensor],
    names: list[str],
    neuron: str,
) -> list[Tensor]:
    ends = (torch.empty_like(x[0], dtype=torch.float32) for _ in state)
    return [torch.empty_like(x), *ends, *(torch.empty_like(p) for p in parameters)]


def _save(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    x, state, parameters, ctx.names, ctx.neuron = inputs
    ctx.states = len(state)
    ctx.save_for_backward(x, *state, *parameters)


def _differentiate(ctx: Any, grads: list[Tensor]) -> tuple[Any, ...]:
    x, *rest = ctx.saved_tensors
    state, parameters = rest[: ctx.states], rest[ctx.states :]
    made = torch.ops.spikeworks.scan_backward(x, state, parameters, grads[0], list(grads[1:]), ctx.names, ctx.neuron)
    return made[0], made[1 : 1 + ctx.states], made[1 + ctx.states :], None, None


for _name, _run, _fake in (("scan", _scan, _fake_scan), ("scan_backward", _scan_backward, _fake_backward)):
    for _where in ("CPU", "CUDA"):
        _LIBRARY.impl(_name, _run, _where)
    torch.library.register_fake(f"spikeworks::{_name}", _fake, lib=_LIBRARY)
torch.library.register_autograd("spikeworks::scan", _differentiate, setup_context=_save, lib=_LIBRARY)
