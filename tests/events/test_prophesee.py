"""Prophesee's files: real ones, words by a plain reader of the published layout, round trips, damage."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from event_files import drawn, every_truncation, in_blocks, mutations, same, sample
from spikeworks import events
from spikeworks.events import EventStream, formats, loops
from spikeworks.events.formats import evt3

EVT = ("evt2", "evt21", "evt3")
ALL = (*EVT, "dat")
BLOCKS = (1, 7, 1000, 1 << 20)


def written(tmp_path: Path, stream: EventStream, name: str) -> Path:
    path = tmp_path / f"{name}{'.dat' if name == 'dat' else '.raw'}"
    events.write(path, stream, format=name)
    return path


def test_a_real_evt2_file() -> None:
    path = sample("event_format_samples", "evt2.raw")
    with pytest.raises(ValueError, match="does not tell the size"):
        events.open(path)
    file = events.open(path, 640, 480)
    s = file.read()
    assert (file.format, file.about["system_id"], len(s)) == ("evt2", "21", 521252)
    assert (s.t[0], s.x[0], s.y[0], s.p[0]) == (913716224, 35, 443, 1)
    assert (s.t[-1], s.x[-1], s.y[-1], s.p[-1]) == (913812095, 12, 471, 0)
    assert (int(s.p.sum()), int(s.x.max()), int(s.y.max()), s.ordered) == (185861, 639, 479, True)
    with pytest.raises(ValueError, match=r"evt2\.raw"):
        events.read(path, 320, 240)


def test_a_real_car() -> None:
    file = events.open(sample("event_format_samples", "sample_ncars.dat"), 120, 100)
    s = file.read()
    assert (file.format, file.about["version"], len(s)) == ("dat", "2", 2009)
    assert [(int(s.t[i]), int(s.x[i]), int(s.y[i]), int(s.p[i])) for i in (0, 1)] == [(0, 25, 8, 0), (35, 67, 35, 0)]
    assert (int(s.t[-1]), int(s.x.max()), int(s.y.max())) == (99952, 77, 41)


@pytest.mark.parametrize("name", ALL)
def test_what_is_written_is_read_in_blocks_of_any_size(tmp_path: Path, name: str) -> None:
    stream = drawn(2501, 601, 403, 40_000_000)  # longer than 24 bits of time
    path = written(tmp_path, stream, name)
    file = events.open(path)
    assert (file.format, file.width, file.height) == (name, 601, 403)
    assert all(same(in_blocks(path, count), stream) for count in BLOCKS)
    blocks = list(file.blocks(100))
    assert all(100 <= len(b) < 132 for b in blocks[:-1])
    events.write(path, stream.groups(97), format=name)
    assert same(events.read(path), stream)
    events.write(path, events.empty(5, 4), format=name)
    assert len(events.read(path)) == 0


@pytest.mark.parametrize("name", ALL)
@given(
    st.lists(
        st.tuples(st.integers(0, 1 << 32) | st.integers(0, 99), st.integers(0, 70), st.integers(0, 2), st.booleans()),
        max_size=30,
    )
)
def test_any_events(tmp_path_factory: pytest.TempPathFactory, name: str, drawn_events: list[tuple]) -> None:
    drawn_events = sorted(((min(t, 2**32 - 1), *rest) for t, *rest in drawn_events), key=lambda e: e[0])
    t, x, y, p = np.array(drawn_events, np.int64).reshape(-1, 4).T
    stream = EventStream(t, x, y, p, 71, 3)
    path = written(tmp_path_factory.mktemp("any"), stream, name)
    assert same(events.read(path), stream)


@pytest.mark.parametrize("name", EVT)
def test_time_is_unwound_over_gaps(tmp_path: Path, name: str) -> None:
    t = np.cumsum([1 << 34, 3, (1 << 24) - 1, 1 << 24, 1 << 36, 5])
    stream = EventStream(t, np.arange(6), np.arange(6), np.ones(6, int), 6, 6)
    assert same(in_blocks(written(tmp_path, stream, name), 2), stream)
    with pytest.raises(ValueError, match=r"move them by \.shift\(\)"):
        written(tmp_path, stream.shift(1 << 40), name)
    with pytest.raises(ValueError, match="holds 0 to"):
        written(tmp_path, stream.shift(-(1 << 35)), name)
    assert same(in_blocks(tmp_path / f"{name}.raw", 2), stream)  # a refused one leaves what was there


def plain_evt3(words: list[int]) -> list[tuple[int, int, int, int]]:
    """EVT 3.0 word for word as its page says, with nothing shared with the decoder."""
    out, y, low, high, loops_, base, sign = [], None, 0, None, 0, None, 0
    for word in words:
        kind, rest = f"{word >> 12:04b}", f"{word & 4095:012b}"
        at = None if high is None or y is None else loops_ * 2**24 + high * 2**12 + low
        if kind == "0000":
            y = int(rest[1:], 2)
        elif kind == "0010" and at is not None:
            out.append((at, int(rest[1:], 2), y, int(rest[0])))
        elif kind == "0011":
            base, sign = int(rest[1:], 2), int(rest[0])
        elif kind in ("0100", "0101"):
            span = 12 if kind == "0100" else 8
            if base is not None:
                if at is not None:
                    out += [(at, base + k, y, sign) for k in range(span) if rest[::-1][k] == "1"]
                base += span
        elif kind == "0110":
            low = int(rest, 2)
        elif kind == "1000":
            new = int(rest, 2)
            if high is not None and high - new >= 2048:
                loops_ += 1
            if new != high:
                low = 0
            high = new
    return out


def random_evt3(n: int, seed: int) -> list[int]:
    draw = np.random.default_rng(seed)
    kinds = draw.choice(
        [0, 2, 3, 4, 5, 6, 7, 8, 10, 14, 15], n, p=[0.14, 0.2, 0.2, 0.1, 0.1, 0.1, 0.02, 0.08, *[0.02] * 3]
    )
    words, base = [], 0
    for kind, rest in zip(kinds.tolist(), draw.integers(0, 4096, n).tolist(), strict=True):
        if kind == 3:
            rest, base = rest & 0xBFF, rest & 0x3FF
        elif kind in (4, 5):
            base += 12 if kind == 4 else 8
            if base > 2047:
                continue
        words.append(kind << 12 | rest)
    return words


def raw(path: Path, head: str, words: list[int], code: str) -> Path:
    path.write_bytes(head.encode() + struct.pack(f"<{len(words)}{code}", *words))
    return path


def columns(rows: list[tuple[int, int, int, int]], width: int, height: int) -> EventStream:
    return EventStream(*np.array(rows, np.int64).reshape(-1, 4).T, width, height)


@pytest.mark.parametrize("seed", range(8))
def test_evt3_is_its_page(tmp_path: Path, seed: int) -> None:
    words = random_evt3(1501 + seed, seed)
    path = raw(tmp_path / "a.raw", "% evt 3.0\n% geometry 2048x2048\n% end\n", words, "H")
    expected = columns(plain_evt3(words), 2048, 2048)
    assert len(expected) > 1000
    assert all(same(in_blocks(path, count), expected) for count in BLOCKS)


def test_the_compiled_decoder_is_the_one_in_python() -> None:
    words = np.array(random_evt3(3000, 99), np.uint16)
    results = []
    for how in (loops.run, loops.interpret):
        state = np.array([0, 0, len(words), 2500, 0, 0, 0, 0, 0, 0], np.int64)
        out = [np.zeros(2540, d) for d in (np.int64, np.uint16, np.uint16, np.uint8)]
        how(evt3.scan, state, words, *out)
        results.append([state, *(column[: state[1]] for column in out)])
    assert results[0][0][1] >= 2000
    assert all(np.array_equal(a, b) for a, b in zip(*results, strict=True))


def test_evt3_redundant_and_early_words(tmp_path: Path) -> None:
    words = [
        0x2001, 0x0002, 0x2003, 0x8005, 0x2004, 0x6007, 0x2805, 0x8005, 0x2006, 0x4FFF, 0x8006, 0x2007,
        0x8FFF, 0x8000, 0x3801, 0x5003, 0x5FF1, 0x4801,
    ]  # fmt: skip
    s = events.read(raw(tmp_path / "a.raw", "% format EVT3;height=9;width=40\n", words, "H"))
    high = 5 << 12
    assert list(s.t) == [high, high + 7, high + 7, 6 << 12, *[1 << 24] * 9]
    assert list(s.x) == [4, 5, 6, 7, 1, 2, 9, 13, 14, 15, 16, 17, 28]
    assert list(s.p) == [0, 1, 0, 0, *[1] * 9]
    assert set(s.y) == {2}


@pytest.mark.parametrize("legacy", [False, True])
def test_evt21_in_both_orders(tmp_path: Path, legacy: bool) -> None:
    heads = [(1 << 28 | 3 << 11, 1), (8 << 28 | 77, 0), (1 << 28 | 5 << 22 | 32 << 11 | 9, 0x8000_0005),
             (63 << 22 | 2, 3), (8 << 28 | 78, 0), (10 << 28, 1), (14 << 28, 7), (15 << 28, 0), (8 << 28 | 78, 0),
             (1 << 28 | 64 << 11, 1)]  # fmt: skip
    words = [half for head, bits in heads for half in ((head, bits) if legacy else (bits, head))]
    order = ";endianness=legacy" if legacy else ""
    path = raw(tmp_path / "a.raw", f"% format EVT21;height=10;width=70{order}\n% end\n", words, "I")
    s = events.read(path)
    base = 77 << 6
    assert list(s.t) == [*[base + 5] * 3, *[base + 63] * 2, 78 << 6]
    assert list(s.x) == [32, 34, 63, 0, 1, 64]
    assert list(s.y) == [9, 9, 9, 2, 2, 0]
    assert list(s.p) == [1, 1, 1, 0, 0, 1]
    assert all(same(in_blocks(path, count), s) for count in (1, 2))


def test_evt2_time_begins_anew(tmp_path: Path) -> None:
    words = [1 << 28, 8 << 28 | 0xFFFFFFF, 1 << 22, 8 << 28, 1 << 28 | 2 << 22, 8 << 28 | 1, 8 << 28, 3 << 22]
    s = events.read(raw(tmp_path / "a.raw", "% evt 2.0\n", words, "I"), 1, 1)
    assert list(s.t) == [(1 << 34) - 64 + 1, (1 << 34) + 2, (1 << 34) + 3]


@pytest.mark.parametrize(
    ("head", "words"),
    [
        ("% evt 3.0\n", "does not tell the size"),
        ("% evt 3.0\n% geometry 0x4\n", "says the size '0' by '4'"),
        ("% evt 3.0\n% geometry 4\n", "says the size '4' by ''"),
        ("% evt 3.0\n% geometry 2049x4\n", "up to 2048×2048, got 2049×4"),
        ("% format EVT3;width=5\n", "says the size '5' by ''"),
        ("% format EVT3;width=5;height=4\n% geometry 4x5\n", "says two sizes"),
        ("% format EVT21;width=5;height=4;endianness=big\n", "endianness=big"),
        ("% evt 3.1\n", "no format known here"),
        ("% evt 3.0\n" + "% a b\n" * 11000, "that ends"),
    ],
)
def test_wrong_headers_are_refused(tmp_path: Path, head: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        events.open(raw(tmp_path / "a.raw", head, [], "H"))


def test_size_may_be_told_but_must_agree(tmp_path: Path) -> None:
    path = written(tmp_path, events.empty(640, 480), "evt3")
    assert events.open(path, 640, 480).width == 640
    with pytest.raises(ValueError, match="leave them out"):
        events.open(path, 480, 640)
    for name, side in (("evt2", 2049), ("dat", 16385)):
        with pytest.raises(ValueError, match="crop the events"):
            written(tmp_path, events.empty(side, 1), name)


@pytest.mark.parametrize(
    ("head", "words", "code"),
    [
        ("% evt 3.0\n", [0x8000, 0x0001, 0x2002, 0x9000, 0x2003], "H"),
        ("% evt 2.0\n", [8 << 28, 2 << 11 | 1, 2 << 28], "I"),
    ],
)
def test_words_of_no_meaning_are_refused_after_the_events_in_front(
    tmp_path: Path, head: str, words: list[int], code: str
) -> None:
    path = raw(tmp_path / "a.raw", head, words, code)
    blocks = events.open(path, 4, 4).blocks()
    assert list(next(blocks).x) == [2]
    at = len(head) + (6 if code == "H" else 8)
    with pytest.raises(ValueError, match=f"at byte {at} the word"):
        next(blocks)


def test_vectors_that_leave_every_sensor_are_refused(tmp_path: Path) -> None:
    words = [0x8000, 0x0000, 0x3000, *[0x4000] * 6000, 0x4001]  # a base of more than 65535, were it only added up
    path = raw(tmp_path / "a.raw", "% evt 3.0\n% geometry 2048x4\n", words, "H")
    with pytest.raises(ValueError, match=r"a.raw \(evt3\) holds an event that a sensor of 2048×4 cannot have"):
        events.read(path)


def dat(path: Path, head: str, records: list[tuple[int, int]], kind: bytes = b"\x0c\x08") -> Path:
    path.write_bytes(head.encode() + kind + b"".join(struct.pack("<2I", *r) for r in records))
    return path


def test_dat_of_both_versions(tmp_path: Path) -> None:
    new = dat(
        tmp_path / "a.dat", "% Version 2\n% Width 1280\n% Height 720\n", [(5, 1279 | 719 << 14 | 1 << 28), (6, 1)]
    )
    s = events.read(new)
    assert [(int(s.t[i]), int(s.x[i]), int(s.y[i]), int(s.p[i])) for i in (0, 1)] == [(5, 1279, 719, 1), (6, 1, 0, 0)]
    old = dat(
        tmp_path / "b.dat", "% Data file of TD events\n% Version 1\n", [(5, 303 | 239 << 9 | 1 << 17)], b"\x00\x08"
    )
    s = events.read(old, 304, 240)
    assert (int(s.t[0]), int(s.x[0]), int(s.y[0]), int(s.p[0])) == (5, 303, 239, 1)


def test_dat_time_is_unwound(tmp_path: Path) -> None:
    times = [3, 2**32 - 9, 2**32 - 10, 4, 2**31, 2**32 - 1, 0, 7]
    path = dat(tmp_path / "a.dat", "% Version 2\n", [(t, 0) for t in times])
    add = np.array([0, 0, 0, 1, 1, 1, 2, 2]) << 32
    for count in (1, 2, 3, 100):
        assert list(in_blocks(path, count, width=1, height=1).t) == list(np.array(times) + add)


@pytest.mark.parametrize(
    ("head", "kind", "words"),
    [
        ("% Version 3\n", b"\x0c\x08", "version 3"),
        ("% Version 2\n", b"\x0e\x08", "type 14 and 8 bytes"),
        ("% Version 2\n", b"\x0c\x10", "type 12 and 16 bytes"),
        ("% Version 2\n", b"\x0c", "no whole header"),
        ("% Version 2\n% Width 5\n", b"\x0c\x08", "the size '5' by ''"),
    ],
)
def test_wrong_dat_headers_are_refused(tmp_path: Path, head: str, kind: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        events.open(dat(tmp_path / "a.dat", head, [], kind))


def test_dat_polarity_of_no_meaning_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="p from 2 to 2"):
        events.read(dat(tmp_path / "a.dat", "% Version 2\n", [(0, 2 << 28)]), 1, 1)


@pytest.mark.parametrize("name", ALL)
def test_every_truncation(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, drawn(60, 40, 9, 300_000), name)
    assert every_truncation(path) > 50


@pytest.mark.parametrize("name", ALL)
def test_mutations(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, drawn(90, 601, 403, 30_000_000), name)
    assert 0 < mutations(path, 800) < 800


def test_every_format_is_known_by_its_own_first_bytes(tmp_path: Path) -> None:
    for name in ALL:
        path = written(tmp_path, drawn(50, 30, 20, 999), name)
        head = path.read_bytes()[:4096]
        assert [f.name for f in formats.ALL if f.recognises(head, path)] == [name]
