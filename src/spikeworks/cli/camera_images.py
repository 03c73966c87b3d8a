"""``spikeworks camera reconstruct``: pictures from a spike camera's recording."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .told import moving, say

if TYPE_CHECKING:
    import spikeworks.camera


def reconstruct(
    file: Path, out: Path, /, *, height: int | None = None, width: int | None = None, rate: float | None = None,
    method: str = "stable", window: int | None = None, k: int | None = None, causal: bool = False,
    at: int | None = None, every: int | None = None, start: int | None = None, stop: int | None = None,
    white: float = 1.0, gamma: float = 1.0, fps: float = 30.0, bayer: str | None = None,
    calibration: Path | None = None,
) -> None:  # fmt: skip
    """Pictures of the light that made the spikes: one frame (.png), many (.gif, .mp4, a folder), or numbers (.npz).

    Parameters
    ----------
    file
        a recording of a spike camera
    out
        what to write. A .png of several frames is a contact sheet; a name without a suffix is a folder of one .png
        each; an .npz holds frames, their numbers, and light, spikes per frame in float32, NaN where it is not known
    height
        rows of the sensor, where the file does not tell
    width
        columns of the sensor, where the file does not tell
    rate
        frames a second, where the file does not tell
    method
        tfp, tfi, k-intervals, window-intervals, stable, tfstp, or learned, a network that needs the most time
    window
        frames that the method looks at: tfp and window-intervals, in all; the others, on each side
    k
        intervals that k-intervals takes the mean of
    causal
        look at no frame behind the one shown
    at
        the frame to show; default: the middle one
    every
        show every so many frames instead
    start
        the first frame to show with --every; default: the first there is
    stop
        the frame to end before with --every; default: the end
    white
        spikes per frame that are shown as white
    gamma
        2.2 shows light as screens expect it; 1 keeps grey values in proportion to light
    fps
        pictures a second of an animation
    bayer
        the filters of a colour sensor's upper left 2×2 pixels, e.g. bggr
    calibration
        an .npz of Calibration.save to apply
    """
    import numpy as np

    from .. import camera
    from ..view import film

    estimator = _estimator(method, window, k, causal)
    many = every is not None
    suffix = out.suffix.lower()
    if (at is not None or not many) and (many or start is not None or stop is not None):
        raise ValueError("--at shows one frame; --start and --stop need --every, which shows many: choose one of both.")
    if not (suffix in (".png", ".npz") or (many and suffix in ("", ".gif", ".mp4"))):
        more = ", .gif or .mp4, or the name of a folder" if many else "; --every draws many frames"
        raise ValueError(f"{out} cannot hold what is to be drawn, expected a name that ends in .png or .npz{more}.")
    if many and suffix in film.KINDS:
        film.check("--fps", out, fps)
    stream = camera.open(file, height, width, rate)
    flat = None if calibration is None else camera.Calibration.load(calibration)
    middle = len(stream) // 2 if at is None else at
    frames = _due(estimator, stream, every, start, stop) if many else range(middle, middle + 1)
    camera.grey(camera.Image(np.zeros((1, 1), np.float32), np.ones((1, 1), bool)), white, gamma)  # refuses before work

    def finished(found: camera.Image) -> camera.Image:
        found = found if flat is None else flat.apply(found)
        return found if bayer is None else camera.bayer(found, bayer)

    def images() -> Iterator[camera.Image]:
        if not many:
            yield finished(estimator(stream, middle))
            return
        for _, found in takewhile(
            lambda pair: pair[0] < frames.stop, estimator.every(stream, frames.step, frames.start)
        ):
            yield finished(found)

    with moving("drawing", images(), "images", len(frames)) as counted:
        pictures = (camera.grey(found, white, gamma) for found in counted)
        if suffix == ".npz":
            shape = (stream.height, stream.width, *(() if bayer is None else (3,)))
            _numbers(out, (np.where(found.valid, found.light, np.nan) for found in counted), frames, shape)
        elif not many:
            film.save(next(pictures), out)
        elif suffix:
            film.write(pictures, out, fps)
        else:
            for t, picture in zip(frames, pictures, strict=True):
                film.save(picture, out / f"{stream.first + t:06d}.png")
    say(f"{len(frames):,} of {len(stream):,} frames by {estimator}", out)


COMMANDS = (reconstruct,)


def _estimator(method: str, window: int | None, k: int | None, causal: bool) -> spikeworks.camera.Estimator:
    from ..camera import ESTIMATORS

    if method not in ESTIMATORS:
        raise ValueError(f"--method got {method!r}, expected one of {', '.join(ESTIMATORS)}.")
    make: Any = ESTIMATORS[method]
    taken = {field.name for field in fields(make) if field.init}
    values: dict[str, Any] = {}
    if window is not None:
        values["reach" if "reach" in taken else "window"] = window
    if k is not None:
        values["k"] = k
    if causal and method != "tfstp":  # which always is
        values["causal"] = True
    if wrong := values.keys() - taken:
        raise ValueError(
            f"--method {method} takes no --{min(wrong)}, expected it with another method only; leave it out."
        )
    return make(**values)


def _due(
    estimator: spikeworks.camera.Estimator, stream: spikeworks.camera.SpikeStream, every: int | None,
    start: int | None, stop: int | None,
) -> range:  # fmt: skip
    """The frames to show."""
    there = estimator.frames(stream)
    begin, end = there.start if start is None else start, there.stop if stop is None else stop
    if every is None or every < 1 or not there.start <= begin < end <= there.stop:
        raise ValueError(
            f"--every got {every}, --start {start}, --stop {stop}, expected at least 1, and frames from "
            f"{there.start} to {there.stop}, which {estimator} can tell."
        )
    return range(begin, end, every)


def _numbers(out: Path, lights: Iterator[Any], frames: range, shape: tuple[int, ...]) -> None:
    """An .npz of images, one after another: they need not be in memory together."""
    from zipfile import ZipFile

    import numpy as np

    from ..disk import whole

    header = {"descr": "<f4", "fortran_order": False, "shape": (len(frames), *shape)}
    with whole(out) as temporary, ZipFile(temporary, "w") as archive:
        with archive.open("frames.npy", "w") as file:
            np.lib.format.write_array(file, np.array(frames), allow_pickle=False)
        with archive.open("light.npy", "w", force_zip64=True) as file:
            np.lib.format.write_array_header_1_0(file, header)
            for light in lights:
                file.write(np.ascontiguousarray(light, "<f4").tobytes())
