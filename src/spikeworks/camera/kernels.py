"""Kernels over packed frames: bits are masks, so that 64 pixels change in an instruction or two.

A kernel goes through the frames for one block of cells after another, whose state stays in the innermost cache; blocks
are shared among threads. Frames may lie any number of bytes apart, also backwards.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from ..layers.kernel import Sheet
from ..neurons import native

BLOCK = 512
"""Bytes of a frame, of eight cells each, that are gone through at once."""
FIELDS = ("packed", "frames", "stride", "bytes", "old", "state", "out", "step", "phase", "rows", "number")
"""What a kernel is given; addresses, and whole numbers.

``packed``: the first frame; ``stride``: bytes from one to the next; ``bytes``: of a frame; ``old``: the frame that
leaves the window as the first one enters; ``state``: of each cell; ``out``: ``[rows, cells]``, a row for each
``step``-th frame, the first after ``phase``; ``number``: of the first frame.
"""


def count(bits: int, leaving: bool) -> str:
    """``state += new − old``, in numbers of ``bits`` bits; ``leaving``: frames leave the window."""

    def step(k: Sheet, at: _At) -> None:
        added = at.read("state")
        total = k.code(f"add {at.kind} {added}, {at.number(at.mask('packed'))}")
        if leaving:
            total = k.code(f"sub {at.kind} {total}, {at.number(at.mask('old'))}")
        at.write("state", total)

    return _kernel(bits, step, lambda k, at: at.read("state"))


def ages(bits: int, places: int, between: bool) -> str:
    """``state`` ``[places, cells]``: frames since the last spikes, the last first; they stay at the largest number.

    Shown is the last place's age, the largest number if it is not below ``number``; ``between``: the frames from that
    spike to the last, then 0 if there is none.
    """

    def step(k: Sheet, at: _At) -> None:
        fires, here = at.mask("packed"), "zeroinitializer"
        for place in range(places):
            age = at.more(at.read("state", place), at.one)
            at.write("state", at.select(fires, here, age), place)
            here = age

    def shown(k: Sheet, at: _At) -> str:
        first, reach = at.read("state", places - 1), k.code(f"trunc i64 {k['number']} to i{bits}")
        near = k.code(f"icmp ult {at.kind} {first}, {k.splat(f'i{bits}', reach, at.lanes)}")
        if not between:
            return at.select(near, first, f"splat (i{bits} -1)")
        return at.select(near, k.code(f"sub {at.kind} {first}, {at.read('state')}"), "zeroinitializer")

    return _kernel(bits, step, shown)


def nearest(places: int) -> str:
    """``state`` ``[places, cells]``: numbers of the last frames in which a cell fired, the last first, 16 bits.

    A frame's number is ``number`` less the frames gone through before it.
    """

    def step(k: Sheet, at: _At) -> None:
        c = k.code
        fires, lanes = at.mask("packed"), at.lanes
        here = k.splat("i16", c(f"trunc i64 {c.integer('sub', k['number'], at.frame)} to i16"), lanes)
        for place in range(places):
            was = at.read("state", place)
            at.write("state", c(f"select <{lanes} x i1> {fires}, {at.kind} {here}, {at.kind} {was}"), place)
            here = was

    return _kernel(16, step)


class _At:
    """Where a step is: some cells of a frame."""

    def __init__(self, k: Sheet, bits: int, lanes: int, byte: str, frame: str, bases: dict[str, str]) -> None:
        self.k, self.bits, self.lanes, self.byte, self.frame, self.bases = k, bits, lanes, byte, frame, bases
        self.kind = f"<{lanes} x i{bits}>"
        self.one = f"splat (i{bits} 1)"
        self.cell = k.code.integer("mul", byte, 8)

    def mask(self, field: str) -> str:
        """Which cells fire in this frame."""
        c = self.k.code
        at = c.address(
            self.bases[field], c.integer("add", c.integer("mul", self.frame, self.k["stride"]), self.byte), "i8"
        )
        return c(f"bitcast i{self.lanes} {c(f'load i{self.lanes}, ptr {at}, align 1')} to <{self.lanes} x i1>")

    def select(self, mask: str, yes: str, no: str) -> str:
        return self.k.code(f"select <{self.lanes} x i1> {mask}, {self.kind} {yes}, {self.kind} {no}")

    def more(self, a: str, b: str) -> str:
        """The sum, or the largest number."""
        return self.k.code(
            f"call {self.kind} @llvm.uadd.sat.v{self.lanes}i{self.bits}({self.kind} {a}, {self.kind} {b})"
        )

    def number(self, mask: str) -> str:
        return self.k.code(f"zext <{self.lanes} x i1> {mask} to {self.kind}")

    def place(self, field: str, row: int) -> str:
        c = self.k.code
        cells = c.integer("mul", self.k["bytes"], 8 * row)
        return c.address(self.bases[field], c.integer("add", cells, self.cell), f"i{self.bits}")

    def read(self, field: str, row: int = 0) -> str:
        return self.k.code(f"load {self.kind}, ptr {self.place(field, row)}, align 1")

    def write(self, field: str, value: str, row: int = 0) -> None:
        self.k.code.do(f"store {self.kind} {value}, ptr {self.place(field, row)}, align 1")


def _kernel(bits: int, step: Callable[[Sheet, _At], None], shown: Callable[[Sheet, _At], str] | None = None) -> str:
    """The module that takes a step for all cells of each frame, and writes out what is ``shown`` of those due."""
    k = Sheet(FIELDS)
    c = k.code
    bases = {name: k.pointer(name) for name in ("packed", "old", "state", "out")}
    blocks = c.integer("sdiv", c.integer("add", k["bytes"], BLOCK - 1), BLOCK)
    first, last, _ = k.share(blocks)
    wide = 512 // bits  # cells in a vector
    with c.loop(first, last) as block:
        start = c.integer("mul", block, BLOCK)
        stop = k.least(c.integer("add", start, BLOCK), k["bytes"])
        whole = c.integer("add", start, c.integer("and", c.integer("sub", stop, start), -(wide // 8)))
        countdown, row = k.slot("i64", k["phase"]), k.slot("i64", "0")

        def cells(work: Callable[[int, str], None], start: str = start, whole: str = whole, stop: str = stop) -> None:
            with c.loop(start, whole, wide // 8) as byte:
                work(wide, byte)
            with c.loop(whole, stop) as byte:
                work(8, byte)

        def emit(frame: str, what: Callable[[Sheet, _At], str]) -> None:
            left = c.integer("sub", k.read("i64", countdown), 1)
            c.do(f"store i64 {left}, ptr {countdown}")
            with c.when(c.integer("icmp sle", left, 0)):
                c.do(f"store i64 {k['step']}, ptr {countdown}")
                here = k.read("i64", row)
                c.do(f"store i64 {c.integer('add', here, 1)}, ptr {row}")
                base = c.integer("mul", c.integer("mul", here, k["bytes"]), 8)

                def show(lanes: int, byte: str) -> None:
                    at = _At(k, bits, lanes, byte, frame, bases)
                    place = c.address(bases["out"], c.integer("add", base, at.cell), f"i{bits}")
                    c.do(f"store {at.kind} {what(k, at)}, ptr {place}, align 1")

                cells(show)

        with c.loop("0", k["frames"]) as frame:
            cells(lambda lanes, byte, frame=frame: step(k, _At(k, bits, lanes, byte, frame, bases)))
            if shown is not None:
                emit(frame, shown)
    saturating = "\n".join(
        f"declare <{n} x i{bits}> @llvm.uadd.sat.v{n}i{bits}(<{n} x i{bits}>, <{n} x i{bits}>)" for n in (wide, 8)
    )
    return f"{saturating}\n{k.finish()}"


@cache
def _loaded(make: Callable[..., str], *arguments: int | bool) -> int:
    return native.load(make(*arguments))


def run(make: Callable[..., str], arguments: tuple[int | bool, ...], fields: dict[str, int], threads: int) -> None:
    """Call a kernel; fields that are not named are 0."""
    native.call(_loaded(make, *arguments), [fields.get(name, 0) for name in FIELDS], threads)
