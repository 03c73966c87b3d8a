"""Where the chunks of a file are: from the index at its end, or from chunk to chunk where there is none."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from . import chunk
from .header import LAST, Header

MAGIC = b"\x89SPI"
TAIL = struct.Struct("<4sIQI8s")  # magic entries offset crc(entries and what is before the crc) end
END = b"SPIKEEND"
ENTRY = np.dtype([("offset", "<u8"), ("first", "<u8"), ("frames", "<u4"), ("number", "<u4")])
_WINDOW = 1 << 20


@dataclass(frozen=True)
class Table:
    """The chunks of a file, in order.

    :param entries: of :data:`ENTRY`. A chunk whose head is damaged and that no index tells of is not among them.
    :param closed: the index was there, and told of them. :param stop: bytes of the file that are accounted for.
    """

    entries: NDArray[Any]
    closed: bool
    stop: int


def write(entries: Sequence[tuple[int, int, int, int]], offset: int) -> bytes:
    """An index that stands at ``offset``."""
    body = np.array(list(entries), ENTRY).tobytes()
    start = TAIL.pack(MAGIC, len(entries), offset, 0, END)[:16]
    return body + start + struct.pack("<I", zlib.crc32(start, zlib.crc32(body))) + END


def find(file: BinaryIO, header: Header, start: int) -> Table:
    """The chunks of a file whose first stands at ``start``; of memory it takes what the table takes."""
    size = file.seek(0, 2)
    entries = _listed(file, header, start, size)
    return _walked(file, header, start, size) if entries is None else Table(entries, True, size)


def _listed(file: BinaryIO, header: Header, start: int, size: int) -> NDArray[Any] | None:
    if size < start + TAIL.size:
        return None
    file.seek(size - TAIL.size)
    tail = file.read(TAIL.size)
    magic, count, offset, check, end = TAIL.unpack(tail)
    if magic != MAGIC or end != END or offset < start or offset + count * ENTRY.itemsize + TAIL.size != size:
        return None
    file.seek(offset)
    body = file.read(count * ENTRY.itemsize)
    if zlib.crc32(tail[:16], zlib.crc32(body)) != check:
        return None
    entries = np.frombuffer(body, ENTRY)
    return entries if _sound(entries, header, start, offset) else None


def _sound(entries: NDArray[Any], header: Header, start: int, stop: int) -> bool:
    """Chunks follow one another, in the file and in time."""
    if not len(entries):
        return start == stop
    if entries["first"].max() >= LAST or entries["offset"].max() >= LAST or entries["offset"][0] != start:
        return False
    offset, first, frames = (entries[name].astype(np.int64) for name in ("offset", "first", "frames"))
    return bool(
        (frames >= 1).all() and (frames <= header.chunk).all() and first[0] >= header.first
        and (np.diff(first) >= frames[:-1]).all() and (np.diff(np.append(offset, stop)) >= chunk.HEAD.size).all()
        and (entries["number"] == np.arange(len(entries))).all()
    )  # fmt: skip


def _walked(file: BinaryIO, header: Header, start: int, size: int) -> Table:
    entries: list[tuple[int, int, int, int]] = []
    at, number, due = start, 0, header.first
    while (found := _next(file, header, at, number, due)) is not None:
        place, head = found
        end = place + chunk.HEAD.size + head.stored
        if end > size:
            break  # its bytes are cut off
        entries.append((place, head.first, head.frames, head.number))
        at, number, due = end, head.number + 1, head.first + head.frames
    return Table(np.array(entries, ENTRY), False, at)


def _next(file: BinaryIO, header: Header, at: int, number: int, due: int) -> tuple[int, chunk.Head] | None:
    """The next sound head from ``at`` on, and where it is: at once, or behind bytes that are damaged."""
    length = chunk.HEAD.size
    while True:
        file.seek(at)
        window = file.read(length)
        place = 0
        while place >= 0:
            head = chunk.head(window[place : place + length], header.layout.size, header.chunk)
            if head is not None and head.number >= number and head.first >= due:
                return at + place, head
            if length == chunk.HEAD.size:
                break
            place = window.find(chunk.MAGIC, place + 1)
        if len(window) < length:
            return None
        if length == chunk.HEAD.size:
            length = _WINDOW
        else:
            at += length - chunk.HEAD.size  # a head may lie over the end of the window
