"""Spikes to try estimators on, and what is counted over them by the plainest loops."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from spikeworks.camera import SpikeStream


def random_spikes(frames: int, height: int, width: int, seed: int = 0, most: float = 0.6) -> NDArray[np.uint8]:
    """Bits ``[T, H, W]``: pixels of every rate from 0 to ``most``."""
    draw = np.random.default_rng(seed)
    return (draw.random((frames, height, width)) < most * draw.random((height, width))).astype(np.uint8)


def random_stream(frames: int, height: int, width: int, seed: int = 0, flip: bool = True) -> SpikeStream:
    """The same as a stream."""
    return SpikeStream.of(random_spikes(frames, height, width, seed), flip=flip)


def recording(name: str) -> Path:
    """A real recording, where it is at hand."""
    folder = os.environ.get("SPIKEWORKS_DATA")
    path = Path(folder or "") / "spikecam" / name
    if not folder or not path.exists():
        pytest.skip("SPIKEWORKS_DATA names no folder with spikecam/" + name)
    return path
