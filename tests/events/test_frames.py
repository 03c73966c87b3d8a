"""Frames count every event exactly once, at the ends, in empty parts and at any time stamp; held to plain loops."""

from __future__ import annotations

import math
import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from spikeworks.events import EventStream, empty, frames, represent

W, H = 5, 3
TIMES = st.lists(st.integers(-1000, 1000), max_size=60)


def stream(times: list[int], seed: int = 0, ordered: bool = True) -> EventStream:
    draw, n = np.random.default_rng(seed), len(times)
    t = np.array(sorted(times) if ordered else times, np.int64)
    return EventStream(t, draw.integers(0, W, n), draw.integers(0, H, n), draw.integers(0, 2, n), W, H)


def random(n: int = 500, span: int = 3000, seed: int = 0, ordered: bool = True) -> EventStream:
    return stream([int(t) for t in np.random.default_rng(seed).integers(0, span, n)], seed, ordered)


def loop(s: EventStream, where: list[list[int]], count: int, polarity: bool = True) -> Tensor:
    """``where[i]``: the frames event i is in."""
    made = torch.zeros(count, 2 if polarity else 1, s.height, s.width)
    for i, ks in enumerate(where):
        for k in ks:
            made[k, int(s.p[i]) if polarity else 0, int(s.y[i]), int(s.x[i])] += 1
    return made


