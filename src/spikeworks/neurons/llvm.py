"""A traced program as LLVM assembly: the step written out over vectors of 16 floats, with the loop over time inside.

A kernel takes one pointer to a table of 64-bit fields (:func:`forward_fields`, :func:`backward_fields`). It works
through blocks of neurons; within a block it walks through time with the state in a scratch that stays in cache:

* forward: load x[t], step, store the output; the state never goes to memory.
* backward: sweep the step forward over the block, keeping the states; then walk back from t = T−1 and apply the
  adjoint, which recomputes what it needs from x[t] and the state before it. Nothing but x is saved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from .assembly import LANES, MASK, VECTOR, Code, Math, declarations, literal, operation
from .trace import Node, Operand, Program

_COMMON = ["steps", "count", "period", "block", "scratch", "scratch_size", "x_stride", "g_stride", "status", "x", "c"]


STATUS = _COMMON.index("status")
"""Field that the forward kernel sets to 1 + the number of a state that ended as NaN or infinity."""


def forward_fields(program: Program) -> list[str]:
    """Names of the forward kernel's fields, in order; ``*_stride`` of an operand is 1 or 0 (one value for all)."""
    states = range(program.states)
    return [*_COMMON, "y", *_operands(program), *(f"v{k}_end" for k in states)]


def backward_fields(program: Program) -> list[str]:
    """Names of the backward kernel's fields, in order."""
    states, wrt = range(program.states), range(len(program.wrt))
    ends = [n for k in states for n in (f"gv{k}_end", f"gv{k}_end_stride")]
    return [*_COMMON, "g", "gx", *_operands(program), *ends, *(f"gv{k}" for k in states), *(f"gp{k}" for k in wrt)]


def _operands(program: Program) -> list[str]:
    names = [f"v{k}" for k in range(program.states)] + [f"u{k}" for k in range(len(program.frontier))]
    return [field for name in names for field in (name, f"{name}_stride")]


