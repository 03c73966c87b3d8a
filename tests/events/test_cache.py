"""Frames of a data set, made once: whatever changes makes others, whatever happens on the way leaves nothing half."""

from __future__ import annotations

import errno
import multiprocessing
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from events.test_dataset import own
from spikeworks import events
from spikeworks.events import Framing, cache, cached
from spikeworks.events.dataset import folder


def test_frames_are_made_once_and_every_parameter_counts(tmp_path: Path) -> None:
    made, seen = own(tmp_path / "data"), []
    x, y = cached(made, Framing(4), tmp_path / "cache", progress=lambda *now: seen.append(now))
    assert seen == [(i, 6) for i in range(1, 7)]
    assert (x.shape, x.dtype, y.tolist()) == ((6, 4, 2, 7, 13), torch.uint8, made.labels)
    assert [int(frames.sum()) for frames in x] == [len(s) for s, _ in made]
    assert sorted(p.suffix for p in (tmp_path / "cache").iterdir()) == [".npy"]
    again, _ = cached(made, Framing(4), tmp_path / "cache", progress=lambda *now: seen.append(now))
    assert torch.equal(again, x)
    assert len(seen) == 6
    x[0] = 9  # stays in memory
    assert not torch.equal(cached(made, Framing(4), tmp_path / "cache")[0], x)
    for framing in (Framing(5), Framing(4, "number"), Framing(4, pool=2), Framing(4, polarity=False)):
        other, _ = cached(made, framing, tmp_path / "cache")
        assert int(other.sum()) == sum(len(s) for s, _ in made)
    assert len(list((tmp_path / "cache").iterdir())) == 5
    os.utime(made.recordings[2].path, ns=(1, 1))
    cached(made, Framing(4), tmp_path / "cache")
    assert len(list((tmp_path / "cache").iterdir())) == 6


def test_whatever_a_sample_depends_on_is_in_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events.write(tmp_path / "a" / "x.bin", events.EventStream([5, 9], [1, 2], [2, 3], [1, 0], 34, 34))
    made = folder(tmp_path, 34, 34, "atis")
    (sample,) = made.recordings
    others = [
        made, replace(made, width=35), replace(made, height=35), replace(made, format=None),
        *(replace(made, recordings=(replace(sample, **{name: 6}),)) for name in ("label", "start", "stop", "place")),
    ]  # fmt: skip
    keys = {cache._key(data, Framing(2)) for data in others}
    monkeypatch.setattr("spikeworks.__version__", "999")
    keys.add(cache._key(made, Framing(2)))
    assert len(keys) == len(others) + 1
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert cache._key(folder(Path(), 34, 34, "atis"), Framing(2)) == cache._key(made, Framing(2))
    wide, _ = cached(replace(made, width=40), Framing(2), tmp_path / "cache")
    assert (wide.shape[-1], cached(made, Framing(2), tmp_path / "cache")[0].shape[-1]) == (40, 34)


def test_an_array_that_was_spoilt_is_made_anew(tmp_path: Path) -> None:
    made, place = own(tmp_path / "data"), tmp_path / "cache"
    wanted = cached(made, Framing(4), place)[0].clone()
    (joined,) = place.iterdir()
    whole = joined.read_bytes()
    for spoilt in (b"", whole[:50], whole[:-1]):
        joined.write_bytes(spoilt)
        assert torch.equal(cached(made, Framing(4), place)[0], wanted)
        assert joined.read_bytes() == whole


def test_what_was_begun_or_broken_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, place = own(tmp_path / "data"), tmp_path / "cache"
    wanted, _ = cached(made, Framing(4), tmp_path / "other")
    real, count = cache.make, []

    def stopping(*arguments: object) -> None:
        if len(count) == 4:
            raise KeyboardInterrupt
        count.append(1)
        real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(cache, "make", stopping)
    with pytest.raises(KeyboardInterrupt):
        cached(made, Framing(4), place)
    (parts,) = place.iterdir()
    assert len(list(parts.iterdir())) == 4
    broken = sorted(parts.iterdir())[1]
    broken.write_bytes(broken.read_bytes()[:-7])
    monkeypatch.setattr(cache, "make", real)
    seen: list[tuple[int, int]] = []
    x, _ = cached(made, Framing(4), place, progress=lambda *now: seen.append(now))
    assert seen == [(4, 6), (5, 6), (6, 6)]
    assert torch.equal(x, wanted)
    assert [p.suffix for p in place.iterdir()] == [".npy"]


