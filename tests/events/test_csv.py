"""Events as text: units and orders are what the file says, decimals are exact, nothing is guessed by size."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from events.damaged import cut, mutate, same, stream
from spikeworks import events
from spikeworks.events import EventStream
from spikeworks.events.formats.numbers import words

PLAIN = "0 1 2 1\n5 3 4 0\n9 12 6 1\n"


def text(tmp_path: Path, content: str, name: str = "a.txt") -> Path:
    (tmp_path / name).write_text(content)
    return tmp_path / name


@given(st.lists(st.integers(-(10**18) + 1, 10**18 - 1), max_size=50), st.integers(1, 20))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
def test_what_is_written_is_read(tmp_path: Path, times: list[int], block: int) -> None:
    n, draw = len(times), np.random.default_rng(0)
    s = EventStream(
        np.array(sorted(times), np.int64), draw.integers(0, 65535, n), draw.integers(0, 3, n), draw.integers(0, 2, n),
        65535, 3,
    )  # fmt: skip
    events.write(tmp_path / "a.csv", [s[:0], *s.groups(block)])
    opened = events.open(tmp_path / "a.csv")
    assert opened.format == "csv"
    assert same(opened.read(), s)
    assert max((len(b) for b in opened.blocks(block)), default=0) <= block


def test_times_that_would_not_be_read_are_not_written(tmp_path: Path) -> None:
    file = text(tmp_path, "kept", "a.csv")
    with pytest.raises(ValueError, match="shift them"):
        events.write(file, EventStream([10**18], [0], [0], [0], 1, 1))
    assert file.read_text() == "kept"


@given(st.lists(st.from_regex(r"\A-?[0-9]{1,12}(\.[0-9]{1,20})?\Z"), min_size=1, max_size=30))
def test_decimals_are_exact(numbers: list[str]) -> None:
    """Against decimal arithmetic, digit by digit, halves away from zero."""
    found = words("\n".join(f"{n} 1" for n in numbers).encode(), 2)
    one = Decimal(1)
    assert found.micro(0).tolist() == [int((Decimal(n) * 10**6).quantize(one, ROUND_HALF_UP)) for n in numbers]
    assert found.pointed(0).tolist() == ["." in n for n in numbers]


@given(st.integers(1, 60), st.sampled_from([",", " ", "\t", "; ", " , "]), st.sampled_from(["\n", "\r\n", "\n\n"]))
def test_splitting_agrees_with_python(lines: int, between: str, end: str) -> None:
    table = np.random.default_rng(lines).integers(-999, 10**6, (lines, 4))
    data = "".join(between.join(map(str, row)) + end for row in table.tolist()).encode()
    found = words(data, 4)
    assert np.array_equal(np.stack([found.whole(i) for i in range(4)], 1), table)


def test_the_event_camera_data_set(tmp_path: Path) -> None:
    """As events.txt of DAVIS 240C: seconds with a point, x, y, polarity, blanks between."""
    file = text(tmp_path, "0.000000000 33 39 1\n0.000011001 158 145 1\n1468939993.0644105 50 88 0\n")
    opened = events.open(file, 240, 180)
    assert opened.about == {"columns": "t,x,y,p, by default", "t": "seconds, by its decimal point"}
    s = opened.read()
    assert s.t.tolist() == [0, 11, 1468939993064411]
    assert (s.x.tolist(), s.y.tolist(), s.p.tolist()) == ([33, 158, 50], [39, 145, 88], [1, 1, 0])


@pytest.mark.parametrize(
    ("front", "times"),
    [
        ("", [0, 5, 9]),
        ("# a remark\n", [0, 5, 9]),
        ("t x y p\n", [0, 5, 9]),
        ("t_us,x,y,polarity\n", [0, 5, 9]),
        ("time [s],x,y,pol\n", [0, 5_000_000, 9_000_000]),
        ("timestamp (us);xs;ys;on\n", [0, 5, 9]),
        ("# width: 13, height: 7\n", [0, 5, 9]),
    ],
)
def test_the_line_in_front_tells(tmp_path: Path, front: str, times: list[int]) -> None:
    body = PLAIN.replace(" ", ";" if ";" in front else ",") if "," in front or ";" in front else PLAIN
    assert events.read(text(tmp_path, front + body), 13, 7).t.tolist() == times


def test_columns_in_another_order(tmp_path: Path) -> None:
    s = stream(200)
    rows = "".join(f"{x},{y},{p},{t}\n" for t, x, y, p in zip(*(getattr(s, c).tolist() for c in "txyp"), strict=True))
    assert same(events.read(text(tmp_path, "x,y,p,t\n" + rows), 13, 7), s)
    assert same(events.read(text(tmp_path, "%geometry:13,7\n" + rows)), s)
    extra = "".join(f"7,{line}\n" for line in rows.splitlines())
    assert same(events.read(text(tmp_path, "label,x,y,p,t\n" + extra), 13, 7), s)
    assert same(events.read(text(tmp_path, "t,x,y,p\n5,1,2,-1\n6,1,2,1\n"), 13, 7),
                EventStream([5, 6], [1, 1], [2, 2], [0, 1], 13, 7))  # fmt: skip
    unordered = text(tmp_path, "t,x,y,p\n9,1,2,0\n6,1,2,1\n")
    assert not events.read(unordered, 13, 7).ordered


def test_what_does_not_tell_is_refused(tmp_path: Path) -> None:
    for content, reason in (
        ("1 2 3 0\n0 2 3 0\n", "falls and is no time"),  # x y t p, say
        ("1.5 2 3 0\n2 2 3 0\n", "with a point in some lines"),
        ("1 2 3 0\n2.5 2 3 0\n", "with a point in some lines"),
        ("1 2 3 0\n2 2.0 3 0\n", "decimal point"),
        ("1 2 3 0\n2 2 3\n", "holds 3 numbers, expected 4"),
        ("1,2,3,0\n2,2,3,,0\n", "commas"),
        ("1,2,3,0\n2,2,3,0,\n", "commas"),
        ("1 2 3 0\n2 2 3 2\n", "p from 0 to 2"),
        ("1 2 3 0\n2 2 3 -1\n3 1 1 1\n", "-1 and 0"),
        ("1 2 3 0\n2 20 3 0\n", "check the sensor"),
        ("1 2 3 0\n2 2 3 1e0\n", "no plain decimal number"),
        ("1 2 3 0\n2 2 3 nan\n", "no plain decimal number"),
        ("1 2 3 0\n-2-1 2 3 0\n", "minus inside"),
        ("1.0 2 3 0\n1.2.3 2 3 0\n", "several points"),
        ("1.0 2 3 0\n1. 2 3 0\n", "ends with one"),
        (f"1 2 3 0\n{10**19} 2 3 0\n", "digits, expected 1 to 18"),
        (f"{10**13}.0 2 3 0\n", "digits, expected 1 to 12"),
        ("t,x,y,p\n1,2,3,0\n" + "1" * 20_000, "more than 4096 bytes"),
        ("x,y,p,t\n1,2,0,5\n1,2,0,55", "may have been cut"),
        ("%geometry:13,7\n1,2,0,5.0\n", "decimal point"),
    ):
        with pytest.raises(ValueError, match=reason) as error:
            events.read(text(tmp_path, content), 13, 7, "csv")
        assert str(tmp_path) in str(error.value)
    for content in (
        "hello\n",
        "x,y\n1,2\n",
        "t,t,x,y,p\n1,1,2,3,0\n",
        "t_ms,x,y,p\n1,2,3,0\n",
        "1 2 3\n",
    ):
        with pytest.raises(ValueError, match="no format known here"):
            events.open(text(tmp_path, content), 13, 7)


def test_blocks_meet_where_lines_end(tmp_path: Path) -> None:
    """More text than is read at a time, with every count of events to a block."""
    s = stream(999)
    file = tmp_path / "a.csv"
    events.write(file, s)
    for count in (1, 3, 170, 171, 998, 999, 5000):
        assert same(events.concatenate(list(events.open(file, 13, 7).blocks(count))), s)


def test_text_that_is_cut_is_noticed(tmp_path: Path) -> None:
    s = stream(30)
    events.write(tmp_path / "a.csv", s)
    assert cut(tmp_path / "a.csv") == []  # the first line tells how many there are
    rows = [f"{t} {x} {y} {p}\n" for t, x, y, p in zip(*(getattr(s, c).tolist() for c in "txyp"), strict=True)]
    file = text(tmp_path, "".join(rows))
    ends = np.cumsum([len(row) for row in rows]).tolist()
    assert set(cut(file, (13, 7))) == {e - i for e in ends for i in (0, 1)} - {ends[-1]}  # whole lines only
    events.write(tmp_path / "none.csv", s[:0])
    assert same(events.read(tmp_path / "none.csv"), s[:0])


def test_changed_bytes_are_refused_or_read_as_events(tmp_path: Path) -> None:
    events.write(tmp_path / "a.csv", stream(40))
    assert mutate(tmp_path / "a.csv", 1000) > 0
    assert mutate(text(tmp_path, PLAIN), 500, (13, 7)) > 0
