"""Weight rows added up for what is listed: the kernels of event-driven linear layers and convolutions.

The runs of an output pixel (see :mod:`.pack`) are joined into one list of weight rows, the lists of a whole row of
pixels at once; then the rows of each list are added up in registers, 16 outputs per vector. A linear layer is the same
with one tap. The order of the sum is kernel row, kernel column, input channel, one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from ..neurons.assembly import LANES, VECTOR
from .kernel import SHORT, WIDE, Sheet

GATHER = (
    "rows", "height", "height_out", "width", "width_out", "channels", "stride", "stride_w", "padding", "padding_w",
    "dilation", "dilation_w", "entries", "values", "starts", "weights", "scale", "bias", "y", "outputs", "blocks",
    "scratch", "scratch_size", "list_size",
)  # fmt: skip
"""Fields of ``gather`` and ``gather_bytes``. ``rows``: output rows of all images; ``list_size``: bytes that the lists
of one row of output pixels may take."""
FLUSH = 256
"""Rows of unsigned bytes that a 16-bit word can add up: 257 · 255 = 65535."""


class _Pixel(NamedTuple):
    """One output pixel of one block: its list of weight rows, and where its outputs go."""

    offsets: str
    values: str
    begin: str
    end: str
    weights: str
    channel: str
    y: str
    left: str


class Taps(NamedTuple):
    """A kernel's shape as gathering sees it: ``runs`` runs of ``taps`` touching taps make each of ``rows`` rows."""

    rows: int
    runs: int
    taps: int


