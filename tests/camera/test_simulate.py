"""The simulator: what physics says of it, and that its bits depend on the seed and on nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeworks.camera import PRESETS, Film, Pattern, Pixels, Sensor, crossing, pixels, simulate, simulate_blocks

NOISY = replace(PRESETS["worn"], drops=0.1)
KINDS = {
    **PRESETS, "noisy": NOISY, "hard": replace(NOISY, reset="hard"), "shot": Sensor(electrons=500),
    "reset": Sensor(threshold_noise=0.02), "dead time": Sensor(dead_time=0.9), "drops": Sensor(drops=0.25),
}  # fmt: skip


def draw(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def light(height: int = 7, width: int = 9, most: float = 0.95) -> np.ndarray:
    return (most * draw(9).random((height, width))).astype(np.float32)


def intervals(bits: np.ndarray) -> np.ndarray:
    return np.diff(np.flatnonzero(bits))


def test_still_light_comes_back_as_the_rate() -> None:
    picture = light()
    rate = simulate(picture, "ideal", 1000, draw()).dense().mean(0)
    assert np.abs(rate - picture).max() <= 1.001 / 1000
    rate = simulate(picture, Sensor(rate_max=0.5), 1000, draw()).dense().mean(0)
    assert np.abs(rate - picture / 2).max() <= 1.001 / 1000


@settings(max_examples=20, deadline=None)
@given(st.floats(0.05, 0.99), st.integers(0, 2**32))
def test_intervals_of_an_ideal_pixel_take_two_values_and_have_their_variance(rate: float, seed: int) -> None:
    gaps = intervals(simulate(np.full((1, 1), rate, np.float32), "ideal", 4000, draw(seed)).dense())
    mean = 1 / float(np.float32(rate))
    assert set(gaps) <= {int(mean), int(mean) + 1}
    assert abs(gaps.mean() - mean) < 2 * mean / len(gaps) + 1e-3
    part = gaps.mean() % 1
    assert abs(gaps.var() - part * (1 - part)) < 1e-9
    assert abs(gaps.var() - mean % 1 * (1 - mean % 1)) < 2 * mean / len(gaps) + 1e-3


def test_charge_is_kept_to_the_last_bit() -> None:
    picture = np.round(light() * 2**12) / 2**12  # sums of such numbers and of the first charge are exact
    made = Pixels(Sensor(), Pattern.of(Sensor(), 7, 9, draw()), draw())
    made.charge = np.round(made.charge * 2**12).astype(np.float32) / np.float32(2**12)
    before, out = made.charge.copy(), np.empty((1000, 8), np.uint8)
    charges = made.charged(picture.astype(np.float32))[None]
    made.step(charges, out)
    spikes = np.unpackbits(out, axis=1, bitorder="little").sum(0)
    assert np.array_equal(spikes + made.charge.astype(float), before + 1000 * charges[0].astype(float))


def test_saturation_stores_no_charge() -> None:
    bits = simulate(lambda t: np.full((3, 5), 7.7 if t < 50 else 0.0), "ideal", 100, draw()).dense()
    assert bits[1:50].all()
    assert not bits[51:].any()


def test_hard_reset_fires_at_one_over_whole_frames() -> None:
    picture = light()
    bits = simulate(picture, Sensor(reset="hard"), 1000, draw()).dense()
    for y, x in np.ndindex(picture.shape):
        assert set(intervals(bits[:, y, x])) <= {int(np.ceil(1 / picture[y, x]))}


def test_start_phases_are_spread_evenly() -> None:
    first = simulate(np.full((100, 100), 0.1, np.float32), "ideal", 10, draw()).dense().mean((1, 2))
    assert np.abs(first - 0.1).max() < 0.015


@pytest.mark.parametrize("rate", [0.004, 0.11, 0.37])
def test_noise_does_not_change_the_mean_rate(rate: float) -> None:
    sensor = Sensor(electrons=200, threshold_noise=0.05)
    found = simulate(np.full((50, 60), rate, np.float32), sensor, 2000, draw()).dense().mean()
    assert abs(found - rate) < 0.002 * rate + 1e-5


def test_noise_is_as_strong_as_it_is_said_to_be() -> None:
    for sensor, expected in ((Sensor(electrons=400), 0.05), (Sensor(threshold_noise=0.05), 0.05)):
        bits = simulate(np.full((30, 40), 0.021, np.float32), sensor, 3000, draw()).dense().reshape(3000, -1)
        gaps = np.concatenate([intervals(b) for b in bits.T]) * 0.021
        assert abs(np.sqrt(gaps.var() - 0.021**2 / 6) - expected) < 0.003  # two frames' rounding: 1/12 each


def test_dark_pixels_fire_at_the_dark_rate() -> None:
    sensor = PRESETS["vidar"]
    pattern = Pattern.of(replace(sensor, hot=0.01), 60, 80, draw())
    rate = simulate(np.zeros((60, 80), np.float32), sensor, 4000, draw(), pattern).dense().mean(0)
    assert np.abs(rate - pattern.dark).max() < 1 / 1000
    assert abs(np.median(rate) - 0.0045) < 0.0005


def test_dead_pixels_never_fire_and_hot_ones_do() -> None:
    sensor = Sensor(dead=0.1, hot=0.1, dark=0.001)
    pattern = Pattern.of(sensor, 30, 40, draw())
    bits = simulate(np.zeros((30, 40), np.float32), sensor, 300, draw(), pattern).dense().sum(0)
    assert not bits[pattern.dead].any()
    assert (bits[pattern.hot] >= 2).all()
    assert 60 < pattern.dead.sum() < 180
    assert 60 < pattern.hot.sum() < 180


def test_dead_time_and_drops_take_their_share() -> None:
    picture = np.full((40, 50), 0.5, np.float32)
    lost = simulate(picture, Sensor(drops=0.25), 1000, draw()).dense().mean()
    assert abs(lost - 0.5 * 0.75) < 0.002
    slow = simulate(picture, Sensor(dead_time=0.8), 1000, draw()).dense().mean()
    assert abs(slow - 0.5 / 1.1) < 0.001  # after each spike a fifth of a frame's charge is missing: r = 0.5·(1 - r/5)


def test_a_pattern_is_as_spread_as_its_sensor_and_stays() -> None:
    sensor = Sensor(gain_spread=0.035, vignette=0.3, dark=0.0045, dark_spread=0.46)
    pattern = Pattern.of(sensor, 250, 400, draw())
    assert abs(np.log(pattern.gain[120:130, 190:210]).std() - 0.035) < 0.004
    assert abs(pattern.gain[:10, :10].mean() - 0.7) < 0.02
    assert np.allclose(np.percentile(pattern.dark, (1, 50, 99)), (0.0015, 0.0045, 0.013), rtol=0.05)
    assert np.array_equal(pattern.gain, Pattern.of(sensor, 250, 400, draw()).gain)
    # one sensor, two clips of other noise: their patterns agree
    grey = np.full((250, 400), 0.3, np.float32)
    rates = [simulate(grey, sensor, 300, draw(s), pattern).dense().mean(0).ravel() for s in (1, 2)]
    assert np.corrcoef(*rates)[0, 1] > 0.99


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(5, 7), (4, 30)])  # odd bytes and an odd number of cells; whole vectors
def test_the_kernel_gives_the_bits_of_numpy(kind: str, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    scene = crossing(size, 2, draw(4), frames=90)
    found = [simulate(s, KINDS[kind], 90, draw(1)).packed() for s in (scene.light, scene.light(3.0))]
    monkeypatch.setattr(pixels, "_kernel", lambda: None)
    plain = [simulate(s, KINDS[kind], 90, draw(1)).packed() for s in (scene.light, scene.light(3.0))]
    assert np.array_equal(found, plain)


@pytest.mark.parametrize("kind", ["noisy", "ideal"])
def test_blocks_and_threads_do_not_change_a_bit(kind: str) -> None:
    scene = crossing((9, 21), 2, draw(4), frames=90)
    whole = simulate(scene.light, KINDS[kind], 90, draw(1)).packed()
    for block, threads in ((1, 1), (7, 2), (64, 1), (500, 3)):
        blocks = list(simulate_blocks(scene.light, KINDS[kind], 90, draw(1), block=block, threads=threads))
        assert np.array_equal(np.concatenate([b.packed() for b in blocks]), whole)
        assert [b.first for b in blocks] == list(range(0, 90, block))
    assert not np.array_equal(simulate(scene.light, KINDS[kind], 90, draw(2)).packed(), whole)


def test_upright_pictures_come_back_upright() -> None:
    picture = np.zeros((6, 10), np.float32)
    picture[0, 2] = 1
    found = simulate(picture, "ideal", 20, draw())
    assert found.dense()[:, 0, 2].sum() >= 19
    assert found.dense().sum() <= 20
    assert found.layout.flip


def test_normal_numbers_are_normal() -> None:
    numbers = pixels.normal()
    assert abs(numbers.mean()) < 1e-6
    assert abs(numbers.var() - 1) < 1e-5
    assert abs((numbers.astype(float) ** 4).mean() - 3) < 0.03
    assert len(numbers) == 4096


def test_a_film_is_mixed_in_time() -> None:
    pictures = [np.full((2, 3), v, np.float32) for v in (0.0, 1.0, 0.5)]
    film = Film(iter(pictures), fps=1000, rate=20_000)
    assert [round(float(film(t)[0, 0]), 6) for t in (0, 5, 20, 30, 40)] == [0, 0.25, 1, 0.75, 0.5]
    with pytest.raises(ValueError, match="pictures end at 40"):
        film(40.5)
    with pytest.raises(ValueError, match="after a later one"):
        film(5)
    white = np.full((2, 3), 255, np.uint8)
    assert Film([white, white // 2], 1000, 20_000, gamma=2.0)(20)[0, 0] == pytest.approx((127 / 255) ** 2)
    assert len(simulate(Film([white] * 3, 1000, 20_000), "ideal", 40, draw())) == 40


def test_what_cannot_be_is_refused() -> None:
    picture = light()
    for wrong, match in (
        (dict(sensor="canon"), "expected one of ideal"),
        (dict(frames=0), "frames=0"),
        (dict(light=-picture), "finite ones of 0 or more"),
        (dict(light=picture * np.nan), "finite ones of 0 or more"),
        (dict(light=picture[0]), "expected \\[H, W\\]"),
        (dict(pattern=Pattern.of(Sensor(), 3, 4, draw())), "got light \\[7, 9\\], expected \\[3, 4\\]"),
    ):
        with pytest.raises(ValueError, match=match):
            simulate(**(dict(light=picture, sensor="ideal", frames=10, draw=draw()) | wrong))
    for name, value in (("dead", 2.0), ("rate_max", 0.0), ("electrons", 0.5), ("gain_spread", -1.0)):
        with pytest.raises(ValueError, match=f"{name}="):
            Sensor(**{name: value})
    with pytest.raises(ValueError, match="maps of the shapes"):
        Pattern(picture, picture[:2], picture > 0, picture > 0)
