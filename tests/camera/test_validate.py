"""Statistics of a recording: golden numbers of the real one; the plainest loops; what simulators they tell apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from camera.spikes import random_spikes, recording
from spikeworks.camera import PRESETS, Bands, Sensor, SpikeStream, scene_light, simulate, statistics, texture, validate
from spikeworks.camera import open as open_camera


def draw(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def wall() -> SpikeStream:
    """The real still scene; its two top rows are copies of the two below them."""
    return open_camera(recording("real_wall_400x250x500.dat"), 250, 400).crop(0, 2, 400, 248)


def test_statistics_are_those_of_the_plainest_loops() -> None:
    bits = random_spikes(170, 25, 27, seed=3)
    found = statistics(SpikeStream.of(bits))
    gaps = {p: np.diff(np.flatnonzero(bits[(slice(None), *p)])) for p in np.ndindex(25, 27)}
    excess, lag = [[] for _ in range(7)], [[] for _ in range(7)]
    for gap in gaps.values():
        k = np.searchsorted((2, 3, 4, 5, 6, 8, 12, 20), gap.mean(), "right") - 1 if len(gap) >= 8 else -1
        if 0 <= k < 7:
            rest = gap - gap.mean()
            excess[k].append(gap.var() - gap.mean() % 1 * (1 - gap.mean() % 1))
            lag[k].append((rest[1:] * rest[:-1]).sum() / (rest**2).sum())
    assert np.allclose(found.excess, [np.mean(e) for e in excess])
    assert np.allclose(found.lag, [np.median(k) for k in lag])
    counts = bits.reshape(17, 10, 25, 27).sum(1)
    lit = counts.mean(0) > 0
    assert np.isclose(found.fano[0], (counts.var(0, ddof=1)[lit] / counts.mean(0)[lit]).mean())
    every = np.concatenate(list(gaps.values()))
    share = np.unique(every, return_counts=True)[1] / len(every)
    assert np.isclose(found.entropy, -(share * np.log2(share)).sum())
    assert found.dark.sum() in (0, pytest.approx(1))


def test_statistics_do_not_depend_on_how_many_pixels_are_unpacked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    stream = SpikeStream.of(random_spikes(60, 31, 27))
    whole = statistics(stream)
    monkeypatch.setattr(sys.modules["spikeworks.camera.statistics"], "_AT_ONCE", 60 * 8 * 3)
    for name, value in vars(statistics(stream)).items():
        assert np.array_equal(value, getattr(whole, name), equal_nan=True), name


def test_golden_numbers_of_the_real_wall() -> None:
    found = statistics(open_camera(recording("real_wall_400x250x500.dat"), 250, 400))
    assert np.allclose(found.excess, (0.0017, 0.0015, 0.0010, 0.0024, 0.0044, 0.0048, 0.0105), atol=0.0009)
    assert np.allclose(found.lag[:6], (-0.26, -0.37, -0.39, -0.35, -0.35, -0.35), atol=0.01)
    windows = 500 // np.array((10, 20, 40, 80))  # those numbers were divided by the count, not by one less
    assert np.allclose(found.fano * (1 - 1 / windows), (0.081, 0.040, 0.020, 0.010), atol=0.0005)
    assert np.isclose(found.entropy, 2.39, atol=0.02)
    assert np.isclose(found.zlib_frames, 1.25, atol=0.005)
    assert np.isclose(found.zlib_pixels, 5.13, atol=0.01)
    assert found.saturated == 0
    assert np.isclose(found.rate.mean(), 0.220, atol=0.0005)


def test_the_spread_of_a_flat_scene_is_that_of_the_gain() -> None:
    grey = np.full((100, 125), 0.4, np.float32)
    for spread in (0.02, 0.05):
        found = statistics(simulate(grey, Sensor(gain_spread=spread), 800, draw()))
        assert np.isclose(found.spread, spread, rtol=0.12)  # the flattest tenth is a little flatter than the others


def test_an_ideal_sensor_has_no_excess_and_a_saturated_pixel_is_counted() -> None:
    light = texture(50, 50, draw(), low=0.06, high=0.45)
    light[:2] = 3
    found = statistics(simulate(light, "ideal", 400, draw()))
    assert np.allclose(found.excess, 0, atol=1e-9)
    assert np.isclose(found.saturated, 2 / 50)


def test_a_sensor_is_within_the_bands_of_itself_and_others_are_not(tmp_path: Path) -> None:
    sensor, light = PRESETS["vidar"], texture(100, 120, draw(), grain=8.0, low=0.06, high=0.45)
    recorded = simulate(light, sensor, 300, draw(1))
    bands = Bands.of(recorded)
    same = bands.validate(recorded)
    assert same.within
    assert same.failed == ()
    other = bands.validate(simulate(light, Sensor(electrons=200), 300, draw(2)))
    assert {1, 2} <= set(other.failed)
    assert "outside" in other.text()
    assert other.text().endswith("numbers are within their bands.")
    other.plot(tmp_path / "eight.png")
    assert (tmp_path / "eight.png").stat().st_size > 10_000
    assert validate(recorded, recorded).text() == same.text()


def test_light_of_a_recording_has_the_pattern_taken_out() -> None:
    sensor = Sensor(gain_spread=0.04, dark=0.0045, dark_spread=0.4)
    light = texture(100, 120, draw(), grain=12.0, low=0.2, high=0.45)
    recorded = simulate(light, sensor, 1000, draw(1))
    found = scene_light(recorded, sensor)
    assert np.abs(found / light - 1).std() < 0.025
    assert abs((found - light).mean()) < 1e-3
    assert np.allclose(scene_light(simulate(light, "ideal", 1000, draw()), Sensor()), light, atol=2e-3)


def test_what_is_too_small_to_tell_is_refused() -> None:
    small = SpikeStream.of(random_spikes(60, 30, 30))
    with pytest.raises(ValueError, match="at least 40 frames of at least 50×50"):
        validate(small, small)
    with pytest.raises(ValueError, match="at least 20 frames"):
        statistics(small[:10])
    large = SpikeStream.of(random_spikes(60, 50, 50))
    with pytest.raises(ValueError, match="of the same scene and size"):
        validate(small, large)


@pytest.mark.slow
def test_only_this_sensor_is_like_the_real_one() -> None:
    recorded, sensor = wall(), PRESETS["vidar"]
    light, bands = scene_light(recorded, sensor), Bands.of(recorded)
    found = [bands.validate(simulate(light, sensor, 500, draw(seed))) for seed in (1, 2, 3, 4)]
    assert found[0].within, found[0].text()
    for validation in found:  # single numbers leave their bands by what chance does to 500 frames
        assert sum(not line.within for line in validation.lines) <= 2, validation.text()
    charge, hard = np.zeros_like(light), np.empty((500, *light.shape), bool)
    for k in range(500):  # reset to 0 at the clock, all pixels in phase
        charge += light
        hard[k] = charge >= 1
        charge[hard[k]] = 0
    for peer, failed in (
        (simulate(light, "ideal", 500, draw(1)), {1, 2, 4, 5, 7}),  # soft reset, no noise
        (SpikeStream.of(hard), {1, 2, 3, 4, 5, 7, 8}),
        (SpikeStream.of(draw(1).random((500, *light.shape)) < light), {1, 2, 3, 4, 5, 7, 8}),  # Poisson
    ):
        assert failed <= set(bands.validate(peer).failed)
