"""``spikeworks camera track``: boxes as text, a film, a table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from camera.discs import discs
from spikeworks.camera import read_mot, write
from spikeworks.cli.camera_track import track


def test_tracks_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scene = discs(2, 1, frames=260, height=100, width=120, still=200)
    write(tmp_path / "still.dat", scene.stream[:100])
    write(tmp_path / "clip.dat", scene.stream[100:])
    clip, out, film = tmp_path / "clip.dat", tmp_path / "tracks.txt", tmp_path / "film.mp4"
    track(clip, out, height=100, width=120, calibrate=tmp_path / "still.dat", skip=100, film=film)
    said = capsys.readouterr().out
    assert "tracks.txt" in said
    assert film.stat().st_size > 1000
    found = read_mot(out)
    assert set(found.identity) == {1, 2}
    assert found.frame.min() == 100 + 12
    truth = scene.boxes[found.frame.max() - 100]
    last = found.box[found.frame == found.frame.max()]
    assert all(np.abs(truth - box).max(1).min() < 6 for box in last)
    track(clip, tmp_path / "other.txt", height=100, width=120)
    assert len(read_mot(tmp_path / "other.txt").frame)


def test_refusals(tmp_path: Path) -> None:
    clip, out = tmp_path / "clip.dat", tmp_path / "tracks.txt"
    write(clip, discs(1, frames=20, height=50, width=64, still=0, speed=(0, 9)).stream)
    with pytest.raises(ValueError, match=r"expected a name that ends in \.mp4"):
        track(clip, out, height=50, width=64, film=tmp_path / "film.gif")
    with pytest.raises(ValueError, match="--skip got 150"):
        track(clip, out, height=50, width=64)
    with pytest.raises(ValueError, match="is not a file"):
        track(clip, out, height=50, width=64, skip=0, calibrate=tmp_path / "none.dat")
    assert not out.exists()
