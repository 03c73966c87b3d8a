"""Prophesee DAT: a text header, the events' type and size in a byte each, then 32 bits of time and 32 of place each.

Version 2 packs x 14, y 14, polarity 4 bits; version 1 (and files without a version) x 9, y 8, polarity 1 bit. Types 0
and 12 are changes of brightness. N-CARS is of version 2 and does not tell its sensor's size. Time is in microseconds
and unwound where it falls by 2³¹ or more.

Source: docs.prophesee.ai, Data File Formats, DAT; version 1 as the readers of the ATIS group have it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from ..stream import EventStream
from .base import Format, Opened, sensor
from .prophesee import LONGEST, evt_version, header, size_of
from .records import records
from .scan import at_most, stream, within

_PAIR = np.dtype([("t", "<u4"), ("place", "<u4")])
_CHANGES = (0, 12)
_BITS = {1: (9, 8, 1), 2: (14, 14, 4)}
_HALF = 1 << 31


def _recognises(head: bytes, path: Path) -> bool:
    found, start = header(head)
    if start == 0 or evt_version(head) is not None:
        return False
    return "data" in found or "version" in found or path.suffix.lower() == ".dat"


def _open(path: Path, width: int | None, height: int | None) -> Opened:
    with path.open("rb") as file:
        data = file.read(LONGEST)
    about, start = header(data)
    if start == 0 or len(data) < start + 2:
        raise ValueError(f'{path} (dat) has no whole header, expected lines "% keyword value" and two bytes.')
    kind, size = data[start : start + 2]
    if kind not in _CHANGES or size != _PAIR.itemsize:
        raise ValueError(
            f"{path} (dat) has events of type {kind} and {size} bytes, expected changes of brightness, type 0 or 12 "
            "and 8 bytes."
        )
    version = about.get("version", "1")
    if version not in ("0", "1", "2"):
        raise ValueError(f"{path} (dat) is of version {version}, expected 1 or 2.")
    bits = _BITS[max(1, int(version))]
    found = None
    if "width" in about or "height" in about:
        found = size_of("dat", path, about.get("width", ""), about.get("height", ""))
    sides = sensor("dat", path, found, width, height)
    return Opened(*sides, partial(_blocks, path, start + 2, bits, sides), about)


def _blocks(
    path: Path, start: int, bits: tuple[int, int, int], size: tuple[int, int], count: int
) -> Iterator[EventStream]:
    columns, rows, signs = bits
    last, loops = 0, 0
    for block in records("dat", path, start, _PAIR, count):
        low, place = block["t"], np.ascontiguousarray(block["place"])
        t = low.astype(np.int64)
        if max(int(low.max()), last) - min(int(low.min()), last) >= _HALF:
            steps = np.diff(t, prepend=last)
            t += (loops + np.cumsum(steps <= -_HALF)) << 32
            loops = int(t[-1]) >> 32
        elif loops:
            t += loops << 32
        last = int(low[-1])
        x = (place & ((1 << columns) - 1)).astype(np.uint16)
        y = (place >> columns).astype(np.uint16) & np.uint16((1 << rows) - 1)
        p = (place >> (columns + rows)).astype(np.uint8) & np.uint8((1 << signs) - 1)
        yield stream("dat", path, t, x, y, p, size)


def _write(path: Path, blocks: Iterable[EventStream], width: int, height: int) -> None:
    at_most("dat", width, height, 1 << 14, 1 << 14)
    with path.open("wb") as file:
        text = f"% Data file containing CD events.\n% Version 2\n% Height {height}\n% Width {width}\n"
        file.write(text.encode() + bytes((12, _PAIR.itemsize)))
        for block in blocks:
            within("dat", block, 1 << 32)
            made = np.empty(len(block), _PAIR)
            made["t"] = block.t
            made["place"] = block.x | (block.y.astype(np.uint32) << 14) | (block.p.astype(np.uint32) << 28)
            file.write(made.tobytes())


DAT = Format("dat", (".dat",), _recognises, _open, _write)
"""Prophesee DAT; writes version 2, times below 2³² microseconds (71 min)."""
