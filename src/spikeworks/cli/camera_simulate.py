"""``spikeworks camera simulate``: what a spike camera would record; ``validate``: is it like a real recording?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from .shared import console_here
from .told import moving

if TYPE_CHECKING:
    import numpy

    import spikeworks.camera.lights
    import spikeworks.camera.stream

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".pgm", ".ppm", ".webp")
"""Suffixes of still pictures."""


def simulate(
    source: Path, out: Path, /, *, frames: int | None = None, preset: str = "vidar", seed: int = 0,
    rate: float = 20_000.0, fps: float | None = None, white: float = 0.6, gamma: float = 1.0,
) -> None:  # fmt: skip
    """Record a picture, a video or a folder of pictures with a simulated spike camera.

    Between the pictures of a video light is mixed linearly in time. Colours become grey.

    Parameters
    ----------
    source
        a picture (stands still), a video, or a folder of pictures, taken in the order of their names
    out
        the recording to write
    frames
        how many; default: 1000 of a picture, as long as it lasts of a video
    preset
        the sensor: ideal, vidar, low light, worn
    seed
        of the noise and of the sensor's pattern
    rate
        frames a second of the camera
    fps
        pictures a second of a folder, or of a video if another than the file says
    white
        how often a white pixel fires, in spikes per frame
    gamma
        light is the value to this power; 1 takes values as light, 2.2 undoes the curve of most pictures
    """
    import numpy as np

    from .. import camera

    if preset not in camera.PRESETS:
        raise ValueError(f"--preset got {preset!r}, expected one of {', '.join(camera.PRESETS)}.")
    if not 0 < white < np.inf or seed < 0:
        raise ValueError(f"--white got {white}, --seed {seed}, expected more than 0 and 0 or more.")
    light, size, lasts = _light(source, fps, rate, gamma)
    count = lasts if frames is None else frames
    sensor = camera.PRESETS[preset]
    sensor, draw = replace(sensor, rate_max=sensor.rate_max * white), np.random.default_rng(seed)
    pattern = camera.Pattern.of(sensor, *size, draw)
    blocks = camera.simulate_blocks(light, sensor, count, draw, pattern, rate)
    with moving("simulating", blocks, "frames", count, len) as running:
        camera.write(out, camera.SpikeStream(_Once(running, count), camera.Layout(size[1], size[0]), rate))
    console = console_here()
    for line, style in (
        (f"  {count:,} frames of {size[1]} × {size[0]}, {preset}, {rate:g} Hz, {count / rate:.4g} s", ""),
        (f"  {out}", "cyan"),
    ):
        console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)


def validate(
    simulated: Path, recorded: Path, /, *, height: int | None = None, width: int | None = None,
    rate: float | None = None, skip: int = 0, plot: Path | None = None,
) -> None:  # fmt: skip
    """Compare a simulated recording of a still scene with a real one by eight statistics; bands are the real one's own.

    Parameters
    ----------
    simulated
        the recording to judge
    recorded
        the real recording of the same scene
    height
        rows of the sensor, where the files do not tell
    width
        columns of the sensor, where the files do not tell
    rate
        frames a second, where the files do not tell
    skip
        rows at the top to leave out, of both: those of some cameras are copies
    plot
        a picture file to draw the eight statistics into
    """
    from .. import camera

    both = [camera.open(path, height, width, rate) for path in (simulated, recorded)]
    if wrong := [s for s in both if not 0 <= skip < s.height]:
        raise ValueError(f"--skip got {skip}, expected 0 to {wrong[0].height - 1}.")
    mine, real = (s.crop(0, skip, s.width, s.height - skip) for s in both)
    console = console_here()
    with console.status("measuring"):
        found = camera.validate(mine, real)
        if plot is not None:
            found.plot(plot)
    console.print(found.text(), markup=False, highlight=False, soft_wrap=True)


COMMANDS = (simulate, validate)


class _Once:
    """Frames that are made as they are asked for, each once and in order."""

    def __init__(self, blocks: Iterator[spikeworks.camera.stream.SpikeStream], frames: int) -> None:
        self.blocks, self.frames, self.at = blocks, frames, 0
        self.rest: numpy.ndarray | None = None

    def __len__(self) -> int:
        return self.frames

    def __getitem__(self, frames: slice, /) -> numpy.ndarray:
        import numpy as np

        start, stop, _ = frames.indices(self.frames)
        if start != self.at:
            raise ValueError(f"Frames {start} to {stop} were asked for after {self.at}; they are made once, in order.")
        while self.rest is None or len(self.rest) < stop - start:
            more = next(self.blocks).packed()
            self.rest = more if self.rest is None else np.concatenate([self.rest, more])
        found, self.rest, self.at = self.rest[: stop - start], self.rest[stop - start :], stop
        return found


def _light(
    source: Path, fps: float | None, rate: float, gamma: float
) -> tuple[spikeworks.camera.lights.Light, tuple[int, int], int]:
    """The light of a source, its height and width, and how many spike frames it lasts."""
    from ..camera import Film, still

    if source.is_file() and source.suffix.lower() in PICTURES:
        picture = _picture(source)
        height, width = picture.shape
        return still(picture, gamma), (height, width), 1000
    if source.is_dir():
        paths = sorted(p for p in source.iterdir() if p.suffix.lower() in PICTURES)
        if fps is None:
            raise ValueError(f"{source} is a folder, and a folder does not tell the pictures a second; pass --fps.")
        pictures, count, speed = (_picture(path) for path in paths), len(paths), fps
    elif source.is_file():
        pictures, count, speed = _video(source, fps)
    else:
        raise ValueError(f"{source} is not there, expected a picture, a video or a folder of pictures.")
    if not 0 < speed < 1e9:
        raise ValueError(f"--fps got {speed}, expected more than 0 pictures a second.")
    lasts = int((count - 1) * rate / speed)
    if lasts < 1:
        raise ValueError(f"{source} holds {count} pictures, expected at least 2, of the suffixes {' '.join(PICTURES)}.")
    first = next(pictures)
    height, width = first.shape
    return Film(_again(first, pictures), speed, rate, gamma), (height, width), lasts


def _again(first: numpy.ndarray, rest: Iterator[numpy.ndarray]) -> Iterator[numpy.ndarray]:
    yield first
    yield from rest


def _picture(path: Path) -> numpy.ndarray:
    """A picture file as grey values: 0 to 255, or those of 16 bits from 0 to 1."""
    import numpy as np
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            if image.mode.startswith("I"):
                return np.asarray(image, np.float32) / np.float32(65535)
            return np.asarray(image if image.mode == "F" else image.convert("L"))
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"{path} could not be read as a picture ({error}).") from error


def _video(path: Path, fps: float | None) -> tuple[Iterator[numpy.ndarray], int, float]:
    """The pictures of a video, grey, how many, and how many a second."""
    import av
    from av.error import FFmpegError

    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise ValueError(f"{path} holds no video, expected one, a picture, or a folder of pictures.")
            stream = container.streams.video[0]
            told, count = stream.average_rate, stream.frames or sum(1 for _ in container.decode(video=0))
    except (FFmpegError, OSError) as error:
        raise ValueError(f"{path} could not be read as a video ({error}).") from error
    if fps is None and not told:
        raise ValueError(f"{path} does not tell its pictures a second; pass --fps.")

    def pictures() -> Iterator[numpy.ndarray]:
        with av.open(str(path)) as container:
            for frame in container.decode(video=0):
                yield frame.to_ndarray(format="gray")

    return pictures(), count, float(told or 0) if fps is None else fps