@contextmanager
def _pixels(k: Sheet, kernel: Taps, row_bytes: int, outputs: int, values: bool) -> Iterator[_Pixel]:
    """Each output pixel of this thread, block of outputs by block: a block's weights stay in cache meanwhile."""
    c = k.code
    starts, entries, y = k.pointer("starts"), k.pointer("entries"), k.pointer("y")
    kept = k.pointer("values") if values else ""
    first, last, thread = k.share(c.integer("mul", k["rows"], k["blocks"]))
    offsets = c.address(k.pointer("scratch"), c.integer("mul", thread, k["scratch_size"]), "i8")
    marks = c.integer("add", k["width"], 1)
    window = c.integer("mul", k["channels"], kernel.rows * kernel.runs * kernel.taps)
    value_list = c.address(offsets, k["list_size"], "i8")
    ends = c.address(value_list, k["list_size"], "i8") if values else value_list
    block_bytes = c.integer("mul", window, row_bytes)
    cursor = k.slot("i64")

    def copy(at: str, to: str, moved: str) -> None:
        some = c(f"load {SHORT}, ptr {c.address(entries, at, 'i16')}, align 2")
        rows = c(f"add {WIDE} {c(f'zext {SHORT} {some} to {WIDE}')}, {moved}")
        place = c.address(offsets, to, "i32")
        c.do(f"store {WIDE} {c(f'mul {WIDE} {rows}, splat (i32 {row_bytes})')}, ptr {place}, align 4")
        if values:
            c.write(c.read(kept, at), value_list, to)

    def join(begin: str, end: str, shift: str) -> None:
        """Add one run to the list: a vector at once, further ones if it is long."""
        moved, to = k.splat("i32", c(f"trunc i64 {shift} to i32")), k.read("i64", cursor)
        copy(begin, to, moved)
        many = c.integer("sub", end, begin)
        with c.loop(c.integer("add", begin, LANES), end, LANES) as at:
            copy(at, c.integer("add", to, c.integer("sub", at, begin)), moved)
        c.do(f"store i64 {c.integer('add', to, many)}, ptr {cursor}")

    with c.loop(first, last) as item:
        block, row = c.integer("sdiv", item, k["rows"]), c.integer("srem", item, k["rows"])
        channel = c.integer("mul", block, outputs)
        left = k.splat("i32", c(f"trunc i64 {c.integer('sub', k['outputs'], channel)} to i32"))
        weights = c.address(k.pointer("weights"), c.integer("mul", block, block_bytes), "i8")
        image, y_out = c.integer("sdiv", row, k["height_out"]), c.integer("srem", row, k["height_out"])
        top = c.integer("sub", c.integer("mul", y_out, k["stride"]), k["padding"])
        image_row = c.integer("mul", image, k["height"])
        c.do(f"store i64 0, ptr {cursor}")
        with c.loop("0", k["width_out"]) as column:  # all lists of a row first: what was stored just now loads slowly
            x_0 = c.integer("sub", c.integer("mul", column, k["stride_w"]), k["padding_w"])
            for tap in k.each(kernel.rows):
                down = c.integer("add", top, c.integer("mul", k["dilation"], tap))
                inside = c(f"icmp ult i64 {down}, {k['height']}")
                safe = c(f"select i1 {inside}, i64 {down}, i64 0")
                here = c.integer("mul", c.integer("add", image_row, safe), marks)
                for run in k.each(kernel.runs):
                    x = c.integer("add", x_0, c.integer("mul", k["dilation_w"], run))
                    low = k.least(k.most(x, "0"), k["width"])
                    high = k.least(k.most(c.integer("add", x, kernel.taps), low), k["width"])
                    begin = c(f"load i64, ptr {c.address(starts, c.integer('add', here, low), 'i64')}")
                    stop = c(f"select i1 {inside}, i64 {high}, i64 {low}")
                    end = c(f"load i64, ptr {c.address(starts, c.integer('add', here, stop), 'i64')}")
                    tap_0 = c.integer("add", c.integer("mul", tap, kernel.runs * kernel.taps), run)
                    join(begin, end, c.integer("mul", c.integer("sub", tap_0, x), k["channels"]))
            c.do(f"store i64 {k.read('i64', cursor)}, ptr {c.address(ends, column, 'i64')}")
        c.do(f"store i64 0, ptr {cursor}")
        with c.loop("0", k["width_out"]) as column:
            begin, end = k.read("i64", cursor), c(f"load i64, ptr {c.address(ends, column, 'i64')}")
            c.do(f"store i64 {end}, ptr {cursor}")
            pixel = c.integer("add", c.integer("mul", row, k["width_out"]), column)
            place = c.integer("add", c.integer("mul", pixel, k["outputs"]), channel)
            yield _Pixel(offsets, value_list, begin, end, weights, channel, c.address(y, place), left)


def gather(kernel: Taps, vectors: int, values: bool) -> str:
    """The module that adds up rows of ``16·vectors`` float32 weights, times their values if ``values``."""
    k = Sheet(GATHER)
    c = k.code
    bias = k.pointer("bias")
    sums = [k.slot(VECTOR) for _ in range(vectors)]
    with _pixels(k, kernel, 4 * LANES * vectors, LANES * vectors, values) as p:
        for s in sums:
            c.do(f"store {VECTOR} zeroinitializer, ptr {s}")
        with c.loop(p.begin, p.end) as i:
            row = c.address(p.weights, _offset(k, p, i), "i8")
            value = k.splat("float", c(f"load float, ptr {c.address(p.values, i)}")) if values else ""
            for v, s in enumerate(sums):
                weight, before = c.read(row, str(LANES * v)), k.read(VECTOR, s)
                if values:  # one rounding where the processor has it, as in dense layers
                    args = f"{VECTOR} {weight}, {VECTOR} {value}, {VECTOR} {before}"
                    after = c(f"call {VECTOR} @llvm.fmuladd.v{LANES}f32({args})")
                else:
                    after = c(f"fadd {VECTOR} {before}, {weight}")
                c.do(f"store {VECTOR} {after}, ptr {s}")
        for v, s in enumerate(sums):
            offset = c(f"fadd {VECTOR} {k.read(VECTOR, s)}, {c.read(bias, c.integer('add', p.channel, LANES * v))}")
            lanes = "<" + ", ".join(f"i32 {LANES * v + n}" for n in range(LANES)) + ">"
            c.write(offset, p.y, str(LANES * v), c(f"icmp slt {WIDE} {lanes}, {p.left}"))
    return k.finish()


