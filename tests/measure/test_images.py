"""PSNR and SSIM equal scikit-image's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikeworks.measure import psnr, ssim


@given(st.integers(11, 40), st.integers(11, 40), st.sampled_from([1.0, 255.0]), st.booleans(), st.integers(0, 99))
def test_both_equal_those_of_scikit_image(height: int, width: int, peak: float, colour: bool, seed: int) -> None:
    metrics = pytest.importorskip("skimage.metrics")
    draw = np.random.default_rng(seed)
    truth = peak * draw.random((height, width, 3) if colour else (height, width))
    image = truth + 0.1 * peak * draw.standard_normal(truth.shape)
    if peak > 1:
        image, truth = image.clip(0, peak).astype(np.uint8), truth.astype(np.uint8)
    assert psnr(image, truth, peak) == pytest.approx(metrics.peak_signal_noise_ratio(truth, image, data_range=peak))
    expected = metrics.structural_similarity(
        image, truth, data_range=peak, gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
        channel_axis=2 if colour else None,
    )  # fmt: skip
    assert ssim(image, truth, peak) == pytest.approx(expected, abs=1e-9)


def test_equal_images_and_pixels_that_count() -> None:
    truth = np.random.default_rng(0).random((20, 30))
    assert psnr(truth, truth) == np.inf
    assert ssim(truth, truth) == pytest.approx(1, abs=1e-12)
    image, valid = truth.copy(), np.ones(truth.shape, bool)
    image[3, 4], valid[3, 4] = 9, False
    assert psnr(image, truth, valid=valid) == np.inf
    assert psnr(truth + 0.1, truth) == pytest.approx(20)


def test_what_cannot_be_compared_is_refused() -> None:
    a = np.ones((12, 12))
    for metric in (psnr, ssim):
        with pytest.raises(ValueError, match=r"\[12, 12\] and \[11, 12\]"):
            metric(a, a[:11])
        with pytest.raises(ValueError, match="peak=0"):
            metric(a, a, 0.0)
        with pytest.raises(ValueError, match="not finite"):
            metric(a * np.nan, a)
    with pytest.raises(ValueError, match="at least 11×11"):
        ssim(a[:10], a[:10])
    with pytest.raises(ValueError, match="a pixel that counts"):
        psnr(a, a, valid=a > 1)
    with pytest.raises(ValueError, match="valid"):
        psnr(a, a, valid=a[0] > 1)