def fails(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("at", [0, 3, 5])
def test_a_full_disk_leaves_what_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    made, place, count = own(tmp_path / "data"), tmp_path / "cache", []
    wanted, _ = cached(made, Framing(4), tmp_path / "other")
    real = np.save

    def full(path: Path, frames: np.ndarray, **how: Any) -> None:
        if len(count) == at:
            path.write_bytes(b"some of it")
            fails()
        count.append(1)
        real(path, frames, **how)

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(ValueError, match=r"npy cannot be written \(No space left on device\); make room") as error:
        cached(made, Framing(4), place)
    assert "\n" not in str(error.value)
    (parts,) = place.iterdir()
    assert sorted(p.name for p in parts.iterdir()) == [f"{i:07}.npy" for i in range(at)]
    monkeypatch.undo()
    seen: list[tuple[int, int]] = []
    assert torch.equal(cached(made, Framing(4), place, progress=lambda *now: seen.append(now))[0], wanted)
    assert seen == [(i, 6) for i in range(at + 1, 7)]
    assert [p.suffix for p in place.iterdir()] == [".npy"]


def test_a_disk_that_is_full_at_the_end_makes_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, place, seen = own(tmp_path / "data"), tmp_path / "cache", list[tuple[int, int]]()
    monkeypatch.setattr(np.lib.format, "write_array_header_1_0", fails)
    with pytest.raises(ValueError, match="cannot be written"):
        cached(made, Framing(4), place)
    (parts,) = place.iterdir()
    assert len(list(parts.iterdir())) == 6
    monkeypatch.undo()
    x, _ = cached(made, Framing(4), place, progress=lambda *now: seen.append(now))
    assert [int(frames.sum()) for frames in x] == [len(s) for s, _ in made]
    assert not seen


FILL = """
import subprocess, sys
from pathlib import Path
import spikeworks
from spikeworks.events import Framing, cached, folder
small = Path(sys.argv[2])
for size in ("100k", "176k", "1m"):  # 40 samples of a page each; then room for them and not for the array; then for all
    subprocess.run(["mount", "-o", f"remount,size={size}", small], check=True)
    try:
        x, _ = cached(folder(sys.argv[1]), Framing(4), small)
        sys.stdout.write(f"whole {int(x.sum())}\\n")
    except ValueError as error:
        there = [p.name.startswith(".") for p in small.rglob("*") if p.is_file()]
        sys.stdout.write(f"{str(error).partition('(')[2]} {len(there)} {sum(there)}\\n")
"""


@pytest.mark.slow
def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    made, small = own(tmp_path / "data", 20), tmp_path / "small"
    (tmp_path / "fill.py").write_text(FILL)
    small.mkdir()
    script = 'mount -t tmpfs tmpfs "$2" && exec "$3" "$0" "$1" "$2"'
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", script]
    given = [str(tmp_path / "fill.py"), str(tmp_path / "data"), str(small), sys.executable]
    source = str(Path(events.__file__).parents[2])
    try:
        done = subprocess.run(
            command + given, capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": source}
        )
    except FileNotFoundError:
        pytest.skip("there is no unshare here")
    if done.returncode and ("unshare" in done.stderr or "mount:" in done.stderr):
        pytest.skip(f"no small disk can be made here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    full = "); make room or choose another folder: what was made before is kept, and the same call goes on."
    assert len(lines) == 3
    for line, least, most in ((lines[0], 1, 39), (lines[1], 40, 40)):
        said, there, hidden = line.rsplit(" ", 2)
        assert said.endswith(full), line
        assert least <= int(there) <= most
        assert hidden == "0"
    assert lines[2] == f"whole {sum(len(s) for s, _ in made)}"


def _stop_amid(root: Path, place: Path, owner: Any, name: str, after: int) -> None:
    """Fill a cache; at the call after so many leave half a file, where it writes one, and wait to be killed."""
    real, count = getattr(owner, name), []

    def stopping(path: Path, *more: Any, **how: Any) -> Any:
        if len(count) == after:
            if name == "save":
                path.write_bytes(b"half of it")
            (place / "now").touch()
            time.sleep(600)
        count.append(1)
        return real(path, *more, **how)

    setattr(owner, name, stopping)
    cached(folder(root), Framing(4), place)


@pytest.mark.parametrize(
    ("owner", "name", "after"),
    [(np, "save", 0), (np, "save", 17), (np, "save", 39), (cache, "_there", 1), (cache, "_there", 40)],
    ids=["first", "amid", "last", "joining", "joined"],
)
def test_a_killed_process_leaves_nothing_half(tmp_path: Path, owner: Any, name: str, after: int) -> None:
    made, place = own(tmp_path / "data", 20), tmp_path / "cache"
    wanted, _ = cached(made, Framing(4), tmp_path / "other")
    given = (tmp_path / "data", place, owner, name, after)
    process = multiprocessing.get_context("fork").Process(target=_stop_amid, args=given)
    process.start()
    stop = time.monotonic() + 120
    while not (place / "now").exists() and time.monotonic() < stop:
        time.sleep(0.01)
    process.kill()
    process.join()
    (place / "now").unlink()
    there = list(place.glob("*/[0-9]*.npy"))
    assert len(there) == (after if name == "save" else 40)
    assert all(np.load(part).shape == (4, 2, 7, 13) for part in there)
    assert not [p for p in place.glob("*.npy") if not p.name.startswith(".")]
    left = list(place.rglob(".*.npy"))
    assert len(left) == 1
    os.utime(left[0], (0, 0))  # long ago
    seen: list[tuple[int, int]] = []
    assert torch.equal(cached(made, Framing(4), place, progress=lambda *now: seen.append(now))[0], wanted)
    assert len(seen) == 40 - len(there)
    assert [p.suffix for p in place.iterdir()] == [".npy"]


def test_what_a_slower_process_left_is_removed(tmp_path: Path) -> None:
    made, place = own(tmp_path / "data"), tmp_path / "cache"
    cached(made, Framing(4), place)
    (joined,) = place.iterdir()
    parts = joined.with_suffix("")
    parts.mkdir()
    np.save(parts / "0000003.npy", np.zeros(3))
    (parts / ".0000004-x.npy").touch()
    cached(made, Framing(4), place)
    assert [p.name for p in parts.iterdir()] == [".0000004-x.npy"]  # its writer may be alive
    os.utime(parts / ".0000004-x.npy", (0, 0))
    cached(made, Framing(4), place)
    assert not parts.exists()


def _fill(root: Path, place: Path, answers: multiprocessing.Queue) -> None:
    x, _ = cached(folder(root), Framing(4), place)
    answers.put(int(x.sum()))


def test_two_processes_fill_one_cache(tmp_path: Path) -> None:
    made = own(tmp_path / "data", 40)
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    both = [context.Process(target=_fill, args=(tmp_path / "data", tmp_path / "cache", answers)) for _ in range(2)]
    for process in both:
        process.start()
    found = [answers.get(timeout=60) for _ in both]
    for process in both:
        process.join(60)
        assert process.exitcode == 0
    assert found == [sum(len(s) for s, _ in made)] * 2
    x, _ = cached(made, Framing(4), tmp_path / "cache")
    assert int(x.sum()) == found[0]


def test_more_jobs_give_the_same(tmp_path: Path) -> None:
    pytest.importorskip("joblib")
    made = own(tmp_path / "data")
    one, _ = cached(made, Framing(3), tmp_path / "one")
    two, _ = cached(made, Framing(3), tmp_path / "two", jobs=2)
    assert torch.equal(one, two)


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    made = own(tmp_path / "data")
    events.write(tmp_path / "data" / "ant" / "9.npz", events.empty(5, 5))
    with pytest.raises(ValueError, match=r"9.npz gave frames \(4, 2, 5, 5\), the first recording \(4, 2, 7, 13\)"):
        cached(folder(tmp_path / "data"), Framing(4), tmp_path / "cache")
    with pytest.raises(ValueError, match="without samples"):
        cached(made.take([]), Framing(4), tmp_path / "cache")
    made.recordings[0].path.unlink()
    with pytest.raises(ValueError, match="cannot be read"):
        cached(made, Framing(4), tmp_path / "cache")
    for values in ({"frames": 0}, {"frames": 2, "pool": 0}, {"frames": 2, "split": "events"}):
        with pytest.raises((ValueError, TypeError), match="Framing got"):
            Framing(**values)  # type: ignore[arg-type]
