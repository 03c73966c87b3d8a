"""Any file of a spike camera: opened without reading it, written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..disk import whole
from .layout import Layout
from .stream import BLOCK, RATE, SpikeStream


def open(
    path: str | Path, height: int | None = None, width: int | None = None, rate: float = RATE, flip: bool = True,
    row: int | None = None,
) -> SpikeStream:  # fmt: skip
    """A recording, memory-mapped: nothing is decoded yet.

    :param path: packed frames without a header (``.dat``). :param height: rows. :param width: columns.
    :param rate: frames a second, Hz, which the file does not tell. :param flip: the lowest row is stored first.
    :param row: cells of a stored row, if there are more than pixels; see :func:`~spikeworks.camera.headed`.
    :raises ValueError: for a file that is absent, empty, or no whole number of frames.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path} is not a file, expected a recording of a spike camera; check the path.")
    if height is None or width is None:
        raise ValueError(f"{path} does not tell the size of the sensor; pass height= and width=.")
    layout, size = Layout(width, height, flip, row), path.stat().st_size
    if size == 0 or size % layout.size:
        raise ValueError(
            f"{path} has {size:,} bytes, expected a whole number of frames of {layout.size:,} bytes "
            f"({width}×{height}); the size is another, or the file is cut off."
        )
    frames = np.memmap(path, np.uint8, "r").reshape(-1, layout.size)
    return SpikeStream(frames, layout, rate)


def write(path: str | Path, stream: SpikeStream) -> None:
    """Write packed frames, as the stream stores them; those of a window with the lowest row first."""
    layout = stream.layout if stream.window is None else Layout(stream.width, stream.height, stream.layout.flip)
    with whole(path) as temporary, temporary.open("wb") as file:
        for block in stream.blocks(BLOCK):
            same = stream.window is None
            block = block if same else SpikeStream.of(block.dense(bool), flip=layout.flip)
            file.write(np.ascontiguousarray(block.packed()).tobytes())
