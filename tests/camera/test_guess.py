"""The size from the spikes: found where they show it, and nothing is refused where they do not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from camera.spikes import recording
from spikeworks.camera import Layout, SpikeStream, guess, headed, pack, write
from spikeworks.camera import open as open_camera

CLIPS = ("real_car_400x250x200", "real_wall_400x250x500", "reds_200_part1_key151", "reds_200_part3_key151")


def scene(height: int, width: int, frames: int = 40, seed: int = 0, drift: float = 0.3) -> NDArray[np.bool_]:
    """A picture of blobs that drifts over pixels that integrate light, each from a charge of its own."""
    draw = np.random.default_rng(seed)
    y, x = np.mgrid[:height, : width + 40]
    light = np.full((height, width + 40), 0.2)
    for _ in range(60):
        cy, cx, r = draw.uniform(0, height), draw.uniform(0, width + 40), 2 + draw.random() * max(height, width) / 6
        light += draw.uniform(-0.2, 0.4) * (np.hypot(y - cy, x - cx) < r)
    light = np.clip(light, 0.02, 0.9)
    charge, spikes = draw.random((height, width)), np.zeros((frames, height, width), bool)
    for k in range(frames):
        at = int(drift * k)
        charge += light[:, at : at + width]
        spikes[k] = charge >= 1
        charge -= spikes[k]
    return spikes


@pytest.mark.parametrize("clip", CLIPS)
def test_real_recordings_tell_their_size(clip: str) -> None:
    path = recording(f"{clip}.dat")
    best, *others = guess(path)
    assert (best.layout, best.rest) == (Layout(400, 250), 0)
    assert best.score > 0.85
    assert all(g.score < best.score for g in others)
    assert len(open_camera(path, 250, 400)) == best.frames
    for height, width in ((500, 800), (400, 250), (125, 400), (500, 400), (1000, 100), (200, 500), (50, 400)):
        if path.stat().st_size % (height * width // 8) == 0:
            with pytest.raises(ValueError, match="as those of height=250, width=400 do; pass these, or check=False"):
                open_camera(path, height, width)
            assert open_camera(path, height, width, check=False).height == height
    with pytest.raises(ValueError, match=r"The spikes look like those of height=250, width=400"):
        open_camera(path, 251, 401)
    with pytest.raises(ValueError, match=r"pass height= and width=\. The spikes look like those of height=250, wid"):
        open_camera(path)


@pytest.mark.parametrize(("height", "width"), [(250, 400), (120, 160), (97, 131), (500, 800), (64, 64), (250, 250)])
def test_scenes_tell_their_size(tmp_path: Path, height: int, width: int) -> None:
    path = tmp_path / "a.dat"
    write(path, SpikeStream.of(scene(height, width)))
    best = guess(path)[0]
    assert (best.layout.height, best.layout.width, best.frames) == (height, width, 40)
    open_camera(path, height, width)


def test_the_cells_behind_rows_are_seen(tmp_path: Path) -> None:
    path, bits = tmp_path / "a.dat", scene(250, 400)
    write(path, SpikeStream.of(bits), "headed")
    assert guess(path)[0].layout == headed(400, 250)
    assert np.array_equal(open_camera(path, 250, 400, row=416).dense(bool), bits)
    with pytest.raises(ValueError, match="height=250, width=400, row=416"):
        open_camera(path, 250, 400)


def test_a_file_that_is_cut_off_still_tells(tmp_path: Path) -> None:
    path = tmp_path / "a.dat"
    write(path, SpikeStream.of(scene(250, 400)))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"partial=True reads the 39"):
        open_camera(path, 250, 400)
    with pytest.raises(ValueError, match=r"look like those of height=250, width=400"):
        open_camera(path, 250, 416)


def shapes(kind: str, draw: np.random.Generator, frames: int, height: int, width: int) -> NDArray[np.bool_]:
    y, x = np.mgrid[:height, :width]
    k = np.arange(1, frames + 1)[:, None, None]
    phase = draw.random((height, width))

    def fires(light: NDArray[np.float64], start: NDArray[np.float64] | float) -> NDArray[np.bool_]:
        return np.floor(light * k + start) > np.floor(light * (k - 1) + start)

    match kind:
        case "noise":
            return draw.random((frames, height, width)) < 0.3
        case "dark":
            return draw.random((frames, height, width)) < 0.0005
        case "nothing":
            return np.zeros((frames, height, width), bool)
        case "everything":
            return np.ones((frames, height, width), bool)
        case "in step":
            return fires(np.full((height, width), 0.23), 0.0)
        case "uniform":
            return fires(np.full((height, width), 0.23), phase)
        case "uneven":
            return fires(np.clip(0.2 * (1 + 0.04 * draw.standard_normal((height, width))), 0, 1), phase)
        case "gradient":
            return fires(0.1 + 0.8 * y / height, phase)
        case "stripes":  # two rows each
            return fires(0.1 + 0.5 * (y % 2), phase)
        case "bars":
            return fires(0.2 + 0.15 * np.sin(2 * np.pi * y / 8), phase)
        case "columns":
            return fires(0.2 + 0.15 * np.sin(2 * np.pi * x / 20), phase)
        case "columns in step":
            return fires(0.2 + 0.15 * np.sin(2 * np.pi * x / 20), 0.0)
        case "board":
            return fires(0.1 + 0.5 * ((y // 8 + x // 8) % 2), phase)
        case _:
            return draw.random((frames, height, width)) < 0.1 + 0.5 * draw.random((height, width))


KINDS = ("noise", "dark", "nothing", "everything", "in step", "uniform", "uneven", "gradient", "stripes", "bars",
         "columns", "columns in step", "board", "pixels of their own")  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("height", "width"), [(250, 400), (500, 800), (400, 250), (128, 128), (40, 50)])
def test_what_shows_no_other_size_is_opened(tmp_path: Path, kind: str, height: int, width: int) -> None:
    path = tmp_path / "a.dat"
    bits = shapes(kind, np.random.default_rng(3), 20 if height * width > 100_000 else 40, height, width)
    write(path, SpikeStream.of(bits))
    assert len(open_camera(path, height, width)) == len(bits)


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 8])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 5), (8, 8), (16, 16), (20, 40), (250, 400)])
def test_tiny_recordings_are_opened(tmp_path: Path, frames: int, height: int, width: int) -> None:
    path = tmp_path / "a.dat"
    for seed in range(4):
        write(path, SpikeStream.of(scene(height, width, frames, seed)))
        assert len(open_camera(path, height, width)) == frames
        guess(path)


@pytest.mark.slow
def test_scenes_of_any_size_are_opened(tmp_path: Path) -> None:
    draw, path = np.random.default_rng(5), tmp_path / "a.dat"
    for seed in range(400):
        height, width = (int(draw.choice([25, 50, 80, 100, 125, 200, 250, 400, 500, 97])) for _ in range(2))
        write(path, SpikeStream.of(scene(height, width, 40, seed, float(draw.uniform(0, 1)))))
        open_camera(path, height, width)


OPEN = """
import resource, sys
from spikeworks.camera import open
open(sys.argv[2], 250, 400)  # what is imported, is
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
stream = open(sys.argv[1], 250, 400)
print(len(stream), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_a_long_recording_is_opened_in_little_memory(tmp_path: Path) -> None:
    pytest.importorskip("resource")
    bits = scene(250, 400)
    frames = pack(Layout(400, 250).store(bits))
    write(tmp_path / "short.dat", SpikeStream.of(bits))
    with (tmp_path / "long.dat").open("wb") as file:
        for _ in range(500):
            file.write(frames.data)
    count, grown = subprocess.run(
        [sys.executable, "-c", OPEN, tmp_path / "long.dat", tmp_path / "short.dat"],
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ).stdout.split()  # fmt: skip
    assert int(count) == 20_000
    assert int(grown) < 50 * 1024  # KiB
