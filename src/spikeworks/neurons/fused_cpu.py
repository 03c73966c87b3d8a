"""The fused CPU backend: one kernel per direction with the loop over time inside, saving nothing but the input."""

from __future__ import annotations

import ctypes
import math
import sys
from collections.abc import Mapping, Sequence
from functools import cache

import torch
from torch import Tensor

from . import llvm, native, operator
from .assembly import LANES, TYPES
from .eager import not_finite
from .layout import dense, like, like_a_step, periodic
from .neuron import Neuron, Parameter, State
from .trace import Program

_BLOCK_BYTES = 384 << 10
"""Target size of a block's working set: x, the states before each step and the gradients stay in the L2 cache."""
_STREAM_BYTES = 2 << 20
"""Outputs of this size and more bypass the cache (non-temporal stores): they would be evicted before they are read."""
_GRAIN = 1 << 15
"""Neuron-steps worth a thread of their own."""


_ZERO = torch.zeros(())


class _Kernels:
    """The compiled kernels of a program, one per dtype, direction and kind of store, each made at first use."""

    def __init__(self, program: Program) -> None:
        self.program = program
        values = llvm.constants(program)
        self.constants = (ctypes.c_float * max(1, len(values)))(*values)
        self.constants_at = ctypes.addressof(self.constants)
        self.rows = {back: llvm.scratch_rows(program, back) for back in (False, True)}
        self.compiled: dict[tuple[torch.dtype, bool, bool], int] = {}

    def get(self, dtype: torch.dtype, back: bool, stream: bool) -> int:
        key = (dtype, back, stream)
        if key not in self.compiled:
            kind = TYPES[str(dtype).removeprefix("torch.")]
            text = llvm.module(self.program, kind, stream, back, native.vector_math())
            self.compiled[key] = native.load(text)
        return self.compiled[key]

    def plan(self, steps: int, count: int, period: int, back: bool, element: int) -> tuple[int, int, int]:
        """Neurons per block, bytes of scratch per thread, threads."""
        fixed, per_step = self.rows[back]
        rows = max(1, fixed + per_step * steps)
        block = _BLOCK_BYTES // (4 * rows + (2 * element * steps if back else 0))
        threads = max(1, min(torch.get_num_threads(), count * steps // _GRAIN))
        block = min(max(128, block), 4096, -(-count // threads), period)  # every thread gets one
        block = -(-max(1, block) // LANES) * LANES
        return block, -(-rows * block * 4 // 64) * 64, threads


_kernels = cache(_Kernels)


def home() -> str:
    """The device this backend computes on."""
    return "cpu"


def unsupported(x_T: Tensor) -> str | None:
    """Why this backend cannot run on an input like ``x_T``; ``None`` if it can."""
    if x_T.device.type != "cpu":
        return f"the input is on {x_T.device}, not on the CPU"
    if str(x_T.dtype).removeprefix("torch.") not in TYPES:
        return f"kernels compute in float32, the input is {x_T.dtype}"
    return native.unavailable()


def run(neuron: Neuron, x_T: Tensor, state: State, parameters: Mapping[str, Parameter]) -> tuple[Tensor, State]:
    """As :func:`spikeworks.neurons.eager.run`, on the CPU, for float32, bfloat16 and float16 input."""
    return operator.run(sys.modules[__name__], neuron, x_T, state, parameters)


def forward(program: Program, x: Tensor, states: Sequence[Tensor], parameters: Sequence[Tensor]) -> list[Tensor]:
    """Outputs and final states. ``x``: ``[T, B, ...]``; states ``[B, ...]``; parameters broadcast to ``[B, ...]``."""
    x = dense(x)
    sheet = _Sheet(program, x, states, parameters, back=False)
    y = torch.empty_strided(x.shape, sheet.strides, dtype=x.dtype)
    ends = [torch.empty_strided(x.shape[1:], sheet.strides[1:], dtype=torch.float32) for _ in states]
    if y.numel():
        sheet.add(y.data_ptr(), *sheet.operands, *(e.data_ptr() for e in ends))
        if diverged := sheet.run(y):
            raise not_finite(f"{diverged} of {program.states}" if program.states > 1 else "v")
    return [y, *ends]


def backward(
    program: Program, x: Tensor, states: Sequence[Tensor], parameters: Sequence[Tensor], g: Tensor | None,
    g_ends: Sequence[Tensor | None],
) -> tuple[Tensor, list[Tensor], list[Tensor | None]]:  # fmt: skip
    """Gradients of x, of the first state and of each parameter (None for those not wanted)."""
    x = dense(x)
    sheet = _Sheet(program, x, states, parameters, back=True)
    step, order = x.shape[1:], sheet.strides[1:]
    g = like(torch.zeros((), dtype=x.dtype).expand(x.shape) if g is None else g, x)
    ends = [sheet.operand(_ZERO if e is None else e) for e in g_ends]
    gx = torch.empty_strided(x.shape, sheet.strides, dtype=x.dtype)
    made = [torch.empty_strided(step, order, dtype=torch.float32) for _ in range(program.states + len(program.wrt))]
    if not gx.numel():
        made = [m.zero_() for m in made]
    else:
        sheet.fields[7] = g.stride(0) if x.shape[0] > 1 else 0
        fields = (f for e in ends for f in e)
        sheet.add(g.data_ptr(), gx.data_ptr(), *sheet.operands, *fields, *(m.data_ptr() for m in made))
        sheet.run(gx)
    totals = dict(zip(program.wrt, made[program.states :], strict=True))
    g_parameters = [
        totals[name].sum_to_size(p.shape).to(p.dtype) if name in totals else None
        for name, p in zip(program.parameters, parameters, strict=True)
    ]
    return gx, made[: program.states], g_parameters


class _Sheet:
    """The table of fields a kernel reads, and the tensors it must keep alive meanwhile."""

    def __init__(
        self, program: Program, x: Tensor, states: Sequence[Tensor], parameters: Sequence[Tensor], back: bool
    ) -> None:  # fmt: skip
        steps = x.shape[0]
        self.kernels, self.x, self.back, self.kept = _kernels(program), x, back, []
        self.count = math.prod(x.shape[1:])
        self.strides = (self.count, *x.stride()[1:])
        self.period = self.count
        uniform: list[tuple[int, int]] = []
        if program.frontier:
            self.period, values = periodic(x, program.hoist(parameters), LANES)
            uniform = [self._splat(v) if v.numel() == 1 else (self._keep(v), 1) for v in values]
        self.operands = [f for pair in (*map(self.operand, states), *uniform) for f in pair]
        block, size, self.threads = self.kernels.plan(steps, self.count, self.period, back, x.element_size())
        scratch = self._keep(torch.empty(self.threads * size // 4 + 16, dtype=torch.float32))
        self.fields = [
            steps, self.count, self.period, block, -(-scratch // 64) * 64, size,
            x.stride(0) if steps > 1 else 0, 0, 0, x.data_ptr(), self.kernels.constants_at,
        ]  # fmt: skip

    def add(self, *fields: int) -> None:
        self.fields.extend(fields)

    def run(self, out: Tensor) -> int:
        """Call the kernel that makes ``out``; returns what it left in the status field."""
        size = out.element_size() * LANES
        aligned = out.data_ptr() % size == 0 and self.count % LANES == 0 and self.period % LANES == 0
        stream = aligned and out.numel() * out.element_size() >= _STREAM_BYTES
        return native.call(self.kernels.get(self.x.dtype, self.back, stream), self.fields, self.threads)[llvm.STATUS]

    def operand(self, value: Tensor) -> tuple[int, int]:
        """Pointer and stride (1, or 0 for one value everywhere) of a state ``[B, ...]``."""
        value, stride = like_a_step(value, self.strides[1:])
        return self._keep(value), stride

    def _splat(self, value: Tensor) -> tuple[int, int]:
        return self._keep(value.to(torch.float32).reshape(1).expand(LANES).contiguous()), 0

    def _keep(self, value: Tensor) -> int:
        self.kept.append(value)
        return value.data_ptr()
