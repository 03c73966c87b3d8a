"""The multi-step operator: a traced step under autograd and ``torch.library``, whatever device runs it.

Forward saves its inputs and nothing else. In eager mode it is an ``autograd.Function``; ``torch.compile`` sees the same
functions as the registered operator ``spikeworks::scan``, which costs 55 µs more per call in Python (of about 80),
hence not used where nobody looks at the graph.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from .layout import dense, packed
from .native import aside
from .neuron import BY_HANDLE, Neuron, NeuronType, State, state_type
from .state import start, start_small
from .trace import Program, Untraceable, trace


def program(neuron: Neuron, shape: torch.Size, tensors: Iterable[str], wrt: tuple[str, ...]) -> Program:
    """The traced step of a neuron at a per-step shape; kept, since a trace costs about a millisecond.

    :param tensors: the parameters that stay variable. :param wrt: those whose gradient is wanted.
    :raises Untraceable: with the reason.
    """
    key = (shape, tuple(tensors), wrt)
    if (found := neuron.programs.get(key)) is None:
        numbers = tuple((k, v) for k, v in neuron.parameters.items() if k not in key[1])
        options = tuple(neuron.options.items())
        try:
            hash(options)
        except TypeError as error:
            raise Untraceable(f"an option cannot be hashed ({error})") from error
        found = _traced(neuron.kind, numbers, options, *key)
        if isinstance(found, str):
            raise Untraceable(found)
        if len(neuron.programs) >= _SHAPES:
            neuron.programs.clear()
        neuron.programs[key] = found
    return found  # type: ignore[no-any-return]


_SHAPES = 64
"""Programs that a neuron holds on to: more than a network meets, and no leak where every batch has another shape."""


@lru_cache(256)
def _traced(
    kind: NeuronType, numbers: tuple[Any, ...], options: tuple[Any, ...], shape: torch.Size, tensors: tuple[str, ...],
    wrt: tuple[str, ...],
) -> Program | str:  # fmt: skip
    """One program for all neurons that differ in nothing but their tensors' values; or why there is none."""

    def make() -> Program:
        parameters = {**dict(numbers), **{name: torch.empty(0, device="meta") for name in tensors}}
        return trace(Neuron(kind, parameters, dict(options), {}), shape, parameters, wrt)

    try:
        return aside(make)  # type: ignore[no-any-return]
    except Untraceable as reason:
        return str(reason)


def run(
    device: Any, neuron: Neuron, x_T: Tensor, state: State | None, parameters: Mapping[str, Tensor]
) -> tuple[Tensor, State]:
    """As :func:`spikeworks.neurons.eager.run`, through the kernels of ``device``: a backend module with ``forward``
    and ``backward``."""
    if not torch.compiler.is_compiling():
        return run_now(device, neuron, x_T, state, parameters)
    tensors, states = neuron.tensors(parameters), list(start(neuron, x_T, parameters) if state is None else state)
    out, *end = torch.ops.spikeworks.scan(x_T, states, list(tensors.values()), ",".join(tensors), neuron.handle)
    return out, state_type(neuron.state_names)(*end)


def run_now(
    device: Any, neuron: Neuron, x_T: Tensor, state: State | None, parameters: Mapping[str, Tensor]
) -> tuple[Tensor, State]:
    """As :func:`run`, also while a compiler traces elsewhere in this process."""
    tensors = neuron.tensors(parameters)
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
# names: those of the parameters, with commas; autograd would take an empty list for one of tensors
_LIBRARY.define("scan(Tensor x, Tensor[] state, Tensor[] parameters, str names, str neuron) -> Tensor[]")
_LIBRARY.define(
    "scan_backward(Tensor x, Tensor[] state, Tensor[] parameters, Tensor g, Tensor[] g_end, str names, str neuron)"
    " -> Tensor[]"
)


def _device(x: Tensor) -> Any:
    from . import fused_cpu, fused_gpu

    return fused_gpu if x.is_cuda else fused_cpu


def _retrace(handle: str, x: Tensor, names: str) -> Program:
    parameters = tuple(names.split(",")) if names else ()
    return program(BY_HANDLE[handle], x.shape[1:], parameters, parameters)


def _scan(x: Tensor, state: list[Tensor], parameters: list[Tensor], names: str, neuron: str) -> list[Tensor]:
    return _device(x).forward(_retrace(neuron, x, names), x, state, parameters)


def _scan_backward(
    x: Tensor,
    state: list[Tensor],
    parameters: list[Tensor],
    g: Tensor,
    g_end: list[Tensor],
    names: str,
    neuron: str,
) -> list[Tensor]:
    gx, g_state, g_parameters = _device(x).backward(_retrace(neuron, x, names), x, state, parameters, g, g_end)
    return [gx, *g_state, *g_parameters]


def _fake_scan(x: Tensor, state: list[Tensor], parameters: list[Tensor], names: str, neuron: str) -> list[Tensor]:
    x = dense(x)
    out = torch.empty_strided(x.shape, packed(x), dtype=x.dtype, device=x.device)
    return [out, *(_fake_step(x) for _ in state)]


def _fake_step(x: Tensor) -> Tensor:
    return torch.empty_strided(x.shape[1:], x.stride()[1:], dtype=torch.float32, device=x.device)


def _fake_backward(
    x: Tensor,
    state: list[Tensor],
    parameters: list[Tensor],
    g: Tensor,
    g_end: list[Tensor],
    names: str,
    neuron: str,
) -> list[Tensor]:
    made = _fake_scan(x, state, parameters, names, neuron)
    return [*made, *(_fake_step(dense(x)).sum_to_size(p.shape) for p in parameters)]


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
