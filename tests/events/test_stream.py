"""A stream of events: columns nobody can change, cut in time, in number and in space without losing or making any."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikeworks.events import EventStream, concatenate, empty


def stream(
    n: int = 1000, width: int = 13, height: int = 7, span: int = 5000, seed: int = 0, ordered: bool = True
) -> EventStream:
    draw = np.random.default_rng(seed)
    t = draw.integers(0, span, n)
    return EventStream(
        np.sort(t) if ordered else t, draw.integers(0, width, n), draw.integers(0, height, n), draw.integers(0, 2, n),
        width, height,
    )  # fmt: skip


def same(a: EventStream, b: EventStream) -> bool:
    columns = all(np.array_equal(getattr(a, name), getattr(b, name)) for name in "txyp")
    return columns and (a.width, a.height) == (b.width, b.height)


def test_columns_are_taken_over_and_cannot_be_written() -> None:
    t = np.arange(4)
    given_x = np.zeros(4, np.uint16)
    made = EventStream(t, given_x, [0, 1, 2, 3], [True, False, True, True], 1, 4)
    assert np.shares_memory(made.t, t)
    assert np.shares_memory(made.x, given_x)
    assert (made.x.dtype, made.y.dtype, made.p.dtype) == (np.uint16, np.uint16, np.uint8)
    for name in "txyp":
        with pytest.raises(ValueError, match="read-only"):
            getattr(made, name)[0] = 1
    t[0] = 0  # the caller's own stays writable
    assert repr(made) == "EventStream(4 events, 1×4, 3e-06 s)"
    assert repr(stream(99, ordered=False)).endswith("not in order)")


def test_slices_are_views_masks_and_places_are_not() -> None:
    s = stream()
    assert np.shares_memory(s[10:20].t, s.t)
    assert same(s[s.p == 1], s[np.flatnonzero(s.p)])
    assert len(s[-5:]) == 5
    with pytest.raises(ValueError, match=r"one is \[i : i \+ 1\]"):
        s[3]  # type: ignore[index]


@given(st.lists(st.integers(-50, 50), max_size=40), st.integers(1, 30), st.integers(-60, 60))
def test_windows_and_groups_lose_and_make_nothing(times: list[int], length: int, start: int) -> None:
    n = len(times)
    s = EventStream(np.array(sorted(times), np.int64), np.zeros(n, int), np.zeros(n, int), np.zeros(n, int), 1, 1)
    windows = list(s.windows(length))
    assert sum(map(len, windows)) == n
    assert all(len(g) == length for g in list(s.groups(length))[:-1])
    assert n == 0 or same(concatenate(list(s.groups(length))), s)
    assert sum(map(len, s.windows(length, start))) == sum(t >= start for t in times)
    begin = sorted(times)[0] if times else 0
    for i, w in enumerate(windows):
        assert all(begin + i * length <= t < begin + (i + 1) * length for t in w.t)
    unordered = EventStream(np.array(times, np.int64), *[np.zeros(n, int)] * 3, 1, 1)
    assert same(unordered.sort().between(start, start + length), s.between(start, start + length))
    assert sorted(unordered.between(start, start + length).t) == list(s.between(start, start + length).t)


def test_windows_that_overlap() -> None:
    s = EventStream([0, 4, 9, 10], [0] * 4, [0] * 4, [1] * 4, 1, 1)
    assert [list(w.t) for w in s.windows(6, stride=4)] == [[0, 4], [4, 9], [9, 10]]


def test_a_crop_is_a_sensor_of_its_own() -> None:
    s = stream()
    part = s.crop(3, 2, 5, 4)
    assert (part.width, part.height) == (5, 4)
    inside = (s.x >= 3) & (s.x < 8) & (s.y >= 2) & (s.y < 6)
    assert np.array_equal(part.t, s.t[inside])
    assert np.array_equal(part.x + 3, s.x[inside])
    assert same(s.crop(0, 0, 13, 7), s)
    with pytest.raises(ValueError, match=r"5×4 at \(9, 2\), expected a rectangle within 13×7"):
        s.crop(9, 2, 5, 4)


def test_order_is_known_and_asked_for() -> None:
    s = stream(ordered=False)
    assert not s.ordered
    assert s.sort().ordered
    assert s.duration == s.sort().duration > 0
    tied = EventStream([5, 5, 1, 1], [0, 1, 2, 3], [0] * 4, [0] * 4, 4, 1).sort()
    assert list(tied.x) == [2, 3, 0, 1]
    with pytest.raises(ValueError, match="windows got a stream that is not in order of time"):
        next(s.windows(10))
    assert empty(3, 4).duration == 0
    assert len(EventStream([], [], [], [], 3, 4)) == 0
    assert not list(empty(3, 4).windows(5))
    assert list(s.shift(7).t) == list(s.t + 7)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (([0.5], [0], [0], [0]), "t of float64 .* whole microseconds"),
        (([0, 1], [0], [0], [0]), "columns of the lengths"),
        (([0], [4], [0], [0]), "x from 4 to 4, expected 0 to 3"),
        (([0], [0], [-1], [0]), "y from -1 to -1, expected 0 to 2"),
        (([0], [0], [0], [2]), "p from 2 to 2, expected 0 to 1"),
        (([[0]], [0], [0], [0]), r"t of int64 \(1, 1\)"),
        ((np.array([2**63], np.uint64), [0], [0], [0]), "64 bits"),
    ],
)
def test_wrong_columns_are_refused(columns: tuple, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        EventStream(*columns, 4, 3)


def test_wrong_sizes_are_refused() -> None:
    for size in (0, 1 << 16, 2.0):
        with pytest.raises(ValueError, match="width"):
            EventStream([], [], [], [], size, 3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="sizes"):
        concatenate([empty(1, 2), empty(2, 1)])
    with pytest.raises(ValueError, match="0 streams"):
        concatenate([])
    with pytest.raises(ValueError, match="count=0"):
        next(stream().groups(0))
