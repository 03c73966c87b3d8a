"""Tensors of small whole numbers in few bits: spikes in one bit each, sums of spikes up to 15 in two or four.

What comes back equals what went in, in every bit and in the same memory order: whether all values are of the kind is
found out on the way, and a tensor of others is refused (-0.0 among them: it is not the bits of 0.0).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from ..neurons import native
from ..neurons.assembly import LANES, MASK
from .events import threads_for
from .kernel import COUNT, WIDE, Sheet

PLANES = (1, 2, 4)
"""How many bits a value may take; tried in this order."""
_CHUNK = 4096
"""Values between two looks at whether one was of another kind."""
_STREAM_BYTES = 2 << 20
_WHOLE = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


@dataclass(frozen=True)
class Bits:
    """A packed tensor; :meth:`unpack` gives it back. ``planes`` bits per value, sixteen values in ``planes`` words."""

    words: Tensor
    planes: int
    shape: torch.Size
    stride: tuple[int, ...]
    dtype: torch.dtype

    def unpack(self) -> Tensor:
        """The tensor that was packed."""
        x = torch.empty_strided(self.shape, self.stride, dtype=self.dtype, device=self.words.device)
        if not _by_kernel(x):
            _flat(x).copy_(_from_words(self.words, self.planes, x.numel()))
            return x
        size = x.element_size()
        streams = size < 8 and x.numel() * size >= _STREAM_BYTES
        streams = streams and x.numel() % LANES == 0 and x.data_ptr() % (size * LANES) == 0
        kernel = _unpacking(self.planes, self.dtype, streams)
        native.call(kernel, [x.numel(), x.data_ptr(), self.words.data_ptr(), 0], threads_for(x.numel()))
        return x


@dataclass(frozen=True)
class Narrow:
    """64-bit whole numbers in fewer bytes, such as the places that a max pool has found."""

    small: Tensor

    def unpack(self) -> Tensor:
        """The tensor that was packed."""
        return self.small.to(torch.int64)


def pack(x: Tensor) -> Bits | Narrow | None:
    """``x`` in fewer bits; ``None`` if its values are not all 0 to 15 and whole, or its memory has gaps or overlaps.

    :param x: of any floating dtype, bool or uint8, or int64 (any values that 16 or 32 bits hold), on any device. On a
        GPU the answer waits for the device.
    """
    if x.dtype == torch.int64 and x.numel() and unbroken(x):
        low, high = (int(v) for v in x.aminmax())
        kinds = (
            kind for kind in (torch.int16, torch.int32) if torch.iinfo(kind).min <= low <= high <= torch.iinfo(kind).max
        )
        return next((Narrow(x.to(kind)) for kind in kinds), None)
    if x.dtype not in _ONE_BYTE and not x.is_floating_point():
        return None
    if not x.numel() or not unbroken(x):
        return None
    for planes in PLANES[:1] if x.dtype == torch.bool else PLANES:
        words = _pack(x, planes)
        if words is not None:
            return Bits(words, planes, x.shape, x.stride(), x.dtype)
    return None


_ONE_BYTE = (torch.bool, torch.uint8)


def unbroken(x: Tensor) -> bool:
    """Whether the elements of ``x`` fill one run of memory, in any order of axes."""
    expected = 1
    for stride, size in sorted((s, n) for s, n in zip(x.stride(), x.shape, strict=True) if n > 1):
        if stride != expected:
            return False
        expected *= size
    return True


def _flat(x: Tensor) -> Tensor:
    return x.as_strided((x.numel(),), (1,))


def _by_kernel(x: Tensor) -> bool:
    return x.device.type == "cpu" and native.unavailable() is None


def _pack(x: Tensor, planes: int) -> Tensor | None:
    if not _by_kernel(x):
        return _to_words(_flat(x), planes)
    words = torch.empty(-(-x.numel() // LANES) * planes, dtype=torch.int16, device="cpu")
    left = native.call(
        _packing(planes, x.dtype), [x.numel(), x.data_ptr(), words.data_ptr(), 0], threads_for(x.numel())
    )
    return None if left[_FIELDS.index("status")] else words


# ---- by torch, where there are no kernels: the same words ----


def _to_words(x: Tensor, planes: int) -> Tensor | None:
    small = x.to(torch.uint8) if x.dtype in _ONE_BYTE else x.nan_to_num(-1.0).clamp(-1, 16).to(torch.int8)
    same = small.to(x.dtype) == x
    if x.is_floating_point():
        same &= ~x.signbit()
    if not bool((same & (small < 1 << planes)).all()):
        return None
    lanes = torch.zeros(-(-len(x) // LANES) * LANES, dtype=torch.int32, device=x.device)
    lanes[: len(x)] = small
    weights = 1 << torch.arange(LANES, dtype=torch.int32, device=x.device)
    rows = [((lanes >> p & 1).view(-1, LANES) * weights).sum(1, dtype=torch.int32) for p in range(planes)]
    return torch.stack(rows, 1).flatten().to(torch.int16)


def _from_words(words: Tensor, planes: int, count: int) -> Tensor:
    places = torch.arange(LANES, dtype=torch.int32, device=words.device)
    split = words.to(torch.int32).view(-1, planes, 1) >> places & 1  # the sign's copies are cut off by the mask
    weights = 1 << torch.arange(planes, dtype=torch.int32, device=words.device)
    return (split * weights.view(-1, 1)).sum(1).flatten()[:count]


# ---- kernels ----

_FIELDS = ("count", "x", "words", "status")


@cache
def _packing(planes: int, dtype: torch.dtype) -> int:
    return native.load(_pack_module(planes, *_patterns(planes, dtype)))


@cache
def _unpacking(planes: int, dtype: torch.dtype, stream: bool) -> int:
    return native.load(_unpack_module(planes, *_patterns(planes, dtype), stream))


def _patterns(planes: int, dtype: torch.dtype) -> tuple[int, tuple[int, ...]]:
    """Bits of a number of this dtype, and those of 0, 1, 2, ... as whole numbers."""
    numbers = torch.arange(1 << planes, device="cpu").to(dtype)
    size = numbers.element_size()
    return 8 * size, tuple(numbers.view(_WHOLE[size]).tolist())


def _pack_module(planes: int, wide: int, patterns: tuple[int, ...]) -> str:
    k = Sheet(_FIELDS)
    c, x, words = k.code, k.pointer("x"), k.pointer("words")
    vector = f"<{LANES} x i{wide}>"
    chunks = c.integer("sdiv", c.integer("add", k["count"], _CHUNK - 1), _CHUNK)
    first, last, _ = k.share(chunks)
    wrong = k.slot(MASK, "zeroinitializer")

    def sixteen(i: str, mask: str | None) -> None:
        at = c.address(x, i, f"i{wide}")
        if mask is None:
            value = c(f"load {vector}, ptr {at}, align {wide // 8}")
        else:
            value = c(
                f"call {vector} @llvm.masked.load.v{LANES}i{wide}.p0(ptr {at}, i32 {wide // 8}, {MASK} {mask}, "
                f"{vector} zeroinitializer)"
            )
        equal = [c(f"icmp eq {vector} {value}, splat (i{wide} {pattern})") for pattern in patterns]
        bad = c(f"xor {MASK} {_any(k, equal)}, splat (i1 true)")
        c.do(f"store {MASK} {c(f'or {MASK} {bad}, {k.read(MASK, wrong)}')}, ptr {wrong}")
        to = c.integer("mul", c.integer("sdiv", i, LANES), planes)
        for plane in range(planes):
            mine = _any(k, [m for level, m in enumerate(equal) if level >> plane & 1])
            word = c(f"bitcast {MASK} {mine} to i16")
            c.do(f"store i16 {word}, ptr {c.address(words, c.integer('add', to, plane), 'i16')}, align 2")

    with c.loop(first, last) as chunk, c.when(c(f"xor i1 {k.any(k.read(MASK, wrong))}, true")):
        begin = c.integer("mul", chunk, _CHUNK)
        end = k.least(c.integer("add", begin, _CHUNK), k["count"])
        whole = c.integer("sub", end, c.integer("and", end, LANES - 1))
        with c.loop(begin, whole, LANES) as i:
            sixteen(i, None)
        with c.when(c(f"icmp slt i64 {whole}, {end}")):
            sixteen(whole, _rest(k, whole, end))
    with c.when(k.any(k.read(MASK, wrong))):
        c.do(f"store i64 1, ptr {k.at['status']}")
    return k.finish() + _masked(wide)


def _unpack_module(planes: int, wide: int, patterns: tuple[int, ...], stream: bool) -> str:
    k = Sheet(_FIELDS)
    c, x, words = k.code, k.pointer("x"), k.pointer("words")
    vector = f"<{LANES} x i{wide}>"
    whole = c.integer("and", k["count"], -LANES)
    first, last, thread = k.share(c.integer("sdiv", whole, LANES))

    def sixteen(number: str) -> str:
        from_ = c.integer("mul", number, planes)
        choices = [f"splat (i{wide} {pattern})" for pattern in patterns]
        for plane in range(planes):
            word = c(f"load i16, ptr {c.address(words, c.integer('add', from_, plane), 'i16')}, align 2")
            mask = c(f"bitcast i16 {word} to {MASK}")
            pairs = zip(choices[::2], choices[1::2], strict=True)
            choices = [c(f"select {MASK} {mask}, {vector} {b}, {vector} {a}") for a, b in pairs]
        return choices[0]

    with c.loop(first, last) as number:
        at = c.address(x, c.integer("mul", number, LANES), f"i{wide}")
        how = f"align {wide // 8 * LANES}, !nontemporal !0" if stream else f"align {wide // 8}"
        c.do(f"store {vector} {sixteen(number)}, ptr {at}, {how}")
    left = c(f"icmp slt i64 {whole}, {k['count']}")
    with c.when(c(f"and i1 {left}, {c(f'icmp eq i64 {thread}, 0')}")):
        mask, value = _rest(k, whole, k["count"]), sixteen(c.integer("sdiv", whole, LANES))
        at = c.address(x, whole, f"i{wide}")
        c.do(
            f"call void @llvm.masked.store.v{LANES}i{wide}.p0({vector} {value}, ptr {at}, i32 {wide // 8}, "
            f"{MASK} {mask})"
        )
    return k.finish() + _masked(wide)


def _any(k: Sheet, masks: list[str]) -> str:
    made = masks[0]
    for mask in masks[1:]:
        made = k.code(f"or {MASK} {made}, {mask}")
    return made


def _rest(k: Sheet, begin: str, end: str) -> str:
    left = k.splat("i32", k.code(f"trunc i64 {k.code.integer('sub', end, begin)} to i32"))
    return k.code(f"icmp ult {WIDE} {COUNT}, {left}")


def _masked(wide: int) -> str:
    vector = f"<{LANES} x i{wide}>"
    store = f"declare void @llvm.masked.store.v{LANES}i{wide}.p0({vector}, ptr, i32, {MASK})\n"
    declared = "" if wide == 8 else store  # bytes are declared by the sheet
    return f"declare {vector} @llvm.masked.load.v{LANES}i{wide}.p0(ptr, i32, {MASK}, {vector})\n{declared}"
