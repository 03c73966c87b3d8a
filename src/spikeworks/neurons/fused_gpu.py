"""The fused GPU backend: Triton kernels from the traced step, one thread a neuron, saving nothing but the input.

Proved without a GPU: in Triton's interpreter (``TRITON_INTERPRET=1``), outputs, states and gradients of every neuron
equal those of the eager backend; and every kernel compiles to machine code for NVIDIA's GPUs, with true divisions and
no multiplication and addition contracted into one. Not proved: that it runs on a GPU at all, and its speed.

The arithmetic is that of eager *on the CPU*. Eager on a GPU multiplies by the reciprocal where the divisor is a plain
number, which may differ in the last bit and so, rarely, in a spike. ``exp`` compiles to the GPU's own approximation
(reconstructed: two units in the last place), the other transcendentals to NVIDIA's library. Unlike on the CPU, nothing
looks whether a state ended as NaN: looking would stall the GPU.
"""

from __future__ import annotations

import hashlib
import importlib.util
import math
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from . import llvm, operator, triton
from .layout import dense, like, like_a_step, packed, periodic
from .native import cache_folder, constant_when_compiled
from .neuron import Neuron, State
from .trace import Program

_BLOCK = 256
_OPTIONS = {"enable_fp_fusion": False}
"""A multiplication and an addition stay two roundings, as on the CPU."""


@constant_when_compiled
def _no_triton() -> str | None:
    return None if importlib.util.find_spec("triton") else "Triton is not installed (pip install 'spikeworks[gpu]')"


def home() -> str:
    """The device this backend computes on."""
    return "cpu" if _interpreted() else "cuda"


def _interpreted() -> bool:
    return os.environ.get("TRITON_INTERPRET") == "1"


def unsupported(x_T: Tensor) -> str | None:
    """Why this backend cannot run on an input like ``x_T``; ``None`` if it can."""
    if not x_T.is_cuda and not _interpreted():
        return f"the input is on {x_T.device}, not on a GPU"
    if x_T.dtype not in (torch.float32, torch.float16, torch.bfloat16):
        return f"kernels compute in float32, the input is {x_T.dtype}"
    return _no_triton()


def run(neuron: Neuron, x_T: Tensor, state: State | None, parameters: Mapping[str, Tensor]) -> tuple[Tensor, State]:
    """As :func:`spikeworks.neurons.eager.run`, on a GPU, for float32, bfloat16 and float16 input."""
    return operator.run(sys.modules[__name__], neuron, x_T, state, parameters)


def forward(program: Program, x: Tensor, states: Sequence[Tensor], parameters: Sequence[Tensor]) -> list[Tensor]:
    """Outputs and final states. ``x``: ``[T, B, ...]``; states ``[B, ...]`` or without axes: one number for all;
    parameters broadcast to ``[B, ...]``."""
    x = dense(x)
    count, order, operands, period = _operands(program, x, states, parameters)
    y = torch.empty_strided(x.shape, packed(x), dtype=x.dtype, device=x.device)
    ends = [torch.empty_strided(x.shape[1:], order, dtype=torch.float32, device=x.device) for _ in states]
    if y.numel():
        sizes = (x.shape[0], count, period, x.stride(0))
        _launch(program, triton.forward, x, count, x, y, _literals(program, x.device), *operands, *ends, *sizes)
    return [y, *ends]


def backward(
    program: Program, x: Tensor, states: Sequence[Tensor], parameters: Sequence[Tensor], g: Tensor | None,
    g_ends: Sequence[Tensor | None],
) -> tuple[Tensor, list[Tensor | None], list[Tensor | None]]:  # fmt: skip
    """Gradients of x, of the first state (None where it was one number) and of each parameter (None for those not
    wanted)."""
    x = dense(x)
    count, order, operands, period = _operands(program, x, states, parameters)
    steps, like_x = x.shape[0], {"dtype": torch.float32, "device": x.device}
    zero = torch.zeros((), **like_x)
    g = like(zero.to(x.dtype).expand(x.shape) if g is None else g, x)
    ends = [part for e in g_ends for part in like_a_step(zero if e is None else e, order)]
    gx = torch.empty_strided(x.shape, packed(x), dtype=x.dtype, device=x.device)
    made = [torch.empty_strided(x.shape[1:], order, **like_x) for _ in range(program.states + len(program.wrt))]
    if gx.numel():
        rows = steps * program.states if llvm.needs_states(program) else 0
        scratch = torch.empty(max(1, rows * count), **like_x)
        lasts = ((steps - 1) * n for n in (x.stride(0), g.stride(0), count))
        sizes = (steps, count, period, x.stride(0), g.stride(0), *lasts)
        _launch(
            program, triton.backward, x, count, x, g, gx, _literals(program, x.device), *operands, *ends, *made,
            scratch, *sizes,
        )  # fmt: skip
    else:
        made = [m.zero_() for m in made]
    totals = dict(zip(program.wrt, made[program.states :], strict=True))
    g_parameters = [
        totals[name].sum_to_size(p.shape) if name in totals else None
        for name, p in zip(program.parameters, parameters, strict=True)
    ]
    return gx, [m if s.dim() else None for m, s in zip(made, states, strict=False)], g_parameters


def _operands(
    program: Program, x: Tensor, states: Sequence[Tensor], parameters: Sequence[Tensor]
) -> tuple[int, tuple[int, ...], list[Any], int]:
    """Neurons, the memory order of a step, the kernel's operands with their strides, and their period."""
    count, order = math.prod(x.shape[1:]), x.stride()[1:]
    period, values = (count, [])
    if program.frontier:
        period, values = periodic(x, program.hoist(parameters), 1)
    operands = [part for s in states for part in like_a_step(s, order)]
    operands += [part for v in values for part in (v.to(x.device), int(v.numel() > 1))]
    return count, order, operands, period


def _literals(program: Program, device: torch.device) -> Tensor:
    if (found := program.made.get(device)) is None:
        found = program.made[device] = torch.tensor(program.literals or (0.0,), dtype=torch.float32, device=device)
    return found  # type: ignore[no-any-return]


def _launch(program: Program, write: Callable[[Program], str], x: Tensor, count: int, *arguments: Any) -> None:
    if (made := program.shared.get(write)) is None:
        made = program.shared[write] = getattr(_module(write(program)), write.__name__)
    kernel = made[(-(-count // _BLOCK),)]
    if x.is_cuda:
        with torch.cuda.device(x.device):  # Triton launches on the current device, wherever the tensors are
            kernel(*arguments, BLOCK=_BLOCK, **_OPTIONS)
    else:
        kernel(*arguments, BLOCK=_BLOCK)


@lru_cache(256)
def _module(source: str) -> ModuleType:
    """The source as a module; Triton reads kernels from files."""
    name = f"kernel_{hashlib.sha256(source.encode()).hexdigest()[:32]}"
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = folder / f"{name}.py"
        handle, aside = tempfile.mkstemp(dir=folder)
    except OSError:
        folder = Path(tempfile.mkdtemp())
        path = folder / f"{name}.py"
        handle, aside = tempfile.mkstemp(dir=folder)
    with os.fdopen(handle, "w") as file:
        file.write(source)
    Path(aside).replace(path)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
