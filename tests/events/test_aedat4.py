"""AEDAT 4: a real recording, every compression, and FlatBuffers that lie."""

from __future__ import annotations

import os
import struct
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spikeworks import events
from spikeworks.events import EventStream
from spikeworks.events.formats import aedat4, flatbuffer

DATA = os.environ.get("SPIKEWORKS_DATA")
HAS_LZ4, HAS_ZSTD = find_spec("lz4") is not None, find_spec("zstandard") is not None
LZ4 = pytest.mark.skipif(not HAS_LZ4, reason="lz4 is not installed")
ZSTD = pytest.mark.skipif(not HAS_ZSTD, reason="zstandard is not installed")


def made(n: int = 50) -> EventStream:
    draw = np.random.default_rng(0)
    t = 1_600_000_000_000_000 + np.cumsum(draw.integers(0, 99, n))
    return EventStream(t, draw.integers(0, 64, n), draw.integers(0, 48, n), draw.integers(0, 2, n), 64, 48)


def same(a: EventStream, b: EventStream) -> bool:
    columns = all(np.array_equal(getattr(a, name), getattr(b, name)) for name in "txyp")
    return columns and (a.width, a.height) == (b.width, b.height)


@pytest.fixture
def plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A file of 50 events in packets of 20, without compression."""
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "lz4.frame", None)
        patched.setitem(sys.modules, "lz4", None)
        events.write(tmp_path / "plain.aedat4", made().groups(20))
    return (tmp_path / "plain.aedat4").read_bytes()


def parts(data: bytes) -> tuple[bytes, list[bytes], bytes]:
    """Header, packets without what is in front of them, table."""
    place = 18 + int.from_bytes(data[14:18], "little")
    head, table, packets = data[:place], struct.unpack_from("<q", data, 14 + 32)[0], []
    while place < table:
        size = struct.unpack_from("<i", data, place + 4)[0]
        packets.append(data[place + 8 : place + 8 + size])
        place += 8 + size
    return head, packets, data[table:]


def joined(head: bytes, packets: list[bytes], table: bytes | None, compression: int = 0, stream: int = 0) -> bytes:
    body = b"".join(struct.pack("<ii", stream, len(packet)) + packet for packet in packets)
    place = -1 if table is None else len(head) + len(body)
    return head[:42] + struct.pack("<iq", compression, place) + head[54:] + body + (table or b"")


def compressed(data: bytes, compression: int, change: Callable[[bytes], bytes] = bytes) -> bytes:
    compress: Any
    if compression in (1, 2):
        from lz4.frame import compress  # type: ignore[import-not-found]
    else:
        from zstandard import compress  # type: ignore[import-not-found]
    head, packets, table = parts(data)
    return joined(head, [change(compress(packet)) for packet in packets], compress(table), compression)


def read(path: Path, data: bytes) -> EventStream:
    path.write_bytes(data)
    return events.read(path)


@pytest.mark.skipif(not DATA, reason="SPIKEWORKS_DATA is not set")
@LZ4
def test_a_real_recording() -> None:
    """Numbers from the ``aedat`` package, 2.3.0."""
    opened = events.open(Path(str(DATA)) / "event_format_samples" / "sample.aedat4")
    assert opened.format == "aedat4"
    assert opened.about["source"] == "DVXplorer_DXB00010"
    assert opened.about["other streams"] == "2 imu, 3 triggers"
    found = opened.read()
    assert (len(found), found.width, found.height, found.ordered) == (111954, 320, 240, True)
    ends = [(int(found.t[i]), int(found.x[i]), int(found.y[i]), int(found.p[i])) for i in (0, -1)]
    assert ends == [(1605537493718345, 154, 204, 0), (1605537494308262, 88, 237, 1)]
    assert [int(column.sum(dtype=np.int64)) for column in (found.x, found.y, found.p)] == [18342405, 15105898, 55023]
    assert int((found.t - found.t[0]).sum()) == sum(int(t) - 1605537493718345 for t in found.t)


@pytest.mark.skipif(not DATA, reason="SPIKEWORKS_DATA is not set")
@pytest.mark.skipif(HAS_LZ4, reason="lz4 is installed")
def test_a_real_recording_names_the_library_that_it_needs() -> None:
    with pytest.raises(ModuleNotFoundError, match="lz4"):
        events.read(Path(str(DATA)) / "event_format_samples" / "sample.aedat4")


@pytest.mark.parametrize(
    "compression", [pytest.param(method, marks=LZ4 if method < 3 else ZSTD) for method in (1, 2, 3, 4)]
)
def test_every_compression(tmp_path: Path, plain: bytes, compression: int) -> None:
    path = tmp_path / "x"
    data = compressed(plain, compression)
    assert same(read(path, data), made())
    for cut in range(len(data)):
        with pytest.raises(ValueError, match=r"aedat4|is empty|no format"):
            read(path, data[:cut])
    for change in (lambda c: c[:-1], lambda c: c[:-9], lambda c: c[:7], lambda c: b""):
        with pytest.raises(ValueError, match="damaged"):
            read(path, compressed(plain, compression, change))
    draw = np.random.default_rng(0)
    for _ in range(500):
        changed = bytearray(data)
        changed[int(draw.integers(14, len(data)))] = int(draw.integers(256))
        with suppress(ValueError, ModuleNotFoundError):  # it may name another compression, which is not installed
            read(path, bytes(changed))


@pytest.mark.parametrize("compression", [pytest.param(1, marks=LZ4), pytest.param(3, marks=ZSTD)])
def test_bombs_are_not_unpacked(tmp_path: Path, plain: bytes, compression: int) -> None:
    path = tmp_path / "x"
    head, packets, table = parts(compressed(plain, compression))
    for said, words in ((1 << 30, "at most 268435456 are read"), (0, "of another length"), (60, "of another length")):
        large = said.to_bytes(4, "little") + bytes(1 << 26)
        bomb = parts(compressed(joined(*parts(plain)[:1], [large], parts(plain)[2]), compression))[1][0]
        assert len(bomb) < 1 << 20
        with pytest.raises(ValueError, match=words):
            read(path, joined(head, [*packets, bomb], table, compression))


@LZ4
def test_files_are_compressed_where_lz4_is_installed(tmp_path: Path, plain: bytes) -> None:
    s = made(20000)
    events.write(tmp_path / "x.aedat4", s)
    assert events.open(tmp_path / "x.aedat4").about["compression"] == "LZ4"
    assert (tmp_path / "x.aedat4").stat().st_size < 16 * len(s)
    assert same(events.read(tmp_path / "x.aedat4"), s)


def test_files_without_a_table(tmp_path: Path, plain: bytes) -> None:
    head, packets, _ = parts(plain)
    path = tmp_path / "x"
    data = joined(head, packets, None)
    assert same(read(path, data), made())
    assert "cut off" in events.open(path).about["closed"]
    found = set()
    for cut in range(len(head), len(data)):
        try:
            found.add(len(read(path, data[:cut])))
        except ValueError:
            continue
    assert found == {0, 20, 40}


def test_other_streams_are_skipped(tmp_path: Path, plain: bytes) -> None:
    head, packets, table = parts(plain)
    path = tmp_path / "x"
    assert len(read(path, joined(head, [b"", b"anything"], table, stream=7))) == 0
    text = head.replace(b"EVTS", b"IMUS")
    with pytest.raises(ValueError, match=r"no stream of events \(EVTS\), only 'IMUS'"):
        read(path, joined(text, packets, table))


def test_packets_that_lie(tmp_path: Path, plain: bytes) -> None:
    head, packets, table = parts(plain)
    first = packets[0]
    for place, value, words in (
        (0, len(first), "it says that it has"),
        (4, 1 << 31, "an offset leads to byte"),
        (4, 0, "list of fields at byte 4 has 0 bytes"),
        (20, -5, "list of fields at byte 25"),
        (20, 99, "an offset leads to byte -79"),
        (24, 1 << 30, "an offset leads to byte"),
        (28, 21, "it has 21 elements of 16 bytes in 320 bytes"),
        (28, 2**32 - 1, "elements"),
        (40, 64, "x from .* to 64, expected 0 to 63"),
        (40, 0xFFFF, "expected 0 to 63"),
        (44, 2, "p from 0 to 2"),
    ):
        changed = first[:place] + (value % 2**32).to_bytes(4, "little") + first[place + 4 :]
        with pytest.raises(ValueError, match=words):
            read(tmp_path / "x", joined(head, [changed, *packets[1:]], table))
    for name in (b"FTAB", b"evts"):
        with pytest.raises(ValueError, match="is of the kind"):
            read(tmp_path / "x", joined(head, [first.replace(b"EVTS", name)], table))
    with pytest.raises(ValueError, match="table at byte"):
        read(tmp_path / "x", joined(head, packets, table.replace(b"FTAB", b"EVTS")))
    with pytest.raises(ValueError, match="method 5"):
        read(tmp_path / "x", joined(head, packets, table, compression=5))
    with pytest.raises(ValueError, match="of stream -1"):
        read(tmp_path / "x", joined(head, packets, table, stream=-1))
    with pytest.raises(ValueError, match="expected 1 to 32768"):
        read(tmp_path / "x", joined(head.replace(b'"int">64<', b'"int">00<'), packets, table))


def test_an_events_packet_without_events(tmp_path: Path, plain: bytes) -> None:
    head, packets, table = parts(plain)
    none = struct.pack("<II4s2xHHi", 20, 14, b"EVTS", 4, 4, 4)
    none = struct.pack("<I", len(none) - 4) + none[4:]
    assert same(read(tmp_path / "x", joined(head, [none, *packets], table)), made())


def test_the_description_is_not_parsed_as_xml() -> None:
    laughs = '<!DOCTYPE dv [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    text = laughs + (
        '<dv><node name="outInfo" path="/"><node name="3" path="/"><attr key="typeIdentifier" type="string">EVTS</attr>'
        '<node name="info" path="/"><attr key="sizeX" type="int">7</attr><attr key="source">&b;</attr></node>'
        '<node name="more" path="/"><attr key="sizeX" type="int">8</attr></node><node name="x"/></node></node>'
        '<node name="3" path="/"><attr key="sizeX" type="int">9</attr></node></dv>'
    )
    assert aedat4._streams(text) == {3: {"typeIdentifier": "EVTS", "sizeX": "7", "source": "&b;"}}
    begin = time.process_time()
    for piece in ('<node name="a" ', '<node name="', "<attr key=", '<attr key="a">', '<node name="a">', "</node>"):
        aedat4._streams(piece * 100_000)
    assert time.process_time() - begin < 5


def test_the_table_tells_of_every_packet(plain: bytes) -> None:
    """Read field by field, as other readers do."""
    _, packets, table = parts(plain)
    entries = flatbuffer.field(table, flatbuffer.root(table, b"FTAB"), 0)
    assert entries is not None
    begin, number = flatbuffer.vector(table, entries, 4)
    s, done = made(), 0
    assert number == len(packets) == 3
    for i, packet in enumerate(packets):
        entry = begin + 4 * i + flatbuffer.number(table, begin + 4 * i, "I")
        place, info, count, first, last = (flatbuffer.field(table, entry, f) or 0 for f in range(5))
        assert place % 8 == first % 8 == 0
        assert plain[flatbuffer.number(table, place, "q") :].startswith(packet)
        assert flatbuffer.number(table, info + 4, "i") == len(packet)
        n = flatbuffer.number(table, count, "q")
        assert [flatbuffer.number(table, p, "q") for p in (first, last)] == [s.t[done], s.t[done + n - 1]]
        done += n
    assert done == len(s)
