"""Elementwise operations as LLVM assembly over vectors of 16 floats, one template each.

Float semantics are those of eager torch: no contraction, no reassociation, true division, and the order of operations
of ATen's own vector kernels where a formula has several.
"""

from __future__ import annotations

import platform
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from .trace import Node

LANES = 16
VECTOR, MASK = f"<{LANES} x float>", f"<{LANES} x i1>"
TYPES = {"float32": "float", "bfloat16": "bfloat", "float16": "half"}
"""torch dtype → LLVM type, of the tensors a kernel can read and write."""
_WORDS = f"<{LANES // 2} x float>"
_X86 = platform.machine() in ("x86_64", "AMD64")
_SIZES = {"float": 4, "bfloat": 2, "half": 2}
_MANGLED = {"float": "f32", "bfloat": "bf16", "half": "f16"}


@dataclass(frozen=True)
class Math:
    """Where transcendental functions come from: vector functions of ``width`` floats, else libm one by one."""

    width: int
    names: dict[str, str]


class Code:
    """Lines of one function in single-assignment form."""

    def __init__(self) -> None:
        self.slots: list[str] = []
        self.lines: list[str] = []
        self.count = 0

    def __call__(self, text: str) -> str:
        self.count += 1
        self.lines.append(f"  %t{self.count} = {text}")
        return f"%t{self.count}"

    def integer(self, op: str, a: str, b: object) -> str:
        """Arithmetic on 64-bit positions."""
        return self(f"{op} i64 {a}, {b}")

    def do(self, text: str) -> None:
        """An instruction without a value."""
        self.lines.append(f"  {text}")

    @contextmanager
    def loop(self, start: str, stop: str, step: int = 1) -> Iterator[str]:
        """``for index in range(start, stop, step)``."""
        self.count += 1
        label, slot = f"L{self.count}", f"%i{self.count}"
        self.slots.append(f"  {slot} = alloca i64")
        self.do(f"store i64 {start}, ptr {slot}")
        self.do(f"br label %{label}")
        self.lines.append(f"{label}:")
        index = self(f"load i64, ptr {slot}")
        more = self(f"icmp slt i64 {index}, {stop}")
        self.do(f"br i1 {more}, label %{label}b, label %{label}e")
        self.lines.append(f"{label}b:")
        yield index
        self.do(f"store i64 {self.integer('add', index, step)}, ptr {slot}")
        self.do(f"br label %{label}")
        self.lines.append(f"{label}e:")

    @contextmanager
    def when(self, condition: str) -> Iterator[None]:
        """What is in the block runs if ``condition`` holds."""
        self.count += 1
        label = f"W{self.count}"
        self.do(f"br i1 {condition}, label %{label}, label %{label}e")
        self.lines.append(f"{label}:")
        yield
        self.do(f"br label %{label}e")
        self.lines.append(f"{label}e:")

    def either(self, condition: str, yes: Callable[[], str], no: Callable[[], str]) -> str:
        """One of two vectors, only that one computed."""
        self.count += 1
        label = f"E{self.count}"
        self.do(f"br i1 {condition}, label %{label}y, label %{label}n")
        self.lines.append(f"{label}y:")
        a = yes()
        self.do(f"br label %{label}")
        self.lines.append(f"{label}n:")
        b = no()
        self.do(f"br label %{label}")
        self.lines.append(f"{label}:")
        return self(f"phi {VECTOR} [ {a}, %{label}y ], [ {b}, %{label}n ]")

    def address(self, base: str, index: str, kind: str = "float") -> str:
        """Where element ``index`` of type ``kind`` is."""
        return self(f"getelementptr {kind}, ptr {base}, i64 {index}")

    def read(self, base: str, index: str, mask: str | None = None, kind: str = "float") -> str:
        """Sixteen elements as floats; lanes outside ``mask`` are 0."""
        at, vector = self.address(base, index, kind), f"<{LANES} x {kind}>"
        size = _SIZES[kind]
        if mask is None:
            raw = self(f"load {vector}, ptr {at}, align {size}")
        else:
            raw = self(
                f"call {vector} @llvm.masked.load.v{LANES}{_MANGLED[kind]}.p0(ptr {at}, i32 {size}, {MASK} {mask}, "
                f"{vector} zeroinitializer)"
            )
        return raw if kind == "float" else self(f"fpext {vector} {raw} to {VECTOR}")

    def prefetch(self, base: str, index: str, kind: str) -> None:
        """Ask for what the next step reads: rows lie far apart, and hardware prefetchers do not follow."""
        self.do(f"call void @llvm.prefetch.p0(ptr {self.address(base, index, kind)}, i32 0, i32 3, i32 1)")

    def write(
        self, value: str, base: str, index: str, mask: str | None = None, kind: str = "float", stream: bool = False
    ) -> None:
        """Sixteen floats as elements of type ``kind``, those in ``mask`` only; ``stream``: past the cache."""
        at, vector = self.address(base, index, kind), f"<{LANES} x {kind}>"
        size = _SIZES[kind]
        if kind != "float":
            value = self(f"fptrunc {VECTOR} {value} to {vector}")
        if mask is not None:
            self.do(
                f"call void @llvm.masked.store.v{LANES}{_MANGLED[kind]}.p0({vector} {value}, ptr {at}, i32 {size}, "
                f"{MASK} {mask})"
            )
        elif stream:
            if kind == "bfloat" and _X86:
                # LLVM has no non-temporal store of bfloat and would make it a plain one: hand it over as floats, with
                # an empty instruction between so that the two are not folded together again
                vector, value = _WORDS, self(f"bitcast {vector} {value} to {_WORDS}")
                value = self(f'call {vector} asm "", "=x,0"({vector} {value})')
            self.do(f"store {vector} {value}, ptr {at}, align {size * LANES}, !nontemporal !0")
        else:
            self.do(f"store {vector} {value}, ptr {at}, align {size}")


