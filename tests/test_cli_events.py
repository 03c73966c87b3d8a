"""``spikeworks events``: what it says is what is in the file, what it writes is whole, bad input is one sentence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from events.damaged import same, stream
from spikeworks import cli, events
from spikeworks.events import EventStream, concatenate


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a recording; a wide terminal."""
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.chdir(tmp_path)
    events.write("a.npz", stream(5000, span=2_000_000))
    return tmp_path


def typed(line: str) -> None:
    cli.main(line.split())


def refused(line: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as left:
        typed(line)
    said = capsys.readouterr()
    assert left.value.code == 2
    assert said.err.startswith("spikeworks: ")
    assert said.err.count("\n") == 1
    return said.err


def told(said: str) -> dict[str, str]:
    return {
        line[2:].split("  ")[0].strip(): line[2:].split("  ", 1)[1].strip()
        for line in said.splitlines()
        if "   " in line
    }


def test_info_says_what_is_in_the_file(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    s = events.read("a.npz")
    typed("events info a.npz --hottest 1")
    found = told(capsys.readouterr().out)
    assert found["format"] == "npz"
    assert found["sensor"] == "13 × 7"
    assert found["events"] == "5,000"
    assert found["first"] == f"{s.t[0]:,} µs"
    assert found["last"] == f"{s.t[-1]:,} µs"
    assert found["duration"] == f"{s.duration / 1e6:.6f} s"
    assert found["rate"] == f"{5000 / s.duration * 1e6:,.0f} events/s"
    assert found["peak"] == f"{np.bincount(s.t // 10_000).max() * 100:,} events/s over 10 ms"
    assert found["ON"] == f"{s.p.mean():.2%}"
    assert found["in order"] == "yes"
    seen = np.bincount(s.y.astype(int) * 13 + s.x, minlength=91)
    assert found["hottest"] == f"({seen.argmax() % 13}, {seen.argmax() // 13}) {seen.max()}"


def test_info_of_odd_files(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    events.write("none.npz", stream(0))
    typed("events info none.npz")
    found = told(capsys.readouterr().out)
    assert found["events"] == "0"
    assert "first" not in found
    np.savez("back.npz", t=[5, 3], x=[1, 1], y=[2, 2], p=[1, 0])
    typed("events info back.npz --width 4 --height 4")
    found = told(capsys.readouterr().out)
    assert (found["in order"], found["peak"], found["duration"]) == ("no", "– (not in order)", "0.000002 s")
    np.savez("\x1b[2Jbad.npz", t=[5], x=[1], y=[2], p=[1], width=4, height=4, **{"\x1b[31m[red]": 1})
    cli.main(["events", "info", "\x1b[2Jbad.npz"])
    said = capsys.readouterr().out
    assert "\x1b" not in said  # a name in a file does not steer the terminal
    assert "[31m[red]" in said
    assert "– (no duration)" in said


def test_convert_from_any_to_any(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    s = events.read("a.npz")
    for line in ("a.npz b.csv", "b.csv c.npz", "c.npz d.dump --to csv", "d.dump e.npz --from csv"):
        typed(f"events convert {line}")
        assert f"  {line.split()[1]}\n" in capsys.readouterr().out
    for name in ("b.csv", "c.npz", "d.dump", "e.npz"):
        assert same(events.read(name), s), name
    Path("plain.txt").write_text("0.5 1 2 1\n0.75 3 4 0\n")
    typed("events convert plain.txt f.npz --width 8 --height 6")
    assert same(events.read("f.npz"), EventStream([500_000, 750_000], [1, 3], [2, 4], [1, 0], 8, 6))
    np.savez("none.npz", t=s.t[:0], x=s.x[:0], y=s.y[:0], p=s.p[:0])
    typed("events convert none.npz g.csv --width 8 --height 6")
    assert same(events.read("g.csv"), events.empty(8, 6))


def test_convert_to_hdf5(place: Path) -> None:
    pytest.importorskip("h5py", reason="needs h5py")
    typed("events convert a.npz a.h5")
    assert same(events.read("a.h5"), events.read("a.npz"))


def test_a_file_that_breaks_off_is_not_converted(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("out.npz").write_text("kept")
    typed("events convert a.npz long.csv")
    Path("long.csv").write_bytes(Path("long.csv").read_bytes()[:-7])
    assert "long.csv" in refused("events convert long.csv out.npz", capsys)
    assert Path("out.npz").read_text() == "kept"
    assert sorted(p.name for p in place.iterdir()) == ["a.npz", "long.csv", "out.npz"]


def test_play_draws_windows(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    typed("events play a.npz --fps 20")
    assert "40 windows of 50 ms" in capsys.readouterr().out
    with Image.open("a.npz.gif") as image:
        assert (image.n_frames, image.size) == (40, (247, 133))
    typed("events play a.npz --window 100 --start 0.5 --stop 1 --out slow.gif")
    with Image.open("slow.gif") as image:
        assert image.n_frames == 5
    typed("events play a.npz --window 10 --cells 8 --out sheet.png")
    said = capsys.readouterr().out
    assert "200 windows of 10 ms, 7 of them, evenly spaced," in said
    with Image.open("sheet.png") as image:
        assert image.mode == "P"


def test_bad_input_is_refused_in_a_sentence(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("x.what").write_bytes(b"\x07" * 50)
    Path("none").touch()
    np.savez("back.npz", t=[5, 3], x=[1, 1], y=[2, 2], p=[1, 0], width=4, height=4)
    events.write("empty.npz", stream(0))
    for line, words in (
        ("info nowhere.npz", "is not a file"),
        ("info none", "is empty"),
        ("info x.what", "no format known here"),
        ("info a.npz --from magic", "magic"),
        ("info a.npz --width 4", "expected both or none"),
        ("info a.npz --width 4 --height 4", "13×7, but width=4"),
        ("info a.npz --hottest -1", "hottest=-1"),
        ("convert a.npz out.zzz", "whose suffix says no format"),
        ("convert a.npz out.csv --to magic", "magic"),
        ("convert back.npz out.csv", "not in order"),
        ("convert a.npz", "OUT"),
        ("play a.npz --out a.avi", "a.avi"),
        ("play a.npz --fps 0", "--fps got 0.0"),
        ("play a.npz --fps nan", "--fps got nan"),
        ("play a.npz --window 0", "--window got 0.0"),
        ("play a.npz --start 2 --stop 1", "--start got 2.0"),
        ("play empty.npz", "holds no events"),
        ("play back.npz", "not in order"),
        ("play a.npz --start 9", "no events"),
        ("frob a.npz", "frob"),
    ):
        assert words in refused(f"events {line}", capsys), line
    assert not [p.name for p in place.iterdir() if p.name not in ("a.npz", "x.what", "none", "back.npz", "empty.npz")]


HELP = """
import runpy, sys
sys.argv = ["spikeworks", "events", *sys.argv[1:]]
try:
    runpy.run_module("spikeworks", run_name="__main__")
except SystemExit as end:
    assert not end.code, end.code
heavy = {"torch", "h5py", "av", "PIL"} & set(sys.modules)
assert not heavy, heavy
"""


@pytest.mark.parametrize("words", [["--help"], ["play", "--help"], ["info", "a.npz"], ["convert", "a.npz", "b.csv"]])
def test_events_need_no_torch(place: Path, words: list[str]) -> None:
    done = subprocess.run([sys.executable, "-c", HELP, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_memory_does_not_grow_with_the_file(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks are let go: of 40 blocks, no more than a few are alive at once."""
    import weakref

    from spikeworks.events import files

    alive: list[Any] = []
    most = 0
    real = files.EventFile.blocks

    def watched(self: Any, count: int = 128) -> Any:
        nonlocal most
        for block in real(self, 128):
            alive.append(weakref.ref(block.t))
            most = max(most, sum(ref() is not None for ref in alive))
            yield block

    monkeypatch.setattr(files.EventFile, "blocks", watched)
    for line in ("info a.npz", "convert a.npz b.csv", "play a.npz --out a.png --cells 2"):
        typed(f"events {line}")
        assert len(alive) >= 39
        assert most <= 6, line
        alive.clear()
    assert same(concatenate(list(watched(events.open("b.csv")))), events.read("a.npz"))
