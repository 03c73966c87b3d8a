"""What a file format is: how it is recognised, read block by block, and written block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..stream import EventStream

HEAD = 4096
"""Bytes from the beginning of a file by which its format is recognised."""

BLOCK = 1 << 20
"""Events decoded at a time: what bounds memory."""


@dataclass(frozen=True)
class Opened:
    """A file whose header has been read.

    :param width: columns of the sensor. :param height: rows.
    :param blocks: decodes from the beginning, about so many events at a time; each call starts anew. What is wrong in
        the data raises ValueError there, after the blocks in front of it.
    :param about: what else the header tells, for people.
    """

    width: int
    height: int
    blocks: Callable[[int], Iterator[EventStream]]
    about: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Format:
    """One format.

    :param name: short, lower case, as users say it. :param suffixes: of files, the usual one first, for writing.
    :param recognises: whether the first :data:`HEAD` bytes, and the path where these do not tell, are of it. It does
        not open the file.
    :param open: reads the header. Takes the path and the size of the sensor where the caller knows it; what the file
        says must agree. Raises ValueError for a file that is truncated, foreign or wrong, or a size that nobody knows.
    :param write: writes blocks of one sensor, in order of time, to a path as they come; ``None``: read only. Raises
        ValueError for what the format cannot hold (too large a sensor, times below 0), before anything is lost.
    """

    name: str
    suffixes: tuple[str, ...]
    recognises: Callable[[bytes, Path], bool]
    open: Callable[[Path, int | None, int | None], Opened]
    write: Callable[[Path, Iterable[EventStream], int, int], None] | None = None


def sensor(
    owner: str, path: Path, found: tuple[int, int] | None, width: int | None, height: int | None
) -> tuple[int, int]:
    """The size of the sensor: what the file says, which must be what the caller says, if either says it.

    :param owner: the format's name, for messages. :param found: width and height in the file, if they are.
    :raises ValueError: if they differ, or neither says it.
    """
    told = (width, height) if width is not None and height is not None else None
    if (width is None) != (height is None):
        raise ValueError(f"{path} ({owner}) got width={width}, height={height}, expected both or none.")
    if found is not None and told is not None and found != told:
        raise ValueError(
            f"{path} ({owner}) is of a sensor of {found[0]}×{found[1]}, but width={width}, height={height} were given; "
            "leave them out."
        )
    if size := found or told:
        return size
    raise ValueError(f"{path} ({owner}) does not tell the size of the sensor; pass width= and height=.")
