"""Streams: what is put in comes out, cut in time or space, whatever the layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from camera.spikes import random_spikes, recording
from spikeworks.camera import Layout, SpikeStream, headed, pack, unpack, write
from spikeworks.camera import open as open_camera


@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 5), st.booleans())
def test_round_trip(height: int, width: int, frames: int, flip: bool) -> None:
    bits = random_spikes(frames, height, width)
    stream = SpikeStream.of(bits, flip=flip)
    assert np.array_equal(stream.dense(), bits)
    assert np.array_equal(unpack(stream.bits())[:, : height * width].reshape(bits.shape), bits)


@pytest.mark.parametrize("layout", [Layout(12, 5), headed(12, 5), Layout(6, 5, False, 10, ((1, 4), (6, 9)))], ids=str)
def test_layouts(layout: Layout) -> None:
    bits = random_spikes(9, layout.height, layout.width)
    stream = SpikeStream(pack(layout.store(bits)), layout)
    assert np.array_equal(stream.dense(), bits)
    assert np.array_equal(stream[2:7].crop(1, 1, 4, 3).dense(bool), bits[2:7, 1:4, 1:5])


def test_the_first_pixel_is_the_lowest_bit() -> None:
    row = np.array([1, 0, 1, 1, 0, 0, 0, 0]).reshape(1, 1, 8)
    assert SpikeStream.of(row).packed().tolist() == [[0x0D]]


def test_slices_know_where_they_are_from() -> None:
    stream = SpikeStream.of(random_spikes(20, 3, 5), rate=40_000)
    part = stream[4:][2:-1]
    assert (part.first, len(part), part.duration) == (6, 13, 13 / 40_000)
    assert [(b.first, len(b)) for b in part.blocks(5)] == [(6, 5), (11, 5), (16, 3)]
    for wrong in (slice(0, 21), slice(0, 10, 2), slice(5, 3)):
        with pytest.raises(ValueError, match="SpikeStream"):
            stream[wrong]


def test_a_crop_of_a_crop() -> None:
    bits = random_spikes(4, 9, 11)
    part = SpikeStream.of(bits).crop(2, 1, 7, 6).crop(1, 2, 3, 3)
    assert np.array_equal(part.dense(), bits[:, 3:6, 3:6])
    with pytest.raises(ValueError, match="within 3×3"):
        part.crop(1, 0, 3, 1)


def test_files_are_written_and_mapped(tmp_path: Path) -> None:
    bits = random_spikes(9, 5, 7)
    write(tmp_path / "a.dat", SpikeStream.of(bits))
    assert np.array_equal(open_camera(tmp_path / "a.dat", 5, 7).dense(), bits)
    write(tmp_path / "b.dat", SpikeStream.of(bits).crop(1, 1, 4, 3))
    assert np.array_equal(open_camera(tmp_path / "b.dat", 3, 4).dense(), bits[:, 1:4, 1:5])
    with pytest.raises(ValueError, match="whole number of frames"):
        open_camera(tmp_path / "a.dat", 5, 9)


@pytest.mark.parametrize("spikes", [np.zeros((2, 3)), np.full((1, 2, 3), 2), np.full((1, 2, 3), np.nan)])
def test_what_is_no_bits_is_refused(spikes: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected bits"):
        SpikeStream.of(spikes)


def test_a_real_recording_stands_upright() -> None:
    stream = open_camera(recording("real_wall_400x250x500.dat"), 250, 400)
    rate = stream.dense().mean((1, 2))
    assert len(stream) == 500
    assert rate.mean() == pytest.approx(0.220, abs=5e-4)
