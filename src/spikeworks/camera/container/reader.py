"""A container as frames: chunks are read where they are asked for, checked, and a few of them kept."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..stream import SpikeStream
from . import chunk, header, index

KEPT = 4
"""Decompressed chunks that are kept."""


class Container:
    """The frames of a container, or of one part of it, where frames are missing in between; opening reads the index.

    :param path: the file. :param part: which stretch without a gap, of :attr:`parts`; ``None``: the only one.
    :raises ValueError: for a file that is absent, no container, or has a damaged header; for a part that is not there,
        or none where there are several.

    A file without its index, because the recorder was killed, is read as far as it is whole; a warning says so.
    """

    def __init__(self, path: str | Path, part: int | None = None) -> None:
        self.path = Path(path)
        self.header, self.table = _open(self.path)
        entries, bounds = self.table.entries, _bounds(self.table.entries)
        self.parts = _parts(entries)
        if not self.table.closed:
            warnings.warn(
                f"{self.path} was not closed, or is damaged: {sum(map(len, self.parts)):,} frames of it are whole; "
                "camera.check tells more.",
                stacklevel=3,
            )
        if part is None and len(self.parts) > 1:
            said = ", ".join(f"{p.start}:{p.stop}" for p in self.parts[:5]) + ", …" * (len(self.parts) > 5)
            raise ValueError(
                f"{self.path} has {len(self.parts)} parts with missing frames in between ({said}), expected one; "
                "pass part=0 for the first."
            )
        if part is not None and not 0 <= part < max(1, len(self.parts)):
            raise ValueError(f"{self.path} got part={part}, expected 0 to {max(0, len(self.parts) - 1)}.")
        part = part or 0
        self._entries = entries[bounds[part] : bounds[part + 1]]
        self.first = self.parts[part].start if self.parts else self.header.first
        self._stops = np.cumsum(self._entries["frames"], dtype=np.int64)
        self._recent: list[tuple[int, NDArray[np.uint8]]] = []  # replaced, never changed: threads may read along

    def __len__(self) -> int:
        return int(self._stops[-1]) if len(self._stops) else 0

    def __getitem__(self, frames: slice, /) -> NDArray[np.uint8]:
        """Those frames, ``[n, bytes of a frame]``, not to be written to.

        :raises ValueError: if one of the chunks they are in is damaged; it names it.
        """
        start, stop, step = frames.indices(len(self))
        if step != 1:
            raise ValueError(f"{self.path} got the index {frames}, expected start:stop without a step.")
        if start >= stop:
            return np.empty((0, self.header.layout.size), np.uint8)
        a, b = (int(k) for k in np.searchsorted(self._stops, [start, stop - 1], "right"))
        begin = int(self._stops[a] - self._entries["frames"][a])
        if a == b:
            return self._chunk(a)[start - begin : stop - begin]
        found = np.empty((stop - start, self.header.layout.size), np.uint8)
        at = begin - start
        for k in range(a, b + 1):
            part = self._chunk(k)
            low = max(0, -at)
            some = part[low : low + stop - start - max(0, at)]
            found[max(0, at) : max(0, at) + len(some)] = some
            at += len(part)
        return found

    def _chunk(self, k: int) -> NDArray[np.uint8]:
        for number, packed in (recent := self._recent):
            if number == k:
                return packed
        packed = load(self.path, self.header, self._entries[k])
        self._recent = [(k, packed), *recent[: KEPT - 1]]
        return packed


def load(path: Path, about: header.Header, entry: Any) -> NDArray[np.uint8]:
    """The frames of one chunk.

    :raises ValueError: if it is damaged; it names the chunk and its frames.
    """
    offset, first, frames, number = (int(entry[name]) for name in ("offset", "first", "frames", "number"))
    size = about.layout.size
    try:
        with path.open("rb") as file:
            file.seek(offset)
            head = chunk.head(file.read(chunk.HEAD.size), size, about.chunk)
            if head is None or (head.first, head.frames, head.number) != (first, frames, number):
                raise ValueError("its head is damaged")
            here, end = file.tell(), file.seek(0, 2)
            file.seek(here)
            return chunk.decode(head, file.read(min(head.stored, end - here)), size)
    except ValueError as error:
        raise ValueError(
            f"{path} is damaged in chunk {number}, frames {first} to {first + frames - 1}: {error}; the others can be "
            "read, camera.check lists the bad ones."
        ) from error


def _bounds(entries: NDArray[Any]) -> list[int]:
    """Which chunks a part begins with, and how many there are in all."""
    stops = entries["first"] + entries["frames"]
    cuts = np.flatnonzero(entries["first"][1:] != stops[:-1]) + 1
    return [0, *cuts.tolist(), len(entries)] if len(entries) else [0, 0]


def _parts(entries: NDArray[Any]) -> tuple[range, ...]:
    bounds = _bounds(entries) if len(entries) else []
    return tuple(
        range(int(entries["first"][a]), int(entries["first"][b - 1]) + int(entries["frames"][b - 1]))
        for a, b in pairwise(bounds)
    )


def _open(path: Path) -> tuple[header.Header, index.Table]:
    if not path.is_file():
        raise ValueError(f"{path} is not a file, expected a recording of a spike camera; check the path.")
    with path.open("rb") as file:
        about, start = header.read(file.read(header.LONGEST), str(path))
        return about, index.find(file, about, start)


def is_container(begin: bytes) -> bool:
    """Whether these are the first bytes of a container; 8 are enough."""
    return begin[: len(header.MAGIC)] == header.MAGIC


def open_container(path: str | Path, part: int | None = None) -> SpikeStream:
    """A recording in a container (``.spikes``); chunks are read where they are looked at.

    Its frames are counted as they were when it was recorded: :attr:`.SpikeStream.first`.

    :param part: where frames are missing, which stretch without a gap; see :attr:`Container.parts`.
    :raises ValueError: see :class:`Container`.
    """
    frames = Container(path, part)
    return SpikeStream(frames, frames.header.layout, frames.header.rate, frames.first)


@dataclass(frozen=True)
class Checked:
    """What a container holds, every chunk of it read.

    :param frames: that are whole. :param chunks: in the file. :param bad: what is wrong, a sentence for each damaged
        chunk. :param parts: frames in a row, without those missing in between. :param closed: the recorder closed it,
        and its index is whole. :param spare: bytes behind the last chunk that belong to nothing. :param ratio: bytes of
        packed frames over bytes of the file.
    """

    header: header.Header
    frames: int
    chunks: int
    bad: tuple[str, ...]
    parts: tuple[range, ...]
    closed: bool
    spare: int
    ratio: float

    @property
    def sound(self) -> bool:
        """Nothing is wrong."""
        return self.closed and not self.bad


def check(path: str | Path) -> Checked:
    """Read every chunk of a container, one at a time, and say which are damaged.

    :raises ValueError: for a file that is absent, no container, or has a damaged header.
    """
    path = Path(path)
    about, table = _open(path)
    bad, whole, due = [], 0, 0
    for entry in table.entries:
        if lost := int(entry["number"]) - due:
            bad.append(f"the heads of {lost} chunks from {due} on are damaged: their frames are missing")
        due = int(entry["number"]) + 1
        try:
            whole += len(load(path, about, entry))
        except ValueError as error:
            bad.append(str(error).rpartition(";")[0])
    size = path.stat().st_size
    return Checked(
        about, whole, len(table.entries), tuple(bad), _parts(table.entries), table.closed, size - table.stop,
        whole * about.layout.size / size,
    )  # fmt: skip
