"""Files: what is written is read again, in every format and size; what is cut off, foreign or wrong is one sentence."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from camera.spikes import random_spikes, random_stream
from spikeworks.camera import MEGAPIXEL, Layout, SpikeStream, headed, pack, recognise, write
from spikeworks.camera import open as open_camera
from spikeworks.camera.formats import ALL

KEPT = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
WAYS = [("a.dat", None), ("a.dat", "headed"), ("a.npz", None), ("a.npy", None), ("a.h5", None)]


def refused(pattern: str, *told: Any, **more: Any) -> str:
    """What ``open`` says: one sentence or two in one line, naming the file."""
    with pytest.raises(ValueError, match=pattern) as caught:
        open_camera(*told, **more).dense()
    said = str(caught.value)
    assert "\n" not in said
    assert str(told[0]) in said
    return said


@pytest.mark.parametrize(("name", "format"), WAYS)
@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 9), st.booleans(), st.booleans())
@KEPT
def test_round_trip(
    tmp_path: Path, name: str, format: str | None, height: int, width: int, frames: int, flip: bool, cells: bool
) -> None:
    if name.endswith(".h5"):
        pytest.importorskip("h5py")
    bits = random_spikes(frames, height, width)
    layout = headed(width, height, flip) if cells else Layout(width, height, flip)
    stream = SpikeStream(pack(layout.store(bits)), layout, 31_250.0, 7)
    write(tmp_path / name, stream, format)
    found = open_camera(tmp_path / name, height, width, format=format, order="THW" if name == "a.npy" else None)
    assert np.array_equal(found.dense(), bits)
    assert np.array_equal(found[frames // 2 :].dense(), bits[frames // 2 :])
    if name in ("a.npz", "a.h5"):
        assert (found.rate, found.first) == (31_250.0, 7)
        assert np.array_equal(open_camera(tmp_path / name).dense(), bits)


@pytest.mark.parametrize(("name", "format"), WAYS)
def test_windows_slices_and_pieces_are_written_as_they_look(tmp_path: Path, name: str, format: str | None) -> None:
    layout = Layout(6, 5, False, 10, ((1, 4), (6, 9)))
    bits = random_spikes(300, 5, 6)
    stream = SpikeStream(pack(layout.store(bits)), layout)
    for part, expected in ((stream, bits), (stream[3:280].crop(1, 2, 5, 3), bits[3:280, 2:5, 1:6])):
        write(tmp_path / name, part, format)
        order = "THW" if name == "a.npy" else None
        found = open_camera(tmp_path / name, part.height, part.width, format=format, order=order)
        assert np.array_equal(found.dense(), expected)


@pytest.mark.parametrize("name", ["a.npz", "a.h5"])
def test_no_frames(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, random_stream(0, 5, 7))
    assert open_camera(tmp_path / name).dense().shape == (0, 5, 7)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9), st.sampled_from(["npy", "npz"]), st.booleans())
@KEPT
def test_either_order_of_axes(tmp_path: Path, height: int, width: int, frames: int, kind: str, last: bool) -> None:
    bits = random_spikes(frames, height, width)
    array = np.ascontiguousarray(np.moveaxis(bits, 0, 2)) if last else bits
    path = tmp_path / f"a.{kind}"
    np.save(path, array) if kind == "npy" else np.savez_compressed(path, spk=array, label=3)
    order = "HWT" if last else "THW"
    assert np.array_equal(open_camera(path, order=order).dense(), bits)
    assert np.array_equal(open_camera(path, order=order, flip=True).dense(), bits[:, ::-1])
    if array.shape[1:] != array.shape[:2]:
        assert np.array_equal(open_camera(path, height, width).dense(), bits)
    else:
        refused("nothing says which axis is time", path, height, width)
    refused("nothing says which axis is time; pass order=.* or height= and width=", path)
    refused("expected pictures of height=10, width=3", path, 10, 3)
    refused("has height=", path, height + 1, width, order=order)


def test_arrays_that_are_no_bits(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    for array, pattern in (
        (np.full((2, 3, 4), 2, np.uint8), "neither 0 nor 1"),
        (np.zeros((2, 3, 4), np.float32), "float32, expected bool or uint8"),
        (np.zeros((2, 3), bool), "expected one, or one named spikes"),
        (np.asfortranarray(random_spikes(2, 3, 4)), "column after column"),
    ):
        np.save(path, array)
        refused(pattern, path, order="THW")
    np.save(path, np.array([[[{}]]], object), allow_pickle=True)
    refused("never unpickled", path, order="THW")
    np.savez(tmp_path / "a.npz", a=random_spikes(2, 3, 4), b=random_spikes(2, 3, 4))
    refused("expected one, or one named spikes", tmp_path / "a.npz", order="THW")
    np.savez(tmp_path / "b.npz", spikes=np.full((2, 3, 4), 7, np.uint8))
    refused("neither 0 nor 1", tmp_path / "b.npz", order="HWT")


def test_a_slice_of_an_array_on_disk_is_read_where_it_is(tmp_path: Path) -> None:
    with (tmp_path / "a.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|b1", "fortran_order": False, "shape": (10**6, 250, 400)})
        file.truncate(file.tell() + 10**11)  # a hole
    stream = open_camera(tmp_path / "a.npy", 250, 400)
    assert not stream[999_990:].dense().any()


def test_hdf5_of_others(tmp_path: Path) -> None:
    h5py: Any = pytest.importorskip("h5py")
    bits, path = random_spikes(9, 5, 7), tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["spikes"] = bits[:, ::-1]
        file.attrs["rate"], file["spikes"].attrs["flip"] = 40_000, True
    stream = open_camera(path)
    assert stream.rate == 40_000
    assert np.array_equal(stream[2:].dense(), bits[2:])
    refused("has rate=40000, but rate=20000 was given", path, rate=20_000.0)
    refused("has height=5, but height=7 was given", path, 7, 5)
    refused("has flip=1", path, flip=False)
    refused("order='THW', which means nothing there", path, order="THW")
    with h5py.File(path, "r+") as file:
        file["spikes"][3] = 2
    refused("neither 0 nor 1", path)
    with h5py.File(path, "w") as file:
        file["other"] = bits
    refused("dataset spikes is none", path)


def test_what_is_said_must_agree(tmp_path: Path) -> None:
    write(tmp_path / "a.npz", random_stream(4, 5, 7))
    refused("has height=5, but height=7", tmp_path / "a.npz", 7, 5)
    refused("rate=20000, but rate=1000", tmp_path / "a.npz", rate=1e3)
    refused("height=5, width=None, expected both", tmp_path / "a.npz", 5)
    refused("row=8, which means nothing there", tmp_path / "a.npz", row=8)
    write(tmp_path / "a.dat", random_stream(4, 5, 7), "headed")
    refused("row=9, expected 23", tmp_path / "a.dat", 5, 7, row=9, format="headed")
    stream = open_camera(tmp_path / "a.dat", 5, 7, row=23)
    assert np.array_equal(stream.dense(), open_camera(tmp_path / "a.dat", 5, 7, format="headed").dense())
    with pytest.raises(ValueError, match=r"format got 'tar', expected one of .*dat"):
        open_camera(tmp_path / "a.dat", 5, 7, format="tar")


def test_files_cut_off(tmp_path: Path) -> None:
    path, bits = tmp_path / "a.dat", random_spikes(9, 16, 24)
    write(path, SpikeStream.of(bits))
    path.write_bytes(path.read_bytes()[:-5])
    said = refused("cut off", path, 16, 24)
    assert "they are 8 and 43 bytes" in said
    assert "partial=True reads the 8" in said
    assert np.array_equal(open_camera(path, 16, 24, partial=True).dense(), bits[:8])
    path.write_bytes(b"abc")
    assert "partial" not in refused("0 and 3 bytes", path, 16, 24, partial=True)


def test_foreign_files(tmp_path: Path) -> None:
    for name, data, pattern in (
        ("a.dat", b"", "is empty"),
        ("a.dat", b"\x89PNG\r\n\x1a\n" + bytes(92), "it is a picture"),
        ("b.dat", b"% Date 2020-01-01\n" + bytes(82), "events of Prophesee"),
        ("a.txt", b"hello world", "no format known here"),
        ("a.npz", b"PK\x03\x04" + bytes(96), "not as expected"),
        ("a.npy", b"\x93NUMPY" + bytes(94), "not as expected"),
        ("a.h5", b"\x89HDF\r\n\x1a\n" + bytes(92), "cannot be read|not as expected"),
    ):
        (tmp_path / name).write_bytes(data)
        refused(pattern, tmp_path / name, 4, 5)
    refused("is not a file", tmp_path / "nothing.dat", 4, 5)
    refused("is not a file", tmp_path, 4, 5)
    with pytest.raises(ValueError, match="suffix says no format"):
        write(tmp_path / "a.mp4", random_stream(1, 2, 3))
    with pytest.raises(ValueError, match="megapixel, which is only read"):
        write(tmp_path / "a.dat", random_stream(1, 2, 3), "megapixel")


def test_a_file_is_left_as_it_was_when_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.full((700, 3, 4), 2, np.uint8))
    broken = open_camera(path, order="THW")
    for name in ("b.dat", "b.npz", "b.npy"):
        (tmp_path / name).write_text("precious")
        with pytest.raises(ValueError, match="neither 0 nor 1"):
            write(tmp_path / name, broken)
        assert (tmp_path / name).read_text() == "precious"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.npy", "b.dat", "b.npy", "b.npz"]


def test_every_format_says_what_it_is() -> None:
    assert len({f.name for f in ALL}) == len(ALL)
    assert all(re.fullmatch(r"[a-z0-9_]+", f.name) for f in ALL)


def capture(frames: np.ndarray, seed: int = 0) -> bytes:
    """Frames ``[T, 1000, 1000]`` as the megapixel camera sends them; channels and lines come in an order by chance."""
    draw = np.random.default_rng(seed)
    tags = (np.arange(4)[:, None] << 14 | np.arange(1, 501) << 4).ravel()
    inner = draw.permutation(tags[(tags != 500 << 4) & (tags != (3 << 14 | 500 << 4))])
    order = np.array([500 << 4, *inner, 3 << 14 | 500 << 4], np.uint16)
    halves = pack(MEGAPIXEL.store(frames)).reshape(len(frames), 2000, 64)
    halves[..., 62] |= (order & 0xF0).astype(np.uint8)  # the lower four bits are pixels
    halves[..., 63] = order >> 8
    return halves.tobytes()


@pytest.fixture(scope="module")
def mega() -> tuple[np.ndarray, bytes]:
    bits = np.random.default_rng(1).random((3, 1000, 1000)) < 0.3
    return bits, capture(bits)


@pytest.mark.parametrize("begin", [0, 62, 64, 4801, 127_999])
def test_a_capture_begins_anywhere(tmp_path: Path, mega: tuple[np.ndarray, bytes], begin: int) -> None:
    bits, data = mega
    path = tmp_path / "a.raw"
    path.write_bytes(data[begin:-77])
    assert recognise(path) == "megapixel"
    stream = open_camera(path)
    first = begin > 0
    assert (len(stream), stream.width, stream.height) == (2 - first, 1000, 1000)
    assert np.array_equal(stream.dense(bool), bits[first:2])
    refused("has height=1000, but height=250", path, 250, 400)


def test_a_capture_out_of_step(tmp_path: Path, mega: tuple[np.ndarray, bytes]) -> None:
    bits, data = mega
    path = tmp_path / "a.raw"
    lost = data[:200_000] + data[200_064:] + data
    path.write_bytes(lost)
    refused("out of step at frame 1 of 5", path)
    assert np.array_equal(open_camera(path, partial=True).dense(), bits[:1])
    path.write_bytes(data[:64] + data[128:128_000] + data[:60_000])
    refused("holds no whole frame", path, format="megapixel")
    damaged = bytearray(data)
    damaged[128_000 + 62] ^= 0x40  # in the middle: seen where it is read, not before
    path.write_bytes(bytes(damaged))
    stream = open_camera(path)
    assert np.array_equal(stream[:1].dense(), bits[:1])
    with pytest.raises(ValueError, match="out of step at frame 1"):
        stream.dense()
