"""Scenes: what is told about them is what is seen in them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeworks.camera import Layer, Path, Scene, crossing, moving, texture

SIZE = (40, 61)


def draw(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_a_picture_that_does_not_move_is_itself() -> None:
    picture = texture(*SIZE, draw())
    assert np.allclose(moving(picture, SIZE).light(123.4), picture, atol=1e-6)


def test_a_picture_moves_by_whole_pixels_as_if_it_were_shifted() -> None:
    picture = texture(*SIZE, draw())
    seen = moving(picture, SIZE, velocity=(0.5, -0.25)).light(12.0)
    assert np.allclose(seen[:-3, 6:], picture[3:, :-6], atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(st.floats(-20, 20), st.floats(-20, 20), st.floats(-0.02, 0.02), st.floats(-0.01, 0.01))
def test_flow_leads_to_the_same_light(t0: float, t1: float, spin: float, growth: float) -> None:
    ramp = Layer(np.add.outer(0.001 * np.arange(200), 0.002 * np.arange(200)).astype(np.float32), Path(30, 20))
    path = Path(30, 20, (0.3, -0.2), 0.4, spin, 1.0, growth, (2.0, 1.0), 50.0)
    scene = Scene(SIZE, Layer(ramp.texture, path))
    flow, y, x = scene.flow(t0, t1), *np.mgrid[: SIZE[0], : SIZE[1]].astype(np.float64)
    there = path.inside(x + flow[0], y + flow[1], t1)
    assert np.allclose(scene.background.sample(there), scene.light(t0), atol=1e-4)


def test_objects_cover_each_other_and_boxes_hold_them() -> None:
    scene = crossing(SIZE, 4, draw(1), frames=200)
    for t in (0.0, 60.5, 100.0, 180.0):
        owner, found = scene.owner(t), scene.boxes(t)
        for number, (left, top, width, height), visible in zip(*found, strict=True):
            rows, columns = np.nonzero(owner == number)
            assert (visible > 0) == (len(rows) > 0)
            if visible == 1:  # one pixel on each side is shared with what is behind
                assert np.allclose([columns.min(), columns.max() + 1], [left, left + width], atol=2)
                assert np.allclose([rows.min(), rows.max() + 1], [top, top + height], atol=2)
        assert set(np.unique(owner)) - {-1} <= set(found.identity)
    met = [scene.boxes(float(t)).visible.min(initial=1) for t in range(60, 140, 5)]
    assert min(met) < 1


def test_each_object_flows_with_its_own_path() -> None:
    still = Layer(texture(*SIZE, draw()), Path(30, 20))
    disc = Layer(texture(11, 11, draw()), Path(20, 20, (0.5, 0.25)), "disc")
    square = Layer(texture(8, 8, draw()), Path(22.5, 22.5), "rectangle")
    scene = Scene(SIZE, still, (disc, square))
    flow, owner = scene.flow(2.0, 6.0), scene.owner(2.0)
    assert np.allclose(flow[:, owner == 0], [[2], [1]])
    assert not flow[:, owner != 0].any()
    assert (owner == 1).sum() == 64


def test_light_changes_smoothly_with_time() -> None:
    scene = crossing(SIZE, 3, draw(2), frames=400)
    steps = [np.abs(scene.light(200 + d) - scene.light(200.0)).max() for d in (0.01, 0.1)]
    assert steps[0] < 0.02
    assert steps[1] < 0.2


def test_a_texture_fills_its_range_and_is_the_same_for_the_same_seed() -> None:
    found = texture(33, 50, draw(3), low=0.2, high=0.7)
    assert np.allclose(np.percentile(found, (1, 99)), (0.2, 0.7), atol=1e-3)
    assert np.array_equal(found, texture(33, 50, draw(3), low=0.2, high=0.7))


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="size=0"):
        Path(0, 0, size=0.0)
    with pytest.raises(ValueError, match="expected \\[h, w\\]"):
        Layer(np.zeros((1, 5), np.float32), Path(0, 0))
    with pytest.raises(ValueError, match="grain=0"):
        texture(5, 5, draw(), grain=0.0)
    with pytest.raises(ValueError, match="expected height"):
        Scene((0, 5), Layer(np.zeros((5, 5), np.float32), Path(0, 0)))
