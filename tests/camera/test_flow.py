"""Flow: of textures that move by known amounts, of a real car, and what cannot be told is not valid."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from camera.spikes import random_stream, recording
from spikeworks.camera import Flow, SpikeStream, consistent, dis, match
from spikeworks.camera import open as open_camera
from spikeworks.camera.match import _box, _half
from spikeworks.measure import aepe


def filmed(light: NDArray[np.float64]) -> SpikeStream:
    """Pixels before light ``[T, H, W]``, 0 to 1 spikes per frame, with shot noise and a charge to begin with."""
    draw = np.random.default_rng(1)
    noisy = np.maximum(0, light + np.sqrt(light / 1000) * draw.standard_normal(light.shape))
    charge = draw.random(light.shape[1:]) + noisy.cumsum(0)
    return SpikeStream.of(np.diff(np.floor(charge), axis=0, prepend=0) > 0)


def moving(u: float, v: float, frames: int = 90, height: int = 60, width: int = 81, level: float = 0.35) -> SpikeStream:
    """Waves of several lengths and directions that move by ``(u, v)`` pixels per frame."""
    draw = np.random.default_rng(0)
    t, y, x = np.ogrid[:frames, :height, :width]
    light = np.full((frames, height, width), level)
    for _ in range(24):
        kx, ky = draw.normal(0, 0.35, 2)
        light += 0.035 * np.sin(kx * (x - u * t) + ky * (y - v * t) + draw.uniform(0, 2 * np.pi))
    return filmed(np.clip(light, 0, 1))


@pytest.mark.parametrize(("u", "v"), [(0.3, -0.15), (-0.22, 0.0), (0.0, 0.0), (0.05, 0.36)])
@pytest.mark.parametrize("how", [dis, match], ids=["dis", "match"])
def test_a_texture_moves_as_far_as_it_does(how: object, u: float, v: float) -> None:
    if how is dis:
        pytest.importorskip("cv2")
    flow = how(moving(u, v), 25, 65)  # type: ignore[operator]
    truth = np.broadcast_to(np.array([u, v], np.float32)[:, None, None], flow.uv.shape)
    assert flow.valid.mean() > 0.4
    assert 40 * aepe(flow.uv, truth, flow.valid) < 0.6
    back = how(moving(u, v), 65, 25)  # type: ignore[operator]
    assert np.allclose(np.median(back.uv[:, back.valid], 1), (u, v), atol=0.01)


def test_a_fraction_of_a_pixel_is_told() -> None:
    flow = match(moving(0.1125, 0.0), 25, 65)  # 4.5 pixels
    assert np.median(flow.uv[0][flow.valid]) * 40 == pytest.approx(4.5, abs=0.1)


@pytest.mark.parametrize("how", [dis, match], ids=["dis", "match"])
def test_golden_motion_of_a_car(how: object) -> None:
    if how is dis:
        pytest.importorskip("cv2")
    stream = open_camera(recording("real_car_400x250x200.dat"), 250, 400)
    for t0 in (40, 60):
        flow = how(stream, t0, t0 + 80)  # type: ignore[operator]
        pixels = 80 * np.hypot(*flow.uv)
        assert np.median(pixels[flow.valid & (pixels > 20)]) == pytest.approx(35.6, rel=0.1)
        assert np.median(flow.uv[0][flow.valid & (pixels > 20)]) == pytest.approx(0.445, rel=0.1)  # to the right
        assert np.median(pixels[:50][flow.valid[:50]]) < 0.1  # trees


def test_where_nothing_can_be_told_is_not_valid() -> None:
    plain = match(filmed(np.full((90, 40, 50), 0.3)), 25, 65)
    assert plain.valid.mean() < 0.02
    edge = np.where(np.arange(50) < 25, 0.15, 0.5) * np.ones((90, 40, 1))  # it may slide along itself
    assert match(filmed(edge), 25, 65).valid.mean() < 0.02
    dark = match(SpikeStream.of(np.zeros((90, 40, 50))), 25, 65)
    assert not dark.valid.any()
    assert not dark.uv.any()


def test_what_leaves_the_picture_is_not_valid() -> None:
    for how in (dis, match):
        if how is dis:
            pytest.importorskip("cv2")
        flow = how(moving(0.3, 0.0), 25, 65)
        assert flow.valid[:, -10:].mean() < 0.02
    pytest.importorskip("cv2")
    assert not dis(moving(0, 0), 5, 65).valid.any()  # the window begins before the recording


@settings(max_examples=30)
@given(st.integers(1, 30), st.integers(1, 30), st.sampled_from([3, 7, 13]))
def test_sums_over_blocks(height: int, width: int, side: int) -> None:
    values = np.random.default_rng(height * 31 + width).random((height, width)).astype(np.float32)
    wide = np.pad(values, side // 2, "edge")
    expected = [[wide[y : y + side, x : x + side].sum(dtype=float) for x in range(width)] for y in range(height)]
    assert np.allclose(_box(values, side), expected)
    assert _half(values).shape == (-(-height // 2), -(-width // 2))


def test_there_and_back_again() -> None:
    there = np.zeros((2, 5, 8))
    there[0] = 2
    back = -there
    back[0, :, 5] = 3
    expected = np.broadcast_to([1, 1, 1, 0, 1, 1, 0, 0], (5, 8))
    assert np.array_equal(consistent(there, back, 1.0), expected)


def test_frames_and_numbers_out_of_range_are_refused() -> None:
    stream = random_stream(60, 20, 20)
    for t0, t1 in ((3, 3), (-1, 5), (5, 60)):
        with pytest.raises(ValueError, match="two different ones from 0 to 59"):
            match(stream, t0, t1)
    for wrong in ({"reach": 0}, {"block": 4}, {"spikes": 0}, {"sure": 1.0}):
        with pytest.raises(ValueError, match="odd 3 to 101"):
            match(stream, 20, 40, **wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="16 or more a side"):
        dis(random_stream(60, 9, 20), 20, 40)


def test_one_sentence_where_opencv_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ModuleNotFoundError, match="dis needs OpenCV") as caught:
        dis(random_stream(60, 20, 20), 20, 40)
    assert caught.value.name == "cv2"


def test_a_flow_is_a_pair() -> None:
    uv, valid = Flow(np.zeros((2, 3, 4), np.float32), np.ones((3, 4), bool))
    assert uv.shape == (2, 3, 4)
    assert valid.all()
