"""Light from spikes: equal to the plainest loops, one frame at a time or all in a row; golden numbers of real clips."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from camera.spikes import random_spikes, random_stream, recording
from spikeworks.camera import TFI, TFP, Estimator, SpikeStream, grey
from spikeworks.camera import open as open_camera

ALL = [TFP(5), TFP(4), TFP(4, causal=True), TFP(1), TFI(9), TFI(9, causal=True), TFI(300), TFI(300, causal=True)]


@pytest.mark.parametrize("estimator", ALL, ids=str)
@pytest.mark.parametrize("step", [1, 7])
def test_one_frame_and_all_in_a_row_agree_in_every_bit(estimator: Estimator, step: int) -> None:
    stream = random_stream(150, 7, 9).crop(1, 2, 5, 4)
    found = list(estimator.every(stream, step))
    assert [t for t, _ in found] == list(
        range(
            0 if isinstance(estimator, TFI) else estimator.before,
            150 - (0 if isinstance(estimator, TFI) else estimator.after),
            step,
        )
    )
    for t, image in found:
        light, valid = estimator(stream, t)
        assert np.array_equal(image.light, light)
        assert np.array_equal(image.valid, valid)


@given(st.integers(1, 12), st.booleans(), st.integers(0, 29))
def test_tfp_is_the_mean_of_the_window(window: int, causal: bool, t: int) -> None:
    bits = random_spikes(30, 3, 5)
    light, valid = TFP(window, causal)(SpikeStream.of(bits), t)
    start = t - (window - 1 if causal else window // 2)
    there = bits[max(0, start) : start + window]
    assert np.allclose(light, there.mean(0) * (len(there) == window), atol=1e-7)
    assert (valid == (start >= 0 and start + window <= 30)).all()


@given(st.integers(1, 12), st.booleans(), st.integers(0, 29))
def test_tfi_is_one_over_the_interval(reach: int, causal: bool, t: int) -> None:
    bits = random_spikes(30, 3, 5)
    light, valid = TFI(reach, causal)(SpikeStream.of(bits), t)
    for y, x in np.ndindex(3, 5):
        times = np.flatnonzero(bits[:, y, x])
        past, future = times[(times <= t) & (times > t - reach)], times[(times > t) & (times <= t + reach)]
        pair = past[-2:] if causal else [*past[-1:], *future[:1]]
        assert valid[y, x] == (len(pair) == 2)
        assert light[y, x] == (np.float32(1 / (pair[1] - pair[0])) if len(pair) == 2 else 0)


def test_still_light_is_told_as_well_as_the_window_is_long() -> None:
    light = np.linspace(0.05, 1, 40).reshape(4, 10)
    charge = np.floor(light * np.arange(1, 401)[:, None, None])
    stream = SpikeStream.of(np.diff(charge, axis=0, prepend=0) > 0)
    assert np.abs(TFP(100)(stream, 200).light - light).max() <= 1 / 100
    found = TFI()(stream, 200)
    assert found.valid.all()
    assert (np.abs(1 / found.light - 1 / light) < 1).all()


@pytest.mark.parametrize(
    ("name", "expected"),
    [("part1", (23.97, 29.10, 31.60, 29.85, 21.78)), ("part3", (23.99, 28.51, 28.90, 26.28, 20.22))],
)
def test_golden_peak_signal_to_noise(name: str, expected: tuple[float, ...]) -> None:
    image = pytest.importorskip("PIL.Image")
    stream = open_camera(recording(f"reds_200_{name}_key151.dat"), 250, 400)
    truth = np.asarray(image.open(recording(f"reds_200_{name}_key151_gt.png")).convert("L")) / 255
    estimators = [TFP(11), TFP(21), TFP(41), TFP(81), TFI()]
    errors = [np.mean((np.clip(e(stream, 150).light / 0.6, 0, 1) - truth) ** 2) for e in estimators]
    assert np.allclose(-10 * np.log10(errors), expected, atol=0.02)


def test_what_is_not_there_is_refused() -> None:
    stream = random_stream(20, 3, 5)
    with pytest.raises(ValueError, match="got frame 20"):
        TFP(5)(stream, 20)
    with pytest.raises(ValueError, match="looks at 41 frames, but there are 20"):
        TFP(41)(stream, 10)
    with pytest.raises(ValueError, match="step=0"):
        list(TFP(5).every(stream, 0))
    with pytest.raises(ValueError, match="window=0"):
        TFP(0)


def test_grey_is_rounded_and_ends_at_white() -> None:
    found = TFP(4)(SpikeStream.of(np.array([1, 1, 0, 0] * 3).reshape(-1, 1, 1)), 5)
    assert grey(found, white=0.6).item() == round(255 * 0.5 / 0.6)
    assert grey(found, white=0.4).item() == 255
