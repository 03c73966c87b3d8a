"""HDF5: the layouts of published sets read as the same events; what lies elsewhere or is damaged is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from events.damaged import cut, mutate, same, stream
from spikeworks import events
from spikeworks.events import EventStream

h5py: Any = pytest.importorskip("h5py", reason="needs h5py")


@given(st.lists(st.integers(-(2**62), 2**62), max_size=50), st.integers(1, 20))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
def test_what_is_written_is_read(tmp_path: Path, times: list[int], block: int) -> None:
    n, draw = len(times), np.random.default_rng(0)
    s = EventStream(
        np.array(sorted(times), np.int64), draw.integers(0, 65535, n), draw.integers(0, 3, n), draw.integers(0, 2, n),
        65535, 3,
    )  # fmt: skip
    events.write(tmp_path / "a.h5", [s[:0], *s.groups(block)])
    opened = events.open(tmp_path / "a.h5")
    assert opened.format == "hdf5"
    assert same(opened.read(), s)
    assert [len(b) for b in opened.blocks(block)] == [len(g) for g in s.groups(block)]


def test_dsec(tmp_path: Path) -> None:
    s, file = stream(500), tmp_path / "events.h5"
    with h5py.File(file, "w") as made:
        for name, kind in (("t", "u4"), ("x", "u2"), ("y", "u2"), ("p", "u1")):
            made.create_dataset(f"events/{name}", data=getattr(s, name).astype(kind), chunks=(64,), compression="gzip")
        made["ms_to_idx"] = np.searchsorted(s.t, np.arange(6) * 1000).astype("u8")
        made["t_offset"] = np.int64(57_512_345_678)
    opened = events.open(file, 13, 7)
    assert opened.about["t_offset"] == "57512345678 µs, added to t"
    assert same(opened.read(), s.shift(57_512_345_678))
    with pytest.raises(ValueError, match="does not tell the size"):
        events.open(file)


@pytest.mark.parametrize("where", ["file", "group", "table"])
def test_prophesee(tmp_path: Path, where: str) -> None:
    s, file = stream(500), tmp_path / "a.hdf5"
    table = np.zeros(len(s), np.dtype([("x", "<u2"), ("y", "<u2"), ("p", "<i2"), ("t", "<i8")], align=True))
    for name in "txyp":
        table[name] = getattr(s, name)
    with h5py.File(file, "w") as made:
        made["CD/events"] = table
        made["CD/indexes"] = np.zeros(3, [("id", "u8"), ("ts", "i8")])
        made["EXT_TRIGGER/events"] = np.zeros(3, [("p", "i2"), ("t", "i8"), ("id", "i2")])
        made.attrs["format"] = np.bytes_("ECF")
        {"file": made, "group": made["CD"], "table": made["CD/events"]}[where].attrs["geometry"] = np.bytes_("13x7")
    opened = events.open(file)
    assert opened.about["format"] == "ECF"
    assert same(opened.read(), s)


def test_seconds_and_signs(tmp_path: Path) -> None:
    """As sets made from ROS bags: ts in seconds, ps of booleans or signs, the size as rows and columns."""
    s, file = stream(500), tmp_path / "a.h5"
    for ps in (s.p == 1, s.p.astype("i1") * 2 - 1):
        with h5py.File(file, "w") as made:
            for name, data in (("ts", s.t / 1e6), ("xs", s.x.astype("i2")), ("ys", s.y.astype("i2")), ("ps", ps)):
                made[f"events/{name}"] = data
            made.attrs["sensor_resolution"] = (7, 13)
        assert same(events.read(file), s)
        assert same(events.read(file, 13, 7), s)
    with h5py.File(file, "r+") as made:
        made.attrs["sensor_resolution"] = (13, 7)  # some write it so: the caller knows
    assert same(events.read(file, 13, 7), s)
    with pytest.raises(ValueError, match="sensor of 7×13, but width=14"):
        events.open(file, 14, 7)


def made_by(file: Path, **columns: Any) -> Any:
    s = stream(20)
    with h5py.File(file, "w") as made:
        for name in "txyp":
            if columns.get(name, 0) is not None:
                made[f"events/{name}"] = columns.get(name, getattr(s, name))
        for name in columns.keys() - set("txyp"):
            made[name] = columns[name]


def refused(file: Path, words: str) -> None:
    with pytest.raises(ValueError, match=words) as error:
        events.read(file, 13, 7)
    assert str(file) in str(error.value)
    assert "\n" not in str(error.value)


def test_what_is_not_events_is_refused(tmp_path: Path) -> None:
    file, s = tmp_path / "a.h5", stream(20)
    for columns, words in (
        ({"p": None}, "in 0 places"),
        ({"right/t": s.t, "right/x": s.x, "right/y": s.y, "right/p": s.p}, "in 2 places"),
        ({"t": s.t[:-1]}, "shapes"),
        ({"t": s.t.astype(float)}, "seconds or microseconds"),
        ({"t": s.t / 1e6 + np.inf}, "finite"),
        ({"x": s.x + 9}, "check the sensor"),
        ({"p": s.p + 1}, "p from 1 to 2"),
        ({"t_offset": 0.5}, "one whole number"),
        ({"t_offset": 2**63 - 1}, "do not fit 64 bits"),
        ({"x": [b"a"] * 20}, "expected numbers"),
        ({"x": ["word"] * 20}, "expected numbers"),
    ):
        made_by(file, **columns)
        refused(file, words)
    made_by(file)
    with h5py.File(file, "r+") as made:
        made.attrs["geometry"] = np.bytes_("wide")
    refused(file, "expected as in '640x480'")
    with h5py.File(file, "r+") as made:
        made.attrs["width"], made.attrs["height"] = 3.5, 4
    refused(file, "expected a whole number")


def test_text_of_variable_length_is_left_alone(tmp_path: Path) -> None:
    made_by(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "r+") as made:
        made.attrs["geometry"] = "640x480"
    assert events.open(tmp_path / "a.h5", 13, 7).about == {"events in": "events"}


def test_other_files_are_not_followed(tmp_path: Path) -> None:
    made_by(tmp_path / "other.h5")
    file = tmp_path / "a.h5"
    made_by(file, p=None)
    with h5py.File(file, "r+") as made:
        made["events/p"] = h5py.ExternalLink("other.h5", "/events/p")
    refused(file, "in 0 places")
    made_by(file, p=None)
    with h5py.File(file, "r+") as made:
        layout = h5py.VirtualLayout((20,), "u1")
        layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "events/p", (20,))
        made.create_virtual_dataset("events/p", layout)
    refused(file, "lies in another file")
    made_by(file)
    with h5py.File(file, "r+") as made:
        made["t_offset"] = h5py.ExternalLink("other.h5", "/events/t")
    refused(file, "link to another file")


def test_a_file_that_is_cut_is_refused_at_every_byte(tmp_path: Path) -> None:
    made_by(tmp_path / "a.h5")  # contiguous, small
    assert cut(tmp_path / "a.h5", (13, 7)) == []


def test_changed_bytes_are_refused_or_read_as_events(tmp_path: Path) -> None:
    made_by(tmp_path / "a.h5")
    assert mutate(tmp_path / "a.h5", 1000, (13, 7)) > 0
    with h5py.File(tmp_path / "a.h5", "r+") as made:
        made.attrs["geometry"], made.attrs["format"] = "13x7", np.bytes_("ECF")
    mutate(tmp_path / "a.h5", 500, (13, 7))
    events.write(tmp_path / "b.h5", stream(300))
    assert mutate(tmp_path / "b.h5", 500) > 0
