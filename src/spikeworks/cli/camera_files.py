"""``spikeworks camera info`` and ``convert``: what a recording holds, and the same spikes in another format."""

from __future__ import annotations

from pathlib import Path

from .told import facts, moving, say


def info(
    file: Path, /, *, height: int | None = None, width: int | None = None, rate: float | None = None,
    flip: bool | None = None, row: int | None = None, order: str | None = None, from_: str | None = None,
    partial: bool = False,
) -> None:  # fmt: skip
    """What a recording holds: size, frames, duration, mean rate, pixels that do not work as others do, a histogram.

    Where the size of packed frames is not given, the likeliest sizes are told instead.

    Parameters
    ----------
    file
        a recording of a spike camera, known by what is in it
    height
        rows of the sensor, where the file does not tell
    width
        columns of the sensor, where the file does not tell
    rate
        frames a second; default: what the file says, or 20000
    flip
        the lowest row is stored first; default: what the format has
    row
        cells of a stored row, if there are more than pixels
    order
        THW or HWT: which axis of an array is time, where the size does not tell
    from_
        the format's name, where nothing in the file tells, e.g. headed
    partial
        read what is whole of a file that is cut off
    """
    from ..camera.files import open, recognise
    from ..camera.guess import guess
    from ..camera.stream import RATE
    from ..camera.summary import Counting

    kind = from_ or (recognise(file) if file.is_file() and file.stat().st_size else "")
    if height is None and width is None and kind in ("dat", "headed"):
        found = guess(file)
        if not found:
            open(file)  # says what is wrong
        rows = [
            (f"{g.score:.2f}", f"height={g.layout.height} width={g.layout.width}"
             f"{f' row={g.layout.row}' if g.layout.row else ''}: {g.frames:,} frames"
             f"{f' and {g.rest:,} bytes' if g.rest else ''}; time {g.time:.2f}, rows {g.rows:.2f}")
            for g in found
        ]  # fmt: skip
        facts(f"{file} does not tell its size; likely, the likeliest first (score 0 to 1)", rows)
        return
    stream = open(file, height, width, rate, flip, row, from_, order=order, partial=partial)
    rows = [
        ("format", kind), ("sensor", f"{stream.width} × {stream.height}"), ("frames", f"{len(stream):,}"),
        ("rate", f"{stream.rate:,g} Hz{' (assumed)' if rate is None and stream.rate == RATE else ''}"),
        ("duration", f"{stream.duration:,.6f} s"),
        ("lowest row first", "yes" if stream.layout.flip else "no"),
    ]  # fmt: skip
    if len(stream):
        counting = Counting(stream)
        with moving("reading", stream.blocks(), "frames", len(stream), len) as blocks:
            for block in blocks:
                counting.add(block)
        s = counting.summary()
        most = max(s.histogram)
        rows += [
            ("spikes", f"{s.spikes:,}"),
            ("mean", f"{s.rate:.4f} spikes/frame, {s.rate * stream.rate:,.0f} Hz a pixel"),
            ("5 % to 95 %", f"{s.low:.4f} to {s.high:.4f} spikes/frame"),
            ("saturated", f"{s.saturated:.3%} of pixels fire in every frame"),
            ("dead", f"{s.dead:.3%} never"),
            ("hot", f"{s.hot:.3%} far more than their neighbours"),
        ]
        for k, share in enumerate(s.histogram):
            rows.append((f"{k / 10:.1f}–{(k + 1) / 10:.1f}", f"{share:7.2%} {'█' * round(40 * share / most)}"))
    facts(str(file), rows)


def convert(
    file: Path, out: Path, /, *, height: int | None = None, width: int | None = None, rate: float | None = None,
    flip: bool | None = None, row: int | None = None, order: str | None = None, from_: str | None = None,
    to: str | None = None, partial: bool = False, events: bool = False,
) -> None:  # fmt: skip
    """Write the spikes of a recording in another format, whole or not at all.

    Parameters
    ----------
    file
        a recording of a spike camera, known by what is in it
    out
        the file to write; its suffix says the format
    height
        rows of the sensor, where the file does not tell
    width
        columns of the sensor, where the file does not tell
    rate
        frames a second; default: what the file says, or 20000
    flip
        the lowest row is stored first; default: what the format has
    row
        cells of a stored row, if there are more than pixels
    order
        THW or HWT: which axis of an array is time, where the size does not tell
    from_
        the format's name, where nothing in the file tells, e.g. headed
    to
        the format to write, where the suffix does not say it
    partial
        read what is whole of a file that is cut off
    events
        write a file of events, one for each spike; the suffix says which
    """
    from ..camera.files import open, write

    stream = open(file, height, width, rate, flip, row, from_, order=order, partial=partial)
    if not events:
        write(out, stream, to)
    else:
        from ..camera.lists import event_blocks
        from ..events.files import write as write_events
        from ..events.stream import empty

        with moving("converting", stream.blocks(), "frames", len(stream), len) as blocks:
            made = (e for block in blocks for e in event_blocks(block))
            write_events(out, made if len(stream) else empty(stream.width, stream.height), to)
    say(f"{len(stream):,} frames of {stream.width} × {stream.height} at {stream.rate:g} Hz", out)


COMMANDS = (info, convert)