def literal(value: float) -> str:
    """A float in every lane."""
    bits = struct.unpack("<f", struct.pack("<f", value))[0]
    text = "0x" + struct.pack(">d", bits).hex().upper()
    return "<" + ", ".join([f"float {text}"] * LANES) + ">"


ONE = literal(1.0)
ZERO = "zeroinitializer"


def operation(c: Code, node: Node, a: list[str], math_: Math) -> str:
    """One node as instructions; ``a``: its operands' names; returns the name of its value."""
    if node.op in _BINARY:
        return c(f"{_BINARY[node.op]} {VECTOR} {a[0]}, {a[1]}")
    if node.op in _LOGIC:
        return c(f"{_LOGIC[node.op]} {MASK} {a[0]}, {a[1]}")
    if node.op in _INTRINSIC:
        return c(f"call {VECTOR} @llvm.{_INTRINSIC[node.op]}.v{LANES}f32({VECTOR} {a[0]})")
    if node.op in _CALLED:
        return _call(c, node.op, a, math_)
    return _FORMULA[node.op](c, *a) if node.op != "sigmoid" else _sigmoid(c, a[0], math_)


def _call(c: Code, op: str, a: list[str], math_: Math) -> str:
    """A transcendental function, in pieces of the width the vector library has; every piece is one call."""
    width, name = (math_.width, math_.names[op]) if op in math_.names else (1, f"{op}f")
    result = "poison"
    if width == LANES:
        return c(f"call {VECTOR} @{name}({', '.join(f'{VECTOR} {v}' for v in a)})")
    for start in range(0, LANES, width):
        if width == 1:
            parts = [c(f"extractelement {VECTOR} {v}, i32 {start}") for v in a]
            one = c(f"call float @{name}({', '.join(f'float {p}' for p in parts)})")
            result = c(f"insertelement {VECTOR} {result}, float {one}, i32 {start}")
            continue
        lanes = ", ".join(f"i32 {start + k}" for k in range(width))
        small, index = f"<{width} x float>", f"<{width} x i32>"
        parts = [c(f"shufflevector {VECTOR} {v}, {VECTOR} poison, {index} <{lanes}>") for v in a]
        piece = c(f"call {small} @{name}({', '.join(f'{small} {p}' for p in parts)})")
        spread = ", ".join(f"i32 {k}" if k < width else "i32 poison" for k in range(LANES))
        wide = c(f"shufflevector {small} {piece}, {small} poison, <{LANES} x i32> <{spread}>")
        pick = ", ".join(f"i32 {k + LANES - start if start <= k < start + width else k}" for k in range(LANES))
        result = c(f"shufflevector {VECTOR} {result}, {VECTOR} {wide}, <{LANES} x i32> <{pick}>")
    return result


def _sigmoid(c: Code, x: str, math_: Math) -> str:  # the order of operations of ATen's vector kernel
    e = _call(c, "exp", [c(f"fsub {VECTOR} {ZERO}, {x}")], math_)
    return _reciprocal(c, c(f"fadd {VECTOR} {ONE}, {e}"))


def _select(c: Code, mask: str, a: str, b: str) -> str:
    return c(f"select {MASK} {mask}, {VECTOR} {a}, {VECTOR} {b}")


def _compare(code: str) -> Callable[..., str]:
    return lambda c, a, b: c(f"fcmp {code} {VECTOR} {a}, {b}")


def _mul(c: Code, a: str, b: str) -> str:
    return c(f"fmul {VECTOR} {a}, {b}")


