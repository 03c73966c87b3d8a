"""``spikeworks camera reconstruct``: what is written is what the estimator told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from camera.spikes import random_stream
from spikeworks import camera
from spikeworks.cli.camera_images import COMMANDS, reconstruct


@pytest.fixture
def file(tmp_path: Path) -> Path:
    camera.write(tmp_path / "a.dat", random_stream(90, 13, 17))
    return tmp_path / "a.dat"


def run(file: Path, out: Path, **options: Any) -> None:
    reconstruct(file, out, height=13, width=17, **options)


def _png(path: Path) -> np.ndarray:
    return np.asarray(Pillow.open(path))


@pytest.mark.parametrize("method", camera.ESTIMATORS)
def test_one_frame_of_every_method(method: str, file: Path, tmp_path: Path) -> None:
    stream, estimator = camera.open(file, 13, 17), camera.ESTIMATORS[method]()
    run(file, tmp_path / "a.png", method=method, at=50, white=0.6, gamma=2.2)
    assert np.array_equal(_png(tmp_path / "a.png"), camera.grey(estimator(stream, 50), 0.6, 2.2))
    run(file, tmp_path / "a.npz", method=method)
    with np.load(tmp_path / "a.npz") as found:
        light, valid = estimator(stream, 45)
        assert found["frames"].tolist() == [45]
        assert np.array_equal(np.isfinite(found["light"][0]), valid)
        assert np.array_equal(found["light"][0][valid], light[valid])


def test_many_frames(file: Path, tmp_path: Path) -> None:
    stream, estimator = camera.open(file, 13, 17), camera.TFP(8)
    options: dict[str, Any] = dict(method="tfp", window=8, every=20, start=10, stop=80)
    run(file, tmp_path / "pictures", **options)
    names = ["000010.png", "000030.png", "000050.png", "000070.png"]
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == names
    assert np.array_equal(_png(tmp_path / "pictures" / names[1]), camera.grey(estimator(stream, 30)))
    run(file, tmp_path / "a.npz", **options)
    with np.load(tmp_path / "a.npz") as found:
        assert found["frames"].tolist() == [10, 30, 50, 70]
        assert np.array_equal(found["light"], estimator(stream, [10, 30, 50, 70]).light)
    run(file, tmp_path / "a.gif", **options)
    with Pillow.open(tmp_path / "a.gif") as found:
        assert found.n_frames == 4
        found.seek(2)
        assert np.array_equal(np.asarray(found.convert("L")), camera.grey(estimator(stream, 50)))
    run(file, tmp_path / "sheet.png", **options)
    assert _png(tmp_path / "sheet.png").shape == (2 * 17 + 4, 2 * 21 + 4)


def test_a_film(file: Path, tmp_path: Path) -> None:
    av: Any = pytest.importorskip("av", reason="needs PyAV")
    for options in ({}, {"bayer": "rggb"}):
        run(file, tmp_path / "a.mp4", every=30, fps=10.0, **options)
        with av.open(str(tmp_path / "a.mp4")) as film:
            assert [frame.width for frame in film.decode(video=0)] == [18] * 3


def test_colour_and_calibration(file: Path, tmp_path: Path) -> None:
    stream = camera.open(file, 13, 17)
    maps = camera.Calibration(np.full((13, 17), 2, np.float32), np.zeros((13, 17), np.float32))
    maps.save(tmp_path / "maps.npz")
    run(file, tmp_path / "a.png", method="tfp", bayer="grbg", calibration=tmp_path / "maps.npz", white=0.3)
    image = camera.bayer(maps.apply(camera.TFP()(stream, 45)), "grbg")
    assert np.array_equal(_png(tmp_path / "a.png"), camera.grey(image, 0.3))
    run(file, tmp_path / "a.npz", every=40, bayer="grbg")
    with np.load(tmp_path / "a.npz") as found:
        assert found["light"].shape == (3, 13, 17, 3)


def test_options_reach_the_estimator(file: Path, tmp_path: Path) -> None:
    stream = camera.open(file, 13, 17)
    for options, estimator in (
        (dict(method="k-intervals", k=2, window=30, causal=True), camera.KIntervals(2, 30, True)),
        (dict(method="tfi", window=9), camera.TFI(9)),
        (dict(method="tfstp", window=40, causal=True), camera.TFSTP(reach=40)),
        (dict(method="window-intervals", window=12, causal=True), camera.WindowIntervals(12, True)),
    ):
        run(file, tmp_path / "a.png", **options)
        assert np.array_equal(_png(tmp_path / "a.png"), camera.grey(estimator(stream, 45)))


def test_what_cannot_be_drawn_leaves_no_file(file: Path, tmp_path: Path) -> None:
    for name, options, words in (
        ("a.png", dict(method="best"), "'best', expected one of tfp"),
        ("a.png", dict(k=3), "stable takes no --k"),
        ("a.png", dict(at=3, every=2), "choose one of both"),
        ("a.png", dict(start=3), "need --every"),
        ("a.png", dict(at=90), "expected 0 to 89"),
        ("a.gif", dict(at=3), "every draws many"),
        ("a.avi", dict(every=3), "or the name of a folder"),
        ("a.mp4", dict(every=3, fps=0.0), "--fps got fps=0"),
        ("a.png", dict(every=0), "--every got 0"),
        ("a.png", dict(every=2, start=50, stop=40), "frames from"),
        ("a.png", dict(method="tfp", every=2, stop=89), "frames from 20"),
        ("a.png", dict(white=0.0), "white=0"),
        ("a.png", dict(bayer="rgb"), "'rgb'"),
    ):
        with pytest.raises(ValueError, match=words):
            run(file, tmp_path / name, **options)
        assert not (tmp_path / name).exists()
    assert list(COMMANDS) == [reconstruct]


def test_a_window_that_a_method_does_not_take(file: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--method learned takes no --window"):
        run(file, tmp_path / "a.png", method="learned", window=41)
