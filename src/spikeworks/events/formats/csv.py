"""Text: an event a line, t, x, y and p with commas or blanks between.

The first line names the columns, in any order and with others beside them (``t,x,y,p``; see
:data:`~.columns.SPELLINGS`); lines that begin with ``#`` are left out, but for one that our own files have,
``# width=346 height=260``. Without names four columns are taken for ``t x y p`` if t is in seconds with a decimal
point, as the text files of the Event-Camera Dataset have them (Mueggler et al., IJRR 2017); four whole numbers could be
in any order and are refused. Whole numbers of t are microseconds, numbers with a point are seconds: what is written
decides, never how large it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from ..stream import EventStream
from .base import Format, Opened, sensor
from .columns import SECOND, Decoder, roles

NAME = "csv"
LONGEST = 1000
"""Characters of a line, at most."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_SIZE = re.compile(r"#\s*width\s*=\s*(\d+)\D+height\s*=\s*(\d+)\s*$")


@dataclass(frozen=True)
class _Layout:
    """:param places: of t, x, y, p in a line. :param columns: how many. :param skip: lines before the first event.
    :param comma: what is between; ``None``: blanks. :param seconds: whether t has a decimal point."""

    places: tuple[int, int, int, int]
    columns: int
    skip: int
    comma: str | None
    seconds: bool


def _lines(file: TextIO, path: Path) -> Iterator[str]:
    while line := file.readline(LONGEST + 1):
        if len(line) > LONGEST:
            raise ValueError(f"{path} (csv) has a line of more than {LONGEST} characters, expected an event a line.")
        yield line


def _open(path: Path, width: int | None, height: int | None) -> Opened:
    try:
        with path.open(encoding="utf-8-sig") as file:
            layout, size, names = _read_head(path, _lines(file, path))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} (csv) is not text ({error}), expected an event a line; name its format.") from error
    columns, rows = sensor(NAME, path, size, width, height)
    about = {"columns": ", ".join(names), "time": "seconds" if layout.seconds else "microseconds"}
    return Opened(columns, rows, partial(_blocks, path, layout, columns, rows), about)


def _read_head(path: Path, lines: Iterator[str]) -> tuple[_Layout, tuple[int, int] | None, list[str]]:
    names, size, skip, comma = None, None, 0, None
    for line in lines:
        text = line.strip()
        if not text or text.startswith("#"):
            if found := _SIZE.match(text):
                size = int(found[1]), int(found[2])
            skip += 1
            continue
        comma = next((c for c in ",;\t" if c in text), None)
        cells = [cell.strip() for cell in text.split(comma)]
        if names is None and not any(_NUMBER.fullmatch(cell) for cell in cells):
            names, skip = cells, skip + 1
            continue
        return _layout(path, names, cells, skip, comma), size, names or ["t", "x", "y", "p"]
    if names is None:
        raise ValueError(f"{path} (csv) has no line that is not empty, expected names of columns or events.")
    return _layout(path, names, [], skip, comma), size, names


def _layout(path: Path, names: list[str] | None, cells: list[str], skip: int, comma: str | None) -> _Layout:
    if names is None:
        if len(cells) != 4 or not re.search(r"[.eE]", cells[0]):
            raise ValueError(
                f"{path} (csv) begins with {' '.join(cells)[:60]!r} and names no columns, expected a first line such "
                "as t,x,y,p, or t x y p with t in seconds and a decimal point; write the names."
            )
        return _Layout((0, 1, 2, 3), 4, skip, comma, True)
    found = roles(NAME, path, names)
    t, x, y, p = (names.index(found[role]) for role in "txyp")
    return _Layout((t, x, y, p), len(names), skip, comma, bool(cells) and bool(re.search(r"[.eE]", cells[t])))


def _blocks(path: Path, layout: _Layout, width: int, height: int, count: int) -> Iterator[EventStream]:
    decoder, number = Decoder(NAME, path, width, height), layout.skip
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        lines = _lines(file, path)
        for _ in range(layout.skip):
            next(lines, None)
        waiting: list[str] = []
        for line in lines:
            number += 1
            if line.strip() and not line.startswith("#"):
                waiting.append(line)
            if len(waiting) == count:
                yield decoder.stream(*_numbers(path, layout, waiting, number))
                waiting = []
        if waiting:
            yield decoder.stream(*_numbers(path, layout, waiting, number))


def _numbers(path: Path, layout: _Layout, lines: list[str], last: int) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    rows = [line.split(layout.comma) for line in lines]
    if odd := next((r for r in rows if len(r) != layout.columns), None):
        raise ValueError(
            f"{path} (csv) has a line of {len(odd)} columns up to line {last}, expected {layout.columns}; mend it."
        )
    try:
        columns = [np.array([row[place] for row in rows]) for place in layout.places]
        t = _microseconds(columns[0]) if layout.seconds else columns[0].astype(np.int64)
        x, y, p = (column.astype(np.int64) for column in columns[1:])
        return t, x, y, p
    except (ValueError, OverflowError) as error:
        kind = "seconds" if layout.seconds else "whole microseconds"
        raise ValueError(
            f"{path} (csv) has up to line {last} what is no number ({error}), expected {kind} and whole coordinates."
        ) from None


def _microseconds(cells: NDArray) -> NDArray[np.int64]:
    seconds = cells.astype(np.float64)
    if not bool((np.abs(seconds) < 2**62 / SECOND).all()):
        raise ValueError("a time that is not finite or too large")
    return np.rint(seconds * SECOND).astype(np.int64)


def _write(path: Path, blocks: Iterable[EventStream], width: int, height: int) -> None:
    with path.open("w", encoding="ascii", newline="\n") as file:
        file.write(f"# width={width} height={height}\nt,x,y,p\n")
        for block in blocks:
            for part in block.groups(1 << 16):
                columns = (part.t.tolist(), part.x.tolist(), part.y.tolist(), part.p.tolist())
                file.write("".join(f"{t},{x},{y},{p}\n" for t, x, y, p in zip(*columns, strict=True)))


CSV = Format(NAME, (".csv", ".txt"), lambda head, path: path.suffix.lower() in (".csv", ".txt"), _open, _write)
"""Text; known by its suffix, since anything can be text."""
