"""A traced program as Triton source: one thread a neuron, its state in registers while it walks through time.

The same operations as :mod:`spikeworks.neurons.assembly`, one expression each. Literals come as an array, and T, N and
strides as plain numbers, so that one kernel serves every value and size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from .llvm import needs_states
from .trace import Node, Operand, Program

HEAD = "import triton\nimport triton.language as tl\n\n\n"


def _operands(program: Program) -> list[str]:
    states = [n for k in range(program.states) for n in (f"v{k}", f"v{k}_stride")]
    return [*states, *(n for k in range(len(program.frontier)) for n in (f"u{k}", f"u{k}_stride"))]


def forward_arguments(program: Program) -> list[str]:
    """Names of the forward kernel's arguments, in order, but for the block size."""
    ends = [f"v{k}_end" for k in range(program.states)]
    return ["x", "y", "c", *_operands(program), *ends, "steps", "count", "period", "x_stride"]


def backward_arguments(program: Program) -> list[str]:
    """Names of the backward kernel's arguments, in order, but for the block size."""
    states = range(program.states)
    ends = [n for k in states for n in (f"gv{k}_end", f"gv{k}_end_stride")]
    made = [*(f"gv{k}" for k in states), *(f"gp{k}" for k in range(len(program.wrt)))]
    sizes = ["steps", "count", "period", "x_stride", "g_stride", "x_last", "g_last", "y_last"]
    return ["x", "g", "gx", "c", *_operands(program), *ends, *made, "scratch", *sizes]


def _signature(name: str, arguments: Sequence[str]) -> list[str]:
    numbers = [a for a in arguments if a.endswith(("_stride", "_last")) or a in ("steps", "count", "period")]
    return [
        f"@triton.jit(do_not_specialize={numbers!r})",
        f"def {name}({', '.join(arguments)}, BLOCK: tl.constexpr):",
        "    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)",
        "    count = count.to(tl.int64)  # multiples of it are offsets",
        "    mask = i < count",
        "    j = i % period",
    ]


def _load(program: Program) -> list[str]:
    lines = [f"    c{k} = {_full(f'tl.load(c + {k})')}" for k in range(len(program.literals))]
    for k, v in enumerate(program.frontier):  # 1.0: lanes outside must not divide by zero
        loaded = f"tl.load(u{k} + j * u{k}_stride, mask=mask, other=1.0)"
        lines.append(f"    a{v} = {loaded}{' != 0.0' if program.is_mask(v) else ''}")
    return lines


def _write_out(program: Program, results: Sequence[Operand], indent: str) -> list[str]:
    return [
        f"{indent}a{value} = {_expression(node)}"
        for value, node in program.live([r for r in results if isinstance(r, int)])
    ]


def forward(program: Program) -> str:
    """The source of the forward kernel."""
    states = list(program.state_values)
    lines = _signature("forward", forward_arguments(program))
    lines += _load(program)
    lines += [f"    a{v} = tl.load(v{k} + i * v{k}_stride, mask=mask, other=0.0)" for k, v in enumerate(states)]
    lines += ["    x += i", "    y += i", "    for _ in range(steps):"]
    lines += ["        a0 = tl.load(x, mask=mask, other=0.0).to(tl.float32)"]
    lines += _write_out(program, [program.output, *program.new_states], "        ")
    lines += [f"        tl.store(y, {_whole(program.output)}.to(y.dtype.element_ty), mask=mask)"]
    lines += _assign(program, states, program.new_states)
    lines += ["        x += x_stride", "        y += count"]
    lines += [f"    tl.store(v{k}_end + i, a{v}, mask=mask)" for k, v in enumerate(states)]
    return HEAD + "\n".join(lines) + "\n"


