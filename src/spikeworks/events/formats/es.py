"""Event Stream (``.es``), version 2: bytes; each event tells the time since the one before it.

After the words "Event Stream", three bytes of version and one of type come width and height, 16 bits each, then
events of five bytes: time, x, y; bytes of the value 255 in front of one make its time longer. Type 1 (DVS) is read and
written. Of type 2 (ATIS) the changes of brightness are read; the threshold crossings, which measure exposure, are left
out. Rows are counted from the bottom, as the format's own tools have it (the specification does not say), and turned
round here. Types 0 (generic: bytes without a place), 3 (displays) and 4 (colours) hold no changes of brightness and are
refused.

Source: the specification at github.com/neuromorphic-paris/event_stream, version 2.0.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np

from ..stream import EventStream
from .base import Format, Opened, sensor
from .scan import AT, DONE, LIMIT, OWN, STOP, decode, encode

_MAGIC = b"Event Stream"
_HEAD = 20
_TYPES = {0: "generic bytes", 3: "displays", 4: "colours"}


def scan_dvs(state: memoryview, data: memoryview, t: memoryview, x: memoryview, y: memoryview, p: memoryview) -> None:
    """Decode type 1. Own memory: microseconds, the last row."""
    at, n, stop, limit, time = state[AT], state[DONE], state[STOP], state[LIMIT], state[OWN]
    more = 1
    while more and at < stop and n < limit:
        first = data[at]
        if first == 255:
            time += 127
            at += 1
        elif first == 254:  # puts a reader that lost its place back to the beginning of an event, where this one is
            at += 1
        elif at + 5 <= stop:
            time += first >> 1
            t[n] = time
            x[n] = data[at + 1] | (data[at + 2] << 8)
            y[n] = (state[OWN + 1] - (data[at + 3] | (data[at + 4] << 8))) & 65535  # outside the sensor stays outside
            p[n] = first & 1
            n += 1
            at += 5
        else:
            more = 0
    state[AT] = at
    state[DONE] = n
    state[OWN] = time


def scan_atis(state: memoryview, data: memoryview, t: memoryview, x: memoryview, y: memoryview, p: memoryview) -> None:
    """Decode type 2. Own memory: microseconds, the last row."""
    at, n, stop, limit, time = state[AT], state[DONE], state[STOP], state[LIMIT], state[OWN]
    more = 1
    while more and at < stop and n < limit:
        first = data[at]
        if first >> 2 == 63:
            time += 63 * (first & 3)
            at += 1
        elif at + 5 <= stop:
            time += first >> 2
            t[n] = time
            x[n] = data[at + 1] | (data[at + 2] << 8)
            y[n] = (state[OWN + 1] - (data[at + 3] | (data[at + 4] << 8))) & 65535  # outside the sensor stays outside
            p[n] = (first >> 1) & 1
            n += 1 - (first & 1)
            at += 5
        else:
            more = 0
    state[AT] = at
    state[DONE] = n
    state[OWN] = time


def _fill(state: memoryview, t: memoryview, x: memoryview, y: memoryview, p: memoryview, data: memoryview) -> None:
    """Encode type 1. Own memory: microseconds written so far, the last row."""
    at, n, stop, limit, time = state[AT], state[DONE], state[STOP], state[LIMIT], state[OWN]
    while at < stop and n < limit:
        if t[at] - time >= 127:
            data[n] = 255
            time += 127
            n += 1
        else:
            data[n] = ((t[at] - time) << 1) | p[at]
            data[n + 1] = x[at] & 255
            data[n + 2] = x[at] >> 8
            row = state[OWN + 1] - y[at]
            data[n + 3] = row & 255
            data[n + 4] = row >> 8
            time = t[at]
            at += 1
            n += 5
    state[AT] = at
    state[DONE] = n
    state[OWN] = time


def _open(path: Path, width: int | None, height: int | None) -> Opened:
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if len(head) < len(_MAGIC) + 4 or not head.startswith(_MAGIC):
        raise ValueError(f'{path} (es) begins with {head[:16]!r}, expected "Event Stream", a version and a type.')
    major, minor, patch, kind = head[12:16]
    if major != 2:
        raise ValueError(f"{path} (es) is of version {major}.{minor}.{patch}, expected 2; convert it first.")
    if kind not in (1, 2):
        raise ValueError(
            f"{path} (es) holds events of type {kind} ({_TYPES.get(kind, 'unknown')}), expected 1 (DVS) or 2 (ATIS): "
            "others are no changes of brightness."
        )
    if len(head) < _HEAD:
        raise ValueError(f"{path} (es) ends within its header, expected {_HEAD} bytes; copy it again.")
    found = int.from_bytes(head[16:18], "little"), int.from_bytes(head[18:20], "little")
    if 0 in found:
        raise ValueError(f"{path} (es) says a sensor of {found[0]}×{found[1]}, expected at least 1×1.")
    size = sensor("es", path, found, width, height)
    about = {"version": f"{major}.{minor}.{patch}", "type": "DVS" if kind == 1 else "ATIS"}
    if kind == 2:
        about["left out"] = "threshold crossings"
    loop = scan_dvs if kind == 1 else scan_atis
    return Opened(*size, partial(decode, "es", path, _HEAD, np.uint8, loop, (0, size[1] - 1), size), about)


def _write(path: Path, blocks: Iterable[EventStream], width: int, height: int) -> None:
    sides = width.to_bytes(2, "little") + height.to_bytes(2, "little")
    encode("es", path, _MAGIC + bytes((2, 0, 0, 1)) + sides, blocks, np.uint8, _fill, (0, height - 1), 1 << 36)


ES = Format("es", (".es",), lambda head, path: head.startswith(_MAGIC), _open, _write)
"""Event Stream; writes DVS events, times below 2³⁶ microseconds (19 h): it spends a byte on every 127 of them."""
