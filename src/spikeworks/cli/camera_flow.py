"""``spikeworks camera flow``: how far each pixel of a recording moves from one frame to another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from .shared import console_here

if TYPE_CHECKING:
    import spikeworks.camera


def flow(
    file: Path, /, *, from_: int, to: int, method: Literal["dis", "match"] = "match", out: Path | None = None,
    most: float | None = None, height: int | None = None, width: int | None = None, rate: float | None = None,
) -> None:  # fmt: skip
    """How far each pixel moves from one frame to a later one: numbers (.flo), or colours (.png).

    Parameters
    ----------
    file
        a recording of a spike camera
    from_
        the frame at which the motion is told, counted from the recording's first
    to
        the frame up to which
    method
        match: blocks of light from intervals, which needs nothing more; dis: OpenCV's, on images of 41 frames
    out
        the file to write; .flo: pixels from one frame to the other; .png: the hue is where to, white is still, black is
        not known; default: only the table
    most
        pixels per frame that have full colour; default: the fastest there are
    height
        rows of the sensor
    width
        columns of the sensor
    rate
        frames a second
    """
    import numpy as np
    from rich.table import Table

    from .. import camera

    if not from_ < to:
        raise ValueError(f"--from got {from_} and --to {to}, expected a frame and a later one.")
    if out is not None and out.suffix.lower() not in (".flo", ".png"):
        raise ValueError(f"--out got {out.name}, expected a name that ends in .flo or .png.")
    stream = camera.open(file, height, width, rate)
    with console_here().status(f"  {method}"):
        found = (camera.dis if method == "dis" else camera.match)(stream, from_, to)
    if out is not None:
        _write(out, found, to - from_, most)
    speed = np.hypot(*found.uv)[found.valid]
    table = Table(box=None, header_style="dim")
    for name in ("known", "median", "95 %", "most", "", "right", "down"):
        table.add_column(name, justify="right")
    if len(speed):
        numbers = (np.median(speed), np.quantile(speed, 0.95), speed.max())
        middle = np.median(found.uv[:, found.valid][:, speed >= numbers[1]], 1)
        said = [f"{n:.3f}" for n in numbers] + ["pixels per frame; the fastest 5 %:"] + [f"{n:+.3f}" for n in middle]
    else:
        said = ["–"] * 3 + ["", "–", "–"]
    table.add_row(f"{found.valid.mean():.1%}", *said)
    console = console_here()
    console.print(table)
    if out is not None:
        console.print(f"  {out}", style="cyan", soft_wrap=True, markup=False)


def _write(out: Path, found: spikeworks.camera.Flow, frames: int, most: float | None) -> None:
    from .. import camera
    from ..disk import whole
    from ..view.flow import flow_colours

    if out.suffix.lower() == ".flo":
        camera.write_flow(out, found, frames)
        return
    from PIL import Image

    colours = flow_colours(found, most)
    with whole(out) as temporary:
        Image.fromarray(colours).save(temporary)


COMMANDS = (flow,)
