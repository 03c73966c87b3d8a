"""AEDAT 3.1: packets of many kinds, invalid events, time that overflows."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from spikeworks import events
from spikeworks.events import EventStream

HEAD = (
    b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n#-Source 0: DAVIS240C\r\n"
    b"#Start-Time: 2016-01-01 10:00:00 (TZ+0100)\r\n#!END-HEADER\r\n"
)


def packet(
    rows: list[tuple[int, int]], kind: int = 1, source: int = 1, size: int = 8, offset: int = 4, overflows: int = 0,
    room: int | None = None, valid: int | None = None, number: int | None = None,
) -> bytes:  # fmt: skip
    n = len(rows) if number is None else number
    head = struct.pack(
        "<hhiiiiii",
        kind,
        source,
        size,
        offset,
        overflows,
        n if room is None else room,
        n,
        n if valid is None else valid,
    )
    return head + b"".join(struct.pack("<Ii", *row) for row in rows)


def decoded(path: Path, *packets: bytes, head: bytes = HEAD) -> EventStream:
    path.write_bytes(head + b"".join(packets))
    return events.read(path)


def test_events_against_a_plain_reference(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    packets, expected, t = [], [], 2**31 - 900
    for n in (1, 0, 37, 500, 3):
        for overflows in (t >> 31, (t + n) >> 31):
            rows = []
            for _ in range(n):
                x, y, p, valid = (int(draw.integers(limit)) for limit in (128, 128, 2, 2))
                rows.append((x << 17 | y << 2 | p << 1 | valid, t % 2**31))
                if valid:
                    expected.append(((overflows << 31) + t % 2**31, x, y, p))
                t += 1
            packets.append(packet(rows, overflows=overflows, valid=0))
            packets.append(packet([(1, 2)] * 3, kind=int(draw.choice([0, 2, 3, 100])), source=5))
    found = decoded(tmp_path / "x", *packets)
    assert (found.width, found.height) == (128, 128)
    assert [tuple(map(int, row)) for row in zip(found.t, found.x, found.y, found.p, strict=True)] == expected
    assert int(found.t[-1]) > 2**31
    for count in (1, 7, 100):
        assert len(events.concatenate(list(events.open(tmp_path / "x").blocks(count)))) == len(expected)


def test_room_that_is_not_used_is_passed_over(tmp_path: Path) -> None:
    first = packet([(3, 5)], room=3) + bytes(16)
    assert list(decoded(tmp_path / "x", first, packet([(1, 6)])).t) == [5, 6]


def test_events_that_are_all_invalid(tmp_path: Path) -> None:
    found = decoded(tmp_path / "x", packet([(0, 5)] * 3, valid=0))
    assert (len(found), found.width) == (0, 128)


def test_about_and_sizes(tmp_path: Path) -> None:
    path = tmp_path / "x"
    decoded(path)
    assert events.open(path).about == {"sensor": "DVS128", "Start-Time": "2016-01-01 10:00:00 (TZ+0100)"}
    path.write_bytes(HEAD.replace(b" DVS128", b" File"))
    with pytest.raises(ValueError, match="does not tell the size"):
        events.open(path)
    assert events.open(path, 30, 20).width == 30
    events.write(path, events.empty(30, 20), format="aedat3")
    assert (events.open(path).width, events.open(path).height) == (30, 20)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (HEAD.replace(b"3.1", b"3.0"), "version 3.0, expected 3.1"),
        (HEAD.replace(b"RAW", b"SerializedTS"), "format SerializedTS, expected RAW"),
        (HEAD.replace(b"#Format: RAW\r\n", b""), "format None"),
        (HEAD.replace(b"#!END-HEADER\r\n", b"\0"), "no line #!END-HEADER"),
        (HEAD.replace(b"#-Source", b"#Source"), "sensors DVS128, DAVIS240C, expected one"),
        (HEAD + packet([(1, 1)])[:20], "ends within a packet's header"),
        (HEAD + packet([(1, 1)] * 9)[:-1], "goes on for 1 bytes after the end"),
        (HEAD + packet([], number=2**31 - 1, size=2**31 - 1), "goes on for"),
        (HEAD + packet([], kind=-2), "kind -2"),
        (HEAD + packet([], size=0), "events of 0 bytes"),
        (HEAD + packet([], number=-1), "with -1 events"),
        (HEAD + packet([(1, 1)], valid=2), "2 valid"),
        (HEAD + packet([(1, 1)], overflows=-1), "damaged at byte"),
        (HEAD + packet([(1, 1)], offset=0), "time at 0, expected 8 and 4"),
        (HEAD + packet([(1, -1)]), "time below 0"),
        (HEAD + packet([(1, 1)]) + packet([(1, 1)], source=2), "sources 1 and 2"),
        (HEAD + packet([(128 << 17 | 1, 1)]), "x from 128 to 128"),
    ],
)
def test_wrong_files_are_refused(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(ValueError, match=words):
        events.read(tmp_path / "x")


def test_packets_end_where_time_overflows(tmp_path: Path) -> None:
    t = np.array([0, 2**31 - 1, 2**31, 2**31, 5 * 2**31 + 4, 2**62 - 1])
    s = EventStream(t, [0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0], [0, 1, 0, 1, 0, 1], 6, 6)
    events.write(tmp_path / "x.aedat", s)
    assert events.open(tmp_path / "x.aedat").format == "aedat3"
    assert list(events.read(tmp_path / "x.aedat").t) == list(t)
    with pytest.raises(ValueError, match="expected 0 to 2⁶² − 1"):
        events.write(tmp_path / "x.aedat", s.shift(1))
