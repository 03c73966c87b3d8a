"""Filters keep exactly what a plain loop over events in time keeps."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikeworks.events import BackgroundActivity, EventStream, HotPixel, Refractory, empty, filters

from .test_stream import same, stream

EVENTS = st.lists(st.tuples(st.integers(-9, 60), st.integers(0, 2), st.integers(0, 1), st.integers(0, 1)), max_size=60)


def made(events: list[tuple[int, int, int, int]]) -> EventStream:
    t, x, y, p = np.array(sorted(events, key=lambda e: e[0]), np.int64).reshape(-1, 4).T
    return EventStream(t, x, y, p, 3, 2)


def refractory(s: EventStream, dead: int) -> EventStream:
    last: dict[tuple[int, int], int] = {}
    kept = []
    for i, (t, x, y) in enumerate(zip(s.t.tolist(), s.x.tolist(), s.y.tolist(), strict=True)):
        if (x, y) not in last or t - last[x, y] >= dead:
            last[x, y] = t
            kept.append(i)
    return s[np.array(kept, np.int64)]


def background(s: EventStream, within: int) -> EventStream:
    last: dict[tuple[int, int], int] = {}
    kept = []
    around = [(dx, dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1) if (dx, dy) != (0, 0)]
    for i, (t, x, y) in enumerate(zip(s.t.tolist(), s.x.tolist(), s.y.tolist(), strict=True)):
        if any((x + dx, y + dy) in last and t - last[x + dx, y + dy] <= within for dx, dy in around):
            kept.append(i)
        last[x, y] = t
    return s[np.array(kept, np.int64)]


@given(EVENTS, st.integers(0, 30))
def test_refractory_is_the_loop(events: list[tuple[int, int, int, int]], dead: int) -> None:
    s = made(events)
    once = Refractory(dead)(s)
    assert same(once, refractory(s, dead))
    assert same(Refractory(dead)(once), once)


@given(EVENTS, st.integers(0, 30))
def test_background_activity_is_the_loop(events: list[tuple[int, int, int, int]], within: int) -> None:
    s = made(events)
    assert same(BackgroundActivity(within)(s), background(s, within))


@pytest.mark.parametrize("size", [(13, 7), (1, 7), (7, 1), (1, 1), (2, 2), (65535, 1)])
def test_sensors_of_all_shapes(size: tuple[int, int]) -> None:
    for seed in range(3):
        s = stream(400, *size, seed=seed)
        for span in (0, 1, 40, 300, 10**6, 2**62):
            assert same(Refractory(span)(s), refractory(s, span))
            assert same(BackgroundActivity(span)(s), background(s, span))


def test_chains_longer_than_the_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    n = 5000
    draw = np.random.default_rng(0)
    s = EventStream(np.cumsum(draw.integers(0, 3, n)), draw.integers(0, 2, n), np.zeros(n, int), np.ones(n, int), 2, 1)
    want = refractory(s, 5)
    assert len(want) > 10 * filters._ROUNDS
    assert same(Refractory(5)(s), want)
    for rounds in (0, 1, 10**6):
        monkeypatch.setattr(filters, "_ROUNDS", rounds)
        assert same(Refractory(5)(s), want)


def test_hot_pixels_go_with_all_their_events() -> None:
    s = stream(1000, 13, 7, span=10**6, ordered=False)
    hot = EventStream(np.arange(500) * 2000, np.full(500, 4), np.full(500, 5), np.ones(500, int), 13, 7)
    mixed = EventStream(*(np.concatenate([getattr(s, c), getattr(hot, c)]) for c in "txyp"), 13, 7)
    left = HotPixel(100.0)(mixed)
    assert same(left, mixed[(mixed.x != 4) | (mixed.y != 5)])
    assert same(HotPixel(1e9)(mixed), mixed)
    assert same(HotPixel(0.0)(s[:1]), s[:1])
    seconds, count = mixed.duration / 1e6, int(((mixed.x == 4) & (mixed.y == 5)).sum())
    edge = (count - 1) / seconds
    assert len(HotPixel(edge * 1.001)(mixed)) == len(mixed)
    assert len(HotPixel(edge * 0.999)(mixed)) == len(mixed) - count


def test_nothing_in_nothing_out_and_refusals() -> None:
    for keep in (Refractory(5), BackgroundActivity(5), HotPixel(5.0)):
        assert same(keep(empty(4, 3)), empty(4, 3))
    for keep in (Refractory(5), BackgroundActivity(5)):
        with pytest.raises(ValueError, match=r"not in order of time.*\.sort\(\)"):
            keep(stream(ordered=False))
    for wrong, words in (
        (lambda: Refractory(-1), "dead=-1"),
        (lambda: BackgroundActivity(-1), "within=-1"),
        (lambda: HotPixel(float("nan")), "rate=nan"),
    ):
        with pytest.raises(ValueError, match=words):
            wrong()


def test_a_real_recording_is_the_loop() -> None:
    folder = os.environ.get("SPIKEWORKS_DATA")
    if not folder:
        pytest.skip("SPIKEWORKS_DATA is not set: the recordings are not here")
    data = np.load(Path(folder) / "nmnist_small" / "nmnist_small.npz")
    x, y, dt, offset = (data[f"test_{name}"] for name in ("x", "y", "dt", "offset"))
    p = np.unpackbits(data["test_p"], count=len(x))
    for i, j in list(pairwise(offset))[:5]:
        s = EventStream(np.cumsum(dt[i:j].astype(np.int64)), x[i:j], y[i:j], p[i:j], 34, 34)
        for span in (1000, 20000):
            assert same(Refractory(span)(s), refractory(s, span))
            assert same(BackgroundActivity(span)(s), background(s, span))
