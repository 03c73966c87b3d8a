"""How far a flow is from the truth."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def end_point_errors(found: ArrayLike, truth: ArrayLike) -> NDArray[np.float64]:
    """``√((u − u*)² + (v − v*)²)`` of each pixel, ``[..., H, W]``, in the unit of the flows.

    :param found: ``[..., 2, H, W]``. :param truth: as many.
    :raises ValueError: for shapes that differ, or others.
    """
    one, other = (np.asarray(uv, np.float64) for uv in (found, truth))
    if one.shape != other.shape or one.ndim < 3 or one.shape[-3] != 2:
        raise ValueError(
            f"end_point_errors got {list(one.shape)} and {list(other.shape)}, expected the same [..., 2, H, W] twice."
        )
    return np.hypot(*np.moveaxis(one - other, -3, 0))


def aepe(found: ArrayLike, truth: ArrayLike, valid: ArrayLike | None = None) -> float:
    """The average end-point error: the mean of :func:`end_point_errors`. Baker et al., IJCV 2011.

    :param valid: pixels ``[..., H, W]`` to take the mean over; default: all.
    :raises ValueError: for no pixel, shapes that do not fit, or an error that is not finite.
    """
    return float(_chosen("aepe", end_point_errors(found, truth), valid).mean())


def outliers(
    found: ArrayLike, truth: ArrayLike, valid: ArrayLike | None = None, pixels: float = 3.0, share: float = 0.05
) -> float:
    """The share of pixels whose error is above ``pixels`` and above ``share`` of the true motion, 0 to 1.

    Menze and Geiger, CVPR 2015 (KITTI), whose flows are in pixels from one image to the next: so must these be.

    :param valid: pixels ``[..., H, W]`` that count; default: all. :param pixels: in the unit of the flows.
    :raises ValueError: as :func:`aepe`.
    """
    errors = end_point_errors(found, truth)
    motion = np.hypot(*np.moveaxis(np.asarray(truth, np.float64), -3, 0))
    far = _chosen("outliers", errors, valid) > np.maximum(pixels, share * _chosen("outliers", motion, valid))
    return float(far.mean())


def _chosen(who: str, values: NDArray[np.float64], valid: ArrayLike | None) -> NDArray[np.float64]:
    mask = np.ones(values.shape, bool) if valid is None else np.asarray(valid, bool)
    if mask.shape != values.shape or not mask.any():
        raise ValueError(
            f"{who} got {int(mask.sum())} valid pixels of {list(mask.shape)}, expected some of {list(values.shape)}."
        )
    if not np.isfinite(values[mask]).all():
        raise ValueError(f"{who} got a flow that is not finite, expected numbers where it is valid.")
    return values[mask]
