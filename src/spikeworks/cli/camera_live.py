"""``spikeworks camera live`` and ``send``: a camera, or a recording as if it were one, watched, recorded, passed on."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from .shared import console_here

if TYPE_CHECKING:
    import rich.table

    import spikeworks.camera
    import spikeworks.camera.live

LOOK = 0.25
"""Seconds from one look at the table to the next."""


def live(
    source: str, /, *, record: Path | None = None, every: int = 50, frames: Path | None = None,
    seconds: float | None = None, speed: float = 1.0, loop: bool = False, wait: float = 30.0,
    height: int | None = None, width: int | None = None, rate: float | None = None,
) -> None:  # fmt: skip
    """Watch a spike camera: how fast frames come, what is lost, how far behind everybody is. Ctrl-C ends it.

    Parameters
    ----------
    source
        where frames come from: a recording, which is played at its rate, tcp://127.0.0.1:5000, udp://127.0.0.1:5000,
        or shm://name
    record
        a file (.spikes) to write everything into; it must not be there yet
    every
        frames from one reconstructed image to the next
    frames
        a folder for the images, as PNG; without it they are made and not kept
    seconds
        when to stop; default: when the source ends
    speed
        of a recording: 1 is its own rate
    loop
        begin a recording again at its end
    wait
        seconds to wait for a sender
    height
        rows of the sensor, where the file does not tell
    width
        columns of the sensor, where the file does not tell
    rate
        frames a second, where the file does not tell
    """
    from rich.live import Live

    from .. import camera
    from ..camera import TFP
    from ..camera.live import Hub, Reconstruct, Record, Replay, listen
    from ..camera.live.place import scheme

    if seconds is not None and not 0 < seconds < 1e9:
        raise ValueError(f"--seconds got {seconds}, expected more than 0.")
    if scheme(source) is None:
        stream = camera.open(Path(source), height, width, rate)
        hub = Hub(Replay(stream, _pace(stream, speed), loop))
    else:
        hub = Hub(listen(source, wait))
    try:
        if record is not None:
            hub.add("record", Record(record))
        hub.add("images", Reconstruct(TFP(min(41, max(1, every)), causal=True), every, _saver(frames)))
    except BaseException:
        hub.source.close()
        raise
    end = None if seconds is None else time.monotonic() + seconds
    console = console_here()
    try:
        with hub, Live(console=console, auto_refresh=False, transient=True) as shown:
            try:
                while not hub.wait(LOOK if end is None else max(0.0, min(LOOK, end - time.monotonic()))):
                    shown.update(_table(hub.report()), refresh=True)
                    if end is not None and time.monotonic() >= end:
                        break
            except KeyboardInterrupt:
                pass  # the usual way to end it: what has come is written
    finally:
        console.print(_table(hub.report()))
    if record is not None and record.exists():
        console.print(f"  {record}", style="cyan", highlight=False, soft_wrap=True)


def send(
    file: Path, to: str, /, *, speed: float = 1.0, loop: bool = False, block: int = 64, height: int | None = None,
    width: int | None = None, rate: float | None = None,
) -> None:  # fmt: skip
    """Send a recording as if it came from a camera, to ``spikeworks camera live`` or a program of yours.

    Parameters
    ----------
    file
        a recording of a spike camera
    to
        where to: tcp://127.0.0.1:5000, udp://127.0.0.1:5000 or shm://name
    speed
        1 is the recording's own rate
    loop
        begin again at its end, until Ctrl-C
    block
        frames that are sent at once; over UDP few are best
    height
        rows of the sensor, where the file does not tell
    width
        columns of the sensor, where the file does not tell
    rate
        frames a second, where the file does not tell
    """
    from .. import camera
    from ..camera.live import Hub, Replay, sender

    stream = camera.open(file, height, width, rate)
    replay = Replay(stream, _pace(stream, speed), loop, block)
    hub = Hub(replay)
    hub.add("send", sender(to, replay.layout, replay.rate), policy="block")
    try:
        with hub, suppress(KeyboardInterrupt):
            hub.wait()
    finally:
        console_here().print(_table(hub.report()))


COMMANDS = (live, send)


def _pace(stream: spikeworks.camera.SpikeStream, speed: float) -> float:
    if not 0 < speed <= 1e6:
        raise ValueError(f"--speed got {speed}, expected more than 0 and at most 1000000.")
    return stream.rate * speed


def _saver(folder: Path | None) -> Callable[[int, spikeworks.camera.Image], object] | None:
    if folder is None:
        return None
    from PIL import Image

    from ..camera import grey

    folder.mkdir(parents=True, exist_ok=True)

    def save(frame: int, found: spikeworks.camera.Image) -> None:
        Image.fromarray(grey(found)).save(folder / f"{frame:08d}.png", compress_level=1)

    return save


def _table(report: spikeworks.camera.live.Report) -> rich.table.Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE)
    for name in ("", "frames", "frames/s", "lost", "queue", "lag ms", "most ms", "busy", "CPU", ""):
        table.add_column(name, justify="left" if not name else "right")
    said = Text(str(report.error or ""))
    table.add_row(
        "source", f"{report.frames:,}", f"{report.rate:,.0f}", f"{report.missing:,}", "", "", "", "", "", said
    )
    for name, c in report.consumers.items():
        table.add_row(
            name, f"{c.frames:,}", f"{c.frames / max(report.seconds, 1e-9):,.0f}", f"{c.dropped:,}", f"{c.queued}",
            f"{c.lag * 1e3:,.1f}", f"{c.most * 1e3:,.1f}", f"{c.busy:.0%}",
            f"{c.cpu / max(report.seconds, 1e-9):.0%}", Text(str(c.error or "")),
        )  # fmt: skip
    return table
