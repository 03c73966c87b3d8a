"""Containers: what is written is what is read, wherever it is cut, and only sound files are read as sound."""

from __future__ import annotations

import errno
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from camera.spikes import random_stream, recording
from spikeworks import camera
from spikeworks.camera import Container, Layout, SpikeStream, SpikeWriter, open_container, write_container
from spikeworks.camera.container import chunk, header, is_container
from spikeworks.camera.layout import pack, unpack

FUNCTION = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)


def a_layout(width: int, height: int, flip: bool, kind: str) -> Layout:
    """Of a plain picture, with cells behind each row, or of rows in two pieces with cells in between."""
    if kind == "headed":
        return camera.headed(width, height, flip)
    if kind == "plain" or width < 2:
        return Layout(width, height, flip)
    return Layout(width, height, flip, width + 7, ((0, width // 2), (width // 2 + 3, width + 3)))


KINDS = st.tuples(st.integers(1, 19), st.integers(1, 5), st.booleans(), st.sampled_from(("plain", "headed", "pieces")))


def frames(layout: Layout, count: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (count, layout.size), np.uint8)


@FUNCTION
@given(
    KINDS, st.integers(0, 40), st.integers(1, 17), st.sampled_from((0, 1, 6)), st.integers(0, 1 << 40),
    st.none() | st.integers(-(1 << 60), 1 << 60), st.sampled_from((1, 3)),
    st.sampled_from(("zlib", "zstd")),
)  # fmt: skip
def test_round_trip(
    tmp_path: Path,
    kind: tuple[int, int, bool, str],
    count: int,
    each: int,
    level: int,
    first: int,
    origin: int | None,
    threads: int,
    method: chunk.Method,
) -> None:
    layout = a_layout(*kind)
    path, packed = tmp_path / "a.spikes", frames(layout, count)
    stream = SpikeStream(packed, layout, 12_345.678, first)
    path.unlink(missing_ok=True)
    with SpikeWriter(path, layout, stream.rate, first, origin, each, level, threads, method) as writer:
        writer.push(packed)
    write_container(tmp_path / "whole.spikes", stream, origin, each, level, threads)
    assert method == "zstd" or path.read_bytes() == (tmp_path / "whole.spikes").read_bytes()
    again = open_container(path)
    assert isinstance(again.frames, Container)
    assert (again.layout, again.rate, again.first) == (layout, 12_345.678, first)
    assert again.frames.header.origin == origin
    assert np.array_equal(again.packed(), packed)
    assert np.array_equal(again.dense(), stream.dense())
    found = camera.check(path)
    assert found.sound
    assert (found.frames, found.chunks, found.spare) == (count, -(-count // each), 0)


@FUNCTION
@given(st.integers(1, 50), st.integers(1, 9), st.data())
def test_slices(tmp_path: Path, count: int, each: int, data: st.DataObject) -> None:
    path, packed = tmp_path / "a.spikes", frames(Layout(9, 3), count)
    write_container(path, SpikeStream(packed, Layout(9, 3)), chunk=each, level=1)
    stream = open_container(path)
    for _ in range(4):
        start = data.draw(st.integers(0, count))
        stop = data.draw(st.integers(start, count))
        part = stream[start:stop]
        assert np.array_equal(part.packed(), packed[start:stop])
        assert part.first == start
    assert not stream.packed().flags.writeable or count > each


def test_a_window_is_written_alone(tmp_path: Path) -> None:
    stream = random_stream(21, 9, 13)[2:].crop(3, 2, 7, 5)
    write_container(tmp_path / "a.spikes", stream, chunk=8)
    again = open_container(tmp_path / "a.spikes")
    assert (again.width, again.height, again.first) == (7, 5, 2)
    assert np.array_equal(again.dense(), stream.dense())


@given(st.integers(1, 33), st.integers(1, 9))
def test_bits_along_time(count: int, size: int) -> None:
    packed = frames(Layout(8, size), count)
    before = packed.copy()
    rows = chunk.along(packed)
    assert np.array_equal(rows, pack(unpack(packed).T))
    assert np.array_equal(chunk.across(rows)[:count], packed)
    assert np.array_equal(packed, before)


def test_frames_pushed_in_pieces(tmp_path: Path) -> None:
    layout = Layout(11, 3)
    packed, draw = frames(layout, 100), np.random.default_rng(1)
    with SpikeWriter(tmp_path / "a.spikes", layout, chunk=8) as writer:
        at = 0
        while at < len(packed):
            some = packed[at : at + int(draw.integers(0, 20))].copy()
            writer.push(some)
            at += len(some)
            some[:] = 0  # what was pushed may be written to
    assert np.array_equal(open_container(tmp_path / "a.spikes").packed(), packed)


def test_missing_frames_are_told(tmp_path: Path) -> None:
    layout, path = Layout(5, 3), tmp_path / "a.spikes"
    packed = frames(layout, 30)
    with SpikeWriter(path, layout, first=7, chunk=8) as writer:
        writer.push(packed[:13])
        writer.push(packed[13:20], first=50)
        writer.push(packed[20:])
    with pytest.raises(ValueError, match=r"2 parts with missing frames in between \(7:20, 50:67\).*part=0"):
        open_container(path)
    assert camera.check(path).parts == (range(7, 20), range(50, 67))
    early, late = open_container(path, 0), open_container(path, 1)
    assert (early.first, late.first) == (7, 50)
    assert np.array_equal(early.packed(), packed[:13])
    assert np.array_equal(late.packed(), packed[13:])
    with pytest.raises(ValueError, match="part=2, expected 0 to 1"):
        open_container(path, 2)


def test_what_writers_refuse(tmp_path: Path) -> None:
    layout, path = Layout(5, 3), tmp_path / "a.spikes"
    with SpikeWriter(path, layout, first=3) as writer:
        writer.push(frames(layout, 4))
        with pytest.raises(ValueError, match=r"frames \[4, 3\], expected \[n, 2\]"):
            writer.push(np.zeros((4, 3), np.uint8))
        with pytest.raises(ValueError, match="expected none before 7"):
            writer.push(frames(layout, 1), first=6)
    with pytest.raises(ValueError, match="is closed"):
        writer.push(frames(layout, 1))
    with pytest.raises(ValueError, match="is there already"):
        SpikeWriter(path, layout)
    with pytest.raises(ValueError, match="level=10"):
        SpikeWriter(tmp_path / "b.spikes", layout, level=10)
    with pytest.raises(ValueError, match="choose fewer"):
        SpikeWriter(tmp_path / "b.spikes", layout, chunk=1 << 30)
    assert not (tmp_path / "b.spikes").exists()
    with pytest.raises(ValueError, match="is not a file"):
        open_container(tmp_path / "b.spikes")


def test_begin_tells_a_container(tmp_path: Path) -> None:
    write_container(tmp_path / "a.spikes", random_stream(3, 2, 2))
    assert is_container((tmp_path / "a.spikes").read_bytes()[:8])
    assert not is_container(b"\x89SPIKE")
    (tmp_path / "b.spikes").write_bytes(b"PK\x03\x04 something else, and long enough to be a header of ours" * 9)
    with pytest.raises(ValueError, match="no spikeworks container"):
        open_container(tmp_path / "b.spikes")


class Full:
    """A disk on which only so many bytes have room."""

    def __init__(self, file: Any, room: int) -> None:
        self.file, self.room = file, room

    def write(self, data: Any) -> int:
        taken = min(len(data), self.room)
        self.file.write(data[:taken])
        self.room -= taken
        if not taken:
            raise OSError(errno.ENOSPC, "No space left on device")
        return taken

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_full_disk(tmp_path: Path, threads: int) -> None:
    layout, path = Layout(16, 10), tmp_path / "a.spikes"
    packed = frames(layout, 400)
    writer = SpikeWriter(path, layout, chunk=8, level=0, threads=threads)
    writer._file = Full(writer._file, 1000)  # type: ignore[assignment]
    with pytest.raises(ValueError, match=r"No space left on device.*: the 40 frames in it can be read; free"):
        any(writer.push(packed[k : k + 5]) for k in range(0, 400, 5))
    with pytest.raises(ValueError, match="No space left"):
        writer.push(packed[:5])
    writer.close()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert np.array_equal(open_container(path).packed(), packed[:40])
    assert camera.check(path).bad == ()


def test_a_full_disk_leaves_nothing_of_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: SpikeWriter, *pieces: bytes | memoryview) -> None:
        self._give_up(OSError(errno.ENOSPC, "No space left on device"))

    monkeypatch.setattr(SpikeWriter, "_written", full)
    with pytest.raises(ValueError, match=r"a\.spikes cannot be written .*No space left on device"):
        write_container(tmp_path / "a.spikes", random_stream(3, 2, 2))
    assert list(tmp_path.iterdir()) == []


def test_headers_are_bounded() -> None:
    with pytest.raises(ValueError, match="rate=0"):
        header.Header(Layout(2, 2), 0)
    with pytest.raises(ValueError, match="first=-1"):
        header.Header(Layout(2, 2), 1, -1)
    with pytest.raises(ValueError, match="64 pieces"):
        header.Header(Layout(65, 1, True, 200, tuple((2 * k, 2 * k + 1) for k in range(65))), 1)


@pytest.mark.parametrize(
    ("name", "least"), [("real_car_400x250x200.dat", 2.3), ("real_wall_400x250x500.dat", 2.7)], ids=("car", "wall")
)
def test_real_recordings_shrink(tmp_path: Path, name: str, least: float) -> None:
    stream = camera.open(recording(name), 250, 400)
    write_container(tmp_path / "a.spikes", stream)
    found = camera.check(tmp_path / "a.spikes")
    assert found.sound
    assert found.ratio > least
    assert np.array_equal(open_container(tmp_path / "a.spikes").packed(), stream.packed())
