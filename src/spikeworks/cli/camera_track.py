"""``spikeworks camera track``: what moves in a recording, as boxes with names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .shared import console_here

if TYPE_CHECKING:
    import spikeworks.camera


def track(
    file: Path, out: Path, /, *, height: int | None = None, width: int | None = None, rate: float | None = None,
    calibrate: Path | None = None, skip: int | None = None, film: Path | None = None, every: int = 20,
    reach: int = 8, threshold: float = 0.1, least: int = 6,
) -> None:  # fmt: skip
    """Follow what moves before a camera at rest; write MOT text: frame,id,x,y,w,h,1,-1,-1,-1.

    Parameters
    ----------
    file
        a recording
    out
        the file to write, whole or not at all
    height
        rows of the sensor, where the file does not tell
    width
        columns of the sensor, where the file does not tell
    rate
        frames a second, where the file does not tell
    calibrate
        a recording of the same scene at rest, for the gates to get used to its light
    skip
        frames that the gates get used to before anything is looked for; default: 150, or 0 with --calibrate
    film
        draw the tracks into this .mp4, 30 pictures a second, one for each look
    every
        frames between looks
    reach
        pixels: what lies up to about twice as far apart is one thing
    threshold
        of attention, in spikes per frame; with a larger reach a larger one
    least
        spikes that make a thing
    """
    from ..camera import Attention, Detector, Follower, open, write_mot
    from ..camera import track as follow
    from ..view.film import write as draw_film

    if film is not None and film.suffix.lower() != ".mp4":
        raise ValueError(f"--film got {film.name}, expected a name that ends in .mp4.")
    pool = max(1, min(8, reach // 4))
    detector = Detector(
        attention=Attention(reach, threshold, excite=0, pool=pool), every=every, window=max(1, every * 4 // 5)
    )
    opened = open(file, height, width, rate)
    still = None if calibrate is None else open(calibrate, opened.height, opened.width, rate)
    first = (150 if calibrate is None else 0) if skip is None else skip
    if not 0 <= first < len(opened):
        raise ValueError(
            f"--skip got {first}, expected 0 to {len(opened) - 1}: the recording has {len(opened)} frames."
        )
    with _moving("tracking", opened, first) as (warm, stream):
        tracks = follow(stream, detector, Follower(least=least), [warm] if still is None else [still, warm])
    write_mot(out, tracks.sightings())
    console = console_here()
    if film is not None:
        draw_film(_pictures(opened[first:], tracks, every), film)
    _table(tracks, opened.rate)
    for path in (out, film):
        if path is not None:
            console.print(f"  {path}", style="cyan", soft_wrap=True, markup=False, highlight=False)


COMMANDS = (track,)


@contextmanager
def _moving(
    word: str, opened: spikeworks.camera.SpikeStream, first: int
) -> Iterator[tuple[spikeworks.camera.SpikeStream, spikeworks.camera.SpikeStream]]:
    """The recording up to a frame, and from it on, and a line that says how far it has been read."""
    from dataclasses import replace

    from rich.progress import Progress

    with Progress(console=console_here(), transient=True) as line:
        task = line.add_task(word, total=len(opened))

        class Watched:
            """Frames that say when they are read."""

            def __len__(self) -> int:
                return len(opened)

            def __getitem__(self, frames: slice, /) -> np.ndarray:
                line.update(task, completed=frames.stop)
                return opened.frames[frames]

        watched = replace(opened, frames=Watched())
        yield watched[:first], watched[first:]


def _pictures(
    stream: spikeworks.camera.SpikeStream, tracks: spikeworks.camera.Tracks, every: int
) -> Iterator[np.ndarray]:
    """The spikes of each stretch as light, and the boxes in it with their numbers: ``[H, W, 3]``."""
    from PIL import Image, ImageDraw

    from ..camera import planes
    from ..view.overlay import colour

    for block in stream.blocks(every):
        light = block.picture(planes.total(block.packed())) / len(block)
        picture = Image.fromarray(np.uint8(255 * light**0.45)).convert("RGB")
        draw = ImageDraw.Draw(picture)
        for one in tracks:
            if (box := one.at(block.first + len(block) // 2)) is not None:
                x, y, w, h = (float(v) for v in box)
                draw.rectangle((x, y, x + w, y + h), outline=colour(one.identity))
                draw.text((x + 2, y + 1), str(one.identity), fill=colour(one.identity))
        yield np.asarray(picture)


def _table(tracks: spikeworks.camera.Tracks, rate: float) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=True)
    for name in ("thing", "from", "to", "seconds", "pixels a frame", "size"):
        table.add_column(name, justify="right")
    for one in tracks:
        first, last = int(one.frames[0]), int(one.frames[-1])
        middle = one.boxes[:, :2] + one.boxes[:, 2:] / 2
        speed = float(np.hypot(*(middle[-1] - middle[0]))) / max(1, last - first)
        w, h = one.boxes[:, 2:].mean(0)
        row = (one.identity, first, last, f"{(last - first) / rate:.4f}", f"{speed:.3f}", f"{w:.0f} × {h:.0f}")
        table.add_row(*map(str, row))
    console = console_here()
    console.print(table if len(tracks) else "  Nothing moved.")