class _Kernel:
    """What forward and backward share: fields, blocks, and the step written out."""

    def __init__(self, program: Program, fields: Sequence[str], kind: str, stream: bool, math_: Math) -> None:
        self.program, self.kind, self.stream, self.math = program, kind, stream, math_
        self.code = Code()
        self.field = {
            name: self.code(f"load i64, ptr {self.code.address('%fields', str(i), 'i64')}")
            for i, name in enumerate(fields)
        }
        self.pointer: dict[str, str] = {}
        for name in fields:
            if name in ("x", "y", "g", "gx", "c", "scratch") or name[-1].isdigit() or name.endswith("_end"):
                self.pointer[name] = self.code(f"inttoptr i64 {self.field[name]} to ptr")
        places = [self.code.address(self.pointer["c"], str(i)) for i in range(len(program.literals))]
        self.splats = [self._splat(self.code(f"load float, ptr {at}")) for at in places]

    def _splat(self, scalar: str) -> str:
        one = self.code(f"insertelement {VECTOR} poison, float {scalar}, i32 0")
        return self.code(f"shufflevector {VECTOR} {one}, {VECTOR} poison, <{LANES} x i32> zeroinitializer")

    @contextmanager
    def blocks(self) -> Iterator[tuple[str, str, str]]:
        """Each block of this thread: position of its first neuron, the same within the period, its length."""
        c, f = self.code, self.field
        thread = c(f"sext i32 {c('call i32 @omp_get_thread_num()')} to i64")
        threads = c(f"sext i32 {c('call i32 @omp_get_num_threads()')} to i64")
        period, block, count = f["period"], f["block"], f["count"]
        per_row = c.integer("sdiv", c.integer("sub", c.integer("add", period, block), 1), block)
        rows = c.integer("sdiv", c.integer("sub", c.integer("add", count, period), 1), period)
        total = c.integer("mul", per_row, rows)
        start = c.integer("sdiv", c.integer("mul", total, thread), threads)
        stop = c.integer("sdiv", c.integer("mul", total, c.integer("add", thread, 1)), threads)
        offset = c.integer("mul", thread, f["scratch_size"])
        self.scratch = c(f"getelementptr i8, ptr {self.pointer['scratch']}, i64 {offset}")
        with c.loop(start, stop) as b:
            within = c.integer("mul", c.integer("srem", b, per_row), block)
            first = c.integer("add", c.integer("mul", c.integer("sdiv", b, per_row), period), within)
            left, end = c.integer("sub", period, within), c.integer("sub", count, first)
            length = c(f"call i64 @llvm.smin.i64(i64 {left}, i64 {end})")
            yield first, within, c(f"call i64 @llvm.smin.i64(i64 {length}, i64 {block})")

    def over(self, length: str, body: Callable[[str, str | None], None]) -> None:
        """``body(index, mask)`` for the full vectors of a block, then once masked for the rest."""
        c = self.code
        full = c.integer("and", length, -LANES)
        with c.loop("0", full, LANES) as i:
            body(i, None)
        with c.when(c(f"icmp slt i64 {full}, {length}")):
            rest = c(f"trunc i64 {c.integer('sub', length, full)} to i32")
            one = c(f"insertelement <{LANES} x i32> poison, i32 {rest}, i32 0")
            wide = f"<{LANES} x i32>"
            all_ = c(f"shufflevector {wide} {one}, {wide} poison, {wide} zeroinitializer")
            lanes = ", ".join(f"i32 {k}" for k in range(LANES))
            body(full, c(f"icmp ult {wide} <{lanes}>, {all_}"))

    def operand(self, name: str, index: str, mask: str | None) -> str:
        """A uniform value: laid out along the period, or (stride 0) sixteen times the same number."""
        at = self.code.integer("mul", index, self.field[f"{name}_stride"])
        return self.code.read(self.pointer[name], at, mask)

    def begin_from(self, name: str, index: str, mask: str | None) -> str:
        """What a state starts from: one number per neuron, or (stride 0) one number for all, read once a block."""
        c = self.code
        shared = c.integer("icmp eq", self.field[f"{name}_stride"], 0)
        return c.either(
            shared,
            lambda: self._splat(c(f"load float, ptr {self.pointer[name]}")),
            lambda: c.read(self.pointer[name], index, mask),
        )

    def array(self, slot: int, t: str = "0") -> str:
        """A scratch array of one block: number ``slot`` plus ``t``."""
        c = self.code
        return c.address(self.scratch, c.integer("mul", c.integer("add", t, slot), self.field["block"]))

    def write_out(self, results: Sequence[Operand], load: Callable[[int], str]) -> list[str]:
        """The nodes that ``results`` need, as instructions. ``load`` supplies an input value when it is first used; it
        is asked for the frontier's value ``k`` as ``-1 - k``."""
        values: dict[int, str] = {}
        program = self.program
        uniform = {v: k for k, v in enumerate(program.frontier)}

        def value(a: Operand) -> str:
            if isinstance(a, float):
                return literal(a)
            if a < 0:
                return self.splats[-1 - a]
            if a not in values:
                values[a] = load(-1 - uniform[a] if a in uniform else a)
                if program.is_mask(a):
                    values[a] = operation(self.code, Node("to_bool", (a,), True), [values[a]], self.math)
            return values[a]

        for number, node in program.live(results):
            values[number] = operation(self.code, node, [value(a) for a in node.args], self.math)
        return [value(r) for r in results]

    def finish(self) -> str:
        body = "\n".join([*self.code.slots, *self.code.lines])
        return f"define void @kernel(ptr %fields) #0 {{\n{body}\n  ret void\n}}\n"


