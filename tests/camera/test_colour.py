"""Colour of a mosaic: own colours are kept, planes of one colour and ramps come back, validity is carried."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from camera.spikes import random_stream
from spikeworks.camera import TFI, TFP, Image, bayer
from spikeworks.camera.colour import PATTERNS


def _mosaic(colours: np.ndarray, pattern: str) -> np.ndarray:
    found = np.empty(colours.shape[:2], np.float32)
    for y, x in np.ndindex(*found.shape):
        found[y, x] = colours[y, x, "rgb".index(pattern[2 * (y % 2) + x % 2])]
    return found


@given(st.sampled_from(PATTERNS), st.integers(2, 9), st.integers(2, 9))
def test_one_colour_comes_back_everywhere(pattern: str, height: int, width: int) -> None:
    colours = np.broadcast_to(np.array([0.1, 0.5, 0.9], np.float32), (height, width, 3))
    found = bayer(Image(_mosaic(colours, pattern), np.ones((height, width), bool)), pattern)
    assert found.valid.all()
    assert np.allclose(found.light, colours, atol=1e-6)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_ramp_comes_back_inside(pattern: str) -> None:
    y, x = np.indices((9, 11))
    colours = np.stack([0.01 * x, 0.02 * y + 0.1, 0.3 - 0.01 * x - 0.01 * y], -1).astype(np.float32)
    found = bayer(Image(_mosaic(colours, pattern), np.ones((9, 11), bool)), pattern)
    assert np.allclose(found.light[1:-1, 1:-1], colours[1:-1, 1:-1], atol=1e-6)


def test_equal_to_plain_loops_with_holes() -> None:
    draw = np.random.default_rng(0)
    light, valid = draw.random((2, 7, 6)).astype(np.float32), draw.random((2, 7, 6)) < 0.6
    light[~valid] = 0
    found = bayer(Image(light, valid), "grbg")
    for n, y, x, c in np.ndindex(2, 7, 6, 3):
        near = {
            (v, u): 4 // ((1 + abs(v - y)) * (1 + abs(u - x)))
            for v in range(max(0, y - 1), min(7, y + 2)) for u in range(max(0, x - 1), min(6, x + 2))
            if "grbg"[2 * (v % 2) + u % 2] == "rgb"[c] and valid[n, v, u]
        }  # fmt: skip
        assert found.valid[n, y, x, c] == bool(near)
        if (y, x) in near:
            assert found.light[n, y, x, c] == light[n, y, x]
        elif near:
            mean = sum(w * light[n, v, u] for (v, u), w in near.items()) / sum(near.values())
            assert found.light[n, y, x, c] == pytest.approx(mean, rel=1e-6)


def test_a_recording_is_estimated_and_what_does_not_fit_is_refused() -> None:
    stream = random_stream(60, 6, 8)
    image = TFI()(stream, 20)
    assert np.array_equal(bayer(stream, estimator=TFI(), at=20).light, bayer(image).light)
    assert np.array_equal(bayer(stream).light, bayer(TFP()(stream, 30)).light)
    with pytest.raises(ValueError, match="'rgb', expected one of bggr"):
        bayer(image, "rgb")
    with pytest.raises(ValueError, match="beside a recording only"):
        bayer(image, at=3)
    with pytest.raises(ValueError, match="1×6"):
        bayer(Image(image.light[:, :1], image.valid[:, :1]))
