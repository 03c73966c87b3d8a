"""The fused CPU backend: one kernel per direction with the loop over time inside, saving nothing but the input."""

from __future__ import annotations

import ctypes
import math
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from . import llvm, native, operator
from .assembly import LANES, TYPES
from .eager import not_finite
from .layout import dense, like, like_a_step, periodic
from .neuron import Neuron, State
from .trace import Program

_BLOCK_BYTES = 384 << 10
"""Target size of a block's working set: x, the states before each step and the gradients stay in the L2 cache."""
_STREAM_BYTES = 2 << 20
"""Outputs of this size and more bypass the cache (non-temporal stores): they would be evicted before they are read."""
_GRAIN = 1 << 15
"""Neuron-steps worth a thread of their own."""


_TYPES = {getattr(torch, name): kind for name, kind in TYPES.items()}
_ZERO = torch.zeros((), dtype=torch.float32, device="cpu")
"""Tensors are made from this one or from x: a default device or dtype that the caller has set must not reach them."""


class _Plan(NamedTuple):
    """How one direction of a program goes over tensors of one shape and memory order."""

    neurons: int
    strides: tuple[int, ...]  # of the tensors made, [T, B, ...]
    block: int  # neurons at a time
    scratch: int  # bytes per thread
    threads: int
    streams: bool  # may bypass the cache, if the memory is aligned


