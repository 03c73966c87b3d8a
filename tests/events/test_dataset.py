"""Labelled recordings in a fixed order, whose names and checksum are the same wherever they lie."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from events.test_stream import same, stream
from spikeworks import events
from spikeworks.events import EventDataset, Samples
from spikeworks.events.dataset import Recording, folder


def own(root: Path, count: int = 3) -> EventDataset:
    for label, name in enumerate(("zebra", "ant")):
        for i in range(count):
            events.write(root / name / f"{i}.npz", stream(50 + i, seed=10 * label + i))
    (root / ".hidden").mkdir(exist_ok=True)
    (root / "ant" / ".DS_Store").write_bytes(b"x")
    return folder(root)


def test_a_folder_of_ones_own_is_in_the_order_of_names(tmp_path: Path) -> None:
    made = own(tmp_path)
    assert made.classes == ("ant", "zebra")
    assert made.labels == [0, 0, 0, 1, 1, 1]
    assert same(made[4][0], stream(51, seed=1))
    assert [label for _, label in made] == made.labels
    assert made.take([5, 0]).labels == [1, 0]
    (tmp_path / "cat").mkdir()
    with pytest.raises(ValueError, match="cat holds no recordings"):
        folder(tmp_path)
    with pytest.raises(ValueError, match="holds no folders"):
        folder(tmp_path / "ant")


def test_a_recording_can_be_a_part_of_a_file(tmp_path: Path) -> None:
    s = stream(1000)
    events.write(tmp_path / "a.dat", s)
    part = EventDataset("x", ("a",), (Recording(tmp_path / "a.dat", 0, 1000, 2000),))
    assert same(part[0][0], s.between(1000, 2000))


def test_samples_of_another_library_are_taken_as_they_are() -> None:
    s = stream(20)
    array = np.zeros(20, [("x", "i2"), ("y", "i2"), ("t", "i8"), ("p", "?")])
    for name in "txyp":
        array[name] = getattr(s, name)
    found = Samples([(array, np.int64(3))], 13, 7)
    assert len(found) == 1
    assert same(found[0][0], s)
    assert found[0][1] == 3
    line = Samples([(array[["t", "x", "p"]], 0)], 13, 1)[0][0]
    assert not line.y.any()
    with pytest.raises(ValueError, match="t is missing"):
        Samples([(array[["x", "y", "p"]], 0)], 13, 7)[0]


def test_the_checksum_is_that_of_the_names_wherever_they_lie(tmp_path: Path) -> None:
    one, other = own(tmp_path / "one"), own(tmp_path / "other")
    assert one.names == ["ant/0.npz", "ant/1.npz", "ant/2.npz", "zebra/0.npz", "zebra/1.npz", "zebra/2.npz"]
    assert one.checksum == other.checksum == hashlib.sha256("".join(f"{n}\n" for n in one.names).encode()).hexdigest()
    assert one.take([3, 1]).checksum == other.take([1, 3]).checksum != one.checksum
    assert repr(one) == f"EventDataset(one: 6 recordings, 2 classes, checksum {one.checksum[:12]}…)"
    parts = [Recording(tmp_path / "a.dat", 0, *cut) for cut in ((0, 10), (10, 20), (None, None, 3))]
    assert EventDataset("x", ("a",), tuple(parts), root=tmp_path).names == ["a.dat|0|10", "a.dat|10|20", "a.dat|3"]
    assert EventDataset("x", ("a",), (Recording(Path("a.dat"), 0),), root=tmp_path).names == ["a.dat"]
