"""Fewer frames: no event is lost or the frames are those that were asked for, and scale stays."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spikeworks.train import frame_window, rebin


@given(seed=st.integers(0, 999), steps=st.integers(1, 5), together=st.integers(1, 5))
def test_rebin_adds_neighbours_and_keeps_the_mean(seed: int, steps: int, together: int) -> None:
    frames = torch.randint(0, 9, (steps * together, 3, 2, 4, 5), generator=torch.Generator().manual_seed(seed)).double()
    few = rebin(frames, steps)
    for t in range(steps):
        added = sum(frames[t * together + k] for k in range(together))
        assert torch.allclose(few[t], added / together)
    assert torch.allclose(few.sum() * together, frames.sum())  # every event, once
    assert torch.allclose(few.mean(0), frames.mean(0))


def test_rebin_to_as_many_is_nothing_and_in_two_goes_the_same() -> None:
    frames = torch.rand(8, 2, 2, 3, 3)
    assert torch.equal(rebin(frames, 8), frames)
    assert torch.allclose(rebin(rebin(frames, 4), 2), rebin(frames, 2))
    equal = torch.ones(8, 1)  # frames of as many events each
    assert torch.equal(rebin(equal, 2), torch.ones(2, 1))


def test_window_is_a_view_of_the_frames_asked_for() -> None:
    frames = torch.rand(8, 2, 2, 3, 3)
    half = frame_window(frames, 4, 4)
    assert torch.equal(half, frames[4:])
    assert half.data_ptr() == frames[4:].data_ptr()
    assert torch.equal(frame_window(frames, 8), frames)


def test_what_cannot_be_is_refused() -> None:
    frames = torch.rand(8, 2, 2, 3, 3)
    for wrong in (lambda: rebin(frames, 3), lambda: rebin(frames, 16), lambda: rebin(frames, 0),
                  lambda: rebin(frames.byte(), 4), lambda: rebin(frames[:0], 1), lambda: frame_window(frames, 9),
                  lambda: frame_window(frames, 4, 5), lambda: frame_window(frames, 0),
                  lambda: frame_window(frames, 2, -1)):  # fmt: skip
        with pytest.raises(ValueError, match="expected"):
            wrong()