@lru_cache(1024)
def _plan(
    rows: tuple[int, int], x: torch.Size, strides: tuple[int, ...], element: int, back: bool, period: int | None,
    threads: int,
) -> _Plan:  # fmt: skip
    steps, count = x[0], math.prod(x[1:])
    fixed, per_step = rows
    height = max(1, fixed + per_step * steps)
    block = _BLOCK_BYTES // (4 * height + (2 * element * steps if back else 0))
    threads = max(1, min(threads, count * steps // _GRAIN))
    block = min(max(128, block), 4096, -(-count // threads), period or count)  # every thread gets one
    block = -(-max(1, block) // LANES) * LANES
    whole = count % LANES == 0 and (period or 0) % LANES == 0
    streams = whole and count * steps * element >= _STREAM_BYTES
    return _Plan(count, (count, *strides[1:]), block, -(-height * block * 4 // 64) * 64, threads, streams)


class _Fixed:
    """What every call of a program needs: its literals in memory, and its rows of scratch in each direction."""

    def __init__(self, program: Program) -> None:
        self.literals = (ctypes.c_float * max(1, len(program.literals)))(*program.literals)
        self.literals_at = ctypes.addressof(self.literals)
        self.rows = (llvm.scratch_rows(program, False), llvm.scratch_rows(program, True))


def _kernel(program: Program, dtype: torch.dtype, back: bool, stream: bool) -> int:
    """The compiled kernel, made at first use."""
    key = (dtype, back, stream)
    if (found := program.shared.get(key)) is None:
        text = llvm.module(program, _TYPES[dtype], stream, back, native.vector_math())
        found = program.shared[key] = native.load(text)
    return found  # type: ignore[no-any-return]


def home() -> str:
    """The device this backend computes on."""
    return "cpu"


def unsupported(x_T: Tensor) -> str | None:
    """Why this backend cannot run on an input like ``x_T``; ``None`` if it can."""
    if x_T.device.type != "cpu":
        return f"the input is on {x_T.device}, not on the CPU"
    if x_T.dtype not in _TYPES:
        return f"kernels compute in float32, the input is {x_T.dtype}"
    return native.unavailable()


def run(neuron: Neuron, x_T: Tensor, state: State | None, parameters: Mapping[str, Tensor]) -> tuple[Tensor, State]:
    """As :func:`spikeworks.neurons.eager.run`, on the CPU, for float32, bfloat16 and float16 input."""
    return operator.run(sys.modules[__name__], neuron, x_T, state, parameters)


def forward(program: Program, x: Tensor, states: Sequence[Tensor], parameters: Sequence[Tensor]) -> list[Tensor]:
    """Outputs and final states. ``x``: ``[T, B, ...]``; states ``[B, ...]`` or without axes: one number for all;
    parameters broadcast to ``[B, ...]``."""
    x = dense(x)
    sheet = _Sheet(program, x, states, parameters, back=False)
    strides = sheet.plan.strides
    y = x.new_empty_strided(x.shape, strides)
    ends = [_ZERO.new_empty_strided(x.shape[1:], strides[1:]) for _ in states]
    if sheet.plan.neurons:
        sheet.fields += [y.data_ptr(), *sheet.operands, *(e.data_ptr() for e in ends)]
        if diverged := sheet.run(y):
            raise not_finite(f"{diverged} of {program.states}" if program.states > 1 else "v")
    return [y, *ends]


def backward(
    program: Program, x: Tensor, states: Sequence[Tensor], parameters: Sequence[Tensor], g: Tensor | None,
    g_ends: Sequence[Tensor | None],
) -> tuple[Tensor, list[Tensor | None], list[Tensor | None]]:  # fmt: skip
    """Gradients of x, of the first state (None where it was one number) and of each parameter (None for those not
    wanted)."""
    x = dense(x)
    sheet = _Sheet(program, x, states, parameters, back=True)
    plan = sheet.plan
    g = like(_ZERO.to(x.dtype).expand(x.shape) if g is None else g, x)
    gx = x.new_empty_strided(x.shape, plan.strides)

    def make() -> Tensor:
        made = _ZERO.new_empty_strided(x.shape[1:], plan.strides[1:])
        return made if plan.neurons else made.zero_()

    g_states = [make() if state.dim() else None for state in states]
    totals = {name: make() for name in program.wrt}
    if plan.neurons:
        sheet.fields[7] = g.stride(0) if x.shape[0] > 1 else 0
        ends = [field for e in g_ends for field in sheet.operand(_ZERO if e is None else e)]
        made = [0 if m is None else m.data_ptr() for m in (*g_states, *totals.values())]
        sheet.fields += [g.data_ptr(), gx.data_ptr(), *sheet.operands, *ends, *made]
        sheet.run(gx)
    g_parameters = [
        totals[name].sum_to_size(p.shape) if name in totals else None
        for name, p in zip(program.parameters, parameters, strict=True)
    ]
    return gx, g_states, g_parameters


class _Sheet:
    """The table of fields a kernel reads, and the tensors it must keep alive meanwhile."""

    def __init__(
        self, program: Program, x: Tensor, states: Sequence[Tensor], parameters: Sequence[Tensor], back: bool
    ) -> None:  # fmt: skip
        self.program, self.x, self.back = program, x, back
        self.kept: list[Tensor] = []
        if (fixed := program.made.get("cpu")) is None:
            fixed = program.made["cpu"] = _Fixed(program)
        period, uniform = None, []
        if program.frontier:
            period, values = periodic(x, program.hoist(parameters), LANES)
            uniform = [f for v in values for f in (self._splat(v) if v.numel() == 1 else (self._keep(v), 1))]
        strides, steps = x.stride(), x.shape[0]
        threads = torch.get_num_threads()
        self.plan = _plan(fixed.rows[back], x.shape, strides, x.element_size(), back, period, threads)
        count, _, block, size, threads, _ = self.plan
        self.operands = [field for state in states for field in self.operand(state)] + uniform
        scratch = self._keep(_ZERO.new_empty(threads * size // 4 + 16))
        self.fields = [
            steps, count, period or count, block, -(-scratch // 64) * 64, size,
            strides[0] if steps > 1 else 0, 0, 0, x.data_ptr(), fixed.literals_at,
        ]  # fmt: skip

    def run(self, out: Tensor) -> int:
        """Call the kernel that makes ``out``; returns what it left in the status field."""
        stream = self.plan.streams and out.data_ptr() % (out.element_size() * LANES) == 0
        kernel = _kernel(self.program, self.x.dtype, self.back, stream)
        return native.call(kernel, self.fields, self.plan.threads)[llvm.STATUS]

    def operand(self, value: Tensor) -> tuple[int, int]:
        """Pointer and stride (1, or 0 for one value everywhere) of a state ``[B, ...]``."""
        value, stride = like_a_step(value, self.plan.strides[1:])
        return self._keep(value), stride

    def _splat(self, value: Tensor) -> tuple[int, int]:
        return self._keep(value.to(torch.float32).reshape(1).expand(LANES).contiguous()), 0

    def _keep(self, value: Tensor) -> int:
        self.kept.append(value)
        return value.data_ptr()
