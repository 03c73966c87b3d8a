"""Counting over packed frames equals the plainest loops, compiled or not, in one block or in many."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from camera.spikes import random_spikes
from spikeworks.camera import pack, planes

SIZES = [(7, 9, 60), (13, 37, 400), (1, 1, 5), (64, 8, 300)]


@pytest.fixture(params=["compiled", "numpy"], autouse=True)
def how(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "numpy":
        monkeypatch.setattr(planes, "compiled", lambda: None)


def _cells(height: int, width: int, frames: int) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    bits = random_spikes(frames, height, width).reshape(frames, -1)
    packed = pack(bits)
    cells = np.zeros((frames, packed.shape[1] * 8), np.int64)
    cells[:, : bits.shape[1]] = bits
    return cells, packed


@pytest.mark.parametrize(("height", "width", "frames"), SIZES)
@pytest.mark.parametrize("window", [1, 5, 255, 300])
def test_counts(height: int, width: int, frames: int, window: int) -> None:
    cells, packed = _cells(height, width, frames)
    expected = np.array([cells[max(0, t + 1 - window) : t + 1].sum(0) for t in range(frames)])
    counts = planes.Counts(packed.shape[1], window)
    assert np.array_equal(
        np.concatenate([counts.push(packed[:3]), counts.push(packed[3:4]), counts.push(packed[4:])]), expected
    )
    assert np.array_equal(planes.Counts(packed.shape[1], window, threads=2).push(packed, 7, 3), expected[2::7])
    assert np.array_equal(planes.total(packed), cells.sum(0))


@pytest.mark.parametrize(("height", "width", "frames"), SIZES)
@pytest.mark.parametrize("reach", [1, 2, 9, 255, 256, 1000])
@pytest.mark.parametrize("place", [1, 2, 4])
def test_ages_and_intervals(height: int, width: int, frames: int, reach: int, place: int) -> None:
    cells, packed = _cells(height, width, frames)
    none = 255 if reach < 256 else 65535
    expected = np.full((2, *cells.shape), [[[none]], [[0]]])
    for t in range(frames):
        for cell in range(cells.shape[1]):
            start = max(0, t + 1 - reach)
            ends = start + np.flatnonzero(cells[start : t + 1, cell])
            if len(ends) >= place:
                expected[:, t, cell] = t - ends[-place], ends[-1] - ends[-place]
    for make, wanted in zip((planes.Ages, planes.Intervals), expected, strict=True):
        counter = make(packed.shape[1], reach, place)
        assert np.array_equal(np.concatenate([counter.push(packed[:3]), counter.push(packed[3:])]), wanted)
        assert np.array_equal(make(packed.shape[1], reach, place, threads=2).push(packed, 7, 3), wanted[2::7])
        backwards = make(packed.shape[1], reach, place).push(packed[::-1])
        assert np.array_equal(backwards, make(packed.shape[1], reach, place).push(packed[::-1].copy()))


@pytest.mark.parametrize(("height", "width", "frames"), SIZES)
@pytest.mark.parametrize("places", [1, 3])
def test_nearest(height: int, width: int, frames: int, places: int) -> None:
    cells, packed = _cells(height, width, frames)
    for turned, bits in ((packed, cells), (packed[::-1], cells[::-1])):
        expected = np.zeros((places, cells.shape[1]), np.int64)
        for cell in range(cells.shape[1]):
            last = len(bits) - np.flatnonzero(bits[:, cell])[::-1][:places]
            expected[: len(last), cell] = last
        assert np.array_equal(planes.nearest(turned, places), expected)


def test_a_phase_is_carried_from_block_to_block() -> None:
    _, packed = _cells(5, 11, 100)
    whole = planes.Counts(packed.shape[1], 9).push(packed, 7, 3)
    counts, phase, rows = planes.Counts(packed.shape[1], 9), 3, []
    for start in range(0, 100, 13):
        block = packed[start : start + 13]
        rows.append(counts.push(block, 7, phase))
        phase = planes.carried(len(block), 7, phase)
    assert np.array_equal(np.concatenate(rows), whole)


def test_windows_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="window=0"):
        planes.Counts(3, 0)
    with pytest.raises(ValueError, match="reach=70000"):
        planes.Intervals(3, 70000)
    with pytest.raises(ValueError, match="places=0"):
        planes.nearest(np.zeros((2, 3), np.uint8), 0)
