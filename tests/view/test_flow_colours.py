"""Colours of flow."""

from __future__ import annotations

import numpy as np
import pytest

from spikeworks.camera import Flow
from spikeworks.view import colour_wheel, flow_colours


def test_the_wheel_goes_round() -> None:
    wheel = np.rint(255 * colour_wheel()).astype(int)
    assert len(wheel) == 55
    pure = np.cumsum([0, 15, 6, 4, 11, 13])
    expected = [(255, 0, 0), (255, 255, 0), (0, 255, 0), (0, 255, 255), (0, 0, 255), (255, 0, 255)]
    assert [tuple(map(int, wheel[i])) for i in pure] == expected
    assert wheel[1].tolist() == [255, 17, 0]
    assert wheel[16].tolist() == [213, 255, 0]
    assert (np.abs(np.diff(np.concatenate([wheel, wheel[:1]]), axis=0)).sum(1) <= 64).all()


def test_directions_have_colours() -> None:
    uv = np.array([[[1, -1, 0, 0, 0.5, 2, 7]], [[0, 0, 1, 0, 0, 0, 7]]], np.float32)
    found = flow_colours(Flow(uv, np.array([[True] * 6 + [False]])), most=1.0)[0]
    assert found[0].tolist() == [255, 0, 0]  # right: red
    assert found[1, 0] < 20  # left: between cyan and blue
    assert found[1, 2] == 255
    assert found[2, 0] == 255 or found[2, 1] == 255
    assert found[3].tolist() == [255, 255, 255]  # still: white
    assert found[4].tolist() == [255, 127, 127]  # slower: paler
    assert found[5].tolist() == [191, 0, 0]  # faster than most: darker
    assert found[6].tolist() == [0, 0, 0]


def test_the_most_is_found_among_the_valid() -> None:
    uv = np.zeros((2, 1, 2), np.float32)
    uv[0] = 3, np.nan
    assert flow_colours(Flow(uv, np.array([[True, False]])))[0].tolist() == [[255, 0, 0], [0, 0, 0]]
    assert (flow_colours(Flow(0 * uv[:, :, :1], np.array([[True]]))) == 255).all()
    with pytest.raises(ValueError, match="1 valid pixels that are not finite"):
        flow_colours(Flow(uv, np.array([[True, True]])))
    with pytest.raises(ValueError, match="most=0"):
        flow_colours(Flow(uv, np.array([[True, False]])), most=0.0)
