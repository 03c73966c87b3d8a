"""The command for flow, called as the command line calls it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from camera.test_flow import moving
from spikeworks.camera import match, read_flow, write
from spikeworks.cli.camera_flow import flow


@pytest.fixture
def clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COLUMNS", "200")
    write(tmp_path / "clip.dat", moving(0.3, -0.15))
    return tmp_path / "clip.dat"


def test_numbers_and_colours(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = pytest.importorskip("PIL.Image")
    out = clip.with_name("f.flo")
    flow(clip, from_=25, to=65, out=out, height=60, width=81)
    said, expected = capsys.readouterr().out, match(moving(0.3, -0.15), 25, 65)
    assert "pixels per frame" in said
    assert "f.flo" in said
    found = read_flow(out, frames=40)
    assert np.array_equal(found.valid, expected.valid)
    assert np.allclose(found.uv, expected.uv, atol=1e-6)
    flow(clip, from_=25, to=65, out=clip.with_name("f.png"), height=60, width=81)
    with image.open(clip.with_name("f.png")) as drawn:
        assert drawn.size == (81, 60)


def test_refusals(clip: Path) -> None:
    with pytest.raises(ValueError, match="--from got 65 and --to 25"):
        flow(clip, from_=65, to=25, height=60, width=81)
    with pytest.raises(ValueError, match=r"ends in .flo or .png"):
        flow(clip, from_=25, to=65, out=Path("f.jpg"), height=60, width=81)
    with pytest.raises(ValueError, match="0 to 89"):
        flow(clip, from_=25, to=90, height=60, width=81)