def backward(program: Program) -> str:
    """The source of the backward kernel: sweep forward keeping the states in a scratch, then walk back."""
    states, count = list(program.state_values), program.states
    results = [program.grad_x, *program.grad_states, *program.grad_parameters]
    keep = needs_states(program)
    lines = _signature("backward", backward_arguments(program))
    lines += _load(program)
    if keep:
        lines += [f"    a{v} = tl.load(v{k} + i * v{k}_stride, mask=mask, other=0.0)" for k, v in enumerate(states)]
        lines += ["    rows = scratch + i", "    xs = x + i", "    for _ in range(steps):"]
        lines += [f"        tl.store(rows + {k} * count, a{v}, mask=mask)" for k, v in enumerate(states)]
        lines += ["        a0 = tl.load(xs, mask=mask, other=0.0).to(tl.float32)"]
        lines += _write_out(program, program.new_states, "        ")
        lines += _assign(program, states, program.new_states)
        lines += [f"        rows += {count} * count", "        xs += x_stride"]
    ends = list(program.grad_new_states)
    lines += [f"    a{v} = tl.load(gv{k}_end + i * gv{k}_end_stride, mask=mask, other=0.0)" for k, v in enumerate(ends)]
    lines += [f"    total{p} = tl.zeros([BLOCK], tl.float32)" for p in range(len(program.wrt))]
    lines += ["    xs = x + (i + x_last)", "    g += i + g_last", "    gx += i + y_last", "    for _ in range(steps):"]
    if keep:
        lines += [f"        rows -= {count} * count"]
        lines += [f"        a{v} = tl.load(rows + {k} * count, mask=mask, other=0.0)" for k, v in enumerate(states)]
    lines += ["        a0 = tl.load(xs, mask=mask, other=0.0).to(tl.float32)"]
    lines += [f"        a{program.grad_output} = tl.load(g, mask=mask, other=0.0).to(tl.float32)"]
    lines += _write_out(program, results, "        ")
    lines += [f"        tl.store(gx, {_whole(program.grad_x)}.to(gx.dtype.element_ty), mask=mask)"]
    lines += [f"        total{p} += {_name(r)}" for p, r in enumerate(program.grad_parameters)]
    lines += _assign(program, ends, program.grad_states)
    lines += ["        xs -= x_stride", "        g -= g_stride", "        gx -= count"]
    lines += [f"    tl.store(gv{k} + i, a{v}, mask=mask)" for k, v in enumerate(ends)]
    lines += [f"    tl.store(gp{p} + i, total{p}, mask=mask)" for p in range(len(program.wrt))]
    return HEAD + "\n".join(lines) + "\n"


def _assign(program: Program, targets: Sequence[int], results: Sequence[Operand]) -> list[str]:
    """All at once: a new state may be made of another's old value. What is carried stays float32 and of one shape."""
    if not targets:
        return []
    left, right = (f"a{t}" for t in targets), (_whole(r) for r in results)
    return [f"        {', '.join(left)} = {', '.join(right)}"]


def _name(a: Operand) -> str:
    """A value's name, or a literal that stays in the code."""
    if isinstance(a, int):
        return f"a{a}" if a >= 0 else f"c{-1 - a}"
    return repr(a) if math.isfinite(a) else f'float("{a}")'


def _whole(a: Operand) -> str:
    name = _name(a)
    return name if name[0] in "ac" else _full(name)


def _full(scalar: str) -> str:
    return f"tl.full([BLOCK], {scalar}, tl.float32)"


def _expression(node: Node) -> str:
    literals = all(isinstance(a, float) for a in node.args)
    name = _whole if literals or node.op in _BLOCKS else _name
    return _EXPRESSIONS[node.op](*map(name, node.args))


_BLOCKS = ("div", "pow", "maximum", "minimum", "clamp", "clamp_min", "clamp_max")
"""What takes no plain number for an operand."""


def _form(text: str) -> Callable[..., str]:
    return lambda *a: text.format(*a)


def _most(a: str, b: str) -> str:
    return f"tl.where(({a} > {b}) | ({a} != {a}), {a}, {b})"


def _least(a: str, b: str) -> str:
    return f"tl.where(({a} < {b}) | ({a} != {a}), {a}, {b})"


def _expm1(a: str) -> str:  # Kahan: the rounding of exp cancels against that of its logarithm
    e = f"tl.exp({a})"
    ratio = f"({e} - 1.0) * ({a} / tl.where({e} == 1.0, 1.0, tl.log({e})))"
    return f"tl.where({e} == 1.0, {a}, tl.where(({e} == 0.0) | ({_endless(e)}), {e} - 1.0, {ratio}))"


