"""How far an image is from the true one."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

WINDOW, SIGMA, K1, K2 = 11, 1.5, 0.01, 0.03
"""Of :func:`ssim`: pixels, pixels, and two constants."""


def psnr(image: NDArray[Any], truth: NDArray[Any], peak: float = 1.0, valid: NDArray[np.bool_] | None = None) -> float:
    """Peak signal-to-noise ratio, dB: ``10 log₁₀(peak² / mean (image − truth)²)``; infinite for equal images.

    :param image: of any shape. :param truth: of the same shape. :param peak: the largest value that there may be.
    :param valid: the pixels that count, of the same shape; default: all.
    :raises ValueError: for shapes that differ, no pixel, a peak of 0 or less, or values that are not finite.
    """
    a, b = _pair("psnr", image, truth, peak)
    if valid is not None:
        if valid.shape != a.shape:
            raise ValueError(f"psnr got images {list(a.shape)} and valid {list(valid.shape)}, expected one shape.")
        a, b = a[valid], b[valid]
    if not a.size:
        raise ValueError("psnr got images without a pixel that counts, expected some.")
    error = float(np.mean((a - b) ** 2))
    return float("inf") if error == 0 else float(10 * np.log10(peak**2 / error))


def ssim(image: NDArray[Any], truth: NDArray[Any], peak: float = 1.0) -> float:
    """Structural similarity, at most 1: the mean over pixels of::

        (2 μ_a μ_b + (K1 peak)²) (2 σ_ab + (K2 peak)²) / [(μ_a² + μ_b² + (K1 peak)²) (σ_a² + σ_b² + (K2 peak)²)]

    Means, variances and covariance are weighed by a Gaussian of 1.5 pixels in windows of 11×11 that lie within the
    image; of colours the mean is taken. Wang et al., IEEE TIP 13 (4), 2004, with their constants.

    :param image: ``[H, W]`` or ``[H, W, colours]``. :param truth: of the same shape. :param peak: the largest value
        that there may be.
    :raises ValueError: for shapes that differ or are smaller than a window, a peak of 0 or less, or values that are not
        finite.
    """
    a, b = _pair("ssim", image, truth, peak)
    if a.ndim not in (2, 3) or min(a.shape[:2]) < WINDOW:
        raise ValueError(
            f"ssim got images {list(a.shape)}, expected [H, W] or [H, W, colours] of at least {WINDOW}×{WINDOW}."
        )
    mean_a, mean_b = _smooth(a), _smooth(b)
    var_a, var_b = _smooth(a * a) - mean_a**2, _smooth(b * b) - mean_b**2
    both = _smooth(a * b) - mean_a * mean_b
    c1, c2 = (K1 * peak) ** 2, (K2 * peak) ** 2
    top = (2 * mean_a * mean_b + c1) * (2 * both + c2)
    return float(np.mean(top / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))))


def _smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weighed means over the windows that lie within."""
    at = np.arange(WINDOW) - WINDOW // 2
    weights = np.exp(-0.5 * (at / SIGMA) ** 2)
    weights /= weights.sum()
    high, wide = values.shape[0] - WINDOW + 1, values.shape[1] - WINDOW + 1
    rows = sum(w * values[k : k + high] for k, w in enumerate(weights))
    return np.asarray(sum(w * rows[:, k : k + wide] for k, w in enumerate(weights)))  # type: ignore[index]


def _pair(name: str, image: NDArray[Any], truth: NDArray[Any], peak: float) -> tuple[NDArray[np.float64], ...]:
    if image.shape != truth.shape or not peak > 0:
        raise ValueError(
            f"{name} got images {list(image.shape)} and {list(truth.shape)}, peak={peak}, expected one shape and a "
            "peak above 0."
        )
    a, b = image.astype(np.float64), truth.astype(np.float64)
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError(f"{name} got values that are not finite, expected numbers; leave such pixels out.")
    return a, b
