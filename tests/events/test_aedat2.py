"""AEDAT 2.0: addresses as jAER reads them, time unwound over its wraps."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import pytest

from spikeworks import events
from spikeworks.events import EventStream

DATA = os.environ.get("SPIKEWORKS_DATA")
HEAD = b"#!AER-DAT2.0\r\n# AEChip: %s\r\n"
DVS128 = b"ch.unizh.ini.jaer.chip.retina.DVS128"
DAVIS = b"eu.seebetter.ini.chips.davis.DAVIS240C"


def decoded(path: Path, head: bytes, records: list[tuple[int, int]], *size: int) -> EventStream:
    path.write_bytes(head + b"".join(struct.pack(">II", a, t % 2**32) for a, t in records))
    return events.read(path, *size)


def rows(s: EventStream) -> list[tuple[int, ...]]:
    return [tuple(map(int, row)) for row in zip(s.t, s.x, s.y, s.p, strict=True)]


def test_addresses_of_a_dvs128_against_a_plain_reference(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    records = [(int(a), i) for i, a in enumerate(draw.integers(0, 1 << 16, 501))] + [(0x8000_0007, 501)]
    expected = [
        (t, 127 - (a >> 1) % 128, 127 - (a >> 8) % 128, 1 - a % 2) for a, t in records if not a & 0x8000_8000
    ]  # fmt: skip
    found = decoded(tmp_path / "x", HEAD % DVS128, records)
    assert (found.width, found.height) == (128, 128)
    assert rows(found) == expected
    with pytest.raises(ValueError, match="address 0x10000, expected those of a DVS128"):
        decoded(tmp_path / "x", HEAD % DVS128, [*records, (1 << 16, 502)])


def test_addresses_of_a_davis_against_a_plain_reference(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    records = []
    for i in range(502):
        x, y, rest = int(draw.integers(240)), int(draw.integers(180)), int(draw.integers(1 << 12))
        records.append((int(draw.integers(2)) << 31 | y << 22 | x << 12 | rest, i))
    expected = [
        (t, 239 - (a >> 12) % 1024, 179 - (a >> 22) % 512, (a >> 11) % 2) for a, t in records if not a & 0x8000_0400
    ]  # fmt: skip
    found = decoded(tmp_path / "x", HEAD % DAVIS, records)
    assert rows(found) == expected
    assert 0 < len(found) < 400
    with pytest.raises(ValueError, match="of another sensor: EventStream got x from -1"):
        decoded(tmp_path / "x", HEAD % DAVIS, [(240 << 12, 0)])


@pytest.mark.parametrize("count", [1, 3, 100])
def test_wraps_are_unwound_and_steps_back_are_kept(tmp_path: Path, count: int) -> None:
    times = [2**32 - 5, 2**32 - 1, 2**32 + 3, 2**32 - 2, 2**32 + 2**31 - 3, 2**33 - 4, 2**33 + 7]
    assert list(decoded(tmp_path / "x", HEAD % DVS128, [(0, t) for t in times]).t) == times
    found = events.concatenate(list(events.open(tmp_path / "x").blocks(count)))
    assert list(found.t) == times
    assert not found.ordered
    assert list(decoded(tmp_path / "x", HEAD % DVS128, [(0, 3), (0, 1)]).t) == [3, 1]
    assert list(decoded(tmp_path / "x", HEAD % DVS128, [(0, 3), (0, -1)]).t) == [3, -1]


def test_times_that_wrap_are_written(tmp_path: Path) -> None:
    t = np.array([2**32 - 1, 2**32, 2**32 + 2**31 - 1, 2**33 - 2])
    s = EventStream(t, [0, 127, 3, 4], [5, 6, 0, 127], [0, 1, 1, 0], 128, 128)
    events.write(tmp_path / "x.aedat2", [s[:1], s[1:1], s[1:]])
    assert rows(events.read(tmp_path / "x.aedat2")) == rows(s)
    apart = EventStream([0, 2**31], [0, 0], [0, 0], [0, 0], 128, 128)
    for blocks in ([apart], [apart[:1], apart[1:]]):
        with pytest.raises(ValueError, match="2147483648 µs without an event"):
            events.write(tmp_path / "y.aedat2", blocks)
    with pytest.raises(ValueError, match="first event at 4294967296"):
        events.write(tmp_path / "y.aedat2", s[1:])


def test_headers(tmp_path: Path) -> None:
    path = tmp_path / "x"
    event = [(0x0203, 4)]
    ends = HEAD % DVS128 + b"#End Of ASCII Header\r\n"
    hash_in_data = [(0x2341_4200, 0x0A0D_0A0D)]
    assert len(decoded(path, ends, event)) == 1
    assert len(decoded(path, HEAD % DAVIS + b"# End of ASCII Header\n", hash_in_data)) == 1
    assert len(decoded(path, HEAD % DAVIS, [(35 << 24, 10 << 24)])) == 1  # begins like a line, is no text
    with pytest.raises(ValueError, match="does not tell the size"):
        decoded(path, b"#!AER-DAT2.0\n", event)
    assert rows(decoded(path, b"#!AER-DAT2.0\n", event, 128, 128)) == [(4, 126, 125, 0)]
    with pytest.raises(ValueError, match="64×64 is of none known here"):
        decoded(path, b"#!AER-DAT2.0\n", event, 64, 64)
    with pytest.raises(ValueError, match=r"sensor some.Cochlea, expected a DVS128 or a DAVIS"):
        decoded(path, HEAD % b"some.Cochlea", event)
    with pytest.raises(ValueError, match="ends within its header"):
        decoded(path, HEAD % DVS128 + b"# Creation", [])
    decoded(path, HEAD % DVS128 + b"# Creation date: today\r\n", event)
    assert events.open(path).about == {"sensor": DVS128.decode(), "Creation date": "today"}


def test_a_header_without_end_is_bounded(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(HEAD % DVS128 + b"#" + b"a" * (1 << 25) + b"\n")
    with pytest.raises(ValueError, match="header"):
        events.open(tmp_path / "x")


@pytest.mark.skipif(not DATA, reason="SPIKEWORKS_DATA is not set")
def test_a_real_header_and_real_events(tmp_path: Path) -> None:
    opened = events.open(Path(str(DATA)) / "event_format_samples" / "sample_aedat_header.aedat")
    assert (opened.format, opened.width, opened.height) == ("aedat2", 346, 260)
    assert opened.about["sensor"] == "eu.seebetter.ini.chips.davis.Davis346red"
    assert len(opened.read()) == 0
    stored = np.load(Path(str(DATA)) / "dvs128_objects" / "events_sessionA.npz")
    x, y = stored["box_x"].astype(int), stored["box_y"].astype(int)
    p = np.unpackbits(stored["box_p"], count=len(x)).astype(int)
    t = np.cumsum(stored["box_dt"].astype(np.int64)) + 2**32 - 9_000_000  # over a wrap
    address = [int(a) for a in 127 - y << 8 | 127 - x << 1 | 1 - p]
    found = decoded(tmp_path / "x", HEAD % DVS128, list(zip(address, t.tolist(), strict=True)))
    assert len(found) == 201523
    assert found.ordered
    for name, column in (("t", t), ("x", x), ("y", y), ("p", p)):
        assert np.array_equal(getattr(found, name), column)
    events.write(tmp_path / "y.aedat2", found)
    assert (tmp_path / "y.aedat2").read_bytes().endswith((tmp_path / "x").read_bytes()[-8 * len(x) :])