def forward(program: Program, kind: str, stream: bool, math_: Math) -> str:
    """The forward kernel for tensors of LLVM type ``kind``; ``stream``: outputs bypass the cache."""
    k = _Kernel(program, forward_fields(program), kind, stream, math_)
    c, f, n = k.code, k.field, program.states
    with k.blocks() as (first, within, length):

        def begin(i: str, mask: str | None) -> None:
            for s in range(n):
                c.write(k.begin_from(f"v{s}", c.integer("add", first, i), mask), k.array(s), i)

        def step(t: str) -> Callable[[str, str | None], None]:
            x_row = c.integer("add", c.integer("mul", t, f["x_stride"]), first)
            y_row = c.integer("add", c.integer("mul", t, f["count"]), first)

            def body(i: str, mask: str | None) -> None:
                def load(v: int) -> str:
                    if v < 0:
                        return k.operand(f"u{-1 - v}", c.integer("add", within, i), mask)
                    if v == 0:
                        return c.read(k.pointer["x"], c.integer("add", x_row, i), mask, kind)
                    return c.read(k.array(v - 1), i)

                c.prefetch(k.pointer["x"], c.integer("add", c.integer("add", x_row, f["x_stride"]), i), kind)
                out, *new = k.write_out([program.output, *program.new_states], load)
                c.write(out, k.pointer["y"], c.integer("add", y_row, i), mask, kind, stream)
                for s in range(n):
                    c.write(new[s], k.array(s), i)

            return body

        def end(i: str, mask: str | None) -> None:
            at = c.integer("add", first, i)
            for s in range(n):
                value = c.read(k.array(s), i)
                gap = c(f"fsub {VECTOR} {value}, {value}")  # NaN if the state is NaN or infinite
                bad = c(f"fcmp uno {VECTOR} {gap}, zeroinitializer")
                bad = bad if mask is None else c(f"and {MASK} {bad}, {mask}")
                with c.when(c(f"call i1 @llvm.vector.reduce.or.v{LANES}i1({MASK} {bad})")):
                    c.do(f"store i64 {s + 1}, ptr {c.address('%fields', str(STATUS), 'i64')}")
                with c.when(c.integer("icmp ne", f[f"v{s}_end"], 0)):
                    c.write(value, k.pointer[f"v{s}_end"], at, mask)

        k.over(length, begin)
        with c.loop("0", f["steps"]) as t:
            k.over(length, step(t))
        k.over(length, end)
    return k.finish()


