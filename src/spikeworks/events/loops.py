"""Small loops over whole numbers: written once in plain Python, run compiled.

A stream of bytes whose meaning hangs on what came before cannot be decoded by numpy alone. Such a loop is a function of
arrays that returns nothing, made of ``while``, ``if``, assignments, ``+ - * & | ^ << >>``, comparisons, ``in`` a tuple,
``and``/``or``/``not``, elements of the arrays and whole-number constants of its module. The same source runs in Python
where LLVM is not usable, some hundred times slower. All numbers have 64 bits; the loop itself keeps within its arrays.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from functools import cache
from typing import Any, cast

from numpy.typing import NDArray

_BITS = {"uint8": 8, "uint16": 16, "uint32": 32, "int64": 64}
_ARITHMETIC = {
    ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.BitAnd: "and", ast.BitOr: "or", ast.BitXor: "xor",
    ast.LShift: "shl", ast.RShift: "ashr",
}  # fmt: skip
_COMPARE = {ast.Eq: "eq", ast.NotEq: "ne", ast.Lt: "slt", ast.LtE: "sle", ast.Gt: "sgt", ast.GtE: "sge"}


def run(loop: Callable[..., None], *arrays: NDArray) -> None:
    """Call ``loop`` on arrays, which it reads and writes in place.

    :param arrays: contiguous, of uint8, uint16, uint32 or int64.
    :raises ValueError: for an array of another type or order, or a loop that says what cannot be compiled.
    """
    for array in arrays:
        if array.dtype.name not in _BITS or not array.flags.c_contiguous or not array.dtype.isnative:
            raise ValueError(f"run got an array of {array.dtype}, expected one of {', '.join(_BITS)} in one piece.")
    from ..neurons import native  # which imports torch: other formats need not wait for it

    if native.unavailable() is None:
        kernel = _kernel(loop, tuple(_BITS[array.dtype.name] for array in arrays))
        native.call(kernel, [array.__array_interface__["data"][0] for array in arrays], 1)
    else:
        interpret(loop, *arrays)


def interpret(loop: Callable[..., None], *arrays: NDArray) -> None:
    """:func:`run` without the compiler: what the compiled loop is held to."""
    loop(*(memoryview(cast(Any, array)) for array in arrays))  # its elements are Python's own numbers


@cache
def _kernel(loop: Callable[..., None], bits: tuple[int, ...]) -> int:
    from ..neurons import native

    return native.load(assembly(loop, bits))


def assembly(loop: Callable[..., None], bits: tuple[int, ...]) -> str:
    """A loop as an LLVM module. :param bits: of the elements of each array; 64 have a sign, fewer have none."""
    plain = inspect.unwrap(loop)
    definition = ast.parse(textwrap.dedent(inspect.getsource(plain))).body[0]
    if not isinstance(definition, ast.FunctionDef):
        raise ValueError(f"assembly got {loop!r}, expected a function.")
    return _Writer(definition, bits, plain.__globals__).module()


class _Writer:
    """Statements to basic blocks. Variables live in memory; LLVM puts them into registers."""

    def __init__(self, definition: ast.FunctionDef, bits: tuple[int, ...], constants: dict[str, Any]) -> None:
        self.lines: list[str] = []
        self.slots: dict[str, str] = {}
        self.constants, self.count = constants, 0
        self.arrays: dict[str, tuple[str, int]] = {}
        for i, (argument, width) in enumerate(zip(definition.args.args, bits, strict=True)):
            at = self.value(f"load i64, ptr {self.value(f'getelementptr i64, ptr %fields, i64 {i}')}")
            self.arrays[argument.arg] = self.value(f"inttoptr i64 {at} to ptr"), width
        self.body(definition.body)

    def module(self) -> str:
        slots = [f"  {slot} = alloca i64" for slot in self.slots.values()]
        body = "\n".join([*slots, *self.lines])
        return f"define void @kernel(ptr %fields) #0 {{\n{body}\n  ret void\n}}\nattributes #0 = {{ nounwind }}\n"

    def value(self, text: str) -> str:
        self.count += 1
        self.lines.append(f"  %t{self.count} = {text}")
        return f"%t{self.count}"

    def labels(self, count: int) -> list[str]:
        self.count += 1
        return [f"L{self.count}_{k}" for k in range(count)]

    def label(self, name: str) -> None:
        self.lines += [f"  br label %{name}", f"{name}:"]  # what falls into a block must say so

    def refuse(self, node: ast.AST) -> ValueError:
        return ValueError(f"A compiled loop got {ast.unparse(node)!r}, expected what the head of this file lists.")

    def body(self, statements: list[ast.stmt]) -> None:
        for node in statements:
            match node:
                case ast.Expr(ast.Constant(str())):
                    pass
                case ast.Assign([ast.Tuple(targets)], ast.Tuple(sources)) if len(targets) == len(sources):
                    for target, number in zip(targets, [self.number(source) for source in sources], strict=True):
                        self.store(target, number)
                case ast.Assign([target], source):
                    self.store(target, self.number(source))
                case ast.AugAssign(target, op, source):
                    was = ast.copy_location(ast.parse(ast.unparse(target), mode="eval").body, target)
                    self.store(target, self.number(ast.BinOp(was, op, source)))
                case ast.While(test, inside, []):
                    again, yes, no = self.labels(3)
                    self.label(again)
                    self.branch(test, yes, no)
                    self.lines.append(f"{yes}:")
                    self.body(inside)
                    self.lines += [f"  br label %{again}", f"{no}:"]
                case ast.If(test, inside, otherwise):
                    yes, no, end = self.labels(3)
                    self.branch(test, yes, no)
                    self.lines.append(f"{yes}:")
                    self.body(inside)
                    self.lines += [f"  br label %{end}", f"{no}:"]
                    self.body(otherwise)
                    self.label(end)
                case _:
                    raise self.refuse(node)

    def store(self, target: ast.expr, source: str) -> None:
        match target:
            case ast.Name(name) if name not in self.arrays:
                slot = self.slots.setdefault(name, f"%v_{name}")
                self.lines.append(f"  store i64 {source}, ptr {slot}")
            case ast.Subscript(ast.Name(name), index) if name in self.arrays:
                at, bits = self.element(name, index)
                source = source if bits == 64 else self.value(f"trunc i64 {source} to i{bits}")
                self.lines.append(f"  store i{bits} {source}, ptr {at}")
            case _:
                raise self.refuse(target)

    def element(self, name: str, index: ast.expr) -> tuple[str, int]:
        base, bits = self.arrays[name]
        return self.value(f"getelementptr i{bits}, ptr {base}, i64 {self.number(index)}"), bits

    def number(self, node: ast.expr) -> str:
        match node:
            case ast.Constant(int() as constant):
                return str(int(constant))
            case ast.Name(name) if name in self.slots:
                return self.value(f"load i64, ptr {self.slots[name]}")
            case ast.Name(name) if isinstance(self.constants.get(name), int):
                return str(int(self.constants[name]))
            case ast.Subscript(ast.Name(name), index) if name in self.arrays:
                at, bits = self.element(name, index)
                loaded = self.value(f"load i{bits}, ptr {at}")
                return loaded if bits == 64 else self.value(f"zext i{bits} {loaded} to i64")
            case ast.BinOp(a, op, b) if type(op) in _ARITHMETIC:
                return self.value(f"{_ARITHMETIC[type(op)]} i64 {self.number(a)}, {self.number(b)}")
            case ast.UnaryOp(ast.USub(), a):
                return self.value(f"sub i64 0, {self.number(a)}")
            case ast.Compare(a, [op], [b]) if type(op) in _COMPARE:
                holds = self.value(f"icmp {_COMPARE[type(op)]} i64 {self.number(a)}, {self.number(b)}")
                return self.value(f"zext i1 {holds} to i64")
        raise self.refuse(node)

    def branch(self, test: ast.expr, yes: str, no: str) -> None:
        """Go to one of two labels; ``and`` and ``or`` look no further than they must."""
        match test:
            case ast.BoolOp(op, values):
                for value in values[:-1]:
                    [more] = self.labels(1)
                    self.branch(value, *((more, no) if isinstance(op, ast.And) else (yes, more)))
                    self.lines.append(f"{more}:")
                self.branch(values[-1], yes, no)
            case ast.UnaryOp(ast.Not(), value):
                self.branch(value, no, yes)
            case ast.Compare(a, [ast.In() | ast.NotIn() as op], [ast.Tuple(values)]):
                equal: list[ast.expr] = [ast.Compare(a, [ast.Eq()], [value]) for value in values]
                self.branch(ast.BoolOp(ast.Or(), equal), *((yes, no) if isinstance(op, ast.In) else (no, yes)))
            case _:
                holds = self.value(f"icmp ne i64 {self.number(test)}, 0")
                self.lines.append(f"  br i1 {holds}, label %{yes}, label %{no}")