def _further(order: str) -> Callable[..., str]:
    """``a`` where it lies beyond ``b`` or is NaN, else ``b``: as ATen, so that a NaN in either goes on."""

    def pick(c: Code, a: str, b: str) -> str:
        beyond = _select(c, c(f"fcmp {order} {VECTOR} {a}, {b}"), a, b)  # one instruction
        return _select(c, c(f"fcmp uno {VECTOR} {a}, {a}"), a, beyond)

    return pick


_least, _most = _further("olt"), _further("ogt")


def _reciprocal(c: Code, a: str) -> str:
    return c(f"fdiv {VECTOR} {ONE}, {a}")


_BINARY = {"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv"}
_LOGIC = {"logical_and": "and", "logical_or": "or"}
_INTRINSIC = {
    "abs": "fabs", "sqrt": "sqrt", "floor": "floor", "ceil": "ceil", "round": "nearbyint", "trunc": "trunc",
}  # fmt: skip
_CALLED = {"exp", "expm1", "log", "log1p", "sin", "cos", "tanh", "erf", "pow"}
_FORMULA: dict[str, Callable[..., str]] = {
    "ge": _compare("oge"), "gt": _compare("ogt"), "le": _compare("ole"), "lt": _compare("olt"),
    "eq": _compare("oeq"), "ne": _compare("une"),
    "logical_not": lambda c, a: c(f"xor {MASK} {a}, splat (i1 true)"),
    "to_bool": lambda c, a: c(f"fcmp une {VECTOR} {a}, {ZERO}"),
    "to_float": lambda c, a: _select(c, a, ONE, ZERO),
    "where": _select,
    "neg": lambda c, a: c(f"fneg {VECTOR} {a}"),
    "sgn": lambda c, a: _select(
        c, c(f"fcmp ogt {VECTOR} {a}, {ZERO}"), ONE,
        _select(c, c(f"fcmp olt {VECTOR} {a}, {ZERO}"), literal(-1.0), ZERO)),
    "relu": lambda c, a: _most(c, ZERO, a),
    "square": lambda c, a: _mul(c, a, a),
    "cube": lambda c, a: _mul(c, _mul(c, a, a), a),
    "reciprocal": _reciprocal,
    "inverse_square": lambda c, a: _reciprocal(c, _mul(c, a, a)),
    "rsqrt": lambda c, a: _reciprocal(c, c(f"call {VECTOR} @llvm.sqrt.v{LANES}f32({VECTOR} {a})")),
    "add_scaled": lambda c, a, b, s: c(f"fadd {VECTOR} {a}, {_mul(c, b, s)}"),
    "sub_scaled": lambda c, a, b, s: c(f"fsub {VECTOR} {a}, {_mul(c, b, s)}"),
    "addcmul": lambda c, a, b, d, s: c(f"fadd {VECTOR} {a}, {_mul(c, _mul(c, s, b), d)}"),
    "maximum": _most, "minimum": _least,
    "clamp_min": lambda c, a, low: _most(c, low, a), "clamp_max": lambda c, a, high: _least(c, high, a),
    "clamp": lambda c, a, low, high: _least(c, high, _most(c, low, a)),
    "sigmoid_backward": lambda c, g, y: _mul(c, _mul(c, g, c(f"fsub {VECTOR} {ONE}, {y}")), y),
    "tanh_backward": lambda c, g, y: _mul(c, g, c(f"fsub {VECTOR} {ONE}, {_mul(c, y, y)}")),
    "hardtanh_backward": lambda c, g, x, low, high: _select(
        c, c(f"fcmp ogt {VECTOR} {x}, {low}"), _select(c, c(f"fcmp olt {VECTOR} {x}, {high}"), g, ZERO), ZERO),
    "threshold_backward": lambda c, g, x, t: _select(c, c(f"fcmp ole {VECTOR} {x}, {t}"), ZERO, g),
}  # fmt: skip


def declarations(math_: Math) -> str:
    """Everything the operations call."""
    small = f"<{math_.width} x float>"
    declared = [
        f"declare {small} @{n}({', '.join([small] * (2 if op == 'pow' else 1))})" for op, n in math_.names.items()
    ]
    scalar = [f"declare float @{op}f({', '.join(['float'] * (2 if op == 'pow' else 1))})" for op in sorted(_CALLED)]
    intrinsics = [f"declare {VECTOR} @llvm.{name}.v{LANES}f32({VECTOR})" for name in _INTRINSIC.values()]
    masked = [
        f"declare <{LANES} x {k}> @llvm.masked.load.v{LANES}{m}.p0(ptr, i32, {MASK}, <{LANES} x {k}>)\n"
        f"declare void @llvm.masked.store.v{LANES}{m}.p0(<{LANES} x {k}>, ptr, i32, {MASK})"
        for k, m in _MANGLED.items()
    ]
    return "\n".join([*declared, *scalar, *intrinsics, *masked, "declare void @llvm.prefetch.p0(ptr, i32, i32, i32)"])
