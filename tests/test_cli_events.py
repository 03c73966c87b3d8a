"""``spikeworks events``: what a file is, in another format, and as a picture."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from events.test_stream import same, stream
from spikeworks import cli, events
from spikeworks.events.survey import survey


def typed(line: str) -> None:
    cli.main(line.split())


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


def test_a_survey_is_the_same_whatever_the_blocks() -> None:
    for ordered in (True, False):
        s = stream(3000, span=95_000, ordered=ordered)
        found = [survey(s.groups(n), 13, 7) for n in (1, 7, 999, 3000)]
        assert all(f == found[0] for f in found)
        one = found[0]
        assert (one.count, one.on, one.first, one.last) == (3000, int(s.p.sum()), s.t.min(), s.t.max())
        assert one.ordered is ordered
        assert one.peak == (np.bincount((s.t - s.t.min()) // 10_000).max() if ordered else 0)
        counts = np.zeros((7, 13), int)
        np.add.at(counts, (s.y, s.x), 1)
        assert one.hottest[0][2] == counts.max()
        assert all(counts[y, x] == n for x, y, n in one.hottest)
    nothing = survey([], 3, 4)
    assert (nothing.count, nothing.share, nothing.rate, nothing.hottest) == (0, 0, 0, [])


def test_info_tells_what_is_in_it(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    events.write("x.dat", stream(1234, span=2_000_000))
    typed("events info x.dat")
    said = " ".join(capsys.readouterr().out.split())
    for words in ("dat, ", "13×7", "1,234, ", "% ON", "in order of time", "events/s, at most", "hottest pixels ("):
        assert words in said
    events.write("none.npz", events.empty(3, 4))
    typed("events info none.npz")
    assert "none" in capsys.readouterr().out


def test_convert_goes_from_any_format_to_any(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = stream(500)
    events.write("a.npz", made)
    chain = ["a.npz", "b.csv", "c.dat", "d.raw", "e.es", "f.aedat4", "g.npz"]
    for one, two in pairwise(chain):
        typed(f"events convert {one} {two}")
    assert same(events.read("g.npz"), made)
    Path("kept.npz").write_bytes(b"as it was")
    Path("broken.csv").write_text("# width=5 height=5\nt,x,y,p\n1,1,1,1\n2,9,1,1\n")
    with pytest.raises(SystemExit) as left:
        typed("events convert broken.csv kept.npz")
    assert left.value.code == 2
    assert "x from 1 to 9" in capsys.readouterr().err
    assert Path("kept.npz").read_bytes() == b"as it was"
    assert not list(place.glob(".*"))


def test_play_draws_a_frame_for_every_window(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = pytest.importorskip("PIL.Image")
    events.write("a.npz", stream(500, span=5000))
    typed("events play a.npz a.gif --window 1000")
    with image.open("a.gif") as drawn:
        assert drawn.n_frames == 5
        assert drawn.size == (13 * 24, 7 * 24)
    typed("events play a.npz a.png --window 500 --most 3")
    with image.open("a.png") as drawn:
        colours = {tuple(c) for c in np.asarray(drawn.convert("RGB")).reshape(-1, 3)}
    assert {(255, 255, 255), (225, 225, 225)} < colours
    assert "3 frames of 0.5 ms" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("events info nothing.raw", "nothing.raw is not a file"),
        ("events play a.npz a.mp4", r"expected .gif or .png"),
        ("events convert a.npz a.xyz", "whose suffix says no format"),
        ("events info a.npz --width 9 --height 9", "is of a sensor of 13×7"),
        ("events info a.npz --format dvs", "format got 'dvs'"),
    ],
)
def test_bad_input_is_said_in_a_sentence(
    place: Path, capsys: pytest.CaptureFixture[str], line: str, words: str
) -> None:
    events.write("a.npz", stream(20))
    with pytest.raises(SystemExit) as left:
        typed(line)
    assert left.value.code == 2
    assert words in capsys.readouterr().err
