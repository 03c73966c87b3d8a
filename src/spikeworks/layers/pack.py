"""What is not zero in a channels-last image, listed by a kernel; and spikes as bytes.

``pack`` goes through ``[rows, width, C]`` and lists, pixel after pixel, the position ``x·C + c`` of every non-zero
value within its row, 16 bits each. Taps of one kernel row that touch each other are then one unbroken run of the list,
so that a convolution finds what it needs in one run per kernel row.
"""

from __future__ import annotations

from ..neurons.assembly import LANES, MASK, VECTOR, ZERO, literal
from .kernel import COMPRESS, COUNT, SHORT, WIDE, Sheet

PACK = ("rows", "width", "channels", "x", "entries", "values", "starts", "unit", "status")
"""Fields of ``pack``; ``status`` becomes 1 where a value is not as promised, 2 where the list is full."""
LEVELS = ("count", "x", "y", "unit", "status")
"""Fields of ``levels``: float32 ``x`` to bytes ``y``."""
MOST = 127
"""The highest level: processors without VNNI add two products of bytes in 16 bits."""


def pack(kind: str, compress: bool) -> str:
    """The module that lists non-zero values.

    :param kind: ``"ones"``: all are promised to be ``unit`` (a float); ``"values"``: they may be any, and are listed,
        too; ``"levels"``: they are promised to be 1 to 127 times ``1/unit``, and a position is listed that many times.
    :param compress: the processor has the compress instruction of AVX-512.
    """
    k = Sheet(PACK)
    c = k.code
    x, entries, starts = k.pointer("x"), k.pointer("entries"), k.pointer("starts")
    kept = k.pointer("values") if kind == "values" else ""
    unit = k.splat("float", c(f"load float, ptr {k.pointer('unit')}")) if kind != "values" else ""
    row_size = c.integer("mul", k["width"], k["channels"])
    first, last, thread = k.share(k["rows"])
    pad = c.integer("mul", thread, LANES)  # what a vector store writes beyond a thread's part
    cursor = k.slot("i64", c.integer("add", c.integer("mul", first, row_size), pad))
    limit = c.integer("add", c.integer("mul", last, row_size), pad)
    index = k.slot("i64", c.integer("mul", first, c.integer("add", k["width"], 1)))
    wrong, full = k.slot(MASK, "zeroinitializer"), k.slot("i1", "false")
    whole = c.integer("and", k["channels"], -LANES)
    rest = k.splat("i32", c(f"trunc i64 {c.integer('sub', k['channels'], whole)} to i32"))
    tail = c(f"icmp ult {WIDE} {COUNT}, {rest}")

    def note(bad: str) -> None:
        c.do(f"store {MASK} {c(f'or {MASK} {bad}, {k.read(MASK, wrong)}')}, ptr {wrong}")

    def mark() -> None:
        c.do(f"store i64 {k.read('i64', cursor)}, ptr {c.address(starts, k.read('i64', index), 'i64')}")
        c.do(f"store i64 {c.integer('add', k.read('i64', index), 1)}, ptr {index}")

    def put(mask: str, at: str, value: str) -> None:
        numbers = c(f"add {WIDE} {k.splat('i32', c(f'trunc i64 {at} to i32'))}, {COUNT}")
        _append(k, cursor, mask, numbers, entries, value, kept, compress)

    def sixteen(base: str, pixel: str, channel: str, mask: str | None) -> None:
        value, at = c.read(x, c.integer("add", base, channel), mask), c.integer("add", pixel, channel)
        if kind == "levels":
            level, bad = _level(k, value, unit)
            note(bad)
            put(c(f"icmp ne {WIDE} {level}, zeroinitializer"), at, value)
            repeat(level, at, value)
            return
        alive = c(f"fcmp une {VECTOR} {value}, zeroinitializer")
        if kind == "ones":
            note(c(f"and {MASK} {alive}, {c(f'fcmp une {VECTOR} {value}, {unit}')}"))
        put(alive, at, value)

    def repeat(level: str, at: str, value: str) -> None:
        with c.when(k.any(c(f"icmp ugt {WIDE} {level}, splat (i32 1)"))):
            most = c(f"call i32 @llvm.vector.reduce.umax.v{LANES}i32({WIDE} {level})")
            with c.loop("1", c(f"zext i32 {most} to i64")) as step:
                above = k.splat("i32", c(f"trunc i64 {step} to i32"))
                put(c(f"icmp ugt {WIDE} {level}, {above}"), at, value)
                hold()
        hold()

    def hold() -> None:  # a list that is full is written over at its end, and of no use
        here = k.read("i64", cursor)
        over = c(f"icmp sgt i64 {here}, {limit}")
        ever = c(f"or i1 {over}, {k.read('i1', full)}")
        c.do(f"store i1 {ever}, ptr {full}")
        c.do(f"store i64 {k.least(here, limit)}, ptr {cursor}")

    with c.loop(first, last) as row:
        base = c.integer("mul", row, row_size)
        with c.loop("0", k["width"]) as column:
            mark()
            pixel = c.integer("mul", column, k["channels"])
            here = c.integer("add", base, pixel)
            with c.loop("0", whole, LANES) as channel:
                sixteen(here, pixel, channel, None)
            with c.when(c.integer("icmp slt", whole, k["channels"])):
                sixteen(here, pixel, whole, tail)
        mark()
    for number, condition in ((2, k.read("i1", full)), (1, k.any(k.read(MASK, wrong)))):
        with c.when(condition):
            c.do(f"store i64 {number}, ptr {k.at['status']}")
    return k.finish()


