"""AEDAT 4, what DV writes: a header that describes streams, then packets of them, each a FlatBuffer, compressed or not.

The file begins with ``#!AER-DAT4.0`` and line end. Then comes the header (identifier ``IOHE``): how packets are
compressed, where the table of packets begins, and an XML text that describes the streams. A packet has its stream's
number and its size in front (32 bits each). Packets of events (``EVTS``) hold structures of 16 bytes: 64 bits of
microseconds, column from the left and row from the top (16 bits each), polarity. The table of packets (``FTAB``) ends
the file; a file that has one is whole only if it is whole. A recording that was not closed has none: it is read as far
as its packets are whole, and a packet that is cut is an error.

Read is the first stream of events; ``about`` tells of others. Frames, samples of the inertial unit and triggers are
skipped. Time is as in the file, mostly microseconds since 1970. The XML is never parsed as XML: what is needed is found
by its tags, so that there are no entities to expand. LZ4 needs ``lz4``, Zstandard ``zstandard``. Written files are
compressed by LZ4 where ``lz4`` is installed.

Source: iniVation, *AEDAT file formats*, 4.0.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..stream import EventStream
from . import flatbuffer
from .aedat import LONGEST, gathered, made
from .aedat4_write import COMPRESSIONS, EVENT, MAGIC, write
from .base import Format, Opened, sensor

LARGEST = 1 << 28
"""Bytes of a packet after decompression, at most: 16 million events. Cameras make packets of some milliseconds."""


@dataclass(frozen=True)
class _Layout:
    compression: int
    begin: int
    end: int
    stream: int


def _recognises(head: bytes, path: Path) -> bool:
    return head.startswith(MAGIC[:12])


def _open(path: Path, width: int | None, height: int | None) -> Opened:
    length = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(len(MAGIC) + 4)
        if len(head) < len(MAGIC) + 4 or not head.startswith(MAGIC):
            raise ValueError(f"{path} (aedat4) begins with {head!r}, expected {MAGIC!r} and a header; copy it again.")
        size = int.from_bytes(head[-4:], "little")
        begin = len(head) + size
        if size > LONGEST or begin > length:
            raise ValueError(f"{path} (aedat4) has a header of {size} bytes in {length}; copy it again.")
        compression, table, text = _read_header(head[-4:] + file.read(size), path)
    end = length
    if table >= 0:
        if not begin <= table < length:
            raise ValueError(f"{path} (aedat4) has its table at byte {table} of {length}; copy it again.")
        if length - table > LARGEST:
            raise ValueError(f"{path} (aedat4) has a table of {length - table} bytes, expected at most {LARGEST}.")
        with path.open("rb") as file:
            file.seek(table)
            _unpacked(file.read(), compression, b"FTAB", f"{path} (aedat4), its table at byte {table}")
        end = table
    streams = _streams(text)
    number = next((n for n, told in sorted(streams.items()) if told.get("typeIdentifier") == "EVTS"), None)
    if number is None:
        kinds = ", ".join(f"{told.get('typeIdentifier', '')[:20]!r}" for told in [*streams.values()][:4]) or "none"
        raise ValueError(f"{path} (aedat4) has no stream of events (EVTS), only {kinds}; record events.")
    told = streams[number]
    sides = [int(told[key]) for key in ("sizeX", "sizeY") if re.fullmatch(r"[0-9]{1,5}", told.get(key, ""))]
    found = (sides[0], sides[1]) if len(sides) == 2 else None
    columns, rows = sensor("aedat4", path, found, width, height)
    if not 1 <= min(columns, rows) <= max(columns, rows) <= 1 << 15:
        raise ValueError(f"{path} (aedat4) is of a sensor of {columns}×{rows}, expected 1 to 32768 either way.")
    about = {key: told[key] for key in ("source", "tsOffset") if key in told} | {
        "compression": COMPRESSIONS[compression],
        "stream": f"{number} {told.get('originalOutputName', '')}".strip(),
        "other streams": ", ".join(f"{n} {s.get('originalOutputName', '')}" for n, s in streams.items() if n != number),
    }
    if table < 0:
        about["closed"] = "no: the recording was cut off, there is no table"
    layout = _Layout(compression, begin, end, number)
    return Opened(columns, rows, partial(_blocks, path, layout, columns, rows), {k: v for k, v in about.items() if v})


def _read_header(data: bytes, path: Path) -> tuple[int, int, str]:
    """Compression, place of the table (−1: none), and the text that describes the streams."""
    try:
        table = flatbuffer.root(data, b"IOHE")
        places = [flatbuffer.field(data, table, index) for index in range(3)]
        compression = 0 if places[0] is None else flatbuffer.number(data, places[0], "i")
        position = -1 if places[1] is None else flatbuffer.number(data, places[1], "q")
        begin, length = (0, 0) if places[2] is None else flatbuffer.vector(data, places[2], 1)
    except ValueError as error:
        raise ValueError(f"{path} (aedat4) has a damaged header: {error}; copy it again.") from error
    if compression not in COMPRESSIONS:
        raise ValueError(f"{path} (aedat4) is compressed by method {compression}, expected 0 to 4; update or convert.")
    return compression, position, data[begin : begin + length].decode(errors="replace")


_TAG = re.compile(r'<node name="([^"<>]*)"[^<>]*>|(</node>)|<attr key="([^"<>]*)"[^<>]*>([^<>]*)</attr>')


def _streams(text: str) -> dict[int, dict[str, str]]:
    """Number of a stream → its attributes and those of its ``info``."""
    found: dict[int, dict[str, str]] = {}
    inside: list[str] = []
    for tag in _TAG.finditer(text):
        node, close, key, value = tag.groups()
        if close:
            del inside[-1:]
        elif node is not None:
            if not tag[0].endswith("/>"):
                inside.append(node)
        elif (
            len(inside) in (2, 3)
            and inside[0] == "outInfo"
            and re.fullmatch(r"[0-9]{1,9}", inside[1])
            and inside[2:] in ([], ["info"])
        ):
            found.setdefault(int(inside[1]), {})[key] = value
    return found


def _blocks(path: Path, layout: _Layout, width: int, height: int, count: int) -> Iterator[EventStream]:
    for events in gathered(_packets(path, layout), count):
        # copies: a column that is a view would keep the whole records
        t, x, y, p = (events[name].copy() for name in ("t", "x", "y", "p"))
        yield made(path, t, x, y, p, width, height)


def _packets(path: Path, layout: _Layout) -> Iterator[NDArray]:
    place = layout.begin
    with path.open("rb") as file:
        while place < layout.end:
            file.seek(place)
            head = file.read(8)
            stream, size = struct.unpack("<ii", head) if len(head) == 8 else (0, 0)
            where = f"{path} (aedat4), its packet at byte {place}"
            if place + 8 + max(size, 0) > layout.end:
                raise ValueError(f"{where}, goes on after the last packet's end at {layout.end}; copy it again.")
            if size < 0 or stream < 0:
                raise ValueError(
                    f"{where}, is of stream {stream} and of {size} bytes, which is damaged; copy it again."
                )
            place += 8 + size
            if stream != layout.stream:
                continue
            if size > LARGEST:
                raise ValueError(f"{where}, has {size} bytes, expected at most {LARGEST}; copy it again.")
            data = _unpacked(file.read(size), layout.compression, b"EVTS", where)
            try:
                elements = flatbuffer.field(data, flatbuffer.root(data, b"EVTS"), 0)
                begin, number = (0, 0) if elements is None else flatbuffer.vector(data, elements, EVENT.itemsize)
            except ValueError as error:
                raise ValueError(f"{where}, is damaged: {error}; copy it again.") from error
            yield np.frombuffer(data, EVENT, number, begin)


def _unpacked(data: bytes, compression: int, identifier: bytes, where: str) -> bytes:
    """A packet without compression, of the length that it says itself and at most :data:`LARGEST`."""
    try:
        if compression:
            data = (_from_lz4 if compression in (1, 2) else _from_zstd)(data)
        flatbuffer.root(data, identifier)
    except ValueError as error:
        raise ValueError(f"{where}, is damaged: {error}; copy it again.") from error
    return data


def _expected(head: bytes) -> int:
    """Bytes of a packet by its first four."""
    size = 4 + flatbuffer.number(head, 0, "I")
    if size > LARGEST:
        raise ValueError(f"it says that it has {size} bytes, at most {LARGEST} are read")
    return size


def _from_lz4(data: bytes) -> bytes:
    import lz4.frame  # pyright: ignore[reportMissingImports]

    frame = lz4.frame.LZ4FrameDecompressor()
    try:
        head = frame.decompress(data, max_length=4)
        size = _expected(head)
        most = min(size - 4, 255 * len(data))  # LZ4 cannot do better than 1:255; memory is set aside before
        body = frame.decompress(b"", max_length=most) if size > 4 and not frame.eof else b""
        rest = b"" if frame.eof else frame.decompress(b"", max_length=1)
    except (RuntimeError, EOFError) as error:
        raise ValueError(f"LZ4 says {error}") from error
    if len(body) != size - 4 or rest or not frame.eof:
        raise ValueError("its LZ4 frame is of another length than it says")
    return head + body


def _from_zstd(data: bytes) -> bytes:
    import zstandard  # pyright: ignore[reportMissingImports]

    try:
        with zstandard.ZstdDecompressor().stream_reader(data) as frame:
            head = frame.read(4)
            size = _expected(head)
            body, rest = frame.read(size - 4), frame.read(1)
    except zstandard.ZstdError as error:
        raise ValueError(f"Zstandard says {error}") from error
    if len(body) != size - 4 or rest:
        raise ValueError("its Zstandard frame is of another length than it says")
    return head + body


AEDAT4 = Format("aedat4", (".aedat4",), _recognises, _open, write)
