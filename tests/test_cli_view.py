"""``spikeworks view``: it says where the page is, ends cleanly, and refuses in a sentence."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

import numpy as np
import pytest

from events.damaged import stream
from spikeworks import camera, events
from spikeworks.cli.view import view
from spikeworks.view.app import Viewer

RUN = """
import sys
from pathlib import Path
from spikeworks.cli.view import view
view(Path(sys.argv[1]), height=9, width=13, browser=False)
"""


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "a.dat"
    camera.write(path, camera.SpikeStream.of(np.random.default_rng(0).random((60, 9, 13)) < 0.3))
    return path


def test_it_serves_until_it_is_interrupted(recording: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", RUN, str(recording)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "a.dat: SpikeStream(60 frames, 13×9, 20000 Hz)"
        address = process.stdout.readline().strip()
        with build_opener(ProxyHandler({})).open(address, timeout=30) as answer:
            assert b"<!doctype html>" in answer.read()
        process.send_signal(signal.SIGINT)
        assert "stopped" in process.communicate(timeout=30)[0]
    assert process.returncode == 0


def test_the_browser_is_opened(recording: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)

    def interrupted(self: Viewer) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(Viewer, "wait", interrupted)
    view(recording, height=9, width=13)
    assert opened[0].startswith("http://127.0.0.1:")
    assert opened[0] in capsys.readouterr().out


def test_what_cannot_be_shown_is_refused(recording: Path, tmp_path: Path) -> None:
    events.write(tmp_path / "e.npz", stream(50))
    (tmp_path / "x.dat").write_bytes(b"\x07" * 50)
    (tmp_path / "t.txt").write_text("no tracks\n")
    for file, words, more in (
        ("none.dat", "is not a file", {}),
        ("e.npz", r"holds events \(npz\).*spikeworks events play", {}),
        ("x.dat", "whole number of frames", {"height": 9, "width": 13}),
        ("a.dat", "line 1", {"height": 9, "width": 13, "tracks": tmp_path / "t.txt"}),
        ("a.dat", "as .flo files do", {"height": 9, "width": 13, "flow": tmp_path / "t.txt"}),
        ("a.dat", "port=-1", {"height": 9, "width": 13, "port": -1}),
    ):
        with pytest.raises(ValueError, match=words):
            view(tmp_path / file, browser=False, **more)
