"""``spikeworks camera simulate`` and ``validate``: pictures, videos and folders become recordings; errors are told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from spikeworks.camera import PRESETS, texture
from spikeworks.camera import open as open_camera
from spikeworks.camera import simulate as simulated
from spikeworks.cli.camera_simulate import simulate, validate

HEIGHT, WIDTH = 60, 80


def grey(seed: int = 0) -> np.ndarray:
    return (255 * texture(HEIGHT, WIDTH, np.random.default_rng(seed), grain=6.0)).astype(np.uint8)


def saved(path: Path, values: np.ndarray) -> Path:
    from PIL import Image

    Image.fromarray(values).save(path)
    return path


def video(path: Path, pictures: list[np.ndarray], fps: int) -> Path:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=fps)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "gray"  # type: ignore[attr-defined]
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "gray")))
        container.mux(stream.encode())
    return path


def test_a_picture_becomes_a_recording(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = saved(tmp_path / "still.png", grey()), tmp_path / "still.dat"
    simulate(source, out, frames=600, preset="ideal", white=0.5)
    found = open_camera(out, HEIGHT, WIDTH)
    assert len(found) == 600
    assert np.abs(found.dense().mean(0) - 0.5 * grey() / 255).max() < 0.003
    assert "600 frames of 80 × 60, ideal" in capsys.readouterr().out
    simulate(source, tmp_path / "again.dat", frames=600, preset="ideal", white=0.5)
    assert (tmp_path / "again.dat").read_bytes() == out.read_bytes()
    simulate(source, tmp_path / "other.dat", frames=600, preset="ideal", white=0.5, seed=1)
    assert (tmp_path / "other.dat").read_bytes() != out.read_bytes()


def test_sixteen_bits_are_read_as_such(tmp_path: Path) -> None:
    source = saved(tmp_path / "deep.png", np.full((HEIGHT, WIDTH), 2**14, np.uint16))
    simulate(source, tmp_path / "deep.dat", frames=400, preset="ideal", white=1.0)
    assert open_camera(tmp_path / "deep.dat", HEIGHT, WIDTH).dense().mean() == pytest.approx(0.25, abs=0.002)


@pytest.mark.parametrize("kind", ["video", "folder"])
def test_a_film_lasts_as_long_as_its_pictures(tmp_path: Path, kind: str) -> None:
    pictures = [np.full((HEIGHT, WIDTH), v, np.uint8) for v in (51, 204, 51, 51)]
    if kind == "video":
        source = video(tmp_path / "film.mkv", pictures, 50)
        simulate(source, tmp_path / "film.dat", preset="ideal", white=0.5)
    else:
        for k, picture in enumerate(pictures):
            saved(tmp_path / f"{k}.png", picture)
        simulate(tmp_path, tmp_path / "film.dat", preset="ideal", white=0.5, fps=50.0)
    found = open_camera(tmp_path / "film.dat", HEIGHT, WIDTH).dense().mean((1, 2))
    assert len(found) == 3 * 400
    assert found[300:500].mean() == pytest.approx(0.5 * (204 - 153 / 8) / 255, abs=0.01)
    assert found[900:].mean() == pytest.approx(0.5 * 51 / 255, abs=0.01)


def test_recordings_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from spikeworks.camera import write

    light = texture(HEIGHT, WIDTH, np.random.default_rng(0), low=0.06, high=0.4)
    for seed in (0, 1):
        write(tmp_path / f"{seed}.dat", simulated(light, PRESETS["vidar"], 200, np.random.default_rng(seed)))
    both = (tmp_path / "0.dat", tmp_path / "1.dat")
    validate(*both, height=HEIGHT, width=WIDTH, skip=2, plot=tmp_path / "eight.png")
    told = capsys.readouterr().out
    assert "8 mean pictures apart" in told
    assert "of 25 numbers are within their bands" in told
    assert (tmp_path / "eight.png").exists()
    with pytest.raises(ValueError, match="--skip got 60"):
        validate(*both, height=HEIGHT, width=WIDTH, skip=60)


def test_what_cannot_be_filmed_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out.dat"
    text, picture = tmp_path / "note.txt", saved(tmp_path / "still.png", grey())
    text.write_text("no video")
    short = video(tmp_path / "short.mkv", [grey(), grey(1)], 50)
    folder = tmp_path / "folder"
    folder.mkdir()
    saved(folder / "a.png", grey())
    saved(folder / "b.png", grey()[:-1])
    (tmp_path / "bad.png").write_text("no picture")
    cases: tuple[tuple[Callable[[], None], str], ...] = (
        (lambda: simulate(text, out), "could not be read as a video"),
        (lambda: simulate(tmp_path / "bad.png", out), "could not be read as a picture"),
        (lambda: simulate(tmp_path / "none", out), "is not there"),
        (lambda: simulate(picture, out, preset="canon"), "expected one of ideal"),
        (lambda: simulate(picture, out, white=0.0), "--white got 0.0"),
        (lambda: simulate(picture, out, frames=0), "frames=0"),
        (lambda: simulate(short, out, frames=401), "pictures end at 400"),
        (lambda: simulate(folder, out), "pass --fps"),
        (lambda: simulate(folder, out, fps=100.0), "expected one size"),
        (lambda: simulate(folder, out, fps=0.0), "--fps got 0.0"),
    )
    for call, match in cases:
        with pytest.raises(ValueError, match=match):
            call()
        assert not out.exists()
