"""Tracks as text: there and back, and lines that are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikeworks.camera import Sightings, read_mot, write_mot

LINES = st.lists(
    st.tuples(
        st.integers(0, 10**9), st.integers(1, 10**6), *[st.integers(-(10**6), 10**6)] * 2, *[st.integers(0, 10**6)] * 2
    ),
    unique_by=lambda row: row[:2], max_size=20,
)  # fmt: skip


@given(rows=LINES)
def test_what_is_written_is_read(rows: list[tuple[int, ...]], tmp_path_factory: pytest.TempPathFactory) -> None:
    table = np.array(sorted(rows), np.float64).reshape(-1, 6)
    table[:, 2:] /= 100
    path = tmp_path_factory.mktemp("mot") / "tracks.txt"
    some = Sightings(table[:, 0].astype(int), table[:, 1].astype(int), table[:, 2:], np.ones(len(table)))
    write_mot(path, some)
    again = read_mot(path)
    assert all(np.allclose(a, b, atol=1e-9) for a, b in zip(some, again, strict=True))


def test_ground_truth_is_read(tmp_path: Path) -> None:
    path = tmp_path / "gt.txt"
    path.write_text("3,1,10.5,20,30,40,0,-1,-1,-1\n\n4, 2, 1, 2, 3, 4\n5,-1,1,2,3,4,0.7\n5,-1,1,2,3,4,0.7\n")
    found = read_mot(path)
    assert found.frame.tolist() == [3, 4, 5, 5]
    assert found.box[0].tolist() == [10.5, 20, 30, 40]
    assert found.confidence.tolist() == [0, 1, 0.7, 0.7]


@pytest.mark.parametrize(
    "line",
    ["1,2,3,4,5", "1,2,x,4,5,6", "1.5,2,3,4,5,6", "-1,2,3,4,5,6", "1,2,3,4,-5,6", "1,2,nan,4,5,6", "1 2 3 4 5 6"],
)
def test_bad_lines_are_named(line: str, tmp_path: Path) -> None:
    path = tmp_path / "tracks.txt"
    path.write_text(f"1,1,0,0,5,5\n{line}\n")
    with pytest.raises(ValueError, match="line 2"):
        read_mot(path)


def test_a_thing_is_in_one_place(tmp_path: Path) -> None:
    path = tmp_path / "tracks.txt"
    path.write_text("1,1,0,0,5,5\n2,1,0,0,5,5\n1,1,9,9,5,5\n")
    with pytest.raises(ValueError, match="line 3: a second box of 1 in frame 1 after line 1"):
        read_mot(path)
    with pytest.raises(ValueError, match="is not a file"):
        read_mot(tmp_path / "none.txt")
