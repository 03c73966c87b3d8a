"""ASL-DVS and ES-ImageNet: files as other programs write them, and what is damaged in them."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from events.damaged import cut, mutate, same, stream
from spikeworks import events
from spikeworks.events import EventStream
from spikeworks.events.formats import matlab

io: Any = pytest.importorskip("scipy.io", reason="needs scipy, which writes MATLAB files")
KINDS = ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8")


def saved(file: Path, s: EventStream, packed: bool = False, **more: Any) -> Path:
    x, y = (size - 1 - column.astype(int) for size, column in ((s.width, s.x), (s.height, s.y)))
    columns = {"ts": s.t[:, None], "x": x[:, None], "y": y[:, None], "pol": s.p[:, None]} | more
    io.savemat(file, columns, do_compression=packed)
    return file


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("n", [0, 1, 57])
def test_columns_are_read_as_scipy_writes_them(tmp_path: Path, packed: bool, n: int) -> None:
    s = stream(n)
    other = {"text": "words", "cell": np.array([1, "a"], object), "both": 1j, "record": {"a": [1, 2]}, "flat": [1, 2]}
    file = saved(tmp_path / "a.mat", s, packed, **other)
    assert events.open(file, 13, 7).format == "asl_dvs"
    assert same(events.read(file, 13, 7), s)
    assert [len(b) for b in events.open(file, 13, 7).blocks(50)] == [min(50, n - i) for i in range(0, n, 50)]
    with pytest.raises(ValueError, match="does not tell the size"):
        events.open(file)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("packed", [False, True])
def test_every_kind_of_number_against_scipy(tmp_path: Path, kind: str, packed: bool) -> None:
    draw = np.random.default_rng(0)
    columns = {f"n{n}": draw.integers(0, 100, (n, 1)).astype(kind) for n in (1, 2, 3, 4, 5, 8, 9)}
    columns["row"] = columns["n5"].T
    io.savemat(tmp_path / "a.mat", columns, do_compression=packed)
    found = matlab.columns(tmp_path / "a.mat", columns)
    assert found.keys() == columns.keys()
    for name, values in io.loadmat(tmp_path / "a.mat").items():
        if not name.startswith("__"):
            assert np.array_equal(found[name], values.ravel())
            assert found[name].dtype == values.dtype


def test_the_other_order_of_bytes(tmp_path: Path) -> None:
    def element(kind: int, data: bytes) -> bytes:
        return struct.pack(">II", kind, len(data)) + data + bytes(-len(data) % 8)

    body = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x01\x00MI"
    for name, values in (("ts", [7, 300]), ("x", [12, 0]), ("y", [6, 1]), ("pol", [-1, 1])):
        numbers = np.array(values, ">i2").tobytes()
        parts = (6, struct.pack(">II", 6, 0)), (5, struct.pack(">ii", 2, 1)), (1, name.encode()), (3, numbers)
        body += element(14, b"".join(element(*part) for part in parts))
    (tmp_path / "a.mat").write_bytes(body)
    found = events.read(tmp_path / "a.mat", 13, 7)
    assert [getattr(found, c).tolist() for c in "txyp"] == [[7, 300], [0, 12], [0, 5], [0, 1]]


def test_what_no_recording_can_be(tmp_path: Path) -> None:
    for more, words in (
        ({"ts": [0.5]}, "ts holds float64 that are no whole numbers"),
        ({"ts": [np.nan]}, "no whole numbers"),
        ({"ts": [1e300]}, "no whole numbers"),
        ({"x": [13]}, "x from -1 to -1, expected 0 to 12"),
        ({"x": ["word"]}, "x is of class 4, expected a column"),
        ({"x": [1 + 1j]}, "x is of class 6, expected a column"),
        ({"x": [[1, 2], [3, 4]]}, r"x is of the shape \(2, 2\)"),
        ({"x": [1, 2]}, r"have \[1, 2, 1, 1\] numbers"),
        ({"pol": [2]}, "p from 2 to 2"),
    ):
        with pytest.raises(ValueError, match=words) as error:
            events.read(saved(tmp_path / "a.mat", stream(1), **more), 13, 7)
        assert str(tmp_path / "a.mat") in str(error.value)
    io.savemat(tmp_path / "a.mat", {"ts": [1], "x": [1]})
    with pytest.raises(ValueError, match="no numbers y, pol"):
        events.read(tmp_path / "a.mat", 13, 7)


def test_bombs_and_doubles_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = saved(tmp_path / "a.mat", stream(5))
    data = file.read_bytes()
    file.write_bytes(data + data[128:])
    with pytest.raises(ValueError, match="ts twice"):
        events.read(file, 13, 7)
    monkeypatch.setattr(matlab, "LARGEST", 1000)
    packed = zlib.compress(bytes(2000))
    file.write_bytes(data[:128] + struct.pack("<II", 15, len(packed)) + packed)
    with pytest.raises(ValueError, match="is too large"):
        events.read(file, 13, 7)
    file.write_bytes(data[:128] + bytes(1000))
    with pytest.raises(ValueError, match="at most 1,000"):
        events.read(file, 13, 7)


@pytest.mark.parametrize("packed", [False, True])
def test_damaged_matlab_files(tmp_path: Path, packed: bool) -> None:
    file = saved(tmp_path / "a.mat", stream(9), packed)
    assert cut(file, (13, 7)) == []
    mutate(file, 1000, (13, 7))


def test_images_as_events(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    one, other = (np.stack([draw.integers(0, n, 30) for n in (7, 13, 9)], 1) for _ in range(2))
    wanted = sorted(
        [(t, 0, i, x, y, 1) for i, (y, x, t) in enumerate(one.tolist())]
        + [(t, 1, i, x, y, 0) for i, (y, x, t) in enumerate(other.tolist())]
    )
    file = tmp_path / "a.npz"
    for kind, layout in (("u1", "C"), ("i8", "F"), ("f8", "C"), ("f4", "F")):
        np.savez_compressed(file, pos=np.array(one, kind, order=layout), neg=np.array(other, kind, order=layout))
        found = events.read(file, 13, 7)
        assert list(zip(*(getattr(found, c).tolist() for c in "txyp"), strict=True)) == [
            (t, x, y, p) for t, _, _, x, y, p in wanted
        ]
    assert events.open(file, 13, 7).format == "es_imagenet"
    assert [len(b) for b in events.open(file, 13, 7).blocks(40)] == [40, 20]
    np.savez(file, pos=one[:0], neg=other[:0])
    assert len(events.read(file, 13, 7)) == 0
    with pytest.raises(ValueError, match="does not tell the size"):
        events.read(file)


def test_what_no_image_can_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good, file = np.zeros((2, 3), int), tmp_path / "a.npz"
    for arrays, words in (
        ({"pos": good}, "it has pos, expected pos and neg"),
        ({"pos": good, "neg": good, "more": good}, "expected pos and neg"),
        ({"pos": good, "neg": good[:, :2]}, "expected .N, 3. of row"),
        ({"pos": good, "neg": good + 0.5}, "neg holds float64 that are no whole numbers"),
        ({"pos": good, "neg": good + 8}, "y from 0 to 8"),
        ({"pos": good, "neg": good.astype(bool)}, "neg is of bool"),
        ({"pos": good, "neg": good.astype(object)}, "never unpickled"),
    ):
        np.savez(file, **arrays)
        with pytest.raises(ValueError, match=words) as error:
            events.read(file, 13, 7)
        assert str(file) in str(error.value)
    monkeypatch.setattr("spikeworks.events.formats.es_imagenet.LARGEST", 3)
    np.savez(file, pos=good, neg=good)
    with pytest.raises(ValueError, match="4 events, expected at most 3"):
        events.read(file, 13, 7)


def test_damaged_images(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", pos=np.zeros((5, 3), "u1"), neg=np.ones((4, 3), "u1"))
    assert cut(tmp_path / "a.npz", (13, 7)) == []
    mutate(tmp_path / "a.npz", 1000, (13, 7))
