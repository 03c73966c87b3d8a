"""Spoken words as spikes: recordings come one at a time, seconds become whole microseconds by rounding."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from events.damaged import same
from spikeworks.events import EventStream
from spikeworks.events.formats.audio import recordings

h5py: Any = pytest.importorskip("h5py", reason="needs h5py")


def words(file: Path, times: list, units: list, labels: list[int], speakers: list[int] | None, kind: str) -> Path:
    with h5py.File(file, "w") as made:
        t = made.create_dataset("spikes/times", (len(times),), h5py.vlen_dtype(np.dtype(kind)))
        x = made.create_dataset("spikes/units", (len(times),), h5py.vlen_dtype(np.dtype("u2")))
        for i in range(len(times)):
            t[i], x[i] = np.asarray(times[i], kind), np.asarray(units[i], "u2")
        made["labels"] = np.array(labels, "u2")
        if speakers is not None:
            made["extra/speaker"] = np.array(speakers, "u2")
    return file


@pytest.mark.parametrize("kind", ["f2", "f4"])
@pytest.mark.parametrize("speakers", [None, [3, 1, 0]])
def test_recordings(tmp_path: Path, kind: str, speakers: list[int] | None) -> None:
    draw = np.random.default_rng(0)
    times = [np.sort(draw.random(n) * 1.3).astype(kind) for n in (57, 0, 9)]
    units = [draw.integers(0, 700, n) for n in (57, 0, 9)]
    file = words(tmp_path / "shd.h5", times, units, [4, 19, 0], speakers, kind)
    found = list(recordings(file))
    assert [(label, speaker) for _, label, speaker in found] == list(
        zip([4, 19, 0], speakers or [None] * 3, strict=True)
    )
    for (s, *_), t, x in zip(found, times, units, strict=True):
        exact = [round(float(value) * 1e6) for value in t]  # one by one, in double precision
        assert same(s, EventStream(np.array(exact, np.int64), x, np.zeros(len(x), int), np.ones(len(x), int), 700, 1))


def test_recordings_are_read_when_asked_for(tmp_path: Path) -> None:
    file = words(tmp_path / "a.h5", [[0.5], [np.nan]], [[699], [0]], [1, 2], None, "f4")
    (s, label, speaker), *_ = islice(recordings(file), 1)
    assert (s.t.tolist(), s.x.tolist(), label, speaker) == ([500_000], [699], 1, None)
    with pytest.raises(ValueError, match="recording 1 has times that are no seconds"):
        list(recordings(file))


def test_what_is_not_speech_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.h5"
    for times, units, labels, reason in (
        ([[0.5]], [[700]], [1], "x from 700 to 700, expected 0 to 699"),
        ([[0.5, 1]], [[70]], [1], "lengths"),
        ([[-0.5]], [[70]], [1], "no seconds"),
        ([[0.5]], [[70]], [1, 2], "shapes"),
    ):
        with pytest.raises(ValueError, match=reason):
            list(recordings(words(file, times, units, labels, None, "f4")))
    with h5py.File(file, "w") as made:
        made["labels"] = [1]
    with pytest.raises(ValueError, match="expected the layout of SHD"):
        list(recordings(file))
    file.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    with pytest.raises(ValueError, match="cannot be read"):
        list(recordings(file))
    with pytest.raises(ValueError, match="not a file"):
        list(recordings(tmp_path))


def test_a_file_that_is_cut_yields_only_whole_recordings(tmp_path: Path) -> None:
    file = words(tmp_path / "a.h5", [[0.1, 0.2]], [[5, 6]], [3], None, "f2")
    data, copy = file.read_bytes(), tmp_path / "cut.h5"
    for length in range(0, len(data), 7):
        copy.write_bytes(data[:length])
        with pytest.raises(ValueError, match="cut"):
            list(recordings(copy))
