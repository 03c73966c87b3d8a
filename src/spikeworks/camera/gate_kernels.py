"""The gates of :mod:`.gate` as kernels: the same float32 operations in the same order, 16 or 64 pixels at a time."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..layers.kernel import Sheet
from ..neurons import native
from .gate import BLOCK, TINY
from .planes import address

_PIECE = 128
"""Bytes of a frame, of eight cells each, whose state stays in the innermost cache."""
_MOTION = ("packed", "frames", "bytes", "R", "u", "g", "D", "F", "out", "constants")
_LOCAL = ("spikes", "frames", "bytes", "stride", "width", "V", "left", "right", "out", "constants")


def motion(
    constants: Sequence[float], frames: NDArray[np.uint8], state: Sequence[NDArray[np.float32]], out: NDArray[np.uint8],
    threads: int,
) -> None:  # fmt: skip
    """Go through packed frames ``[n, bytes]``; the state is changed, the spikes that pass go to ``out``.

    :param constants: U, C, the factors of a frame, the threshold.
    """
    numbers = np.array(constants, np.float32)
    addresses = [address(a) for a in (*state, out, numbers)]
    native.call(_loaded("motion"), [address(frames), len(frames), frames.shape[1], *addresses], threads)


def local(
    constants: Sequence[float], frames: NDArray[np.uint8], V: NDArray[np.float32], out: NDArray[np.uint8], width: int,
    cells: int,
) -> None:  # fmt: skip
    """The same for the local gate.

    :param constants: gain, leak, floor, threshold, what is kept. :param cells: that are pixels, in rows of ``width``.
    """
    size, margin = frames.shape[1], width + 1
    column = np.arange(size * 8) % width
    left, right = ((column != edge).astype(np.uint8) for edge in (0, width - 1))
    numbers = np.array(constants, np.float32)
    spikes = np.zeros((BLOCK, margin + size * 8 + margin), np.uint8)
    for start in range(0, len(frames), BLOCK):
        some = frames[start : start + BLOCK]
        # what fills up the last byte is no pixel, and must not light its neighbours
        spikes[: len(some), margin : margin + cells] = np.unpackbits(some, -1, cells, bitorder="little")
        fields = [address(spikes) + margin, len(some), size, spikes.shape[1], width]
        fields += [address(a) for a in (V, left, right, out[start:], numbers)]
        native.call(_loaded("local"), fields, 1)


@cache
def _loaded(name: str) -> int:
    return native.load(_motion() if name == "motion" else _local())


class _Floats:
    """Arithmetic on vectors of ``lanes`` floats."""

    def __init__(self, k: Sheet, lanes: int, constants: Sequence[str]) -> None:
        self.k, self.lanes, self.kind, self.mask = k, lanes, f"<{lanes} x float>", f"<{lanes} x i1>"
        self.constant = [k.splat("float", c, lanes) for c in constants]

    def __call__(self, op: str, a: str, b: str) -> str:
        return self.k.code(f"f{op} {self.kind} {a}, {b}")

    def of(self, function: str, a: str) -> str:
        return self.k.code(f"call {self.kind} @llvm.{function}.v{self.lanes}f32({self.kind} {a})")

    def most(self, a: str, b: str) -> str:
        """The larger of two."""
        return self.select(self.over("ogt", a, b), a, b)

    def over(self, how: str, a: str, b: str) -> str:
        return self.k.code(f"fcmp {how} {self.kind} {a}, {b}")

    def select(self, mask: str, yes: str, no: str) -> str:
        return self.k.code(f"select {self.mask} {mask}, {self.kind} {yes}, {self.kind} {no}")

    def read(self, base: str, cell: str) -> str:
        return self.k.code(f"load {self.kind}, ptr {self.k.code.address(base, cell)}, align 4")

    def write(self, value: str, base: str, cell: str) -> None:
        self.k.code.do(f"store {self.kind} {value}, ptr {self.k.code.address(base, cell)}, align 4")


def _splat(value: float) -> str:
    bits = struct.unpack("<f", struct.pack("<f", value))[0]
    return f"splat (float 0x{struct.pack('>d', bits).hex().upper()})"


def _vectors(k: Sheet, lanes: int, start: str, stop: str, work: Callable[[_Floats, str], None]) -> None:
    """Bytes of a frame from ``start`` to ``stop``, so many cells at a time, and the last ones eight at a time."""
    c, step = k.code, lanes // 8
    numbers = k.pointer("constants")
    constants = [c(f"load float, ptr {c.address(numbers, str(i))}") for i in range(5)]
    whole = c.integer("add", start, c.integer("and", c.integer("sub", stop, start), -step))
    wide, short = _Floats(k, lanes, constants), _Floats(k, 8, constants)
    with c.loop(start, whole, step) as byte:
        work(wide, byte)
    with c.loop(whole, stop) as byte:
        work(short, byte)


def _motion() -> str:
    k = Sheet(_MOTION)
    c = k.code
    base: dict[str, Any] = {name: k.pointer(name) for name in ("packed", "R", "u", "g", "D", "F", "out")}
    first, last, _ = k.share(c.integer("sdiv", c.integer("add", k["bytes"], _PIECE - 1), _PIECE))
    one, half, tiny = _splat(1), _splat(0.5), _splat(TINY)
    with c.loop(first, last) as piece:
        start = c.integer("mul", piece, _PIECE)
        stop = k.least(c.integer("add", start, _PIECE), k["bytes"])
        with c.loop("0", k["frames"]) as frame:
            offset = c.integer("mul", frame, k["bytes"])

            def step(f: _Floats, byte: str, offset: str = offset) -> None:
                U, C, recover, facilitate, threshold = f.constant
                cell, at, word = c.integer("mul", byte, 8), c.integer("add", offset, byte), f"i{f.lanes}"
                source, target = (c.address(base[name], at, "i8") for name in ("packed", "out"))
                fires = c(f"bitcast {word} {c(f'load {word}, ptr {source}, align 1')} to {f.mask}")
                R, u, g, D, F = (f.read(base[name], cell) for name in ("R", "u", "g", "D", "F"))
                D, F, g = (f.most(f("mul", x, by), tiny) for x, by in ((D, recover), (F, facilitate), (g, half)))
                gone, raised = f("sub", one, R), f("sub", u, U)
                u_again = f("add", U, raised)
                used = f("mul", u_again, f("sub", one, gone))
                new = f("sub", one, f("mul", f("add", gone, used), D))
                d = f.of("fabs", f("sub", new, R))
                lifted = f("mul", C, f("sub", one, u_again))
                released = f("add", U, f("mul", f("add", raised, lifted), F))
                changed = f("add", g, f("mul", half, f("div", d, new)))
                moved = f.over("oge", f("mul", d, f("add", one, f.of("sqrt", changed))), threshold)
                passes = c(f"and {f.mask} {fires}, {moved}")
                c.do(f"store {word} {c(f'bitcast {f.mask} {passes} to {word}')}, ptr {target}, align 1")
                values = {"R": (new, R), "u": (released, u), "g": (changed, g), "D": (one, D), "F": (one, F)}
                for name, (yes, no) in values.items():
                    f.write(f.select(fires, yes, no), base[name], cell)

            _vectors(k, 16, start, stop, step)
    declared = "".join(f"declare <{n} x float> @llvm.sqrt.v{n}f32(<{n} x float>)\n" for n in (8, 16))
    return f"{declared}declare <8 x float> @llvm.fabs.v8f32(<8 x float>)\n{k.finish()}"


def _local() -> str:
    k = Sheet(_LOCAL)
    c = k.code
    base = {name: k.pointer(name) for name in ("spikes", "V", "left", "right", "out")}
    with c.loop("0", k["frames"]) as frame:
        offset, shown = c.integer("mul", frame, k["stride"]), c.integer("mul", frame, k["bytes"])

        def step(f: _Floats, byte: str, offset: str = offset, shown: str = shown) -> None:
            gain, leak, floor, fire, keep = f.constant
            cell, numbers, word = c.integer("mul", byte, 8), f"<{f.lanes} x i8>", f"i{f.lanes}"
            here = c.integer("add", offset, cell)
            up, down = c.integer("sub", here, k["width"]), c.integer("add", here, k["width"])

            def column(shift: int) -> tuple[str, str]:
                at = [c.integer("add", row, shift) for row in (up, here, down)]
                a, b, d = (c(f"load {numbers}, ptr {c.address(base['spikes'], i, 'i8')}, align 1") for i in at)
                return c(f"add {numbers} {c(f'add {numbers} {a}, {d}')}, {b}"), b

            (total, spike), sides = column(0), ((-1, "left"), (1, "right"))
            for shift, side in sides:
                inside = c(f"load {numbers}, ptr {c.address(base[side], cell, 'i8')}, align 1")
                total = c(f"add {numbers} {total}, {c(f'mul {numbers} {column(shift)[0]}, {inside}')}")
            V = f.read(base["V"], cell)
            fired = c(f"icmp ne {numbers} {spike}, zeroinitializer")
            V = f.select(fired, V, f("sub", V, leak))
            V = f.most(f("add", V, f("mul", gain, c(f"uitofp {numbers} {total} to {f.kind}"))), floor)
            fires = f.over("oge", V, fire)
            f.write(f.select(fires, f("mul", V, keep), V), base["V"], cell)
            at = c.address(base["out"], c.integer("add", shown, byte), "i8")
            c.do(f"store {word} {c(f'bitcast {f.mask} {fires} to {word}')}, ptr {at}, align 1")

        _vectors(k, 64, "0", k["bytes"], step)
    return k.finish()
