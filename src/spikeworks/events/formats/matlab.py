"""MATLAB files of level 5 (``save -v6`` and ``-v7``): columns of numbers by name, and nothing else.

Source: MathWorks, "MAT-File Format", chapter 1, Level 5 MAT-File Format. A file is taken as a whole: it is small, and a
variable may be packed. Objects, cells and functions are stepped over, never made.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

HEADER = 128
LARGEST = 1 << 28
"""Bytes of a file, and of what one variable unpacks to, at most."""

MATRIX, PACKED = 14, 15
NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
"""How numbers are stored, by the type in front of them."""

CLASSES = range(6, 16)
"""Classes of arrays of numbers: double, single, and integers of 8 to 64 bits."""
COMPLEX = 0x800


def known(head: bytes) -> bool:
    """Whether a file begins as one of level 5 does."""
    return head.startswith(b"MATLAB 5.0 MAT-file") and head[126:128] in (b"IM", b"MI")


def columns(path: Path, wanted: Collection[str]) -> dict[str, NDArray]:
    """Variables of these names that hold real numbers, as ``[N]``; others are stepped over.

    :raises ValueError: for a file that is truncated or damaged, too large, or has a variable twice or of another kind.
    """
    size = path.stat().st_size
    if size > LARGEST:
        raise ValueError(f"it has {size:,} bytes, expected at most {LARGEST:,}; split it.")
    data = path.read_bytes()
    order = "<" if data[126:128] == b"IM" else ">"
    found: dict[str, NDArray] = {}
    for kind, body in _Elements(data[HEADER:], order):
        if kind == PACKED:
            inside = list(_Elements(_unpacked(body), order))
            if len(inside) != 1:
                raise ValueError(f"it has {len(inside)} variables where one is packed; copy it again.")
            kind, body = inside[0]
        if kind != MATRIX:
            raise ValueError(f"it has an element of type {kind}, expected variables; copy it again.")
        name, values = _variable(body, order, wanted)
        if name in found:
            raise ValueError(f"it has the variable {name} twice, expected it once; save it anew.")
        if values is not None:
            found[name] = values
    return found


def _unpacked(body: bytes) -> bytes:
    reader = zlib.decompressobj()
    try:
        data = reader.decompress(body, LARGEST)
    except zlib.error as error:
        raise ValueError(f"a variable cannot be unpacked ({error}); copy it again.") from None
    if not reader.eof or reader.unused_data:
        raise ValueError("a variable is cut off, is too large, or has something behind it; copy it again.")
    return data


def _variable(body: bytes, order: str, wanted: Collection[str]) -> tuple[str, NDArray | None]:
    parts = iter(_Elements(body, order))
    (_, flags), (_, sizes), (_, name) = (next(parts, (0, b"")) for _ in range(3))
    if len(flags) != 8 or len(sizes) % 4 or len(sizes) < 8:
        return "", None  # an object: laid out in another way
    said = name.decode("latin-1")
    if said not in wanted:
        return said, None
    (word,) = struct.unpack(f"{order}I", flags[:4])
    shape = struct.unpack(f"{order}{len(sizes) // 4}i", sizes)
    kind, numbers = next(parts, (0, b""))
    if word & 0xFF not in CLASSES or word & COMPLEX or kind not in NUMBERS or next(parts, None) is not None:
        raise ValueError(f"{said} is of class {word & 0xFF}, expected a column of real numbers.")
    dtype = np.dtype(order + NUMBERS[kind])
    if min(shape) < 0 or prod(shape) * dtype.itemsize != len(numbers) or sum(n != 1 for n in shape) > 1:
        raise ValueError(f"{said} is of the shape {shape} in {len(numbers)} bytes of {dtype}, expected a column.")
    return said, np.frombuffer(numbers, dtype).astype(dtype.newbyteorder("="))


@dataclass(frozen=True)
class _Elements:
    """Type and bytes of one element after another."""

    data: bytes
    order: str

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        at = 0
        while at < len(self.data):
            if at + 8 > len(self.data):
                raise ValueError(
                    f"it ends amid the mark of an element, {len(self.data) - at} bytes long; copy it again."
                )
            kind, size = struct.unpack_from(f"{self.order}II", self.data, at)
            if kind >> 16:  # up to four bytes that lie in the mark
                kind, size, begin = kind & 0xFFFF, kind >> 16, at + 4
                at = at + 8
            else:
                begin = at + 8
                at = begin + (size if kind == PACKED else -(-size // 8) * 8)
            if begin + size > len(self.data) or (begin + size > at):
                raise ValueError(f"an element of {size} bytes is cut off; copy it again.")
            yield kind, self.data[begin : begin + size]
