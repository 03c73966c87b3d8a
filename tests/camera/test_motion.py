"""Motion by plasticity: known shifts are found, and sums are the plain ones."""

from __future__ import annotations

import numpy as np
import pytest

from camera.spikes import random_spikes
from spikeworks.camera import DIRECTIONS, SpikeMotion, motion, motion_groups
from spikeworks.camera.motion import MotionField


@pytest.mark.parametrize("speed", [1, 2])
@pytest.mark.parametrize("number", range(8))
def test_a_known_shift_is_found(number: int, speed: int) -> None:
    spikes = random_spikes(1, 40, 50, number, 0.5)[0] > 0
    dx, dy = (speed * part for part in DIRECTIONS[number])
    model, state = SpikeMotion(), None
    for k in range(6):
        found, state = model(np.roll(spikes, (k * dy, k * dx), (0, 1)), state)
    inside = found.direction[8:-8, 8:-8]
    assert (inside[inside >= 0] == number).mean() > 0.95
    assert (inside >= 0).sum() == np.roll(spikes, (5 * dy, 5 * dx), (0, 1))[8:-8, 8:-8].sum()
    assert state is not None
    best = state.weights[:, 10:-10, 10:-10].argmax(0)
    assert (best == number + 8 * (speed - 1)).mean() > 0.9


def test_two_ways_at_once() -> None:
    spikes = random_spikes(1, 60, 80, 3, 0.4)[0] > 0
    model, state = SpikeMotion(), None
    for k in range(6):
        frame = np.zeros((60, 80), bool)
        frame[:25], frame[35:] = np.roll(spikes, k, 1)[:25], np.roll(spikes, -k, 1)[35:]
        found, state = model(frame, state)
    upper, lower = found.direction[3:22, 10:-10], found.direction[38:57, 10:-10]
    assert (upper[upper >= 0] == 0).mean() > 0.95
    assert (lower[lower >= 0] == 4).mean() > 0.95
    assert found.vector[0, 3:22].max() > 0


def test_square_sums_and_shifts() -> None:
    mask = random_spikes(1, 13, 17, 1)[0] > 0
    sums = motion.box_sum(mask, 5)
    for y in range(13):
        for x in range(17):
            assert sums[y, x] == mask[max(0, y - 2) : y + 3, max(0, x - 2) : x + 3].sum()
    assert np.array_equal(motion.shifted(mask, 3, -2)[:-2, 3:], mask[2:, :-3])
    assert not motion.shifted(mask, 17, 0).any()


def test_nothing_is_still() -> None:
    found, _ = SpikeMotion()(np.zeros((9, 9), bool))
    assert (found.direction == -1).all()
    assert not found.vector.any()
    with pytest.raises(ValueError, match="square=4"):
        SpikeMotion(square=4)


def test_things_that_touch_and_part_are_two_groups() -> None:
    spikes = random_spikes(1, 60, 80, 3, 0.4)[0] > 0
    model, state = SpikeMotion(), None
    for k in range(6):
        frame = np.zeros((60, 80), bool)
        frame[:30], frame[30:] = np.roll(spikes, k, 1)[:30], np.roll(spikes, -k, 1)[30:]
        found, state = model(frame, state)
    labels, means = motion_groups(found)
    upper, lower = labels[5:25, 10:-10], labels[35:55, 10:-10]
    assert len(means) == 2
    (one, share), (other, rest) = (
        (np.bincount(part[part > 0]).argmax(), np.bincount(part[part > 0]).max() / (part > 0).sum())
        for part in (upper, lower)
    )
    assert one != other
    assert min(share, rest) > 0.9
    assert means[one - 1] == pytest.approx([1, 0], abs=0.2)
    assert means[other - 1] == pytest.approx([-1, 0], abs=0.2)
    assert (labels[found.direction < 0] == 0).all()


def test_groups_are_named_by_their_size_and_strays_are_none() -> None:
    direction = np.full((30, 40), -1)
    direction[2:8, 2:8], direction[12:28, 10:30], direction[2, 35] = 0, 0, 0
    vector = np.zeros((2, 30, 40), np.float32)
    vector[0, direction >= 0] = 1
    labels, means = motion_groups(MotionField(vector, direction), near=1.5, least=3)
    assert (labels[12:28, 10:30] == 1).all()
    assert (labels[2:8, 2:8] == 2).all()
    assert (labels > 0).sum() == 16 * 20 + 36
    assert means.tolist() == [[1, 0], [1, 0]]
    empty, none = motion_groups(MotionField(vector, np.full((30, 40), -1)))
    assert not empty.any()
    assert none.shape == (0, 2)
    with pytest.raises(ValueError, match="near=0"):
        motion_groups(MotionField(vector, direction), near=0)