def gather_bytes(kernel: Taps, vectors: int, half: int) -> str:
    """The module that adds up rows of ``vectors · 2·half`` weights of one byte, offset by 128.

    A 16-bit word holds two weights, for outputs n (low byte) and n + half. Adding whole words and, apart, their high
    bytes gives both sums in three instructions for ``2·half`` weights: low = words − 256·high, all modulo 2^16.
    """
    k = Sheet(GATHER)
    c = k.code
    scale, bias = k.pointer("scale"), k.pointer("bias")
    word, int_, real = f"<{half} x i16>", f"<{half} x i32>", f"<{half} x float>"
    words, highs = ([k.slot(word) for _ in range(vectors)] for _ in range(2))
    sums = [k.slot(int_) for _ in range(2 * vectors)]
    with _pixels(k, kernel, 2 * half * vectors, 2 * half * vectors, False) as p:
        for s in sums:
            c.do(f"store {int_} zeroinitializer, ptr {s}")
        with c.loop(p.begin, p.end, FLUSH) as part:
            stop = k.least(c.integer("add", part, FLUSH), p.end)
            for s in (*words, *highs):
                c.do(f"store {word} zeroinitializer, ptr {s}")
            with c.loop(part, stop) as i:
                row = c.address(p.weights, _offset(k, p, i), "i8")
                for v, (w, h) in enumerate(zip(words, highs, strict=True)):
                    both = c(f"load {word}, ptr {c.address(row, str(half * v), 'i16')}, align 2")
                    c.do(f"store {word} {c(f'add {word} {k.read(word, w)}, {both}')}, ptr {w}")
                    high = c(f"lshr {word} {both}, splat (i16 8)")
                    c.do(f"store {word} {c(f'add {word} {k.read(word, h)}, {high}')}, ptr {h}")
            offset = k.splat("i32", c(f"trunc i64 {c.integer('mul', c.integer('sub', stop, part), 128)} to i32"), half)
            for v, (w, h) in enumerate(zip(words, highs, strict=True)):
                high = k.read(word, h)
                low = c(f"sub {word} {k.read(word, w)}, {c(f'shl {word} {high}, splat (i16 8)')}")
                for s, found in zip(sums[2 * v : 2 * v + 2], (low, high), strict=True):
                    signed = c(f"sub {int_} {c(f'zext {word} {found} to {int_}')}, {offset}")
                    c.do(f"store {int_} {c(f'add {int_} {k.read(int_, s)}, {signed}')}, ptr {s}")
        left = c(f"extractelement {WIDE} {p.left}, i32 0")
        for n, s in enumerate(sums):
            at = c.integer("add", p.channel, half * n)
            factor = c(f"load {real}, ptr {c.address(scale, at)}, align 4")
            shift = c(f"load {real}, ptr {c.address(bias, at)}, align 4")
            scaled = c(f"fmul {real} {c(f'sitofp {int_} {k.read(int_, s)} to {real}')}, {factor}")
            lanes = "<" + ", ".join(f"i32 {half * n + lane}" for lane in range(half)) + ">"
            mask = c(f"icmp slt {int_} {lanes}, {k.splat('i32', left, half)}")
            y = c.address(p.y, str(half * n))
            args = f"{real} {c(f'fadd {real} {scaled}, {shift}')}, ptr {y}, i32 4, <{half} x i1> {mask}"
            c.do(f"call void @llvm.masked.store.v{half}f32.p0({args})")
    return k.finish()


def _offset(k: Sheet, p: _Pixel, i: str) -> str:
    place = k.code.address(p.offsets, i, "i32")
    return k.code(f"zext i32 {k.code(f'load i32, ptr {place}')} to i64")
