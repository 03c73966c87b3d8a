"""N-MNIST files: a real digit, the overflow marks by a plain reader, round trips, damage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from event_files import drawn, every_truncation, in_blocks, mutations, same, sample
from spikeworks import events
from spikeworks.events import EventStream


def plain(data: bytes) -> list[tuple[int, int, int, int]]:
    out, late = [], 0
    for i in range(0, len(data), 5):
        x, y, word = data[i], data[i + 1], int.from_bytes(data[i + 2 : i + 5], "big")
        if y == 240:
            late += 2**13
        else:
            out.append((word % 2**23 + late, x, y, word >> 23))
    return out


def rows(s: EventStream) -> list[tuple[int, ...]]:
    return list(zip(s.t.tolist(), s.x.tolist(), s.y.tolist(), s.p.tolist(), strict=True))


def test_a_real_digit() -> None:
    path = sample("event_format_samples", "sample_nmnist.bin")
    s = events.read(path, 34, 34)
    assert (len(s), int(s.x.max()), int(s.y.max()), s.ordered) == (4325, 33, 33, True)
    assert rows(s)[0] == (654, 7, 15, 1)
    assert rows(s) == plain(path.read_bytes())
    with pytest.raises(ValueError, match="pass width= and height="):
        events.open(path)


@given(
    st.lists(st.tuples(st.integers(0, 255), st.integers(0, 239) | st.just(240), st.integers(0, 2**24 - 1)), max_size=40)
)
def test_marks_are_as_a_plain_reader_has_them(
    tmp_path_factory: pytest.TempPathFactory, records: list[tuple[int, int, int]]
) -> None:
    path = tmp_path_factory.mktemp("marks") / "a.bin"
    path.write_bytes(b"\x01\x02\x00\x00\x07" + b"".join(bytes([x, y]) + w.to_bytes(3, "big") for x, y, w in records))
    for count in (1, 7, 1000):
        assert rows(in_blocks(path, count, width=256, height=240)) == plain(path.read_bytes())


@pytest.mark.parametrize("span", [100, 1 << 23, 1 << 26, 1 << 32])
def test_what_is_written_is_read(tmp_path: Path, span: int) -> None:
    stream, path = drawn(1203, 256, 240, span), tmp_path / "a.bin"
    events.write(path, stream)
    assert all(same(in_blocks(path, count, width=256, height=240), stream) for count in (1, 7, 1000))
    assert span > 1 << 23 or path.stat().st_size == 5 * len(stream)
    events.write(path, stream.groups(31))
    assert same(events.read(path, 256, 240), stream)


def test_what_it_cannot_hold_is_refused(tmp_path: Path) -> None:
    one = EventStream([2**32], [0], [0], [0], 34, 34)
    for stream in (one, one.shift(-(2**33)), events.empty(257, 34), events.empty(34, 241)):
        with pytest.raises(ValueError, match="atis"):
            events.write(tmp_path / "a.bin", stream)
    assert not list(tmp_path.iterdir())


def test_it_is_known_by_suffix_and_length_only(tmp_path: Path) -> None:
    for name, length in (("a.bin", 6), ("a.dat", 5)):
        (tmp_path / name).write_bytes(bytes(length))
        with pytest.raises(ValueError, match="no format known here"):
            events.open(tmp_path / name, 34, 34)
    with pytest.raises(ValueError, match="ends amid an event, 1 bytes after byte 5"):
        events.read(tmp_path / "a.bin", 34, 34, "atis")
    (tmp_path / "a.bin").write_bytes(bytes([0, 200, 0, 0, 0]))
    with pytest.raises(ValueError, match="y from 200"):
        events.read(tmp_path / "a.bin", 34, 34)


def test_damage(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    events.write(path, drawn(60, 34, 34, 1 << 24))
    assert every_truncation(path, width=34, height=34, format="atis") > 200
    assert mutations(path, 1000, width=34, height=34) > 100


def test_dtype_of_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    events.write(path, drawn(5, 34, 34, 99))
    s = events.read(path, 34, 34)
    assert (s.t.dtype, s.x.dtype, s.y.dtype, s.p.dtype) == (np.int64, np.uint16, np.uint16, np.uint8)
