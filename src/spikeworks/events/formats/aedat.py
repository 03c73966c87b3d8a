"""What the AEDAT formats have in common: header lines, names of sensors, records gathered into blocks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..stream import EventStream

LONGEST = 1 << 24
"""Bytes of header that are read at most; the preferences that jAER puts there are well below."""

SIZES = {128: (128, 128), 208: (208, 192), 240: (240, 180), 346: (346, 260), 640: (640, 480)}
"""The number in a sensor's name → its columns and rows."""

_CHIP = re.compile(r"(?:.*\.)?(?:(tmpdiff|dvs)128|davis?(?:het)?(128|208|240|346|640)[a-z]*)", re.IGNORECASE)


def chip(name: str) -> tuple[str, int, int] | None:
    """Family (``dvs`` or ``davis``), columns and rows of a sensor by its name, as jAER and cAER write it.

    :param name: such as ``DVS128``, ``DAVIS240C`` or ``eu.seebetter.ini.chips.davis.Davis346red``.
    :return: ``None`` for a name that is not known here.
    """
    found = _CHIP.fullmatch(name.strip())
    if found is None:
        return None
    family, number = ("dvs", 128) if found[1] else ("davis", int(found[2]))
    return family, *SIZES[number]


def header(file: BinaryIO, path: Path, end: str) -> tuple[list[str], bool]:
    """The lines in front of the data, without ``#`` and line end; ``file`` is then where the data begins.

    A line of the header begins with ``#``, holds text, and ends. What begins with ``#`` and is no text is data.

    :param end: the last line, in any case and spacing.
    :return: the lines, and whether the last line was there.
    :raises ValueError: for a header that ends within a line or never.
    """
    lines: list[str] = []
    while file.tell() < LONGEST:
        begin = file.tell()
        line = file.readline(LONGEST)
        if not line.startswith(b"#") or any(byte < 32 and byte not in b"\t\r\n" for byte in line):
            file.seek(begin)
            return lines, False
        if not line.endswith(b"\n"):
            raise ValueError(f"{path} ends within its header, at byte {begin + len(line)}; copy it again.")
        lines.append(line[1:].decode(errors="replace").strip())
        if lines[-1].replace(" ", "").lower() == end.replace(" ", "").lower():
            return lines[:-1], True
    raise ValueError(f"{path} has a header of more than {LONGEST >> 20} MiB, expected data after it; copy it again.")


def gathered(pieces: Iterator[NDArray], count: int) -> Iterator[NDArray]:
    """Records that come in pieces of any size, so many at a time; the last has what is left.

    Where the pieces end with an error, what came before it comes first.
    """
    waiting: list[NDArray] = []
    number = 0
    try:
        for piece in pieces:
            waiting.append(piece)
            number += len(piece)
            if number >= count:
                joined = np.concatenate(waiting) if len(waiting) > 1 else piece
                for begin in range(0, number - count + 1, count):
                    yield joined[begin : begin + count]
                number %= count
                waiting = [joined[len(joined) - number :]] if number else []
    except ValueError:
        if number:
            yield np.concatenate(waiting)
        raise
    if number:
        yield np.concatenate(waiting)


def made(path: Path, t: ArrayLike, x: ArrayLike, y: ArrayLike, p: ArrayLike, width: int, height: int) -> EventStream:
    """A stream of columns from a file.

    :raises ValueError: for events outside the sensor, with the file's name.
    """
    try:
        return EventStream(t, x, y, p, width, height)
    except ValueError as error:
        raise ValueError(f"{path} is damaged or of another sensor: {error}") from error
