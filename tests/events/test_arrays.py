"""Text, NumPy and HDF5 files of events: round trips, published layouts, and what must not be read."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from events.test_stream import same, stream
from spikeworks import events
from spikeworks.events import EventStream

KINDS = ["npz", "csv", "hdf5"]


def place(folder: Path, kind: str) -> Path:
    if kind == "hdf5":
        pytest.importorskip("h5py")
    return folder / f"x.{'h5' if kind == 'hdf5' else kind}"


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(n=st.integers(0, 70), seed=st.integers(0, 9), shift=st.integers(-(2**40), 2**40), count=st.integers(1, 80))
def test_what_is_written_is_read(tmp_path: Path, kind: str, n: int, seed: int, shift: int, count: int) -> None:
    path, made = place(tmp_path, kind), stream(n, seed=seed).shift(shift)
    events.write(path, made.groups(7) if n else made)
    opened = events.open(path)
    assert (opened.format, opened.width, opened.height) == (kind, 13, 7)
    assert same(opened.read(), made)
    assert same(events.concatenate([events.empty(13, 7), *opened.blocks(count)]), made)


@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_refused_or_within_the_sensor(tmp_path: Path, kind: str) -> None:
    path, made = place(tmp_path, kind), stream(60)
    events.write(path, made)
    data = path.read_bytes()
    draw = np.random.default_rng(0)
    cuts = [data[:n] for n in range(1, len(data), max(1, len(data) // 300))]
    changed = []
    for _ in range(600):
        copy = bytearray(data)
        for at in draw.integers(0, len(data), draw.integers(1, 4)):
            copy[at] = draw.integers(0, 256)
        changed.append(bytes(copy))
    for damaged in [*cuts, *changed]:
        path.write_bytes(damaged)
        try:
            found = events.read(path)
        except ValueError:
            pass
        else:
            assert not len(found) or (found.x.max() < found.width and found.y.max() < found.height)
    if kind == "npz":  # its checksums tell every cut
        for damaged in cuts:
            path.write_bytes(damaged)
            with pytest.raises(ValueError, match=r"npz|no format"):
                events.read(path)


def test_other_spellings_and_tables_with_names(tmp_path: Path) -> None:
    made = stream(40)
    np.savez(tmp_path / "a.npz", timestamps=made.t, xs=made.x, ys=made.y, polarity=made.p.astype(np.int8) * 2 - 1)
    assert same(events.read(tmp_path / "a.npz", 13, 7), made)
    table = np.zeros(40, [("x", "<i2"), ("y", "<i2"), ("on", "?"), ("ts", "<u8")])
    table["x"], table["y"], table["on"], table["ts"] = made.x, made.y, made.p, made.t
    np.save(tmp_path / "b.npy", table)
    assert same(events.read(tmp_path / "b.npy", 13, 7), made)
    np.savez(tmp_path / "c.npz", t=made.t / 1e6 + 0.25, x=made.x, y=made.y, p=made.p)
    assert same(events.read(tmp_path / "c.npz", 13, 7), made.shift(250_000))


def test_what_nothing_tells_is_not_guessed(tmp_path: Path) -> None:
    made = stream(40)
    four = np.stack([made.t, made.x, made.y, made.p], 1)
    np.save(tmp_path / "a.npy", four)
    with pytest.raises(ValueError, match="nothing says what is t, x, y and p"):
        events.read(tmp_path / "a.npy", 13, 7)
    np.savetxt(tmp_path / "b.txt", four, fmt="%d")
    with pytest.raises(ValueError, match="names no columns"):
        events.read(tmp_path / "b.txt", 13, 7)
    np.savez(tmp_path / "c.npz", t=made.t.astype(float), x=made.x, y=made.y, p=made.p)
    with pytest.raises(ValueError, match="seconds or microseconds"):
        events.read(tmp_path / "c.npz", 13, 7)
    np.savez(tmp_path / "d.npz", t=made.t, x=made.x, y=made.y)
    with pytest.raises(ValueError, match="p is not there"):
        events.read(tmp_path / "d.npz", 13, 7)
    with pytest.raises(ValueError, match="does not tell the size"):
        events.open(_plain(tmp_path, made))


def _plain(folder: Path, made: EventStream) -> Path:
    np.savez(folder / "plain.npz", t=made.t, x=made.x, y=made.y, p=made.p)
    return folder / "plain.npz"


def test_nothing_is_unpickled_and_no_archive_unpacks_to_more_than_it_says(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple:
            return os.abort, ()

    np.savez(tmp_path / "a.npz", t=np.array([Trap()], object), x=[0], y=[0], p=[0])
    with pytest.raises(ValueError, match="never unpickled"):
        events.read(tmp_path / "a.npz", 4, 4)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<i8", "fortran_order": False, "shape": (10**9,)})
    with zipfile.ZipFile(tmp_path / "b.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in "txyp":
            archive.writestr(f"{name}.npy", header.getvalue() + bytes(100))
    with pytest.raises(ValueError, match="needs 8000000000 bytes, but 100 follow"):
        events.read(tmp_path / "b.npz", 4, 4)


def test_text_in_seconds_with_and_without_names(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("0.003811 3 4 0\n0.003820 2 1 1\n\n3600.000001 0 0 1\n")
    found = events.read(tmp_path / "a.txt", 5, 5)
    assert (found.t.tolist(), found.x.tolist(), found.p.tolist()) == ([3811, 3820, 3600000001], [3, 2, 0], [0, 1, 1])
    (tmp_path / "b.csv").write_text("polarity;x;y;timestamp;temperature\n1;2;3;1000;9\n-1;4;0;2000;9\n")
    found = events.read(tmp_path / "b.csv", 5, 5)
    assert (found.t.tolist(), found.y.tolist(), found.p.tolist()) == ([1000, 2000], [3, 0], [1, 0])
    for text, words in (
        ("t,x,y,p\n1,2,3\n", "line of 3 columns"),
        ("t,x,y,p\n1,2,3,1\n1,2,a,1\n", "no number"),
        ("t,x,y,p\n1,7,3,1\n", "x from 7 to 7, expected 0 to 4"),
        ("t,x,y,p\n1,2,3,1\n1.5,2,3,1\n", "whole microseconds"),
        ("t,x,y,p\n1e400,2,3,1\n", "not finite"),
        ("t,x,y\n1,2,3\n", "p is not there"),
        ("\n\n", "no line that is not empty"),
        ("t,x,y,p\n" + "9" * 2000, "more than 1000 characters"),
        ("t,x,y,p\n1,2,3,2\n", "p from 2 to 2"),
    ):
        (tmp_path / "c.csv").write_text(text)
        with pytest.raises(ValueError, match=words):
            events.read(tmp_path / "c.csv", 5, 5)


def test_layouts_of_published_hdf5(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    made = stream(50)
    with h5py.File(tmp_path / "dsec.h5", "w") as file:
        for name in "txyp":
            file[f"events/{name}"] = getattr(made, name).astype(np.uint32)
        file["ms_to_idx"], file["t_offset"] = np.arange(6), 2**40
    assert same(events.read(tmp_path / "dsec.h5", 13, 7), made.shift(2**40))
    table = np.zeros(50, [("x", "<u2"), ("y", "<u2"), ("p", "<i2"), ("t", "<i8")])
    for name in "txyp":
        table[name] = getattr(made, name)
    with h5py.File(tmp_path / "gen4.h5", "w") as file:
        file["CD/events"] = table
    assert same(events.read(tmp_path / "gen4.h5", 13, 7), made)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["images"] = np.zeros(3)
    with pytest.raises(ValueError, match="t is not there"):
        events.read(tmp_path / "other.h5", 13, 7)
    with h5py.File(tmp_path / "odd.h5", "w") as file:
        for name in "txyp":
            file[f"events/{name}"] = np.zeros(3 + (name == "p"), int)
    with pytest.raises(ValueError, match="expected one length"):
        events.read(tmp_path / "odd.h5", 13, 7)
