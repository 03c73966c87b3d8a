"""AEDAT 2.0, what jAER writes: a text header, then a big-endian 32-bit address and 32-bit microseconds for each event.

What an address means depends on the sensor, which the header's ``AEChip`` line names:

- DVS128: bits 1–7 column, 8–14 row, bit 0 clear: brighter. Bit 15 or 31 marks a signal that is not a pixel's.
- DAVIS: bits 12–21 column, 22–30 row, bit 11 set: brighter. Bit 10 marks an external signal, bit 31 a sample of a
  frame or of the inertial unit.

Both count columns from the right and rows from the bottom, as jAER's extractors (``DVS128``, ``DavisBaseCamera``) read
them; here columns count from the left and rows from the top. iniVation's page on AEDAT 1.0 says of the DVS128 that a
bit set is brighter; jAER, which draws these files, and recordings say that it is darker.

Time is modulo 2³² µs (71.6 minutes). From one record to the next it is taken to have moved by the difference between
−2³¹ and 2³¹ − 1: a wrap is unwound, a step backwards is kept, so that the stream is not in order
(:attr:`~spikeworks.events.EventStream.ordered`). A clock set to 0 after more than 2³¹ µs looks like a wrap.

The format has no length: a file that is cut between two events cannot be told from a whole one.

Source: iniVation, *AEDAT file formats*, 2.0; jAER.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..stream import EventStream
from .aedat import chip, header, made
from .base import Format, Opened, sensor

END = "End Of ASCII Header"
_WRITTEN = {
    (128, 128): "ch.unizh.ini.jaer.chip.retina.DVS128",
    (208, 192): "eu.seebetter.ini.chips.davis.Davis208PixelParade",
    (240, 180): "eu.seebetter.ini.chips.davis.DAVIS240C",
    (346, 260): "eu.seebetter.ini.chips.davis.Davis346blue",
    (640, 480): "eu.seebetter.ini.chips.davis.Davis640",
}


def _recognises(head: bytes, path: Path) -> bool:
    return head.startswith(b"#!AER-DAT2.")


def _open(path: Path, width: int | None, height: int | None) -> Opened:
    with path.open("rb") as file:
        lines, _ = header(file, path, END)
        begin = file.tell()
    name = next((line.partition(":")[2].strip() for line in lines if line.lstrip().startswith("AEChip:")), None)
    if name is None:
        size = sensor("aedat2", path, None, width, height)
        name = _WRITTEN.get(size)
        if name is None:
            raise ValueError(
                f"{path} (aedat2) does not name its sensor, and {size[0]}×{size[1]} is of none known here, expected "
                f"one of {', '.join(f'{w}×{h}' for w, h in _WRITTEN)}."
            )
    known = chip(name)
    if known is None:
        raise ValueError(f"{path} (aedat2) is of the sensor {name}, expected a DVS128 or a DAVIS; convert it in jAER.")
    family, *found = known
    columns, rows = sensor("aedat2", path, (found[0], found[1]), width, height)
    told = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    about = {"sensor": name} | {key: told[key] for key in ("Creation date", "HardwareInterface") if key in told}
    return Opened(columns, rows, partial(_blocks, path, begin, family, columns, rows), about)


def _blocks(path: Path, begin: int, family: str, width: int, height: int, count: int) -> Iterator[EventStream]:
    last, last_t = None, 0
    count = min(count, path.stat().st_size // 8 + 1)
    with path.open("rb") as file:
        file.seek(begin)
        while data := file.read(count * 8):
            number = len(data) // 8
            records = np.frombuffer(data, ">u4", number * 2).astype(np.uint32).reshape(-1, 2)
            if number:
                address, time = records[:, 0], records[:, 1]
                start = time[0] if last is None else last
                last_t = int(start) if last is None else last_t
                t = last_t + np.cumsum(np.diff(time, prepend=start).view(np.int32), dtype=np.int64)
                last, last_t = time[-1], int(t[-1])
                yield _decoded(path, address, t, family, width, height)
            if len(data) % 8:
                raise ValueError(
                    f"{path} ends {len(data) % 8} bytes into an event of 8, expected whole events; copy it again."
                )


def _decoded(path: Path, address: NDArray, t: NDArray, family: str, width: int, height: int) -> EventStream:
    if family == "dvs":
        kept = address & 0x8000_8000 == 0
        if (address[kept] > 0x7FFF).any():
            worst = int(address[kept].max())
            raise ValueError(f"{path} has the address {worst:#x}, expected those of a DVS128; it is of another sensor.")
        shift_x, mask_x, shift_y, mask_y, brighter = 1, 127, 8, 127, address & 1 == 0
    else:
        kept = address & 0x8000_0400 == 0
        shift_x, mask_x, shift_y, mask_y, brighter = 12, 1023, 22, 511, address & 0x800 != 0
    x = width - 1 - (address >> shift_x & mask_x).astype(np.int32)
    y = height - 1 - (address >> shift_y & mask_y).astype(np.int32)
    if kept.all():
        return made(path, t, x, y, brighter, width, height)
    return made(path, t[kept], x[kept], y[kept], brighter[kept], width, height)


def _write(path: Path, blocks: Iterable[EventStream], width: int, height: int) -> None:
    name = _WRITTEN.get((width, height))
    if name is None:
        raise ValueError(
            f"aedat2 got a sensor of {width}×{height}, expected {', '.join(f'{w}×{h}' for w, h in _WRITTEN)}; crop it, "
            "or write aedat4."
        )
    lines = ("!AER-DAT2.0", " Timestamps tick: 1 us", f" AEChip: {name}", END)
    last: int | None = None
    with path.open("wb") as file:
        file.write("".join(f"#{line}\r\n" for line in lines).encode())
        for block in blocks:
            if not len(block):
                continue
            first = int(block.t[0])
            if last is None and not 0 <= first < 1 << 32:
                raise ValueError(f"aedat2 got a first event at {first} µs, expected 0 to 2³² − 1; shift the stream.")
            gap = int(np.diff(block.t, prepend=first if last is None else last).max())
            if gap >= 1 << 31:
                raise ValueError(f"aedat2 got {gap} µs without an event, expected less than 2³¹; write aedat4.")
            last = int(block.t[-1])
            x, y = (np.uint32(width - 1) - block.x), (np.uint32(height - 1) - block.y)
            p = block.p.astype(np.uint32)
            records = np.empty((len(block), 2), ">u4")
            records[:, 0] = y << 8 | x << 1 | 1 - p if width == 128 else y << 22 | x << 12 | p << 11
            records[:, 1] = block.t & 0xFFFF_FFFF
            file.write(records.tobytes())


AEDAT2 = Format("aedat2", (".aedat2", ".aedat"), _recognises, _open, _write)
