"""``spikeworks camera info`` and ``convert``: what they say is what is in the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from camera.spikes import random_spikes, random_stream
from camera.test_guess import scene
from spikeworks import events
from spikeworks.camera import SpikeStream, from_events, summarise, write
from spikeworks.camera import open as open_camera
from spikeworks.cli.camera_files import COMMANDS, convert, info


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    lines = [line.strip().split("  ", 1) for line in capsys.readouterr().out.splitlines()]
    return {pair[0]: pair[1].strip() for pair in lines if len(pair) == 2}


def test_info_says_what_is_in_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    bits = random_spikes(300, 16, 24)
    bits[:, 2, 3], bits[:, 4, 5], bits[:, 9, 9] = 1, 0, np.arange(300) % 20 > 0
    write("a.npz", SpikeStream.of(bits, 40_000))
    info(Path("a.npz"))
    found = told(capsys)
    assert found["sensor"] == "24 × 16"
    assert found["frames"] == "300"
    assert found["duration"] == "0.007500 s"
    assert found["rate"] == "40,000 Hz"
    assert found["spikes"] == f"{bits.sum():,}"
    assert found["mean"].startswith(f"{bits.mean():.4f} spikes/frame")
    assert found["saturated"].startswith(f"{1 / 384:.3%}")
    assert found["dead"].startswith(f"{(bits.sum(0) == 0).mean():.3%}")
    s = summarise(open_camera("a.npz"))
    assert s.hot >= 2 / 384
    assert sum(s.histogram) == pytest.approx(1)
    assert s.low < s.rate < s.high


def test_info_offers_sizes(capsys: pytest.CaptureFixture[str]) -> None:
    write("a.dat", SpikeStream.of(scene(120, 160)))
    info(Path("a.dat"))
    assert "height=120 width=160: 40 frames" in next(iter(told(capsys).values()))
    Path("b.dat").write_bytes(b"abc")
    with pytest.raises(ValueError, match="pass height= and width="):
        info(Path("b.dat"))
    with pytest.raises(ValueError, match="is not a file"):
        info(Path("c.dat"))


@pytest.mark.parametrize("name", ["b.npz", "b.h5", "b.npy", "c.dat"])
def test_convert(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    stream = random_stream(30, 16, 24)
    write("a.dat", stream)
    convert(Path("a.dat"), Path(name), height=16, width=24)
    assert "30 frames of 24 × 16 at 20000 Hz" in capsys.readouterr().out
    assert np.array_equal(open_camera(name, 16, 24).dense(), stream.dense())


def test_convert_to_events() -> None:
    stream = random_stream(30, 16, 24)
    write("a.dat", stream)
    convert(Path("a.dat"), Path("b.npz"), height=16, width=24, events=True)
    assert np.array_equal(from_events(events.read("b.npz"), frames=30).dense(), stream.dense())


def test_no_frames(capsys: pytest.CaptureFixture[str]) -> None:
    write("a.npz", random_stream(0, 16, 24))
    info(Path("a.npz"))
    assert told(capsys)["frames"] == "0"
    convert(Path("a.npz"), Path("b.h5"))
    convert(Path("a.npz"), Path("e.npz"), events=True)
    assert len(events.read("e.npz")) == 0
    with pytest.raises(ValueError, match="no frames"):
        summarise(open_camera("a.npz"))


def test_commands_are_registered_by_name() -> None:
    assert [c.__name__ for c in COMMANDS] == ["info", "convert"]
