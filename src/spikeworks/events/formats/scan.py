"""Files whose words mean what the words before them say: read and written by a loop that remembers.

The loop's first array is its memory (int64): how far it is in the input, how much it has put out, where the input ends,
how much it may put out, and 1 + the place of a word that is wrong; from :data:`OWN` on it is the format's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from ..loops import run
from ..stream import EventStream

AT, DONE, STOP, LIMIT, FAULT = range(5)
OWN = 5
"""Where a format's own memory begins."""

CHUNK = 1 << 22
"""Bytes read or written at a time."""
SPARE = 32
"""Places behind ``LIMIT`` that one turn of a loop may fill."""


def stream(
    name: str, path: Path, t: np.ndarray, x: np.ndarray, y: np.ndarray, p: np.ndarray, size: tuple[int, int]
) -> EventStream:
    """Decoded columns as a stream, or a sentence with the file's name.

    :raises ValueError: for an event outside the sensor.
    """
    try:
        return EventStream(t, x, y, p, *size)
    except ValueError as error:
        raise ValueError(
            f"{path} ({name}) holds an event that a sensor of {size[0]}×{size[1]} cannot have: {error}"
        ) from error


def decode(
    name: str, path: Path, start: int, dtype: type, loop: Callable[..., None], own: Sequence[int],
    size: tuple[int, int], count: int,
) -> Iterator[EventStream]:  # fmt: skip
    """Blocks of at least ``count`` events and less than :data:`SPARE` more; the last has what is left.

    :param start: the first byte of the data. :param dtype: of a word. :param own: the memory to begin with.
    :param loop: takes memory, words, t, x, y, p. It may leave words at the end for when it sees more.
    :raises ValueError: for a word that no event can be, an event outside the sensor, or a file that ends amid a word.
    """
    memory = np.array([0] * OWN + list(own), np.int64)
    word, place = np.dtype(dtype).itemsize, start
    most = SPARE * max(1, (path.stat().st_size - start) // word)  # a file cannot hold more, whatever count says
    columns, rest = None, b""
    with path.open("rb") as file:
        file.seek(start)
        while fresh := file.read(CHUNK):
            data = rest + fresh
            words = np.frombuffer(data, dtype, len(data) // word)
            memory[AT], memory[STOP] = 0, len(words)
            while True:
                if columns is None:
                    memory[DONE], memory[LIMIT] = 0, min(count, most)
                    columns = [
                        np.empty(min(count, most) + SPARE, d) for d in (np.int64, np.uint16, np.uint16, np.uint8)
                    ]
                run(loop, memory, words, *columns)
                if not memory[FAULT] and memory[DONE] < memory[LIMIT]:
                    break
                if memory[DONE]:
                    yield stream(name, path, *(c[: memory[DONE]] for c in columns), size=size)
                columns = None
                if memory[FAULT]:
                    at = int(memory[FAULT]) - 1
                    raise ValueError(
                        f"{path} ({name}) has at byte {place + at * word} the word {int(words[at]):#x}, which is none "
                        "of this format, expected an undamaged file; the events in front of it can be read in blocks."
                    )
            rest = data[int(memory[AT]) * word :]
            place += len(data) - len(rest)
    if columns is not None and memory[DONE]:
        yield stream(name, path, *(c[: memory[DONE]] for c in columns), size=size)
    if rest:
        raise ValueError(
            f"{path} ({name}) ends amid a word, {len(rest)} bytes after byte {place}, expected a whole file; copy it "
            "again, or read what is there in blocks."
        )


def encode(
    name: str, path: Path, head: bytes, blocks: Iterable[EventStream], dtype: type, loop: Callable[..., None],
    own: Sequence[int], limit: int,
) -> None:  # fmt: skip
    """Write a head and blocks.

    :param loop: takes memory, t, x, y, p, words. :param limit: the time that is too late, microseconds.
    :raises ValueError: for times below 0 or from ``limit`` on.
    """
    memory = np.array([0] * OWN + list(own), np.int64)
    words = np.empty(CHUNK // np.dtype(dtype).itemsize, dtype)
    with path.open("wb") as file:
        file.write(head)
        for block in blocks:
            within(name, block, limit)
            memory[AT], memory[STOP] = 0, len(block)
            columns = [np.ascontiguousarray(getattr(block, column)) for column in "txyp"]
            while memory[AT] < memory[STOP]:
                memory[DONE], memory[LIMIT] = 0, len(words) - SPARE
                run(loop, memory, *columns, words)
                file.write(words[: memory[DONE]].tobytes())


def within(name: str, block: EventStream, limit: int) -> None:
    """Refuse times that a format cannot hold.

    :raises ValueError: for times below 0 or from ``limit`` on.
    """
    if len(block) and (block.t[0] < 0 or block.t[-1] >= limit):
        raise ValueError(
            f"write got times from {block.t[0]} to {block.t[-1]} microseconds, {name} holds 0 to {limit - 1}; "
            "move them by .shift()."
        )


def at_most(name: str, width: int, height: int, columns: int, rows: int) -> None:
    """Refuse a sensor that a format cannot hold. :raises ValueError: if it is larger."""
    if width > columns or height > rows:
        raise ValueError(f"{name} holds sensors up to {columns}×{rows}, got {width}×{height}; crop the events.")
