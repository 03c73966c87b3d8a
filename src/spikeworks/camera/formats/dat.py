"""Packed frames and nothing else: ``.dat``, plain or with the 16 cells behind each row that the USB camera adds.

Nothing in such a file tells its size, rate or which row comes first. Where the size that is told does not fit the data,
the file is refused, and the likelier size named.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from ..guess import check, guess, sentence
from ..layout import HEADED as EXTRA
from ..layout import Layout, headed
from ..stream import BLOCK, SpikeStream
from .base import Format, Told, stored

SUFFIXES = (".dat", ".raw", ".bin")

FOREIGN = {
    b"% Date": "events of Prophesee", b"% Data": "events of Prophesee", b"% evt": "events of Prophesee",
    b"#!AER-DAT": "events in AEDAT", b"Event Stream": "events", b"\x89PNG\r\n": "a picture",
    b"RIFF": "a video or sound", b"MATLAB 5": "MATLAB", b"\x1f\x8b\x08": "packed by gzip",
}  # fmt: skip
"""How other files begin that are called so, too."""


def _open(path: Path, told: Told) -> SpikeStream:
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(16)
    if foreign := next((name for magic, name in FOREIGN.items() if head.startswith(magic)), None):
        raise ValueError(
            f"{path} begins with {head[:12]!r}, it is {foreign}, expected packed frames of a spike camera."
        )
    if told.height is None or told.width is None:
        raise ValueError(
            f"{path} does not tell the size of the sensor; pass height= and width=.{sentence(guess(path))}"
        )
    layout = Layout(told.width, told.height, told.flip is not False, told.row)
    count, rest = divmod(size, layout.size)
    if not count or (rest and not told.partial):
        likely = [g for g in guess(path, told.flip is not False) if g.score >= 0.3 and g.layout.size != layout.size]
        how = f"; partial=True reads the {count:,} and leaves the rest" if count else ""
        raise ValueError(
            f"{path} has {size:,} bytes, expected a whole number of frames of {layout.size:,} bytes ({told.height} "
            f"rows of {layout.columns} cells), but they are {count:,} and {rest:,} bytes: the size is another, or the "
            f"file is cut off{how}.{sentence(likely)}"
        )
    data = np.memmap(path, np.uint8, "r", shape=(count, layout.size))
    if told.check and (likelier := check(data.reshape(-1), layout)) is not None:
        row = f", row={likelier.row}" if likelier.row else ""
        raise ValueError(
            f"{path} got height={told.height}, width={told.width}, but its spikes repeat and neighbour as those of "
            f"height={likelier.height}, width={likelier.width}{row} do; pass these, or check=False if you know better."
        )
    return SpikeStream(data, layout, told.frequency(path))


def _open_headed(path: Path, told: Told) -> SpikeStream:
    if told.width is None:
        return _open(path, told)
    if told.row not in (None, told.width + EXTRA):
        raise ValueError(f"{path} (headed) got row={told.row}, expected {told.width + EXTRA}, or none.")
    return _open(path, replace(told, row=told.width + EXTRA))


def _write(path: Path, stream: SpikeStream) -> None:
    _pour(path, stream, Layout(stream.width, stream.height))


def _write_headed(path: Path, stream: SpikeStream) -> None:
    _pour(path, stream, headed(stream.width, stream.height))


def _pour(path: Path, stream: SpikeStream, layout: Layout) -> None:
    with path.open("wb") as file:
        for block in stream.blocks(BLOCK):
            file.write(np.ascontiguousarray(stored(block, layout).packed()).data)


DAT = Format("dat", SUFFIXES, lambda head, path: path.suffix.lower() in SUFFIXES, _open, _write, ("row", "partial"))
"""Packed frames without a header; written as cameras do, the lowest row first and no cells but pixels."""

HEADED = Format("headed", (), lambda head, path: False, _open_headed, _write_headed, ("row", "partial"))
"""The same with 16 cells behind each row; nothing tells it from :data:`DAT`, it has to be named."""
