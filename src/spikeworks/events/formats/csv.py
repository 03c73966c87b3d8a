"""Events as text, a line each: numbers with commas, semicolons or blanks between.

Which column is which: a line of names tells (``t,x,y,p``, a unit behind: ``t_us``, ``time [s]``); a line
``%geometry:640,480``, as Prophesee's tools write it, means x, y, p, t; otherwise it is t, x, y, p, as in the Event
Camera Dataset (Mueggler et al. 2017, ``events.txt``), and then t must not fall, lest another order be misread. Times
are what they are called; without a unit, numbers with a decimal point are seconds and whole numbers microseconds.

We write a first line that tells the size, the unit and the number of events, so that a file cut short is noticed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from ..stream import EventStream
from .base import HEAD, Format, Opened, sensor
from .columns import SPELLINGS, Decoder, roles
from .numbers import DIGITS, Words, words

NAME = "csv"
BYTES = 24
"""Of a line, about: how much is read for a block."""

LONGEST = 4096
"""Bytes of a line; no line of events is longer."""

FIRST = "# spikeworks events, width={}, height={}, events={:>18}, t in microseconds"
UNIT = re.compile(r"^(.*?)[\s_]*(?:\[|\(|_|\s)\s*(us|µs|μs|s)\s*[\])]?$", re.IGNORECASE)


@dataclass(frozen=True)
class _Layout:
    """What the lines in front of the events tell.

    :param at: byte where events begin. :param columns: numbers in a line. :param places: the column of each role.
    :param seconds: the unit of t, if something tells. :param named: whether the order was said.
    """

    at: int
    columns: int
    places: dict[str, int]
    seconds: bool | None
    named: bool
    size: tuple[int, int] | None = None
    events: int | None = None
    separated: str = ""


def _layout(path: Path, head: bytes) -> _Layout:
    """Read comments, names and the first line of numbers.

    :raises ValueError: for text that is not of events.
    """
    made = _Layout(0, 4, {role: i for i, role in enumerate("txyp")}, None, False)
    at = 0
    for raw in head.splitlines(keepends=True):
        if not raw.endswith(b"\n") and len(head) == HEAD:
            break  # cut by the head's end
        try:
            line = raw.decode("utf-8").strip().lstrip("\ufeff")
        except UnicodeDecodeError:
            break
        if line.startswith(("#", "%")):
            made = _comment(made, line)
        elif line and (line[0].isdigit() or line[0] in "-."):
            return _first_numbers(path, replace(made, at=at), raw)
        elif line:
            if made.separated == "names":
                break
            made = _names(path, made, line)
        at += len(raw)
    if made.events == 0 or (made.separated == "names" and at == len(head)):
        return replace(made, at=at)
    raise ValueError(f"{path} (csv) has no line of numbers in front, expected events, a line each.")


def _comment(made: _Layout, line: str) -> _Layout:
    if size := re.search(r"\bwidth\s*[=:]\s*(\d{1,5})\b.*\bheight\s*[=:]\s*(\d{1,5})\b", line):
        made = replace(made, size=(int(size[1]), int(size[2])))
    if line.startswith("# spikeworks events") and (events := re.search(r"\bevents=\s*(\d{1,18})\b", line)):
        return replace(made, events=int(events[1]), seconds=False)
    if size := re.match(r"%\s*geometry\s*:\s*(\d{1,5})\s*,\s*(\d{1,5})\s*$", line):
        places = {role: i for i, role in enumerate("xypt")}
        return replace(made, size=(int(size[1]), int(size[2])), places=places, named=True, seconds=False)
    return made


def _names(path: Path, made: _Layout, line: str) -> _Layout:
    names = [
        part.strip().strip("\"'") for part in (re.split(r"[,;]", line) if re.search(r"[,;]", line) else line.split())
    ]
    seconds = made.seconds
    for i, name in enumerate(names):
        if name.lower() not in SPELLINGS["t"] and (unit := UNIT.match(name)):
            bare = unit[1].strip(" _[(").lower()
            if bare in SPELLINGS["t"]:
                names[i], seconds = bare, unit[2].lower() == "s"
    places = {role: names.index(name) for role, name in roles(NAME, path, names).items()}
    return replace(made, columns=len(names), places=places, named=True, seconds=seconds, separated="names")


def _first_numbers(path: Path, made: _Layout, raw: bytes) -> _Layout:
    first = words(raw, made.columns)
    if made.seconds is None:
        made = replace(made, seconds=bool(first.pointed(made.places["t"])[0]))
        return replace(made, separated="point" if made.seconds else "whole")
    return replace(made, separated="unit")


def _lines(path: Path, at: int, size: int) -> Iterator[bytes]:
    """Whole lines of about ``size`` bytes together; the last may lack its end."""
    with path.open("rb") as file:
        file.seek(at)
        rest = b""
        while data := file.read(size):
            data = rest + data
            cut = data.rfind(b"\n") + 1
            rest = data[cut:]
            if len(rest) > LONGEST:
                raise ValueError(f"a line of more than {LONGEST} bytes begins with {rest[:40]!r}, expected events.")
            if cut:
                yield data[:cut]
        if rest:
            yield rest


def _blocks(path: Path, made: _Layout, width: int, height: int, count: int) -> Iterator[EventStream]:
    decoder, done, last = Decoder(NAME, path, width, height), 0, None
    try:
        for data in _lines(path, made.at, min(max(count * BYTES, LONGEST), 1 << 22)):
            if not data.endswith(b"\n") and (made.places["p"] != made.columns - 1 or made.events is not None):
                raise ValueError("its last line has no end, so that a number may have been cut; copy it again.")
            split = words(data, made.columns)
            t = _times(made, split)
            x, y, p = (split.whole(made.places[role]) for role in "xyp")
            whole = decoder.stream(t, x, y, p)
            if not made.named and len(whole):
                if not whole.ordered or (last is not None and int(whole.t[0]) < last):
                    raise ValueError("its first number falls and is no time; name the columns in a line in front.")
                last = int(whole.t[-1])
            done += len(whole)
            if made.events is not None and done > made.events:
                raise ValueError(f"it holds more than the {made.events} events that its first line tells.")
            yield from whole.groups(count)
        if made.events is not None and done != made.events:
            raise ValueError(f"it ends after {done} of {made.events} events; copy it again.")
    except ValueError as error:
        said = str(error)
        raise ValueError(said if said.startswith(str(path)) else f"{path} (csv) is not as expected: {said}") from None


def _times(made: _Layout, split: Words) -> np.ndarray:
    place = made.places["t"]
    if made.separated == "unit":
        return split.micro(place) if made.seconds else split.whole(place)
    pointed = split.pointed(place)
    if (pointed != bool(made.seconds)).any():
        raise ValueError(
            "t is with a point in some lines (seconds) and without in others (microseconds); name its unit."
        )
    return split.micro(place) if made.seconds else split.whole(place)


def _open(path: Path, width: int | None, height: int | None) -> Opened:
    with path.open("rb") as file:
        head = file.read(HEAD)
    try:
        made = _layout(path, head)
    except ValueError as error:
        said = str(error)
        raise ValueError(said if said.startswith(str(path)) else f"{path} (csv) is not as expected: {said}") from None
    size = sensor(NAME, path, made.size, width, height)
    order = ",".join(sorted(made.places, key=lambda role: made.places[role]))
    unit = "seconds" if made.seconds else "microseconds"
    why = {"point": "by its decimal point", "whole": "without a decimal point"}.get(made.separated, "as the file says")
    about = {"columns": order + ("" if made.named else ", by default"), "t": f"{unit}, {why}"}
    return Opened(*size, partial(_blocks, path, made, *size), about)


def _write(path: Path, blocks: Iterable[EventStream], width: int, height: int) -> None:
    with path.open("w", encoding="ascii", newline="\n") as file:
        file.write(FIRST.format(width, height, 0) + "\nt,x,y,p\n")
        done = 0
        for block in blocks:
            if len(block) and max(-int(block.t.min()), int(block.t.max())) >= 10**DIGITS:
                raise ValueError(f"csv got times of more than {DIGITS} digits, which it does not read; shift them.")
            for part in block.groups(1 << 16):
                rows = np.stack([part.t, part.x, part.y, part.p], 1)
                file.write("%d,%d,%d,%d\n" * len(part) % tuple(rows.ravel().tolist()))  # twice as fast as line by line
            done += len(block)
        file.seek(0)
        file.write(FIRST.format(width, height, done))


def _recognises(head: bytes, path: Path) -> bool:
    try:
        _layout(path, head)
    except ValueError:
        return False
    return b"\0" not in head


CSV = Format(NAME, (".csv", ".txt"), _recognises, _open, _write)
"""Lines of numbers."""
