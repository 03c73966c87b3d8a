"""Archives of NumPy: every layout that people save reads as the same events, and no archive does harm."""

from __future__ import annotations

import io
import os
import pickle
import resource
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from events.damaged import cut, mutate, same, stream
from spikeworks import events
from spikeworks.events import EventStream

FIELDS = [("t", "<i8"), ("x", ">u2"), ("y", "<u2"), ("p", "?")]


@given(st.lists(st.integers(-(2**62), 2**62), max_size=50), st.integers(1, 20), st.integers(0, 9))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
def test_what_is_written_is_read(tmp_path: Path, times: list[int], block: int, seed: int) -> None:
    n, draw = len(times), np.random.default_rng(seed)
    s = EventStream(
        np.array(sorted(times), np.int64), draw.integers(0, 65535, n), draw.integers(0, 3, n), draw.integers(0, 2, n),
        65535, 3,
    )  # fmt: skip
    file = tmp_path / "a.npz"
    events.write(file, [s[:0], *s.groups(block)])
    opened = events.open(file)
    assert opened.format == "npz"
    assert same(opened.read(), s)
    assert [len(b) for b in opened.blocks(block)] == [len(g) for g in s.groups(block)]
    with np.load(file) as kept:  # as NumPy sees it
        assert np.array_equal(kept["t"], s.t)
        assert (int(kept["width"]), int(kept["height"])) == (65535, 3)


def test_names_and_types_that_people_use(tmp_path: Path) -> None:
    s, file = stream(501), tmp_path / "a.npz"
    signed = s.p.astype(np.int8) * 2 - 1
    for columns in (
        {"t": s.t, "x": s.x, "y": s.y, "p": signed},
        {"timestamps": s.t.astype(">u4"), "xs": s.x.astype(np.int64), "ys": s.y, "on": s.p == 1},
        {"ts": s.t / 1e6, "X": s.x, "Y": s.y, "polarity": s.p, "label": np.array(["a"])},
        {"t": s.t, "x": s.x, "y": s.y, "pol": s.p, "width": np.array([13]), "height": 7},
    ):
        np.savez_compressed(file, **columns)
        assert same(events.read(file, 13, 7), s)
    table = np.zeros(len(s), FIELDS)
    for name in "txyp":
        table[name] = getattr(s, name)
    np.save(tmp_path / "a.npy", table)
    assert same(events.read(tmp_path / "a.npy", 13, 7), s)
    np.savez(file, table)
    assert same(events.read(file, 13, 7), s)


def refused(file: Path, words: str, size: tuple[int, int] = (13, 7)) -> None:
    with pytest.raises(ValueError, match=words) as error:
        events.read(file, *size)
    assert str(file) in str(error.value)


@pytest.mark.parametrize("order", ["txyp", "xytp", "yxtp", "xypt"])
def test_tables_that_do_not_name_their_columns_are_refused(tmp_path: Path, order: str) -> None:
    """Two of these orders look the same, so no look at the numbers can tell x from y."""
    file, s = tmp_path / "a.npy", stream(301)
    np.save(file, np.stack([getattr(s, c).astype(np.int64) for c in order], 1))
    refused(file, "nothing says what is t, x, y and p")


def test_archives_that_are_of_something_else_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.npz"
    s = stream(20)
    good = {"t": s.t, "x": s.x, "y": s.y, "p": s.p}
    for change, words in (
        ({"t": s.t[:-1]}, "shapes"),
        ({"ts": s.t}, "t is there as"),
        ({"t": s.t.astype(float)}, "seconds or microseconds"),
        ({"t": np.full(20, np.nan)}, "finite times"),
        ({"x": s.x + 5}, "check the sensor"),
        ({"x": s.x / 2}, "x of float64"),
        ({"p": np.arange(20) % 3 - 1}, "-1 and 0"),
        ({"p": np.arange(20) % 3}, "p from 0 to 2"),
        ({"width": 4}, "width alone"),
        ({"width": 4.0, "height": 3}, "one whole number"),
        ({"width": 12, "height": 7}, "12×7, but width=13"),
        ({"p": np.array([None] * 20)}, "Python objects"),
    ):
        np.savez(file, **{**good, **change})
        refused(file, words)
    np.savez(file, **good)
    with pytest.raises(ValueError, match="does not tell the size"):
        events.open(file)
    np.savez(file, t=s.t, x=s.x, y=s.y)
    refused(file, "p is not there")
    np.savez(file)
    refused(file, "no columns")


class Evil:
    def __reduce__(self) -> tuple:
        return (os.system, ("false",))


def test_nothing_is_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "a.npz", t=np.array([Evil()] * 3), x=[1, 2, 3], y=[1, 2, 3], p=[1, 1, 0])
    monkeypatch.setattr(pickle, "loads", None)
    monkeypatch.setattr(pickle, "load", None)
    refused(tmp_path / "a.npz", "never unpickled")


def _member(shape: tuple[int, ...], dtype: str, data: bytes = b"") -> bytes:
    made = io.BytesIO()
    np.lib.format.write_array_header_1_0(made, {"descr": dtype, "fortran_order": False, "shape": shape})
    return made.getvalue() + data


def test_a_bomb_does_not_fill_memory(tmp_path: Path) -> None:
    """2 GiB of zeros in 2 MB: it may be read or refused, but never as a whole."""
    file, n = tmp_path / "a.npz", 1 << 28
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in "xyp":
            archive.writestr(f"{name}.npy", _member((n,), "<i8"))
        with archive.open("t.npy", "w", force_zip64=True) as member:
            member.write(_member((n,), "<i8"))
            for _ in range(64):
                member.write(bytes(1 << 20))
    refused(file, "needs .* bytes, but")
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in "txyp":
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                member.write(_member((1 << 25,), "<i8"))
                for _ in range(256):
                    member.write(bytes(1 << 20))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    blocks = events.open(file, 13, 7).blocks(1 << 16)
    assert len(next(blocks)) == 1 << 16
    blocks.close()  # type: ignore[attr-defined]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 15  # KiB
    with zipfile.ZipFile(file, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("t.npy", _member((0,), "<i8"))
    refused(file, "packed by method 14")


def test_an_archive_that_is_cut_is_refused_at_every_byte(tmp_path: Path) -> None:
    s = stream(9)
    events.write(tmp_path / "a.npz", s)
    assert cut(tmp_path / "a.npz") == []
    np.save(tmp_path / "a.npy", np.rec.fromarrays([s.t, s.x, s.y, s.p], names="t,x,y,p"))
    assert cut(tmp_path / "a.npy", (13, 7)) == []


def test_changed_bytes_are_refused_or_read_as_events(tmp_path: Path) -> None:
    s = stream(40)
    events.write(tmp_path / "a.npz", s)
    mutate(tmp_path / "a.npz", 1500)
    np.save(tmp_path / "a.npy", np.rec.fromarrays([s.t, s.x, s.y, s.p], names="t,x,y,p"))
    assert mutate(tmp_path / "a.npy", 1500, (13, 7)) > 0
