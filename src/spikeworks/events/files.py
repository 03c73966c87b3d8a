"""Any event file, by what is in it and not by what it is called: opened lazily, read, written, converted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..disk import whole
from .formats import ALL
from .formats.base import BLOCK, HEAD, Format, Opened
from .stream import EventStream, concatenate, empty


@dataclass(frozen=True)
class EventFile:
    """An event file whose events have not been read: iterating decodes them, in bounded memory.

    :param path: where it is. :param format: its format's name. :param width: columns of the sensor.
    :param height: rows.
    :param about: what else the header tells.
    """

    path: Path
    format: str
    width: int
    height: int
    about: dict[str, str]
    _opened: Opened

    def blocks(self, count: int = BLOCK) -> Iterator[EventStream]:
        """The events in the order of the file, about ``count`` at a time.

        :raises ValueError: for data that is truncated or wrong, after the blocks in front of it.
        """
        if count < 1:
            raise ValueError(f"blocks got count={count}, expected at least 1.")
        return self._opened.blocks(count)

    def read(self) -> EventStream:
        """All events.

        :raises ValueError: for data that is truncated or wrong.
        """
        blocks = list(self.blocks())
        return concatenate(blocks) if blocks else empty(self.width, self.height)

    def groups(self, count: int) -> Iterator[EventStream]:
        """One stream after another of so many events; the last has what is left. Memory holds a group and a block."""
        if count < 1:
            raise ValueError(f"groups got count={count}, expected at least 1.")
        waiting = empty(self.width, self.height)
        for block in self.blocks():
            waiting = concatenate([waiting, block]) if len(waiting) else block
            whole_groups = len(waiting) // count * count
            yield from waiting[:whole_groups].groups(count)
            waiting = waiting[whole_groups:]
        if len(waiting):
            yield waiting

    def windows(self, duration: int, start: int | None = None) -> Iterator[EventStream]:
        """One stream after another of so many microseconds, empty ones included. Memory holds one window and one block.

        :param start: where the first begins; default: at the first event; events before it are left out.
        :raises ValueError: for a duration below 1, or events that are not in order.
        """
        if duration < 1:
            raise ValueError(f"windows got duration={duration}, expected at least 1 microsecond.")
        waiting, begin = empty(self.width, self.height), start
        for block in self.blocks():
            if not len(block):
                continue
            begin = int(block.t[0]) if begin is None else begin
            waiting = concatenate([waiting, block]) if len(waiting) else block
            waiting.needs_order(f"windows of {self.path}")
            last = int(waiting.t[-1])
            while begin + duration <= last:  # the last one may go on in the next block
                yield waiting.between(begin, begin + duration)
                begin += duration
            waiting = waiting.between(begin, last + 1)
        if len(waiting) and begin is not None:
            yield waiting.between(begin, begin + duration)


def open(path: str | Path, width: int | None = None, height: int | None = None, format: str | None = None) -> EventFile:
    """Open an event file of any format in :data:`~spikeworks.events.formats.ALL`, known by its first bytes.

    :param width: columns of the sensor, where the file does not tell; must agree where it does. :param height: rows.
    :param format: the format's name, for files that nothing tells.
    :raises ValueError: for a file that is absent, empty, of no known format, or whose header is wrong.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path} is not a file, expected an event file; check the path.")
    with path.open("rb") as file:
        head = file.read(HEAD)
    if not head:
        raise ValueError(f"{path} is empty, expected an event file; copy it again.")
    found = _named(format) if format is not None else _recognised(head, path)
    opened = found.open(path, width, height)
    return EventFile(path, found.name, opened.width, opened.height, opened.about, opened)


def read(
    path: str | Path, width: int | None = None, height: int | None = None, format: str | None = None
) -> EventStream:
    """All events of a file; see :func:`open`."""
    return open(path, width, height, format).read()


def write(path: str | Path, events: EventStream | Iterable[EventStream], format: str | None = None) -> None:
    """Write events to a file, whole or not at all.

    :param events: one stream, or blocks of one sensor in the order of time, which are written as they come.
    :param format: its name; default: by the suffix of ``path``.
    :raises ValueError: for a format that cannot be written, or what it cannot hold; the file is left as it was.
    """
    path = Path(path)
    chosen = _by_suffix(path) if format is None else _named(format)
    if chosen.write is None:
        can = ", ".join(f.name for f in ALL if f.write is not None)
        raise ValueError(f"write got the format {chosen.name}, which is only read, expected one of {can}.")
    blocks = iter([events] if isinstance(events, EventStream) else events)
    first = next(blocks, None)
    if first is None:
        raise ValueError("write got no blocks, expected at least one, which may be empty: it tells the sensor's size.")
    with whole(path) as temporary:
        chosen.write(temporary, _in_order(first, blocks), first.width, first.height)


def _in_order(first: EventStream, more: Iterator[EventStream]) -> Iterator[EventStream]:
    end = None
    for block in (iter([first]), more):
        for stream in block:
            if (stream.width, stream.height) != (first.width, first.height):
                raise ValueError(
                    f"write got blocks of {first.width}×{first.height} and {stream.width}×{stream.height}, expected "
                    "one sensor; crop or resize them."
                )
            stream.needs_order("write")
            if len(stream):
                if end is not None and int(stream.t[0]) < end:
                    raise ValueError("write got a block that begins before the one in front ends; sort them first.")
                end = int(stream.t[-1])
            yield stream


def _named(name: str) -> Format:
    found = next((f for f in ALL if f.name == name), None)
    if found is None:
        raise ValueError(f"format got {name!r}, expected one of {', '.join(f.name for f in ALL)}.")
    return found


def _by_suffix(path: Path) -> Format:
    found = next((f for f in ALL if path.name.endswith(f.suffixes) and f.write is not None), None)
    if found is None:
        known = ", ".join(f"{f.suffixes[0]} ({f.name})" for f in ALL if f.write is not None)
        raise ValueError(f"write got {path.name}, whose suffix says no format, expected {known}; or pass format=.")
    return found


def _recognised(head: bytes, path: Path) -> Format:
    found = next((f for f in ALL if f.recognises(head, path)), None)
    if found is None:
        raise ValueError(
            f"{path} begins with {head[:16]!r}, which is no format known here, expected one of "
            f"{', '.join(f.name for f in ALL)}; name it by format= if you know it."
        )
    return found
