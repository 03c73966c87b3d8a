"""The frame of the kernels of event-driven layers: a table of fields, variables, a thread's share of the work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..neurons.assembly import LANES, MASK, VECTOR, Code

WIDE, SHORT = f"<{LANES} x i32>", f"<{LANES} x i16>"
COUNT = "<" + ", ".join(f"i32 {lane}" for lane in range(LANES)) + ">"
"""The number of each lane."""
COMPRESS = f"llvm.x86.avx512.mask.compress.v{LANES}"
_WRITTEN_OUT = 7


class Sheet:
    """Code of a kernel, with its fields read."""

    def __init__(self, fields: Sequence[str]) -> None:
        self.code = Code()
        self.fields = fields
        self.at = {name: self.code.address("%fields", str(i), "i64") for i, name in enumerate(fields)}
        self.value = {name: self.code(f"load i64, ptr {at}") for name, at in self.at.items()}

    def __getitem__(self, name: str) -> str:
        return self.value[name]

    def pointer(self, name: str) -> str:
        """A field as a pointer."""
        return self.code(f"inttoptr i64 {self.value[name]} to ptr")

    def slot(self, kind: str, value: str | None = None) -> str:
        """A variable; the compiler keeps it in a register."""
        self.code.count += 1
        name = f"%s{self.code.count}"
        self.code.slots.append(f"  {name} = alloca {kind}")
        if value is not None:
            self.code.do(f"store {kind} {value}, ptr {name}")
        return name

    def read(self, kind: str, slot: str) -> str:
        """The value of a variable."""
        return self.code(f"load {kind}, ptr {slot}")

    def splat(self, kind: str, scalar: str, lanes: int = LANES) -> str:
        """A scalar in every lane."""
        one = self.code(f"insertelement <{lanes} x {kind}> poison, {kind} {scalar}, i32 0")
        zero = f"<{lanes} x i32> zeroinitializer"
        return self.code(f"shufflevector <{lanes} x {kind}> {one}, <{lanes} x {kind}> poison, {zero}")

    def each(self, count: int) -> Iterator[str]:
        """``range(count)``: written out if it is short, else a loop."""
        if count <= _WRITTEN_OUT:
            yield from map(str, range(count))
            return
        with self.code.loop("0", str(count)) as index:
            yield index

    def least(self, a: str, b: str) -> str:
        """The smaller of two positions."""
        return self.code(f"call i64 @llvm.smin.i64(i64 {a}, i64 {b})")

    def most(self, a: str, b: str) -> str:
        """The larger of two positions."""
        return self.code(f"call i64 @llvm.smax.i64(i64 {a}, i64 {b})")

    def share(self, total: str) -> tuple[str, str, str]:
        """First and last of this thread's part of ``total``, and the thread's number."""
        c = self.code
        thread = c(f"sext i32 {c('call i32 @omp_get_thread_num()')} to i64")
        threads = c(f"sext i32 {c('call i32 @omp_get_num_threads()')} to i64")
        start = c.integer("sdiv", c.integer("mul", total, thread), threads)
        return start, c.integer("sdiv", c.integer("mul", total, c.integer("add", thread, 1)), threads), thread

    def finish(self) -> str:
        """The module."""
        body = "\n".join([*self.code.slots, *self.code.lines])
        return f"define void @kernel(ptr %fields) #0 {{\n{body}\n  ret void\n}}\n{_DECLARED}"

    def any(self, mask: str) -> str:
        """Whether any lane is set."""
        return self.code(f"icmp ne i16 {self.code(f'bitcast {MASK} {mask} to i16')}, 0")


_DECLARED = f"""
declare i64 @llvm.smin.i64(i64, i64)
declare i64 @llvm.smax.i64(i64, i64)
declare i16 @llvm.ctpop.i16(i16)
declare i32 @llvm.vector.reduce.umax.v{LANES}i32({WIDE})
declare i32 @omp_get_thread_num()
declare i32 @omp_get_num_threads()
declare {WIDE} @{COMPRESS}i32({WIDE}, {WIDE}, {MASK})
declare {VECTOR} @{COMPRESS}f32({VECTOR}, {VECTOR}, {MASK})
declare {VECTOR} @llvm.masked.load.v{LANES}f32.p0(ptr, i32, {MASK}, {VECTOR})
declare void @llvm.masked.store.v{LANES}i8.p0(<{LANES} x i8>, ptr, i32, {MASK})
declare {VECTOR} @llvm.fmuladd.v{LANES}f32({VECTOR}, {VECTOR}, {VECTOR})
declare {VECTOR} @llvm.minnum.v{LANES}f32({VECTOR}, {VECTOR})
declare {VECTOR} @llvm.maxnum.v{LANES}f32({VECTOR}, {VECTOR})
declare {VECTOR} @llvm.nearbyint.v{LANES}f32({VECTOR})
declare {VECTOR} @llvm.fabs.v{LANES}f32({VECTOR})
declare void @llvm.masked.store.v8f32.p0(<8 x float>, ptr, i32, <8 x i1>)
declare void @llvm.masked.store.v16f32.p0(<16 x float>, ptr, i32, <16 x i1>)
declare void @llvm.masked.store.v32f32.p0(<32 x float>, ptr, i32, <32 x i1>)
attributes #0 = {{ nounwind "prefer-vector-width"="512" }}
!0 = !{{i32 1}}
"""