@given(TIMES, st.integers(1, 40), st.booleans())
def test_by_number_spreads_what_is_left_over(times: list[int], count: int, polarity: bool) -> None:
    s = stream(times)
    made = frames.by_number(s, count, polarity=polarity)
    n, numbers = len(s), made.sum((1, 2, 3))
    assert made.shape == (count, 2 if polarity else 1, H, W)
    assert int(made.sum()) == n
    assert int(numbers.max() - numbers.min()) <= 1
    where = [[k for k in range(count) if k * n // count <= i < (k + 1) * n // count] for i in range(n)]
    assert torch.equal(made, loop(s, where, count, polarity))


@given(TIMES, st.integers(1, 40), st.booleans(), st.booleans())
def test_by_time_takes_every_event_and_empty_parts(times: list[int], count: int, polarity: bool, ordered: bool) -> None:
    s = stream(times, ordered=ordered)
    made = frames.by_time(s, count, polarity=polarity)
    assert int(made.sum()) == len(s)
    if times:
        length = max(times) - min(times) + 1
        where = [[(int(t) - min(times)) * count // length] for t in s.t]
        assert torch.equal(made, loop(s, where, count, polarity))
        assert made[-1].sum() > 0 or count > length  # the last event is in the last frame


@given(TIMES, st.integers(1, 9), st.integers(-1100, 1100), st.integers(1, 1500))
def test_by_time_between_two_times(times: list[int], count: int, start: int, length: int) -> None:
    s = stream(times, ordered=False)
    where = [[(int(t) - start) * count // length] if start <= t < start + length else [] for t in s.t]
    assert torch.equal(frames.by_time(s, count, start, start + length), loop(s, where, count))


@given(TIMES, st.integers(1, 500), st.booleans())
def test_by_duration_keeps_the_rest(times: list[int], duration: int, ordered: bool) -> None:
    s = stream(times, ordered=ordered)
    made = frames.by_duration(s, duration)
    assert int(made.sum()) == len(s)
    assert len(made) == (math.ceil((max(times) - min(times) + 1) / duration) if times else 0)
    assert torch.equal(made, loop(s, [[(int(t) - min(times)) // duration] for t in s.t], len(made)))
    cut = frames.by_duration(s, duration, -300, 250)
    inside = [[(int(t) + 300) // duration] if -300 <= t < 250 else [] for t in s.t]
    assert torch.equal(cut, loop(s, inside, -(-550 // duration)))


@given(TIMES, st.integers(1, 300), st.integers(50, 300), st.none() | st.integers(-1100, 1100))
def test_sliding_is_windows(times: list[int], duration: int, stride: int, start: int | None) -> None:
    s = stream(times)
    made = frames.sliding(s, duration, stride, start)
    windows = [represent.count_map(w) for w in s.windows(duration, start, stride)]
    assert torch.equal(made, torch.stack(windows) if windows else torch.zeros(0, 2, H, W))
    mixed = stream(times, ordered=False)
    again = frames.sliding(mixed, duration, stride, start)
    assert torch.equal(again, frames.sliding(mixed.sort(), duration, stride, start))


@pytest.mark.parametrize("dtype", list(frames._COUNTS))
def test_dtypes_hold_their_counts_exactly(dtype: torch.dtype) -> None:
    s = random()
    made = frames.by_number(s, 7, dtype=dtype)
    assert made.dtype == dtype
    assert torch.equal(made.float(), frames.by_number(s, 7))
    assert made.is_contiguous()


def test_counts_above_the_dtype_are_refused_or_kept_at_its_largest() -> None:
    n = 300
    s = EventStream(np.arange(n), np.zeros(n, int), np.zeros(n, int), np.ones(n, int), 2, 1)
    with pytest.raises(ValueError, match=r"more than 255 events in one frame.*torch.uint8.*saturate=True"):
        frames.by_number(s, 1, dtype=torch.uint8)
    full = frames.by_number(s, 1, dtype=torch.uint8, saturate=True)
    assert full.flatten().tolist() == [0, 0, 255, 0]
    assert frames.by_number(s, 2, dtype=torch.uint8).flatten().tolist() == [0, 0, 150, 0, 0, 0, 150, 0]
    assert int(frames.by_number(s[:255], 1, dtype=torch.uint8).max()) == 255
    wraps = EventStream(np.zeros(512, int), np.repeat([0, 1], 256), *[np.zeros(512, int)] * 2, 2, 1)
    with pytest.raises(ValueError, match="more than 255"):
        frames.by_time(wraps, 1, dtype=torch.uint8)
    spread = EventStream(np.zeros(512, int), np.arange(512), *[np.zeros(512, int)] * 2, 512, 1)
    assert int(frames.by_time(spread, 1, dtype=torch.uint8).sum()) == 512


@pytest.mark.slow
def test_float32_refuses_what_it_cannot_count() -> None:
    n = 2**24 + 1
    s = EventStream(np.zeros(n, int), np.zeros(n, int), np.zeros(n, int), np.zeros(n, int), 1, 1)
    with pytest.raises(ValueError, match="more than 16777216"):
        frames.by_number(s, 1)
    assert int(frames.by_number(s, 1, dtype=torch.int32).sum()) == n


def test_one_time_for_all_no_events_and_more_frames_than_time() -> None:
    same = stream([7] * 19)
    assert frames.by_time(same, 4).sum((1, 2, 3)).tolist() == [19, 0, 0, 0]
    assert frames.by_number(same, 10).sum((1, 2, 3)).tolist() == [1] + [2] * 9
    assert frames.by_duration(same, 100).shape[0] == frames.sliding(same, 100, 10).shape[0] == 1
    none = empty(W, H)
    for made in (
        frames.by_time(none, 4),
        frames.by_number(none, 4),
        frames.by_time(none, 4, 3),
        represent.voxel_grid(none, 4),
    ):
        assert made.shape[0] == 4
        assert not made.any()
    assert frames.by_duration(none, 4).shape == frames.sliding(none, 4, 4).shape == (0, 2, H, W)
    assert frames.by_duration(none, 4, 0, 9).shape == (3, 2, H, W)
    assert frames.by_duration(random(), 7, 0, 10**6).shape[0] == math.ceil(10**6 / 7)


def test_extreme_times() -> None:
    top = 2**63 - 1
    s = EventStream(np.array([top - 10, top - 1]), [0, 1], [0, 0], [0, 1], 2, 1)
    assert frames.by_time(s, 3).sum((1, 2, 3)).tolist() == [1, 0, 1]
    assert frames.sliding(s, 100, 4).sum((1, 2, 3)).tolist() == [2, 1, 1]
    for bad in (EventStream(np.array([0, top]), [0, 1], [0, 0], [0, 1], 2, 1),
                EventStream(np.array([-(2**63), 5]), [0, 1], [0, 0], [0, 1], 2, 1)):  # fmt: skip
        with pytest.raises(ValueError, match="within 64 bits"):
            frames.by_time(bad, 3)


def test_refusals() -> None:
    s, mixed = random(), random(ordered=False)
    with pytest.raises(ValueError, match=r"by_number .* not in order .* call \.sort\(\)"):
        frames.by_number(mixed, 3)
    for call, words in (
        (lambda: frames.by_number(s, 0), "frames=0"),
        (lambda: frames.by_time(s, -1), "frames=-1"),
        (lambda: frames.by_time(s, 3, 5, 5), "start=5, stop=5"),
        (lambda: frames.by_duration(s, 0), "duration=0"),
        (lambda: frames.sliding(s, 3, 0), "stride=0"),
        (lambda: frames.by_time(s, 3, dtype=torch.float16), "dtype=torch.float16"),
        (lambda: frames.by_duration(stream([0, 10**15]), 1), "GiB, expected at most 16 GiB"),
        (lambda: frames.sliding(stream([0, 10**15]), 1, 1), "GiB"),
        (lambda: frames.by_number(s, 10**12), "GiB"),
        (lambda: represent.voxel_grid(s, 0), "bins=0"),
        (lambda: represent.voxel_grid(s, 10**12), "GiB"),
        (lambda: represent.time_surface(s, [3], 0.0), "tau=0"),
        (lambda: represent.time_surface(s, [3], math.nan), "tau=nan"),
        (lambda: represent.time_surface(s, [3, 2], 1.0), "not in order"),
        (lambda: represent.time_surface(s, [3], 1.0, decay="square"), "decay='square'"),  # type: ignore[arg-type]
        (lambda: represent.latency_map(s, 9, 3), "start=9, stop=3"),
        (lambda: represent.downsample(torch.zeros(3, 3), 0), "factor=0"),
        (lambda: represent.downsample(torch.zeros(3), 2), r"frames \(3,\)"),
        (lambda: represent.downsample(torch.full((2, 2), 200, dtype=torch.uint8), 2), "sums up to 800"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            call()


@pytest.mark.parametrize("bins", [1, 2, 3, 8])
@pytest.mark.parametrize("polarity", [False, True])
def test_voxel_grid_is_the_formula(bins: int, polarity: bool) -> None:
    s = random(300, 901, seed=bins, ordered=False)
    first, last = int(s.t.min()), int(s.t.max())
    want = np.zeros((bins, 2 if polarity else 1, H, W))
    for t, x, y, p in zip(s.t, s.x, s.y, s.p, strict=True):
        star = (bins - 1) * (int(t) - first) / (last - first)
        for k in range(bins):
            share = max(0.0, 1 - abs(k - star))
            want[k, p if polarity else 0, y, x] += share if polarity or p else -share
    made = represent.voxel_grid(s, bins, polarity=polarity)
    np.testing.assert_allclose(made.numpy(), want, atol=1e-5)
    total = len(s) if polarity else int(s.p.sum()) * 2 - len(s)
    assert float(made.double().sum()) == pytest.approx(total, abs=1e-3)
    part = represent.voxel_grid(s, bins, 100, 500)
    signs = np.where(s.p, 1, -1)[(s.t >= 100) & (s.t < 500)]
    assert float(part.double().sum()) == pytest.approx(int(signs.sum()), abs=1e-3)


@pytest.mark.parametrize("decay", ["exponential", "linear"])
@pytest.mark.parametrize("polarity", [False, True])
def test_time_surface_is_the_formula(decay: str, polarity: bool) -> None:
    s = random(80, 901, ordered=False)
    times = [-5, 0, 100, 100, 450, 2000]
    made = represent.time_surface(s, times, 70.0, decay=decay, polarity=polarity)  # type: ignore[arg-type]
    want = np.zeros((len(times), 2 if polarity else 1, H, W))
    for k, now in enumerate(times):
        for t, x, y, p in zip(s.t, s.x, s.y, s.p, strict=True):
            if t <= now:
                age = (now - int(t)) / 70
                value = math.exp(-age) if decay == "exponential" else max(0, 1 - age)
                place = k, int(p) if polarity else 0, int(y), int(x)
                want[place] = max(want[place], value)
    np.testing.assert_allclose(made.numpy(), want, rtol=1e-6)


@pytest.mark.parametrize("polarity", [False, True])
def test_latency_map_is_the_formula(polarity: bool) -> None:
    s = random(40, 901, ordered=False)
    want = np.zeros((2 if polarity else 1, H, W))
    for t, x, y, p in zip(s.t, s.x, s.y, s.p, strict=True):
        if 50 <= t < 800:
            place = int(p) if polarity else 0, int(y), int(x)
            want[place] = max(want[place], 1 - (int(t) - 50) / 750)
    np.testing.assert_allclose(represent.latency_map(s, 50, 800, polarity=polarity).numpy(), want, rtol=1e-6)
    assert float(represent.latency_map(s).max()) == 1


@given(st.integers(1, 4), st.integers(1, 6))
def test_downsample_sums_squares_and_loses_nothing(rows: int, columns: int) -> None:
    made = frames.by_number(random(), 3, dtype=torch.uint8)
    small = represent.downsample(made, (rows, columns))
    assert small.dtype == torch.uint8
    assert small.shape == (3, 2, -(-H // rows), -(-W // columns))
    assert int(small.sum()) == 500
    for y in range(small.shape[2]):
        for x in range(small.shape[3]):
            square = made[:, :, y * rows : (y + 1) * rows, x * columns : (x + 1) * columns]
            assert torch.equal(small[:, :, y, x].long(), square.sum((2, 3)))
    assert torch.equal(represent.downsample(made.float(), 1), made.float())
    assert torch.equal(represent.binary(made), (made > 0).byte())


def test_real_recordings_are_counted_whole() -> None:
    folder = os.environ.get("SPIKEWORKS_DATA")
    if not folder:
        pytest.skip("SPIKEWORKS_DATA is not set: the recordings are not here")
    data = np.load(Path(folder) / "nmnist_small" / "nmnist_small.npz")
    x, y, dt, offset = (data[f"test_{name}"] for name in ("x", "y", "dt", "offset"))
    p = np.unpackbits(data["test_p"], count=len(x))
    total = 0
    for i, j in pairwise(offset):
        s = EventStream(np.cumsum(dt[i:j].astype(np.int64)), x[i:j], y[i:j], p[i:j], 34, 34)
        made = [
            frames.by_number(s, 10), frames.by_time(s, 10), frames.by_duration(s, 5000), frames.sliding(s, 7000, 7000),
            frames.by_time(s, 7, dtype=torch.uint8),
        ]  # fmt: skip
        on = int(s.p.sum())
        for f in made:
            assert f.sum((0, 2, 3)).tolist() == [len(s) - on, on]
        assert float(represent.voxel_grid(s, 5).double().sum()) == pytest.approx(2 * on - len(s), abs=1e-2)
        total += len(s)
    assert total == len(x) == 385_596
