"""Attention and boxes equal the plainest form of what they say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from camera.spikes import random_spikes, random_stream
from spikeworks.camera import Attention, Detector, LocalGate, boxes


def _kernel(reach: int) -> np.ndarray:
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    gauss = np.exp(-(x**2 + y**2) / (2 * (round(reach / 2) + 1) ** 2))
    return (gauss - gauss.min()) / (gauss.max() - gauss.min())


@pytest.mark.parametrize("reach", [1, 4, 15])
def test_the_field_is_a_dense_convolution(reach: int) -> None:
    kernel, spikes = _kernel(reach), random_spikes(3, 21, 34, 1)
    U, field = np.zeros((21, 34)), None
    attention = Attention(reach, 2.0)
    for k in range(3):
        r = np.maximum(U, 0) ** 2 / (1 + 0.01 * (np.maximum(U, 0) ** 2).sum())
        source = np.pad(spikes[k] + r, reach)
        come = np.array(
            [
                [(kernel * source[y : y + 2 * reach + 1, x : x + 2 * reach + 1]).sum() for x in range(34)]
                for y in range(21)
            ]
        )
        U = U + 0.5 * (come - U)
        mask, field = attention(spikes[k], field)
        assert np.allclose(field, U, rtol=1e-4, atol=1e-4)
        assert np.array_equal(mask, field > 2)


def test_sites_of_several_pixels_see_about_the_same() -> None:
    spikes = np.zeros((45, 61))
    spikes[20:24, 30:37] = 0.5
    fine, coarse = (Attention(12, 3.0, excite=0, pool=pool)(spikes, None, 20)[0] for pool in (1, 3))
    assert coarse.shape == fine.shape
    assert (fine != coarse).mean() < 0.03
    with pytest.raises(ValueError, match="start anew"):
        Attention()(spikes, np.zeros((3, 3), np.float32))
    with pytest.raises(ValueError, match="pool=0"):
        Attention(pool=0)


@given(st.integers(0, 10**6), st.sampled_from([1, 3, 5, 7]), st.integers(0, 9))
def test_boxes_are_those_of_the_plainest_search(seed: int, erode: int, grow: int) -> None:
    draw = np.random.default_rng(seed)
    mask = np.kron(draw.random((4, 5)) < 0.5, np.ones((6, 7))).astype(bool)
    half, (height, width) = erode // 2, mask.shape
    padded = np.pad(mask, half)
    left = {
        (x, y) for y in range(height) for x in range(width) if padded[y : y + erode, x : x + erode].all()
    }  # fmt: skip
    expected = []
    while left:
        piece, front = set(), [left.pop()]
        while front:
            x, y = front.pop()
            piece.add((x, y))
            near = {(x + i, y + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & left
            left -= near
            front += near
        x, y = np.array(sorted(piece)).T
        x0, y0 = max(0, x.min() - grow), max(0, y.min() - grow)
        expected.append((x0, y0, min(width, x.max() + 1 + grow) - x0, min(height, y.max() + 1 + grow) - y0))
    assert sorted(map(tuple, boxes.found(mask, erode, grow).tolist())) == sorted(expected)


def test_boxes_are_x_y_width_height() -> None:
    mask = np.zeros((20, 40), bool)
    mask[3:8, 10:30] = True
    assert boxes.found(mask, 1, 0).tolist() == [[10, 3, 20, 5]]
    spikes = np.zeros((20, 40), int)
    spikes[4, 12], spikes[6, 20], spikes[15, 5] = 1, 3, 9
    assert boxes.found(mask, 1, 0, spikes).tolist() == [[12, 4, 9, 3]]
    assert len(boxes.found(mask, 1, 0, spikes, least=5)) == 0
    with pytest.raises(ValueError, match="erode=4"):
        boxes.found(mask, 4)


def test_overlap() -> None:
    a, b = np.array([[0.0, 0, 10, 10], [50, 0, 5, 5]]), np.array([[5.0, 0, 10, 10], [0, 0, 10, 10], [2, 2, 0, 3]])
    assert np.allclose(boxes.overlap(a, b), [[1 / 3, 1, 0], [0, 0, 0]])
    assert boxes.clipped(np.array([[-5.0, 2, 10, 100], [99, 0, 5, 5]]), 50, 60).tolist() == [
        [0, 2, 5, 48],
        [60, 0, 0, 5],
    ]


def test_looks_do_not_depend_on_blocks() -> None:
    stream = random_stream(130, 30, 41, 2)
    detector = Detector(local=LocalGate(), attention=Attention(5, 0.2), every=17, window=9)
    whole, _ = detector(stream)
    parts, state = [], None
    for start, stop in ((0, 3), (3, 20), (20, 90), (90, 130)):
        looks, state = detector(stream[start:stop], state)
        parts += looks
    assert [look.frame for look in whole] == [16 - 4 + 17 * k for k in range(7)]
    for a, b in zip(whole, parts, strict=True):
        assert a.frame == b.frame
        assert np.array_equal(a.spikes, b.spikes)
        assert np.array_equal(a.mask, b.mask)
    with pytest.raises(ValueError, match="window=30"):
        Detector(window=30)
