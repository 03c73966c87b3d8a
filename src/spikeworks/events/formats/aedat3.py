"""AEDAT 3.1, what cAER writes and DVS128 Gesture is given out in: a text header, then packets of events of one kind.

A packet has a header of 28 bytes, all little-endian: kind and source (16 bits each), bytes of an event, where in it the
time is, how often the time overflowed, how many events the packet has room for, how many it has, how many of these are
valid (32 bits each). Polarity events (kind 1) are 8 bytes: bit 0 valid, bit 1 brighter, bits 2–16 row from the top,
bits 17–31 column from the left, then 31 bits of microseconds; time is overflows · 2³¹ + that. Invalid events and
packets of other kinds are skipped.

The header names the sensor but not its size; this room writes a line ``#Sensor size: 320x240`` besides, which other
readers pass over. The format has no length: a file that is cut between two packets cannot be told from a whole one.

Source: iniVation, *AEDAT file formats*, 3.1.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..stream import EventStream
from .aedat import chip, gathered, header, made
from .base import BLOCK, Format, Opened, sensor

END = "!END-HEADER"
POLARITY = 1
PACKET = struct.Struct("<hhiiiiii")
_FILE = np.dtype([("word", "<u4"), ("time", "<i4")])
_RECORD = np.dtype([("t", np.int64), ("word", np.uint32)])
_WRITTEN = {
    (128, 128): "DVS128",
    (208, 192): "DAVIS208",
    (240, 180): "DAVIS240C",
    (346, 260): "DAVIS346",
    (640, 480): "DAVIS640",
}
_MOST = 1 << 12  # events in a packet that is written, as cAER has them


def _recognises(head: bytes, path: Path) -> bool:
    return head.startswith(b"#!AER-DAT3.")


def _open(path: Path, width: int | None, height: int | None) -> Opened:
    with path.open("rb") as file:
        lines, ended = header(file, path, END)
        begin = file.tell()
    if not lines or lines[0] != "!AER-DAT3.1":
        raise ValueError(f"{path} (aedat3) is of version {lines[0][8:] if lines else '?'}, expected 3.1; convert it.")
    if not ended:
        raise ValueError(f"{path} (aedat3) has no line #{END}, expected one after the header; copy it again.")
    told = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines[1:])}
    if told.get("Format") != "RAW":
        raise ValueError(f"{path} (aedat3) is of the format {told.get('Format')}, expected RAW; record it so.")
    sources = [value for key, value in told.items() if re.fullmatch(r"Source \d+", key)]
    found = [(known[1], known[2]) for name in sources if (known := chip(name)) is not None]
    if size := re.fullmatch(r"(\d{1,5})x(\d{1,5})", told.get("Sensor size", "")):
        found.append((int(size[1]), int(size[2])))
    if len(set(found)) > 1:
        raise ValueError(f"{path} (aedat3) is of the sensors {', '.join(sources)}, expected one; split the recording.")
    columns, rows = sensor("aedat3", path, found[0] if found else None, width, height)
    about = {"sensor": ", ".join(sources)} | {key: told[key] for key in ("Start-Time",) if key in told}
    return Opened(columns, rows, partial(_blocks, path, begin, columns, rows), about)


def _blocks(path: Path, begin: int, width: int, height: int, count: int) -> Iterator[EventStream]:
    for records in gathered(_records(path, begin), count):
        word = records["word"]
        valid = word & 1 != 0
        if not valid.all():
            records, word = records[valid], word[valid]
        x, y, p = word >> 17, word >> 2 & 0x7FFF, word >> 1 & 1
        yield made(path, records["t"].copy(), x, y, p, width, height)


def _records(path: Path, begin: int) -> Iterator[NDArray]:
    """Time and word of the polarity events, packet by packet, at most ``BLOCK`` at a time."""
    end = path.stat().st_size
    camera = None
    with path.open("rb") as file:
        place = begin
        while place < end:
            file.seek(place)
            head = file.read(PACKET.size)
            if len(head) < PACKET.size:
                raise ValueError(f"{path} ends within a packet's header, at byte {end}; copy it again.")
            kind, source, size, offset, overflows, room, number, valid = PACKET.unpack(head)
            fault = f"{path} is damaged at byte {place}: a packet"
            if kind < 0 or size < 1 or overflows < 0 or not 0 <= valid <= number <= room:
                raise ValueError(
                    f"{fault} of kind {kind} with {number} events of {size} bytes, {valid} valid, room for {room}."
                )
            place += PACKET.size + size * room
            if place > end:
                raise ValueError(f"{fault} goes on for {place - end} bytes after the end of the file; copy it again.")
            if kind != POLARITY:
                continue
            if (size, offset) != (8, 4):
                raise ValueError(f"{fault} has events of {size} bytes with time at {offset}, expected 8 and 4.")
            if camera not in (None, source):
                raise ValueError(f"{path} has events of the sources {camera} and {source}, expected one; split it.")
            camera = source
            for first in range(0, number, BLOCK):
                part = np.frombuffer(file.read(8 * min(BLOCK, number - first)), _FILE)
                if len(part) and int(part["time"].min()) < 0:
                    raise ValueError(f"{fault} has a time below 0, expected 31 bits without a sign; copy it again.")
                records = np.empty(len(part), _RECORD)
                records["t"] = part["time"]
                records["word"] = part["word"]
                if overflows:
                    records["t"] += overflows << 31
                yield records


def _write(path: Path, blocks: Iterable[EventStream], width: int, height: int) -> None:
    if max(width, height) > 1 << 15:
        raise ValueError(f"aedat3 got a sensor of {width}×{height}, expected at most 32768 either way; crop it.")
    lines = (
        "!AER-DAT3.1", "Format: RAW", f"Source 1: {_WRITTEN.get((width, height), 'File')}",
        "Start-Time: 1970-01-01 00:00:00 (TZ+0000)", f"Sensor size: {width}x{height}", END,
    )  # fmt: skip
    with path.open("wb") as file:
        file.write("".join(f"#{line}\r\n" for line in lines).encode())
        for block in blocks:
            if len(block) and not (int(block.t[0]) >= 0 and int(block.t[-1]) < 1 << 62):
                raise ValueError(f"aedat3 got times from {block.t[0]} to {block.t[-1]}, expected 0 to 2⁶² − 1.")
            overflows = block.t >> 31
            edges = {0, len(block), *range(0, len(block), _MOST), *(np.flatnonzero(np.diff(overflows)) + 1).tolist()}
            for first, last in pairwise(sorted(edges)):
                part, n = block[first:last], last - first
                records = np.empty(n, _FILE)
                x, y, p = (column.astype(np.uint32) for column in (part.x, part.y, part.p))
                records["word"] = x << 17 | y << 2 | p << 1 | 1
                records["time"] = part.t & 0x7FFF_FFFF
                file.write(PACKET.pack(POLARITY, 1, 8, 4, int(overflows[first]), n, n, n) + records.tobytes())


AEDAT3 = Format("aedat3", (".aedat", ".aedat3"), _recognises, _open, _write)