def _append(
    k: Sheet, cursor: str, mask: str, numbers: str, entries: str, value: str, kept: str, compress: bool
) -> None:
    """Write the numbers under ``mask``, and their values if there is a place ``kept``, behind each other."""
    c, here = k.code, k.read("i64", cursor)
    bits = c(f"bitcast {MASK} {mask} to i16")
    if compress:
        packed = c(f"call {WIDE} @{COMPRESS}i32({WIDE} {numbers}, {WIDE} zeroinitializer, {MASK} {mask})")
        place = c.address(entries, here, "i16")
        c.do(f"store {SHORT} {c(f'trunc {WIDE} {packed} to {SHORT}')}, ptr {place}, align 2")
        if kept:
            c.write(c(f"call {VECTOR} @{COMPRESS}f32({VECTOR} {value}, {VECTOR} {ZERO}, {MASK} {mask})"), kept, here)
        many = c(f"zext i16 {c(f'call i16 @llvm.ctpop.i16(i16 {bits})')} to i64")
        c.do(f"store i64 {c.integer('add', here, many)}, ptr {cursor}")
        return
    with c.when(c(f"icmp ne i16 {bits}, 0")):
        for lane in range(LANES):
            here = k.read("i64", cursor)
            number = c(f"trunc i32 {c(f'extractelement {WIDE} {numbers}, i32 {lane}')} to i16")
            c.do(f"store i16 {number}, ptr {c.address(entries, here, 'i16')}, align 2")
            if kept:
                one = c(f"extractelement {VECTOR} {value}, i32 {lane}")
                c.do(f"store float {one}, ptr {c.address(kept, here)}, align 4")
            bit = c(f"zext i1 {c(f'extractelement {MASK} {mask}, i32 {lane}')} to i64")
            c.do(f"store i64 {c.integer('add', here, bit)}, ptr {cursor}")


def levels() -> str:
    """The module that turns ``k`` quanta ``1/unit`` into bytes ``k``; ``status``: 1 if a value is no such level."""
    k = Sheet(LEVELS)
    c = k.code
    x, y = k.pointer("x"), k.pointer("y")
    unit = k.splat("float", c(f"load float, ptr {k.pointer('unit')}"))
    first, last, _ = k.share(c.integer("sdiv", c.integer("add", k["count"], LANES - 1), LANES))
    wrong = k.slot(MASK, "zeroinitializer")
    with c.loop(first, last) as vector:
        at = c.integer("mul", vector, LANES)
        left = k.splat("i32", c(f"trunc i64 {k.least(c.integer('sub', k['count'], at), str(LANES))} to i32"))
        mask = c(f"icmp ult {WIDE} {COUNT}, {left}")
        level, bad = _level(k, c.read(x, at, mask), unit)
        c.do(f"store {MASK} {c(f'or {MASK} {bad}, {k.read(MASK, wrong)}')}, ptr {wrong}")
        small = c(f"trunc {WIDE} {level} to <{LANES} x i8>")
        where = c.address(y, at, "i8")
        c.do(f"call void @llvm.masked.store.v{LANES}i8.p0(<{LANES} x i8> {small}, ptr {where}, i32 1, {MASK} {mask})")
    with c.when(k.any(k.read(MASK, wrong))):
        c.do(f"store i64 1, ptr {k.at['status']}")
    return k.finish()


def _level(k: Sheet, value: str, unit: str) -> tuple[str, str]:
    """The number of quanta in each value, and where it is not one of 0 to 127 (to a relative 1e-5)."""
    c = k.code
    ratio = c(f"fmul {VECTOR} {value}, {unit}")
    bounded = c(f"call {VECTOR} @llvm.minnum.v{LANES}f32({VECTOR} {ratio}, {VECTOR} {literal(float(MOST))})")
    bounded = c(f"call {VECTOR} @llvm.maxnum.v{LANES}f32({VECTOR} {bounded}, {VECTOR} {ZERO})")
    near = c(f"call {VECTOR} @llvm.nearbyint.v{LANES}f32({VECTOR} {bounded})")
    off = c(f"call {VECTOR} @llvm.fabs.v{LANES}f32({VECTOR} {c(f'fsub {VECTOR} {ratio}, {near}')})")
    allowed = c(f"fmul {VECTOR} {near}, {literal(1e-5)}")
    return c(f"fptosi {VECTOR} {near} to {WIDE}"), c(f"fcmp ugt {VECTOR} {off}, {allowed}")
