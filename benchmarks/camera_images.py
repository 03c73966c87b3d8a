"""How fast light is told from packed frames of a spike camera: prints tables, of one thread and its CPU time.

    python benchmarks/camera_images.py --frames 2000 --rounds 7

400×250 pixels that integrate, fire and keep the remainder, under a texture that moves by a pixel in ten frames; rates
0 to 0.6. The camera makes 20,000 or 40,000 frames a second. ``counts`` and ``intervals`` are what TFP and causal TFI
divide by: spikes in the last 41 frames and the last interval, of every frame; ``images`` are float32 and validity.
First everything is held to plain numpy or to single frames: where one differs, nothing is printed.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import deque
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from spikeworks import camera
from spikeworks.camera import planes
from timing import in_turns

WIDTH, HEIGHT, LONG, WINDOW, REACH = 400, 250, 20_000, 41, 255


def recorded(path: Path, frames: int) -> camera.SpikeStream:
    """A file of so many frames, simulated."""
    draw = np.random.default_rng(0)
    coarse = np.repeat(np.repeat(draw.random((HEIGHT // 5, WIDTH // 5)), 5, 0), 5, 1)
    light = (0.6 * coarse).astype(np.float32)
    charge = draw.random(light.shape, np.float32)
    layout = camera.Layout(WIDTH, HEIGHT)
    with path.open("wb") as file:
        for t in range(frames):
            charge += np.roll(light, t // 10, 1)
            fires = charge >= 1
            charge -= fires
            file.write(camera.pack(layout.store(fires)).tobytes())
    return camera.open(path, HEIGHT, WIDTH)


def plain(bits: NDArray[np.uint8], name: str) -> list[tuple[NDArray[np.float32], NDArray[np.bool_]]]:
    """Every frame by numpy alone: the mean of a window, or the last interval that is over."""
    found, shape = [], bits.shape[1:]
    if name == "TFP":
        for t in range(WINDOW - 1, len(bits)):
            count = bits[t - WINDOW + 1 : t + 1].sum(0, dtype=np.int64)
            found.append((count.astype(np.float32) / np.float32(WINDOW), np.ones(shape, bool)))
        return found
    last = np.full((2, *shape), -9999)
    for t, frame in enumerate(bits):
        last[1] = np.where(frame, last[0], last[1])
        last[0][frame > 0] = t
        valid = last[1] > t - REACH
        span = np.where(valid, last[0] - last[1], 1)
        found.append((np.where(valid, np.float32(1) / span.astype(np.float32), np.float32(0)), valid))
    return found


def every(estimator: camera.Estimator, stream: camera.SpikeStream, most: int | None = None) -> None:
    deque(islice(estimator.every(stream), most), 0)


def same(a: tuple[NDArray[np.float32], NDArray[np.bool_]], b: tuple[NDArray[np.float32], NDArray[np.bool_]]) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


ESTIMATORS = (
    camera.TFP(WINDOW), camera.TFI(REACH), camera.KIntervals(5), camera.WindowIntervals(WINDOW), camera.Stable(),
    camera.TFSTP(),
)  # fmt: skip


def check(stream: camera.SpikeStream) -> None:
    """Everything that is timed equals what it is to equal."""
    bits = stream.dense()
    assert np.array_equal(bits, np.unpackbits(stream.packed(), axis=1, bitorder="little").reshape(bits.shape)[:, ::-1])
    for estimator, name in ((camera.TFP(WINDOW, causal=True), "TFP"), (camera.TFI(REACH, causal=True), "TFI")):
        found = [image for _, image in estimator.every(stream)]
        assert all(map(same, found, plain(bits, name))), f"red: {name} not timed"
    counts, rows = planes.Counts(stream.layout.size, WINDOW), planes.Intervals(stream.layout.size, REACH)
    counted = np.concatenate([counts.push(b.packed()) for b in stream.blocks(64)])
    assert np.array_equal(stream.picture(counted)[WINDOW - 1] / np.float32(WINDOW), plain(bits, "TFP")[0][0]), "red"
    timed = np.concatenate([rows.push(b.packed()) for b in stream.blocks(64)])
    for t, (light, valid) in enumerate(plain(bits, "TFI")):
        span = stream.picture(timed)[t]
        assert same((np.where(valid, 1 / np.maximum(span, 1).astype(np.float32), 0), span > 0), (light, valid)), "red"
    for estimator in ESTIMATORS:
        frames = estimator.frames(stream)
        for t, image in estimator.every(stream, 37):
            assert t in frames
            assert same(image, estimator(stream, t)), f"red: {estimator} not timed"


def rates(stream: camera.SpikeStream, rounds: int) -> dict[str, float]:
    """Frames a second."""
    size, blocks = stream.layout.size, [b.packed() for b in stream.blocks(64)]
    counts, intervals = planes.Counts(size, WINDOW), planes.Intervals(size, REACH)
    lengths: dict[str, int] = {}
    works = {
        "decode, upright, a copy": lambda: deque((b.dense() for b in stream.blocks(64)), 0),
        "numpy.unpackbits": lambda: deque((np.unpackbits(b, axis=1, bitorder="little") for b in blocks), 0),
        "TFP 41: counts": lambda: deque((counts.push(b) for b in blocks), 0),
        "TFI, causal: intervals": lambda: deque((intervals.push(b) for b in blocks), 0),
    }
    for estimator in (camera.TFP(WINDOW, True), camera.TFI(REACH, True), *ESTIMATORS):
        slow = {camera.Stable: 10, camera.TFSTP: 40}.get(type(estimator))  # frames, where more take long
        works[f"{estimator}: images"] = lambda e=estimator, n=slow: every(e, stream, n)
        lengths[f"{estimator}: images"] = slow or len(estimator.frames(stream))
    taken = in_turns(works, rounds)
    return {name: lengths.get(name, len(stream)) / min(times) for name, times in taken.items()}


def singles(stream: camera.SpikeStream, rounds: int) -> dict[str, float]:
    """Milliseconds of one frame in the middle of a long file."""
    at = len(stream) // 2
    path = Path(str(stream.frames.filename))  # type: ignore[attr-defined, union-attr]
    works = {
        "open, and one frame's bits": lambda: camera.open(path, HEIGHT, WIDTH)[at : at + 1].dense(),
        **{str(estimator): lambda e=estimator: e(stream, at) for estimator in ESTIMATORS},
    }
    return {name: 1e3 * min(times) for name, times in in_turns(works, rounds).items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--long", type=int, default=LONG, help="frames of the file that one frame is taken from")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        stream = recorded(Path(folder) / "long.dat", max(options.long, options.frames))
        check(stream[:600])
        print("| every frame | frames/s |\n|---|---|")
        for name, rate in rates(stream[: options.frames], options.rounds).items():
            print(f"| {name} | {rate:,.0f} |", flush=True)
        print(f"\n| one frame of {len(stream):,} | ms |\n|---|---|")
        for name, taken in singles(stream, options.rounds).items():
            print(f"| {name} | {taken:.2f} |", flush=True)


if __name__ == "__main__":
    main()
