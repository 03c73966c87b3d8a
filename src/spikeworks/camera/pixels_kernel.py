"""The step of a simulated sensor as a kernel: the charge of 16 pixels stays in a register for all frames of a chunk.

The same operations in the same order as :class:`.Pixels`, and so the same bits.
"""

from __future__ import annotations

import struct
from functools import cache

from ..layers.kernel import Sheet
from ..neurons import native

FIELDS = (
    "light", "stride", "frames", "bytes", "charge", "share", "keys", "drawn", "out", "row", "normal", "shot", "noise",
    "dead_time", "drops",
)  # fmt: skip
"""What the kernel is given; addresses, whole numbers, and floats by their bits.

``light``: charge of the first frame; ``stride``: bytes from one to the next, 0 if they are the same; ``bytes``: of a
packed frame, ``row`` bytes apart in ``out``; ``keys``: of each cell; ``drawn``: of each frame.
"""
_LANES = 16


def module(shot: bool, noise: bool, dead_time: bool, drops: bool, hard: bool, other: int) -> str:
    """The module for a sensor with or without each kind of noise."""
    k = Sheet(FIELDS)
    c = k.code
    bases = {n: k.pointer(n) for n in ("light", "charge", "share", "keys", "drawn", "out", "normal")}
    first, last, _ = k.share(c.integer("sdiv", c.integer("add", k["bytes"], 1), 2))
    start, stop = c.integer("mul", first, 2), k.least(c.integer("mul", last, 2), k["bytes"])
    whole = c.integer("add", start, c.integer("and", c.integer("sub", stop, start), -2))

    def cells(lanes: int, byte: str) -> None:
        floats, words, mask = f"<{lanes} x float>", f"<{lanes} x i32>", f"<{lanes} x i1>"
        cell = c.integer("mul", byte, 8)

        def number(name: str) -> str:
            return k.splat("float", c(f"bitcast i32 {c(f'trunc i64 {k[name]} to i32')} to float"), lanes)

        def load(kind: str, base: str, scalar: str) -> str:
            return c(f"load {kind}, ptr {c.address(bases[base], cell, scalar)}, align 4")

        def whole_word(value: int) -> str:
            return f"splat (i32 {value - (1 << 32) if value >> 31 else value})"

        def mixed(x: str) -> str:
            for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
                x = c(f"xor {words} {x}, {c(f'lshr {words} {x}, splat (i32 {shift})')}")
                x = c(f"mul {words} {x}, {whole_word(factor)}")
            return c(f"xor {words} {x}, {c(f'lshr {words} {x}, splat (i32 16)')}")

        def normal(index: str) -> str:
            far = c(f"zext {words} {index} to <{lanes} x i64>")
            at = c(f"getelementptr float, ptr {bases['normal']}, <{lanes} x i64> {far}")
            given = f"<{lanes} x ptr> {at}, i32 4, {mask} splat (i1 true), {floats} poison"
            return c(f"call {floats} @llvm.masked.gather.v{lanes}f32.v{lanes}p0({given})")

        keys = load(words, "keys", "i32")
        charge = k.slot(floats, load(floats, "charge", "float"))
        share = k.slot(floats, load(floats, "share", "float")) if dead_time else ""
        with c.loop("0", k["frames"]) as frame:
            row = c.address(bases["light"], c.integer("mul", frame, k["stride"]), "i8")
            x = c(f"load {floats}, ptr {c.address(row, cell)}, align 4")
            drawn = keys
            if shot or noise or drops:
                key = c(f"load i32, ptr {c.address(bases['drawn'], frame, 'i32')}")
                drawn = mixed(c(f"xor {words} {keys}, {k.splat('i32', key, lanes)}"))
            if dead_time:
                x = c(f"fmul {floats} {x}, {k.read(floats, share)}")
            if shot:
                part = c(f"fmul {floats} {x}, {number('shot')}")
                root = c(f"call {floats} @llvm.sqrt.v{lanes}f32({floats} {part})")
                draw = normal(c(f"and {words} {drawn}, splat (i32 4095)"))
                x = c(f"fadd {floats} {x}, {c(f'fmul {floats} {root}, {draw}')}")
            full = c(f"fadd {floats} {k.read(floats, charge)}, {x}")
            fires = c(f"fcmp oge {floats} {full}, splat (float 1.0)")
            left = "zeroinitializer"
            if not hard:
                left = c(f"fsub {floats} {full}, {c(f'call {floats} @llvm.floor.v{lanes}f32({floats} {full})')}")
            if noise:
                draw = normal(c(f"lshr {words} {drawn}, splat (i32 20)"))
                part = c(f"fmul {floats} {number('noise')}, {draw}")
                left = c(f"fadd {floats} {left}, {part}")
            c.do(f"store {floats} {c(f'select {mask} {fires}, {floats} {left}, {floats} {full}')}, ptr {charge}")
            if dead_time:
                after = c(f"select {mask} {fires}, {floats} {number('dead_time')}, {floats} splat (float 1.0)")
                c.do(f"store {floats} {after}, ptr {share}")
            if drops:
                least = k.splat("i32", c(f"trunc i64 {k['drops']} to i32"), lanes)
                kept = c(f"icmp uge {words} {mixed(c(f'add {words} {drawn}, {whole_word(other)}'))}, {least}")
                fires = c(f"and {mask} {fires}, {kept}")
            place = c.address(bases["out"], c.integer("add", c.integer("mul", frame, k["row"]), byte), "i8")
            c.do(f"store i{lanes} {c(f'bitcast {mask} {fires} to i{lanes}')}, ptr {place}, align 1")
        c.do(f"store {floats} {k.read(floats, charge)}, ptr {c.address(bases['charge'], cell)}, align 4")
        if dead_time:
            c.do(f"store {floats} {k.read(floats, share)}, ptr {c.address(bases['share'], cell)}, align 4")

    with c.loop(start, whole, 2) as byte:
        cells(_LANES, byte)
    with c.loop(whole, stop) as byte:
        cells(8, byte)
    declared = "\n".join(
        f"declare <{n} x float> @llvm.{name}.v{n}f32(<{n} x float>)" for n in (_LANES, 8) for name in ("sqrt", "floor")
    )
    gathers = "\n".join(
        f"declare <{n} x float> @llvm.masked.gather.v{n}f32.v{n}p0(<{n} x ptr>, i32, <{n} x i1>, <{n} x float>)"
        for n in (_LANES, 8)
    )
    return f"{declared}\n{gathers}\n{k.finish()}"


@cache
def _loaded(*arguments: bool | int) -> int:
    return native.load(module(*arguments))  # type: ignore[arg-type]


def run(kinds: tuple[bool, bool, bool, bool, bool], other: int, fields: dict[str, int | float], threads: int) -> None:
    """Call the kernel for some kinds of noise; see :func:`module`."""
    given = [fields[name] for name in FIELDS]
    whole = [struct.unpack("<i", struct.pack("<f", g))[0] if isinstance(g, float) else g for g in given]
    native.call(_loaded(*kinds, other), whole, threads)
