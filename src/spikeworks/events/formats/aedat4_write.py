"""AEDAT 4, written: three FlatBuffers of fixed shape, packed by hand; for what they mean see ``aedat4.py``."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..stream import EventStream

MAGIC = b"#!AER-DAT4.0\r\n"
COMPRESSIONS = {0: "none", 1: "LZ4", 2: "LZ4_HIGH", 3: "ZSTD", 4: "ZSTD_HIGH"}
EVENT = np.dtype({"names": ["t", "x", "y", "p"], "formats": ["<i8", "<u2", "<u2", "u1"], "itemsize": 16})
"""An event in a packet. Coordinates are signed in the file; negative ones read so are outside every sensor."""

_ENTRY = np.dtype(
    [("fields", "<i4"), ("pad", "<i4"), ("place", "<i8"), ("stream", "<i4"), ("size", "<i4")]
    + [(name, "<i8") for name in ("number", "first", "last")]
)
_MOST = 1 << 14  # events in a packet

_DESCRIPTION = """\
<dv version="2.0">
    <node name="outInfo" path="/mainloop/Recorder/outInfo/">
        <node name="0" path="/mainloop/Recorder/outInfo/0/">
            <attr key="compression" type="string">{compression}</attr>
            <attr key="originalModuleName" type="string">spikeworks</attr>
            <attr key="originalOutputName" type="string">events</attr>
            <attr key="typeDescription" type="string">Array of events (polarity ON/OFF).</attr>
            <attr key="typeIdentifier" type="string">EVTS</attr>
            <node name="info" path="/mainloop/Recorder/outInfo/0/info/">
                <attr key="sizeX" type="int">{width}</attr>
                <attr key="sizeY" type="int">{height}</attr>
                <attr key="source" type="string">spikeworks</attr>
                <attr key="tsOffset" type="long">0</attr>
            </node>
        </node>
    </node>
</dv>
"""


def write(path: Path, blocks: Iterable[EventStream], width: int, height: int) -> None:
    """Write blocks of events, compressed by LZ4 where ``lz4`` is installed; see :class:`~.base.Format`.

    :raises ValueError: for a sensor of more than 32768 columns or rows, or times below 0.
    """
    if max(width, height) > 1 << 15:
        raise ValueError(f"aedat4 got a sensor of {width}×{height}, expected at most 32768 either way; crop it.")
    try:
        from lz4.frame import compress  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError:
        compress = None
    compression = 0 if compress is None else 1
    text = _DESCRIPTION.format(compression=COMPRESSIONS[compression], width=width, height=height).encode()
    table: list[tuple[int, ...]] = []
    with path.open("wb") as file:
        file.write(MAGIC + _header(compression, 0, text))
        for block in blocks:
            if len(block) and int(block.t[0]) < 0:
                raise ValueError(f"aedat4 got times from {block.t[0]} µs, expected 0 or later; shift the stream.")
            for part in block.groups(_MOST):
                data = _events(part)
                data = data if compress is None else compress(data)
                table.append((0, 0, file.tell() + 8, 0, len(data), len(part), int(part.t[0]), int(part.t[-1])))
                file.write(struct.pack("<ii", 0, len(data)) + data)
        place = file.tell()
        data = _table(np.array(table, _ENTRY))
        file.write(data if compress is None else compress(data))
        file.seek(len(MAGIC))
        file.write(_header(compression, place, text))


def _sized(data: bytes) -> bytes:
    """With its length in front, a multiple of 8 in all, so that numbers of 64 bits lie on multiples of 8."""
    data += bytes(-(len(data) + 4) % 8)
    return struct.pack("<I", len(data)) + data


def _header(compression: int, table: int, text: bytes) -> bytes:
    # bytes from the length: 14 fields, 24 table, 44 text
    start = struct.pack("<I4s2x", 20, b"IOHE") + struct.pack("<5H", 10, 20, 4, 8, 16)
    return _sized(start + struct.pack("<iiqI", 10, compression, table, 4) + struct.pack("<I", len(text)) + text + b"\0")


def _events(part: EventStream) -> bytes:
    # bytes from the length: 14 fields, 20 table, 28 vector, 32 events
    records = np.zeros(len(part), EVENT)
    for name in "txyp":
        records[name] = getattr(part, name)
    start = struct.pack("<I4s2x", 16, b"EVTS") + struct.pack("<3H", 6, 8, 4)
    return _sized(start + struct.pack("<iII", 6, 4, len(part)) + records.tobytes())


def _table(entries: NDArray) -> bytes:
    # bytes from the length: 12 fields of an entry, 26 fields of the table, 32 table, 40 vector, then the entries
    number = len(entries)
    first = -(-(44 + 4 * number) // 8) * 8
    places = first + _ENTRY.itemsize * np.arange(number)
    entries["fields"] = places - 12
    offsets = (places - (44 + 4 * np.arange(number))).astype("<u4").tobytes()
    start = struct.pack("<I4s", 28, b"FTAB") + struct.pack("<7H", 14, _ENTRY.itemsize, 8, 16, 24, 32, 40)
    start += struct.pack("<3H", 6, 8, 4) + struct.pack("<iII", 6, 4, number) + offsets
    return _sized(start + bytes(first - 4 - len(start)) + entries.tobytes())