def backward(program: Program, kind: str, stream: bool, math_: Math) -> str:
    """The backward kernel: gradients of x, of the first state, and of each parameter per neuron."""
    k = _Kernel(program, backward_fields(program), kind, stream, math_)
    c, f, n = k.code, k.field, program.states
    results = [program.grad_x, *program.grad_states, *program.grad_parameters]
    gradients, totals = 0, n  # scratch slots: state gradients, parameter totals, then the states before each step
    before = n + len(program.wrt)
    with k.blocks() as (first, within, length):

        def load_at(t: str, i: str, mask: str | None) -> Callable[[int], str]:
            x_row = c.integer("add", c.integer("mul", t, f["x_stride"]), first)
            g_row = c.integer("add", c.integer("mul", t, f["g_stride"]), first)
            row = c.integer("mul", t, n)

            def load(v: int) -> str:
                if v < 0:
                    return k.operand(f"u{-1 - v}", c.integer("add", within, i), mask)
                if v == 0:
                    return c.read(k.pointer["x"], c.integer("add", x_row, i), mask, kind)
                if v in program.state_values:
                    return c.read(k.array(before + v - 1, row), i)
                if v == program.grad_output:
                    return c.read(k.pointer["g"], c.integer("add", g_row, i), mask, kind)
                return c.read(k.array(gradients + v - program.grad_new_states[0]), i)

            return load

        def begin(i: str, mask: str | None) -> None:
            at = c.integer("add", first, i)
            c.prefetch(k.pointer["x"], at, kind)
            last = c.integer("mul", c.integer("sub", f["steps"], 1), f["g_stride"])
            c.prefetch(k.pointer["g"], c.integer("add", last, at), kind)
            for s in range(n):
                c.write(k.begin_from(f"v{s}", at, mask), k.array(before + s), i)
                c.write(k.begin_from(f"gv{s}_end", at, mask), k.array(gradients + s), i)
            for p in range(len(program.wrt)):
                c.write("zeroinitializer", k.array(totals + p), i)

        def sweep(t: str) -> Callable[[str, str | None], None]:
            x_row = c.integer("add", c.integer("mul", t, f["x_stride"]), first)

            def body(i: str, mask: str | None) -> None:
                c.prefetch(k.pointer["x"], c.integer("add", c.integer("add", x_row, f["x_stride"]), i), kind)
                new = k.write_out(program.new_states, load_at(t, i, mask))
                after = c.integer("mul", c.integer("add", t, 1), n)
                for s in range(n):
                    c.write(new[s], k.array(before + s, after), i)

            return body

        def back(t: str) -> Callable[[str, str | None], None]:
            y_row = c.integer("add", c.integer("mul", t, f["count"]), first)
            g_row = c.integer("add", c.integer("mul", t, f["g_stride"]), first)

            def body(i: str, mask: str | None) -> None:
                c.prefetch(k.pointer["g"], c.integer("add", c.integer("sub", g_row, f["g_stride"]), i), kind)
                gx, *rest = k.write_out(results, load_at(t, i, mask))
                c.write(gx, k.pointer["gx"], c.integer("add", y_row, i), mask, kind, stream)
                for s in range(n):
                    c.write(rest[s], k.array(gradients + s), i)
                for p in range(len(program.wrt)):
                    total = c(f"fadd {VECTOR} {c.read(k.array(totals + p), i)}, {rest[n + p]}")
                    c.write(total, k.array(totals + p), i)

            return body

        def end(i: str, mask: str | None) -> None:
            at = c.integer("add", first, i)
            for s in range(n):
                with c.when(c.integer("icmp ne", f[f"gv{s}"], 0)):
                    c.write(c.read(k.array(gradients + s), i), k.pointer[f"gv{s}"], at, mask)
            for p in range(len(program.wrt)):
                c.write(c.read(k.array(totals + p), i), k.pointer[f"gp{p}"], at, mask)

        k.over(length, begin)
        if needs_states(program):
            with c.loop("0", c.integer("sub", f["steps"], 1)) as t:
                k.over(length, sweep(t))
        with c.loop("0", f["steps"]) as back_t:
            k.over(length, back(c.integer("sub", c.integer("sub", f["steps"], 1), back_t)))
        k.over(length, end)
    return k.finish()


def needs_states(program: Program) -> bool:
    """Whether the adjoint reads the state before a step, so that the backward has to recompute it."""
    nodes = program.live([program.grad_x, *program.grad_states, *program.grad_parameters])
    return any(a in program.state_values for _, node in nodes for a in node.args if isinstance(a, int))


def scratch_rows(program: Program, back: bool) -> tuple[int, int]:
    """Floats of scratch per neuron of a block: so many, and so many more per time step."""
    if not back:
        return program.states, 0
    fixed = program.states + len(program.wrt)
    return (fixed, program.states) if needs_states(program) else (fixed + program.states, 0)


def module(program: Program, kind: str, stream: bool, back: bool, math_: Math) -> str:
    """A whole module with one kernel, named ``kernel``."""
    body = (backward if back else forward)(program, kind, stream, math_)
    return "\n".join([body, declarations(math_), _RUNTIME])


_RUNTIME = f"""
declare i1 @llvm.vector.reduce.or.v{LANES}i1({MASK})
declare i64 @llvm.smin.i64(i64, i64)
declare i32 @omp_get_thread_num()
declare i32 @omp_get_num_threads()
attributes #0 = {{ nounwind "prefer-vector-width"="512" }}
!0 = !{{i32 1}}
"""
