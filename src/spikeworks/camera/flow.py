"""Motion from spikes: how far each pixel moves in a frame, and the classical way of OpenCV.

A flow is told at frame ``t0``, in pixels per frame: what is at ``(x, y)`` then is at ``(x + (t1 − t0)·u,
y + (t1 − t0)·v)`` at ``t1``; u to the right, v downwards.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .estimate import TFP, grey
from .stream import SpikeStream


class Flow(NamedTuple):
    """Motion, and where it could be told.

    :param uv: pixels per frame, to the right and downwards, ``[2, H, W]`` float32, 0 where it could not be told.
    :param valid: where it could, ``[H, W]``.
    """

    uv: NDArray[np.float32]
    valid: NDArray[np.bool_]


def dis(
    stream: SpikeStream, t0: int, t1: int, window: int = 41, white: float = 0.5, most: float = 1.0,
    preset: Literal["ultrafast", "fast", "medium"] = "medium",
) -> Flow:  # fmt: skip
    """Dense inverse search (Kroeger et al., ECCV 2016), as OpenCV does it, on two images of :class:`.TFP`.

    Valid where both images are, and going there and back again ends within ``most`` pixels of the beginning: what is
    hidden in one of the images is not.

    :param window: frames of each image, so that what moves is smeared over ``window·|uv|`` pixels.
    :param white: spikes per frame that become the 255 of OpenCV's images; what is brighter is cut off.
    :param most: pixels. :param preset: OpenCV's, how thoroughly.
    :raises ValueError: for frames that are not two of the recording, or images of less than 16 pixels a side.
    :raises ModuleNotFoundError: without OpenCV.
    """
    two_frames("dis", stream, t0, t1)
    if min(stream.width, stream.height) < 16 or not most > 0:
        raise ValueError(
            f"dis got {stream.width}×{stream.height} pixels, most={most}, expected 16 or more a side, and more than 0."
        )
    cv2 = _opencv()
    images = [TFP(window)(stream, t) for t in (t0, t1)]
    first, second = (grey(found, white) for found in images)
    search = cv2.DISOpticalFlow_create(getattr(cv2, f"DISOPTICAL_FLOW_PRESET_{preset.upper()}"))
    there, back = (np.moveaxis(search.calc(a, b, None), -1, 0) for a, b in ((first, second), (second, first)))
    valid = images[0].valid & images[1].valid & consistent(there, back, most)
    return per_frame(there, valid, t1 - t0)


def consistent(there: NDArray[Any], back: NDArray[Any], most: float = 1.0) -> NDArray[np.bool_]:
    """Where going there and back again ends close to the beginning: ``|there(p) + back(p + there(p))| ≤ most``.

    :param there: pixels from the first image to the second, ``[2, H, W]``. :param back: from the second to the first.
    """
    y, x, inside = arrive(there)
    return inside & (np.hypot(*(there + back[:, y, x])) <= most)


def arrive(uv: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.bool_]]:
    """Row and column that each pixel moves to, rounded and kept within the image, and whether they were within it.

    :param uv: pixels from one image to the other, ``[2, H, W]``.
    """
    height, width = uv.shape[1:]
    y, x = np.mgrid[:height, :width]
    row, column = np.rint(y + uv[1]).astype(np.intp), np.rint(x + uv[0]).astype(np.intp)
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    return row.clip(0, height - 1), column.clip(0, width - 1), inside


def per_frame(uv: NDArray[Any], valid: NDArray[np.bool_], frames: int) -> Flow:
    """Pixels that were gone in so many frames as a flow."""
    return Flow(np.where(valid, uv / frames, 0).astype(np.float32), valid)


def two_frames(who: str, stream: SpikeStream, t0: int, t1: int) -> None:
    """Refuse, in the name of ``who``, what are not two frames of the recording.

    :raises ValueError: if they are not.
    """
    if t0 == t1 or not (0 <= t0 < len(stream) and 0 <= t1 < len(stream)):
        raise ValueError(
            f"{who} got frames {t0} and {t1}, expected two different ones from 0 to {len(stream) - 1}, those of "
            f"{stream}."
        )


def _opencv() -> Any:
    try:
        return import_module("cv2")  # optional, so that types of it may not be there
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "dis needs OpenCV, which is not installed; pip install opencv-python-headless, or use match.", name="cv2"
        ) from None
