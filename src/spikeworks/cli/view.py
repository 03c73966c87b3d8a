"""``spikeworks view``: a recording of a spike camera in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .shared import console_here

if TYPE_CHECKING:
    import spikeworks.camera


def view(
    file: Path, /, *, height: int | None = None, width: int | None = None, rate: float | None = None,
    tracks: Path | None = None, flow: Path | None = None, port: int = 0, browser: bool = True,
) -> None:  # fmt: skip
    """Look at a recording of a spike camera in the browser: scrub, choose how it is reconstructed, ask a pixel, export.

    The page comes from this machine and is shown to it alone; it loads nothing from elsewhere. Ctrl-C ends it.

    Parameters
    ----------
    file
        a recording of a spike camera
    height
        rows of the sensor, where the file does not tell
    width
        columns of the sensor, where the file does not tell
    rate
        frames a second, where the file does not tell
    tracks
        boxes to draw: a text file of lines frame,id,left,top,width,height, as MOTChallenge has it
    flow
        flow to draw: a .flo file, or an .npz with arrays flow and frames
    port
        the port to listen on; default: any that is free
    browser
        open it in the browser
    """
    from ..view.app import Viewer
    from ..view.overlay import Flow, Tracks
    from ..view.scene import Look, Scene

    stream = _opened(file, height, width, rate)
    boxes = None if tracks is None else Tracks.read(tracks)
    arrows = None if flow is None else Flow.read(flow, stream.width, stream.height)
    scene = Scene(stream, file.name, boxes, arrows)
    scene.picture(Look("tfi"), 0)  # kernels are loaded before the page asks for them
    console = console_here()
    try:
        with Viewer(scene, port) as viewer:
            console.print(f"  {file.name}: {stream!r}", soft_wrap=True, markup=False)
            console.print(f"  {viewer.address}", style="cyan", soft_wrap=True, markup=False)
            console.print("  Ctrl-C ends it", style="dim")
            if browser:
                import webbrowser

                webbrowser.open(viewer.address)
            viewer.wait()
    except KeyboardInterrupt:
        console.print("  stopped")


COMMANDS = (view,)


def _opened(file: Path, height: int | None, width: int | None, rate: float | None) -> spikeworks.camera.SpikeStream:
    from .. import camera
    from ..events.files import open as open_events

    try:
        stream = camera.open(file, height, width, rate)
    except ValueError:
        try:
            found = open_events(file)
        except ValueError:
            found = None
        if found is None:
            raise
        raise ValueError(
            f"{file} holds events ({found.format}), expected a recording of a spike camera; "
            f"spikeworks events play {file} draws it."
        ) from None
    if not len(stream):
        raise ValueError(f"{file} holds no frames, expected some to look at.")
    return stream