def _log1p(a: str) -> str:  # the same, the other way round
    u = f"({a} + 1.0)"
    ratio = f"tl.log({u}) * ({a} / tl.where({u} == 1.0, 1.0, {u} - 1.0))"
    return f"tl.where(({u} == 1.0) | ({_endless(u)}), {a}, {ratio})"


def _endless(a: str) -> str:
    return f'{a} == float("inf")'


def _pow(a: str, b: str) -> str:
    size = f"tl.exp({b} * tl.log(tl.abs({a})))"
    odd = f"(tl.floor({b} * 0.5) * 2.0 != {b})"
    negative = f'tl.where(tl.floor({b}) != {b}, float("nan"), tl.where({odd}, -{size}, {size}))'
    return f"tl.where({b} == 0.0, 1.0, tl.where({a} < 0.0, {negative}, {size}))"


def _tanh(a: str) -> str:
    e = _expm1(f"(-2.0 * tl.abs({a}))")
    return f"(tl.where({a} < 0.0, 1.0, -1.0) * {e} / ({e} + 2.0))"


_EXPRESSIONS: dict[str, Callable[..., str]] = {
    "add": _form("{0} + {1}"), "sub": _form("{0} - {1}"), "mul": _form("{0} * {1}"),
    "div": _form("tl.div_rn({0}, {1})"),
    "ge": _form("{0} >= {1}"), "gt": _form("{0} > {1}"), "le": _form("{0} <= {1}"), "lt": _form("{0} < {1}"),
    "eq": _form("{0} == {1}"), "ne": _form("{0} != {1}"),
    "logical_and": _form("{0} & {1}"), "logical_or": _form("{0} | {1}"), "logical_not": _form("{0} == 0"),
    "to_bool": _form("{0} != 0.0"), "to_float": _form("tl.where({0}, 1.0, 0.0)"),
    "where": _form("tl.where({0}, {1}, {2})"),
    "neg": _form("-{0}"), "abs": _form("tl.abs({0})"), "relu": _form("tl.where({0} < 0.0, 0.0, {0})"),
    "sgn": _form("tl.where({0} > 0.0, 1.0, tl.where({0} < 0.0, -1.0, 0.0))"),
    "sqrt": _form("tl.sqrt_rn({0})"), "rsqrt": _form(f"tl.div_rn({_full('1.0')}, tl.sqrt_rn({{0}}))"),
    "square": _form("{0} * {0}"), "cube": _form("{0} * {0} * {0}"),
    "reciprocal": _form(f"tl.div_rn({_full('1.0')}, {{0}})"),
    "inverse_square": _form(f"tl.div_rn({_full('1.0')}, {{0}} * {{0}})"),
    "floor": _form("tl.floor({0})"), "ceil": _form("tl.ceil({0})"),
    "trunc": _form("tl.where({0} < 0.0, tl.ceil({0}), tl.floor({0}))"),
    "round": _form("tl.where(tl.abs({0}) < 4194304.0, ({0} + 12582912.0) - 12582912.0, {0})"),  # half to even
    "exp": _form("tl.exp({0})"), "log": _form("tl.log({0})"), "sin": _form("tl.sin({0})"), "cos": _form("tl.cos({0})"),
    "erf": _form("tl.erf({0})"), "expm1": _expm1, "log1p": _log1p, "tanh": _tanh,
    "pow": _pow,
    "sigmoid": _form(f"tl.div_rn({_full('1.0')}, 1.0 + tl.exp(-{{0}}))"),
    "add_scaled": _form("{0} + {1} * {2}"), "sub_scaled": _form("{0} - {1} * {2}"),
    "addcmul": _form("{0} + {3} * {1} * {2}"),
    "maximum": _most, "minimum": _least,
    "clamp_min": lambda a, low: _most(low, a), "clamp_max": lambda a, high: _least(high, a),
    "clamp": lambda a, low, high: _least(high, f"({_most(low, a)})"),
    "sigmoid_backward": _form("{0} * (1.0 - {1}) * {1}"), "tanh_backward": _form("{0} * (1.0 - {1} * {1})"),
    "threshold_backward": _form("tl.where({1} <= {2}, 0.0, {0})"),
    "hardtanh_backward": _form("tl.where(({1} > {2}) & ({1} < {3}), {0}, 0.0)"),
}  # fmt: skip
