"""ASL-DVS: a MATLAB file for each recording, with the columns ``ts`` (microseconds), ``x``, ``y`` and ``pol``.

Names of the columns and the sensor of 240×180 are those of public readers of the data set. All of them count y from
below, and so does this one. Whether x is counted from the right is told in two ways (SpikingJelly turns it, Tonic does
not); it is turned here, as a camera would have it that hangs upside down.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from numpy.typing import NDArray

from ..stream import EventStream
from .base import Format, Opened, sensor
from .columns import Decoder, whole_numbers
from .matlab import columns, known

NAME = "asl_dvs"
COLUMNS = ("ts", "x", "y", "pol")


def _blocks(path: Path, four: list[NDArray], width: int, height: int, count: int) -> Iterator[EventStream]:
    t, x, y, p = four
    decoder = Decoder(NAME, path, width, height)
    for i in range(0, len(t), count):
        part = slice(i, i + count)
        yield decoder.stream(t[part], width - 1 - x[part], height - 1 - y[part], p[part])


def _open(path: Path, width: int | None, height: int | None) -> Opened:
    try:
        found = columns(path, COLUMNS)
        if missing := [name for name in COLUMNS if name not in found]:
            raise ValueError(f"it has no numbers {', '.join(missing)}, expected {', '.join(COLUMNS)}.")
        four = [whole_numbers(name, found[name]) for name in COLUMNS]
        if len({len(column) for column in four}) != 1:
            raise ValueError(f"{', '.join(COLUMNS)} have {[len(c) for c in four]} numbers, expected as many of each.")
    except ValueError as error:
        raise ValueError(f"{path} ({NAME}) is not as expected: {error}") from None
    size = sensor(NAME, path, None, width, height)
    return Opened(*size, partial(_blocks, path, four, *size), {"events": f"{len(four[0]):,}"})


ASL_DVS = Format(NAME, (".mat",), lambda head, path: known(head), _open)
"""Recordings of ASL-DVS; only read."""
