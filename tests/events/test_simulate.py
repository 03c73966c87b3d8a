"""The simulated camera gives what its equations say: counts of known ramps, spreads, rates and gaps."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from spikeworks.events import CLOSED_LOOP, DVS, SACCADES, EventStream, moving, simulate, simulate_blocks
from spikeworks.events.moving import shifted
from spikeworks.events.simulate import TOE, log_intensity


def draw(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def level(log: float, shape: tuple[int, int] = (3, 5)) -> NDArray:
    return np.full(shape, TOE * math.exp(log))


def ramp(
    logs: Sequence[float], dvs: DVS, every: int = 1000, seed: int = 0, shape: tuple[int, int] = (3, 5)
) -> EventStream:
    return simulate([level(x, shape) for x in logs], range(0, every * len(logs), every), dvs, draw(seed))


def slowly(frames: Sequence[NDArray], times: Sequence[int], dvs: DVS, substeps: int) -> NDArray:
    """How often each pixel fires, ON and OFF, by going along the straight lines in small steps."""
    logs = [log_intensity(frame) for frame in frames]
    memory, held = logs[0].copy(), np.full(logs[0].shape, -np.inf)
    counts = np.zeros((2, *logs[0].shape), int)
    for a, b, t0, t1 in zip(logs, logs[1:], times, times[1:], strict=False):
        for k in range(1, substeps + 1):
            now, value = t0 + (t1 - t0) * k / substeps, a + (b - a) * k / substeps
            memory = np.where(held >= now, value, memory)
            for sign, theta in ((1, dvs.on), (0, dvs.off)):
                fires = ((value - memory) * (1 if sign else -1) >= theta) & (held < now)
                counts[sign] += fires
                memory = np.where(fires, memory + (theta if sign else -theta), memory)
                if dvs.dead:
                    held = np.where(fires, now + dvs.dead, held)
    return counts


def test_the_logarithm_has_a_linear_toe() -> None:
    x = np.linspace(0, 1, 1001)
    y = log_intensity(x)
    assert y[0] == -1
    assert (np.diff(y) > 0).all()
    edge = log_intensity(np.array([TOE - 1e-7, TOE, TOE + 1e-7]))
    assert edge[1] == 0
    assert np.diff(edge) == pytest.approx(1e-7 / TOE, rel=1e-5)


def test_a_ramp_gives_its_height_in_thresholds() -> None:
    for height, on, off in ((1.0, 0.3, 0.2), (0.95, 0.1, 0.4), (0.25, 0.3, 0.3)):
        up = ramp([0, height], DVS(on, off))
        down = ramp([height, 0], DVS(on, off))
        assert len(up) == 15 * math.floor(height / on)
        assert len(down) == 15 * math.floor(height / off)
        assert up.p.all()
        assert not down.p.any()
        if len(up):  # the k-th at k thresholds
            wanted = [math.floor(1000 * k * on / height) for k in range(1, math.floor(height / on) + 1)]
            assert sorted(set(up.t.tolist())) == wanted


def test_frames_in_between_change_nothing_of_a_line() -> None:
    whole = ramp([0, 1.7], DVS(0.11, 0.11), every=8000)
    fine = ramp(np.linspace(0, 1.7, 9).tolist(), DVS(0.11, 0.11))
    assert len(whole) == len(fine)
    assert np.abs(whole.t - fine.t).max() <= 1
    there_and_back = ramp([0, 1, 0], DVS(0.21, 0.21))
    assert there_and_back.p.sum() == 15 * 4
    assert len(there_and_back) == 2 * there_and_back.p.sum()


@pytest.mark.parametrize("dead", [0, 170])
def test_counts_are_those_of_small_steps(dead: int) -> None:
    frames = list(draw(3).random((6, 7, 5)) ** 2)
    times = [0, 900, 2000, 2500, 4100, 5000]
    dvs = DVS(0.23, 0.31, dead=dead)
    found = simulate(frames, times, dvs, draw())
    counts = np.zeros((2, 7, 5), int)
    np.add.at(counts, (found.p, found.y, found.x), 1)
    wanted = slowly(frames, times, dvs, 4000)
    assert np.abs(counts - wanted).max() <= 1  # a crossing at the edge of a small step
    assert (counts == wanted).mean() > 0.95
    assert found.ordered
    assert len(found) > 100


def test_the_dead_time_is_never_violated() -> None:
    frames = list(draw(1).random((20, 6, 6)))
    found = simulate(frames, range(0, 20_000, 1000), DVS(0.05, 0.05, dead=130, shot=500.0, leak=3.0), draw())
    order = np.lexsort((found.t, found.y, found.x))
    same = (np.diff(found.x[order].astype(int)) == 0) & (np.diff(found.y[order].astype(int)) == 0)
    assert np.diff(found.t[order])[same].min() >= 130
    assert len(found) > 1000


def test_mismatch_is_the_spread_of_thresholds() -> None:
    found = ramp([0, 2.4], DVS(0.01, 0.01, mismatch=0.1), shape=(40, 50))
    counts = np.zeros((40, 50))
    np.add.at(counts, (found.y, found.x), 1)
    thresholds = 2.4 / (counts + 0.5)
    assert thresholds.mean() == pytest.approx(0.01, rel=0.01)
    assert thresholds.std() == pytest.approx(0.001, rel=0.08)


def test_a_still_image_is_silent_but_for_leak_and_noise() -> None:
    still = [level(1.0, (30, 40))] * 11
    times = range(0, 1_100_000, 100_000)
    assert not len(simulate(still, times, DVS(), draw()))
    leak = simulate(still, times, DVS(leak=2.0), draw())
    assert leak.p.all()
    assert len(leak) == pytest.approx(2.0 * 1200, abs=5 * math.sqrt(2.0 * 1200))
    for intensity, share in ((0.0, 1.0), (1.0, 0.25), (0.5, 0.625)):
        frames = [np.full((30, 40), intensity)] * 11
        noise = simulate(frames, times, DVS(shot=4.0), draw())
        wanted = 4.0 * share * 1200
        assert len(noise) == pytest.approx(wanted, abs=5 * math.sqrt(wanted))
        assert noise.p.mean() == pytest.approx(0.5, abs=5 / math.sqrt(len(noise)))


def test_bandwidth_delays_and_darkness_delays_more() -> None:
    def late(top: float) -> float:
        frames = [np.full((2, 2), 0.1 * top)] + [np.full((2, 2), top)] * 50
        return float(simulate(frames, range(0, 51_000, 1000), DVS(0.1, 0.1, bandwidth=100.0), draw()).t.mean())

    sharp = [np.full((2, 2), 0.1)] + [np.full((2, 2), 1.0)] * 50
    at_once = simulate(sharp, range(0, 51_000, 1000), DVS(0.1, 0.1), draw())
    assert at_once.t.max() <= 1000
    assert at_once.t.mean() < late(1.0) < late(0.3)


def test_the_same_seed_gives_the_same_events_in_blocks_or_whole() -> None:
    frames, times = list(draw(5).random((5, 4, 6))), [0, 10, 500, 700, 3000]
    dvs = DVS(mismatch=0.2, leak=30.0, shot=100.0, dead=7)
    one, two = (simulate(frames, times, dvs, draw(9)) for _ in range(2))
    blocks = list(simulate_blocks(frames, times, dvs, draw(9)))
    assert len(blocks) == 4
    for name in "txyp":
        assert np.array_equal(getattr(one, name), getattr(two, name))
        assert np.array_equal(getattr(one, name), np.concatenate([getattr(b, name) for b in blocks]))
    other = simulate(frames, times, dvs, draw(10))
    assert len(other) != len(one) or not np.array_equal(other.t, one.t)
    eight = [(f * 255).astype(np.uint8) for f in frames]
    assert len(simulate(eight, times, DVS(), draw())) > 0


def test_images_move_as_told() -> None:
    image = draw(2).random((9, 11))
    assert np.array_equal(shifted(image, 2, 0)[:, 2:], image[:, :-2])
    assert np.array_equal(shifted(image, 0, -3)[:-3], image[3:])
    half = shifted(image, 0.5, 0)
    np.testing.assert_allclose(half[:, 1:], (image[:, 1:] + image[:, :-1]) / 2)
    for path in (SACCADES, CLOSED_LOOP):
        made = list(moving(image, path, every=50_000, margin=2))
        assert [t for _, t in made] == list(range(0, path[-1][0] + 1, 50_000))
        assert made[0][0].shape == (13, 15)
        assert np.array_equal(made[0][0], made[-1][0])  # it comes back
    frames, times = zip(*moving(image, SACCADES, every=1000), strict=True)
    found = simulate(frames, times, DVS(), draw())
    assert found.duration > 200_000
    assert 0.3 < found.p.mean() < 0.7  # what came is gone again


def test_what_is_wrong_is_refused() -> None:
    one = np.zeros((2, 3))
    for frames, times, words in (
        ([], [], "no frames"),
        ([one, one], [5, 5], "5 µs after one at 5 µs"),
        ([one, np.zeros((3, 2))], [0, 1], r"shape \(3, 2\), expected \(2, 3\) as the one before"),
        ([one + 2], [0], "intensities from 2 to 2, expected 0 to 1"),
        ([np.zeros((2, 3, 3))], [0], r"shape \(2, 3, 3\), expected \[H, W\]"),
        ([one, one * np.nan], [0, 1], "intensities from nan"),
        ([one, one], [0], "shorter|longer"),
    ):
        with pytest.raises(ValueError, match=words):
            simulate(frames, times, DVS(), draw())
    for values in ({"on": 0.0}, {"mismatch": 0.6}, {"dead": -1}, {"leak": math.inf}, {"bandwidth": 0.0}):
        with pytest.raises(ValueError, match=next(iter(values))):
            DVS(**values)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="rise from 0"):
        next(moving(one, ((1, 0.0, 0.0), (2, 0.0, 0.0))))
    assert len(simulate([one], [0], DVS(), draw())) == 0
