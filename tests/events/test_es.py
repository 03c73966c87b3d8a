"""Event Stream files: real ones, bytes by hand, round trips, damage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from event_files import drawn, every_truncation, in_blocks, mutations, same, sample
from spikeworks import events
from spikeworks.events import EventStream


def head(kind: int, version: bytes = b"\x02\x00\x00", width: int = 300, height: int = 5) -> bytes:
    sides = width.to_bytes(2, "little") + height.to_bytes(2, "little")
    return b"Event Stream" + version + bytes([kind]) + (sides if kind else b"")


def made(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_a_real_file() -> None:
    s = events.read(sample("event_format_samples", "dvs.es"))
    assert (len(s), s.width, s.height, s.ordered) == (473225, 320, 240, True)
    assert (s.t[0], s.x[0], s.y[0], s.p[0]) == (0, 0, 0, 1)
    assert (s.t[-1], s.x[-1], s.y[-1], s.p[-1]) == (999000, 38, 193, 1)


def test_generic_bytes_are_no_events() -> None:
    with pytest.raises(ValueError, match="type 0"):
        events.open(sample("event_format_samples", "generic.es"))


def test_dvs_bytes(tmp_path: Path) -> None:
    body = bytes([0xFF, 0xFF, 3 << 1 | 1, 43, 1, 4, 0, 0xFE, 0xFE, 126 << 1 | 1, 255, 0, 2, 0, 0xFF, 0, 1, 0, 0, 0])
    path = made(tmp_path / "a.es", head(1) + body)
    for count in (1, 7, 1000):
        s = in_blocks(path, count)
        assert list(s.t) == [257, 383, 510]
        assert list(s.x) == [299, 255, 1]
        assert list(s.y) == [0, 2, 4]
        assert list(s.p) == [1, 1, 0]


def test_atis_changes_are_read_and_exposures_left_out(tmp_path: Path) -> None:
    body = bytes([0xFD, 0xFF, 0xFC, 5 << 2 | 2, 9, 1, 3, 0, 1 << 2 | 1, 0, 0, 0, 0, 62 << 2, 8, 0, 1, 0])
    path = made(tmp_path / "a.es", head(2) + body)
    file = events.open(path)
    assert file.about == {"version": "2.0.0", "type": "ATIS", "left out": "threshold crossings"}
    for count in (1, 2, 99):
        s = in_blocks(path, count)
        assert (list(s.t), list(s.x), list(s.y), list(s.p)) == ([257, 320], [265, 8], [1, 3], [1, 0])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (head(1, b"\x01\x00\x00"), "version 1.0.0"),
        (head(3), "displays"),
        (head(4), "colours"),
        (head(9), "unknown"),
        (head(1)[:18], "ends within its header"),
        (head(1)[:14], "expected"),
        (head(1, width=0), "0×5"),
        (head(1) + bytes(4), "ends amid a word, 4 bytes after byte 20"),
        (head(1) + bytes([0, 44, 1, 0, 0]), "x from 300"),
    ],
)
def test_wrong_files_are_refused(tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        events.read(made(tmp_path / "a.es", data))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.es"
    for span, seed in ((100, 0), (200_000, 1), (90_000_000, 2)):
        stream = drawn(1203, 601, 403, span, seed)
        events.write(path, stream)
        assert all(same(in_blocks(path, count), stream) for count in (1, 7, 1000, 1 << 20))
        events.write(path, stream.groups(31))
        assert same(events.read(path), stream)


def test_a_long_silence_is_longer_than_a_buffer(tmp_path: Path) -> None:
    path, t = tmp_path / "a.es", np.array([5, 5 + 127 * (9 << 20)])
    stream = EventStream(t, [0, 1], [0, 0], [1, 0], 2, 1)
    events.write(path, stream)
    assert path.stat().st_size == 20 + (9 << 20) + 10
    assert same(events.read(path), stream)
    with pytest.raises(ValueError, match="move them"):
        events.write(path, stream.shift(1 << 36))


def test_every_truncation(tmp_path: Path) -> None:
    path = tmp_path / "a.es"
    events.write(path, drawn(60, 40, 9, 5000))
    assert every_truncation(path) > 200


@pytest.mark.parametrize("kind", [1, 2])
def test_mutations(tmp_path: Path, kind: int) -> None:
    path = tmp_path / "a.es"
    events.write(path, drawn(90, 300, 300, 5000))
    data = bytearray(path.read_bytes())
    data[15] = kind
    path.write_bytes(data)
    assert 0 < mutations(path, 1000) < 1000
