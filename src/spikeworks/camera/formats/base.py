"""What a file format of a spike camera is: how it is recognised, opened without reading it, and written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..layout import Layout
from ..stream import RATE, SpikeStream

HEAD = 8192
"""Bytes from the beginning of a file by which its format is recognised."""

ORDERS = ("THW", "HWT")
"""In which order the axes of an array may be: time, rows, columns, or rows, columns, time."""


@dataclass(frozen=True)
class Told:
    """What the caller says of a recording; ``None``: nothing. See :func:`spikeworks.camera.open`."""

    height: int | None = None
    width: int | None = None
    rate: float | None = None
    flip: bool | None = None
    row: int | None = None
    order: str | None = None
    partial: bool = False
    check: bool = True

    def size(self, path: Path, height: int | None = None, width: int | None = None) -> tuple[int, int]:
        """Height and width: what the file says, which must be what the caller says, if either says it.

        :param height: rows as the file has them; ``None``: it does not tell. :param width: columns.
        :raises ValueError: if they differ, or nobody says it.
        """
        found = (self.agreed(path, "height", height), self.agreed(path, "width", width))
        if found[0] is None or found[1] is None:
            raise ValueError(f"{path} does not tell the size of the sensor; pass height= and width=.")
        return int(found[0]), int(found[1])

    def frequency(self, path: Path, found: float | None = None) -> float:
        """Frames a second, in the same way; :data:`~spikeworks.camera.RATE` where nobody says it."""
        rate = self.agreed(path, "rate", found)
        return RATE if rate is None else float(rate)

    def agreed(self, path: Path, name: str, found: float | None) -> float | None:
        """What the file says of ``name``, or else the caller.

        :raises ValueError: if both say something, and it differs.
        """
        said = getattr(self, name)
        if said is not None and found is not None and said != found:
            raise ValueError(f"{path} has {name}={found:g}, but {name}={said:g} was given; leave it out.")
        return said if found is None else found


@dataclass(frozen=True)
class Format:
    """One format.

    :param name: short, lower case, as users say it. :param suffixes: of files, the usual one first.
    :param recognises: whether the first :data:`HEAD` bytes are of it, and the path where these do not tell. It does not
        open the file.
    :param open: reads what describes the file, no spikes. Takes the path and what the caller says, with which the file
        must agree. Raises ValueError for a file that is truncated, foreign or wrong, or what nobody says.
    :param write: writes a stream to a path, block by block; ``None``: read only. Raises ValueError for what the format
        cannot hold.
    :param options: of ``row``, ``order``, ``partial``: those that mean something here.
    """

    name: str
    suffixes: tuple[str, ...]
    recognises: Callable[[bytes, Path], bool]
    open: Callable[[Path, Told], SpikeStream]
    write: Callable[[Path, SpikeStream], None] | None = None
    options: tuple[str, ...] = ()


def stored(stream: SpikeStream, layout: Layout) -> SpikeStream:
    """The pictures of a block of frames, as another layout stores them; itself where that is its own.

    :param stream: a block: it is unpacked as a whole.
    """
    if stream.window is None and stream.layout == layout:
        return stream
    from ..layout import pack

    return SpikeStream(pack(layout.store(stream.dense(bool))), layout, stream.rate, stream.first)
