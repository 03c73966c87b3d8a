"""The AEDAT formats: what is written is read, in any blocks; damaged files are refused or read within the sensor."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeworks import events
from spikeworks.events import EventStream
from spikeworks.events.formats import aedat

EACH = pytest.mark.parametrize("name", ["aedat2", "aedat3", "aedat4"])


def made(
    n: int = 40, width: int = 240, height: int = 180, begin: int = 5, step: int = 900, seed: int = 0
) -> EventStream:
    draw = np.random.default_rng(seed)
    t = begin + np.cumsum(draw.integers(0, step, n))
    return EventStream(
        t, draw.integers(0, width, n), draw.integers(0, height, n), draw.integers(0, 2, n), width, height
    )


def same(a: EventStream, b: EventStream) -> bool:
    columns = all(np.array_equal(getattr(a, name), getattr(b, name)) for name in "txyp")
    return columns and (a.width, a.height) == (b.width, b.height)


@pytest.fixture(autouse=True)
def _without_lz4(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lz4.frame", None)
    monkeypatch.setitem(sys.modules, "lz4", None)  # the same files whether it is installed or not


@EACH
@pytest.mark.parametrize("size", [(128, 128), (208, 192), (240, 180), (346, 260), (640, 480)])
def test_what_is_written_is_read(name: str, size: tuple[int, int], tmp_path: Path) -> None:
    s = made(9001, *size)
    path = tmp_path / f"x.{name}"
    events.write(path, s)
    opened = events.open(path)
    assert opened.format == name
    assert same(opened.read(), s)
    for count in (1000, 4096, 9001, 10**12):
        blocks = list(opened.blocks(count))
        assert [len(b) for b in blocks[:-1]] == [count] * (len(blocks) - 1)
        assert same(events.concatenate(blocks), s)
    assert not s[:0].duration
    events.write(path, s[:0])
    assert same(events.read(path), s[:0])
    with pytest.raises(ValueError, match="leave them out"):
        events.open(path, 3, 4)
    assert events.open(path, *size).width == size[0]


@EACH
def test_blocks_are_written_as_one(name: str, tmp_path: Path) -> None:
    s = made(5000)
    one, many = tmp_path / "one", tmp_path / "many"
    events.write(one, s, format=name)
    events.write(many, s.groups(700), format=name)
    assert same(events.read(many), s)
    assert same(events.read(one), s)


@pytest.mark.parametrize("name", ["aedat3", "aedat4"])
@given(
    st.lists(st.tuples(st.integers(0, 2**62 - 1), st.integers(0, 6), st.integers(0, 32767), st.booleans()), max_size=9)
)
@settings(max_examples=60)
def test_any_times_and_places(
    name: str, tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, int, int, bool]]
) -> None:
    t, x, y, p = (np.array(column, np.int64) for column in zip(*sorted(rows), strict=True)) if rows else [[0][:0]] * 4
    s = EventStream(np.array(t, np.int64), np.array(x, np.int64), np.array(y, np.int64), np.array(p, bool), 7, 32768)
    path = tmp_path_factory.getbasetemp() / f"any.{name}"
    events.write(path, s)
    assert same(events.read(path), s)


@EACH
def test_a_file_cut_anywhere_is_refused_or_ends_between_events(name: str, tmp_path: Path) -> None:
    s = made(12)
    path = tmp_path / "whole"
    events.write(path, s.groups(4), format=name)  # packets of 4
    data = path.read_bytes()
    between = []
    for cut in range(len(data)):
        path.write_bytes(data[:cut])
        try:
            found = events.read(path, 240, 180)
        except ValueError:
            continue
        assert same(found, s[: len(found)])
        between.append((cut, len(found)))
    step = {"aedat2": 1, "aedat3": 4, "aedat4": 0}[name]
    if step:
        assert [n for cut, n in between if n] == list(range(step, 12, step))
    else:
        assert not between  # its table ends the file


@EACH
def test_what_is_in_front_of_a_fault_is_read(name: str, tmp_path: Path) -> None:
    s = made(3000)
    path = tmp_path / "whole"
    events.write(path, s.groups(100), format=name)
    data = path.read_bytes()
    cut = data[: len(data) // 2 + 3]
    if name == "aedat4":
        place = 14 + 32
        cut = cut[:place] + (-1).to_bytes(8, "little", signed=True) + cut[place + 8 :]
    path.write_bytes(cut)
    found: list[EventStream] = []
    with pytest.raises(ValueError, match="copy it again"):
        found.extend(events.open(path).blocks(64))
    assert sum(map(len, found)) >= 1300
    assert same(events.concatenate(found), s[: sum(map(len, found))])


@EACH
def test_changed_bytes_are_refused_or_read_within_the_sensor(name: str, tmp_path: Path) -> None:
    path = tmp_path / "mutated"
    draw = np.random.default_rng(1)
    s = made(30)
    events.write(path, s.groups(10), format=name)
    data = np.frombuffer(path.read_bytes(), np.uint8)
    read = refused = 0
    for _ in range(1000):
        changed = data.copy()
        places = draw.integers(0, len(data), draw.integers(1, 4))
        changed[places] = draw.choice([0, 1, 127, 128, 255, *draw.integers(0, 256, 5)], len(places))
        path.write_bytes(changed.tobytes())
        try:
            found = events.read(path, format=name)
        except ValueError:
            refused += 1
            continue
        read += 1
        assert len(found) <= len(data) // 8
        if len(found):
            assert int(found.x.max()) < found.width
            assert int(found.y.max()) < found.height
            assert int(found.p.max()) <= 1
    assert read
    assert refused


def test_sensors_by_name() -> None:
    for name, expected in {
        "ch.unizh.ini.jaer.chip.retina.DVS128": ("dvs", 128, 128),
        "ch.unizh.ini.jaer.chip.retina.Tmpdiff128": ("dvs", 128, 128),
        "eu.seebetter.ini.chip.davis.Davis346red": ("davis", 346, 260),
        "DAVI346": ("davis", 346, 260),
        "DAVIS240C": ("davis", 240, 180),
        "DAVISHet640": ("davis", 640, 480),
        "Davis208PixelParade": ("davis", 208, 192),
        "DAVIS1280": None,
        "DVS132S": None,
        "": None,
    }.items():
        assert aedat.chip(name) == expected


@EACH
def test_what_does_not_fit_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"before")
    large = EventStream([0], [0], [0], [0], 32769, 1)
    with pytest.raises(ValueError, match="sensor of 32769×1"):
        events.write(path, large, format=name)
    with pytest.raises(ValueError, match=r"got .*times? from -1|first event at -1"):
        events.write(path, made(2).shift(-int(made(2).t[0]) - 1), format=name)
    assert path.read_bytes() == b"before"
