"""Event files: what is in them, and in another format."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .shared import console_here

if TYPE_CHECKING:
    import rich.console

HELP = "Event files: look at them, convert them, see them."


def info(file: Path, /, *, width: int | None = None, height: int | None = None, format: str | None = None) -> None:
    """What is in an event file: sensor, number, time, rates, hottest pixels. Reads it once, in little memory.

    Parameters
    ----------
    file
        of any format known here, told by what is in it
    width
        columns of the sensor, where the file does not tell
    height
        rows of the sensor, where the file does not tell
    format
        its format, where nothing tells
    """
    from rich.table import Table

    from .. import events
    from ..events.survey import survey

    console = console_here()
    opened = events.open(file, width, height, format)
    found = survey(_watched(console, file.name, opened.blocks()), opened.width, opened.height)
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_row("file", f"[bold]{file.name}[/]  {opened.format}, {file.stat().st_size:,} bytes")
    table.add_row("sensor", f"{opened.width}×{opened.height}")
    table.add_row("events", f"{found.count:,}, {found.share:.1%} ON" if found.count else "none")
    if found.count:
        order = "in order of time" if found.ordered else "[yellow]not in order of time[/]"
        table.add_row("time", f"{found.duration / 1e6:g} s from {found.first:,} to {found.last:,} µs, {order}")
        peak = f", at most {found.peak:,.0f} in 10 ms" if found.ordered else ""
        table.add_row("rate", f"{found.rate:,.0f} events/s{peak}")
        hottest = ", ".join(f"({x}, {y}) {n:,}" for x, y, n in found.hottest)
        table.add_row("hottest pixels", hottest)
    for key, value in opened.about.items():
        table.add_row(key, value)
    console.print(table, highlight=False)


def convert(
    file: Path, out: Path, /, *, width: int | None = None, height: int | None = None, format: str | None = None,
    to: str | None = None,
) -> None:  # fmt: skip
    """Write the events of a file in another format, whole or not at all.

    Parameters
    ----------
    file
        of any format known here, told by what is in it
    out
        the new file; its suffix names the format: .npz .h5 .csv .dat .raw .es .aedat4 .aedat .bin
    width
        columns of the sensor, where the file does not tell
    height
        rows of the sensor, where the file does not tell
    format
        the format of FILE, where nothing tells
    to
        the format of OUT, where its suffix does not tell
    """
    from .. import events

    console = console_here()
    opened = events.open(file, width, height, format)
    blocks = _watched(console, file.name, opened.blocks())
    events.write(out, _never_empty(blocks, opened.width, opened.height), to)
    console.print(f"  [cyan]{out}[/]  {out.stat().st_size:,} bytes", highlight=False)


def play(
    file: Path, out: Path, /, *, window: int = 20_000, most: int = 200, width: int | None = None,
    height: int | None = None, format: str | None = None,
) -> None:  # fmt: skip
    """Draw a file as frames of equal time: an animated .gif, or a .png with all of them side by side.

    Parameters
    ----------
    file
        of any format known here, told by what is in it
    out
        the picture, .gif or .png
    window
        microseconds of a frame
    most
        frames at most; the rest of the file is left out
    width
        columns of the sensor, where the file does not tell
    height
        rows of the sensor, where the file does not tell
    format
        its format, where nothing tells
    """
    from itertools import islice

    from .. import events
    from ..view.events import save

    console = console_here()
    opened = events.open(file, width, height, format)
    frames = save(islice(opened.windows(window), most), out, window)
    console.print(f"  [cyan]{out}[/]  {frames} frames of {window / 1000:g} ms", highlight=False)


COMMANDS = (info, convert, play)


def _watched(console: rich.console.Console, name: str, blocks: Iterable[Any]) -> Iterator[Any]:
    """The blocks of a file, and how many events have passed."""
    seen = 0
    with console.status(f"reading {name}") as status:
        for block in blocks:
            seen += len(block)
            status.update(f"reading {name}: {seen:,} events")
            yield block


def _never_empty(blocks: Iterator[Any], width: int, height: int) -> Iterator[Any]:
    """The blocks, or an empty one: a file without events has a sensor, too."""
    from ..events import empty

    yield next(blocks, empty(width, height))
    yield from blocks
