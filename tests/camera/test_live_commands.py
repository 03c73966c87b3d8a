"""``spikeworks camera live`` and ``send``, called as the command line calls them."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from camera.spikes import random_stream
from camera.test_live_wire import address
from spikeworks import camera
from spikeworks.cli.camera_live import live, send


@pytest.fixture
def file(tmp_path: Path) -> Path:
    camera.write(tmp_path / "a.dat", random_stream(200, 8, 10))
    return tmp_path / "a.dat"


def test_a_recording_is_watched_and_recorded(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, frames = tmp_path / "a.spikes", tmp_path / "frames"
    live(str(file), record=out, every=50, frames=frames, height=8, width=10)
    stream = camera.open(file, 8, 10)
    assert np.array_equal(camera.open_container(out).packed(), stream.packed())
    assert sorted(path.name for path in frames.iterdir()) == [f"{k:08d}.png" for k in (40, 90, 140, 190)]
    said = capsys.readouterr().out
    assert "record" in said
    assert "a.spikes" in said
    live(str(out), seconds=0.05, loop=True)  # a container tells its size
    with pytest.raises(ValueError, match="is there already"):
        live(str(out), record=out)
    for wrong in ({"seconds": 0.0}, {"speed": 0.0}, {"every": 0}):
        with pytest.raises(ValueError, match="expected"):
            live(str(out), **wrong)  # type: ignore[arg-type]


def test_a_recording_is_sent(file: Path, tmp_path: Path) -> None:
    place, out = address("tcp"), tmp_path / "b.spikes"
    thread = threading.Thread(target=send, args=(file, place), kwargs={"height": 8, "width": 10, "speed": 10.0})
    thread.start()
    live(place, record=out, wait=10)
    thread.join()
    assert np.array_equal(camera.open_container(out).packed(), camera.open(file, 8, 10).packed())
