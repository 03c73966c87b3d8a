"""Flow in files of the Middlebury form, ``.flo``, which data sets of spike cameras come with."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from ..disk import whole
from .flow import Flow
from .layout import SIDE

MAGIC = struct.pack("<f", 202021.25)
"""What a file begins with: ``PIEH``."""

UNKNOWN = 1e9
"""Numbers beyond this, either way, say that the flow is not known; written is ten times as much."""


def read_flow(path: str | Path, frames: int = 1) -> Flow:
    """The flow in a ``.flo`` file: magic, width and height as int32, then u and v of each pixel as float32.

    Baker et al., A database and evaluation methodology for optical flow, IJCV 2011, and the code that came with it.

    :param frames: that the numbers in the file are for; data sets of spike cameras write pixels in 10 or 20 frames.
    :raises ValueError: for a file that is absent, another kind, cut off or too long, or frames below 1.
    """
    path = Path(path)
    _check("read_flow", frames)
    if not path.is_file():
        raise ValueError(f"{path} is not a file, expected a flow (.flo); check the path.")
    with path.open("rb") as file:
        head = file.read(12)
        if len(head) < 12 or head[:4] != MAGIC:
            raise ValueError(
                f"{path} begins with {head[:4]!r}, expected {MAGIC!r}, as .flo files do; it is another kind."
            )
        width, height = struct.unpack("<ii", head[4:])
        if not (0 < width < SIDE and 0 < height < SIDE):
            raise ValueError(
                f"{path} tells of {width}×{height} pixels, expected 1 to {SIDE - 1} each way; it is damaged."
            )
        size, there = 12 + 8 * width * height, path.stat().st_size
        if there != size:
            raise ValueError(
                f"{path} has {there:,} bytes, expected {size:,} for {width}×{height} pixels; it is cut off or damaged."
            )
        numbers = np.fromfile(file, "<f4", 2 * width * height).reshape(height, width, 2)
    valid = np.all(np.abs(numbers) <= UNKNOWN, -1)  # what is not a number is not known, either
    uv = np.where(valid, np.moveaxis(numbers, -1, 0), 0) / np.float32(frames)
    return Flow(uv.astype(np.float32), valid)


def write_flow(path: str | Path, flow: Flow, frames: int = 1) -> None:
    """Write a flow as :func:`read_flow` reads it, whole or not at all; what is not valid as unknown.

    :param frames: write pixels in so many frames.
    :raises ValueError: for a flow that is not ``[2, H, W]`` with a validity ``[H, W]``, numbers that are valid but not
        finite or too large, or frames below 1.
    """
    _check("write_flow", frames)
    uv, valid = flow
    if uv.ndim != 3 or len(uv) != 2 or valid.shape != uv.shape[1:] or not uv.size or max(uv.shape) >= SIDE:
        raise ValueError(
            f"write_flow got a flow {list(uv.shape)} with validity {list(valid.shape)}, expected [2, H, W] and [H, W], "
            f"both sides from 1 to {SIDE - 1}."
        )
    numbers = uv.astype("<f4") * np.float32(frames)
    if not (np.abs(numbers[:, valid]) <= UNKNOWN).all():
        raise ValueError(f"write_flow got numbers that are not finite or beyond {UNKNOWN:g}; mark them as not valid.")
    numbers = np.where(valid, numbers, np.float32(10 * UNKNOWN))
    with whole(path) as temporary, temporary.open("wb") as file:
        file.write(MAGIC + struct.pack("<ii", *uv.shape[:0:-1]))
        file.write(np.ascontiguousarray(np.moveaxis(numbers, 0, -1), "<f4").tobytes())


def _check(who: str, frames: int) -> None:
    if frames < 1:
        raise ValueError(f"{who} got frames={frames}, expected at least 1.")
