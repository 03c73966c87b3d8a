"""``spikeworks events``: what an event file holds, the same events in another format, and how they look."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from .told import facts, moving, say

if TYPE_CHECKING:
    import spikeworks.events.files
    import spikeworks.events.stream

HELP = "Event files of any format: look into one, convert it, draw it."


def info(
    file: Path, /, *, width: int | None = None, height: int | None = None, from_: str | None = None, hottest: int = 5
) -> None:
    """What an event file holds: format, size, events, duration, rates, share of ON, order, hottest pixels, header.

    Parameters
    ----------
    file
        an event file, known by what is in it
    width
        columns of the sensor, where the file does not tell
    height
        rows of the sensor, where the file does not tell
    from_
        the format's name, where nothing in the file tells
    hottest
        how many of the hottest pixels to name
    """
    from ..events.files import open
    from ..events.summary import summarise

    opened = open(file, width, height, from_)
    with moving("reading", opened.blocks(), "events", size=len) as blocks:
        found = summarise(blocks, hottest)
    rows = [("format", opened.format), ("sensor", f"{opened.width} × {opened.height}"), ("events", f"{found.count:,}")]
    if found.first is not None and found.last is not None:
        rate, peak = found.rate, found.peak_rate
        rows += [
            ("first", f"{found.first:,} µs"),
            ("last", f"{found.last:,} µs"),
            ("duration", f"{found.duration / 1e6:,.6f} s"),
            ("rate", "– (no duration)" if rate is None else f"{rate:,.0f} events/s"),
            ("peak", "– (not in order)" if peak is None else f"{peak:,.0f} events/s over 10 ms"),
            ("ON", f"{found.on / found.count:.2%}"),
            ("in order", "yes" if found.ordered else "no"),
            ("pixels", f"{found.pixels:,} of {opened.width * opened.height:,} with events"),
            ("hottest", ", ".join(f"({x}, {y}) {n:,}" for x, y, n in found.hottest) or "–"),
        ]
    facts(f"{file}", rows + [(f"  {name}", value) for name, value in opened.about.items()])


def convert(
    file: Path, out: Path, /, *, width: int | None = None, height: int | None = None, from_: str | None = None,
    to: str | None = None,
) -> None:  # fmt: skip
    """Write the events of a file in another format, whole or not at all.

    Parameters
    ----------
    file
        an event file, known by what is in it
    out
        the file to write; its suffix says the format
    width
        columns of the sensor, where the file does not tell
    height
        rows of the sensor, where the file does not tell
    from_
        the format's name, where nothing in the file tells
    to
        the format to write, where the suffix does not say it
    """
    from ..events.files import open, write
    from ..events.stream import empty

    opened = open(file, width, height, from_)
    count = 0

    def counted(
        blocks: Iterable[spikeworks.events.stream.EventStream],
    ) -> Iterator[spikeworks.events.stream.EventStream]:
        nonlocal count
        yield empty(opened.width, opened.height)  # a file without events is a file, too
        for block in blocks:
            count += len(block)
            yield block

    with moving("converting", opened.blocks(), "events", size=len) as blocks:
        write(out, counted(blocks), to)
    say(f"{count:,} events of {opened.width} × {opened.height}, {opened.format}", out)


def play(
    file: Path, /, *, out: Path | None = None, fps: float = 30.0, window: float | None = None, start: float = 0.0,
    stop: float | None = None, cells: int = 24, width: int | None = None, height: int | None = None,
    from_: str | None = None,
) -> None:  # fmt: skip
    """Draw the events of a file: an animation (.gif, .mp4) or a contact sheet (.png). Opens nothing.

    Parameters
    ----------
    file
        an event file, known by what is in it; its events must be in order of time
    out
        the file to write; default: the file's name with .gif behind, in the present folder
    fps
        pictures a second
    window
        milliseconds of events in a picture; default: 1000/fps, that is, real time; less is slow motion
    start
        seconds after the first event to begin at
    stop
        seconds after the first event to end at; default: the end
    cells
        pictures of a contact sheet, at most; every k-th is taken
    width
        columns of the sensor, where the file does not tell
    height
        rows of the sensor, where the file does not tell
    from_
        the format's name, where nothing in the file tells
    """
    from ..events.files import open
    from ..view.events import animate

    if not 1 <= fps <= 240:
        raise ValueError(f"--fps got {fps}, expected 1 to 240.")
    span = 1e3 / fps if window is None else window
    if not 1e-3 <= span <= 1e9:
        raise ValueError(f"--window got {span} ms, expected from 0.001 to 1000000000.")
    if not (0 <= start < 1e9 and (stop is None or start < stop < 1e9)):
        raise ValueError(f"--start got {start} and --stop {stop}, expected 0 <= start < stop, in seconds.")
    opened = open(file, width, height, from_)
    target = Path(f"{file.name}.gif") if out is None else out
    taken = _windows(opened, round(span * 1e3), start, stop)
    with moving("drawing", taken, "events", size=len) as windows:
        total, drawn = animate(windows, target, fps, cells)
    some = "" if drawn == total else f", {drawn} of them, evenly spaced,"
    say(f"{total:,} windows of {span:g} ms{some}", target)


COMMANDS = (info, convert, play)


def _windows(
    opened: spikeworks.events.files.EventFile, duration: int, start: float, stop: float | None
) -> Iterator[spikeworks.events.stream.EventStream]:
    first = next((int(block.t[0]) for block in opened.blocks() if len(block)), None)
    if first is None:
        raise ValueError(f"{opened.path} holds no events, expected some to draw.")
    windows = opened.windows(duration, first + round(start * 1e6))
    return windows if stop is None else islice(windows, max(1, round((stop - start) * 1e6 / duration)))
