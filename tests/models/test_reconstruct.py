"""Networks that make pictures of spikes, and what they are given beside them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from spikeworks.models import (
    FiveConvolutions,
    FiveConvolutionsConfig,
    SpikeDepthConfig,
    SpikingReconstruction,
    SpikingReconstructionConfig,
    five_convolutions,
    spike_depth,
    spiking_reconstruction,
)
from spikeworks.models.reconstruct import interval_rates


def by_hand(bits: np.ndarray, k: int) -> float:
    """Light of one pixel from the nearest spikes on both sides of the middle frame."""
    spikes, middle, side = np.flatnonzero(bits), len(bits) // 2, (k + 1) // 2 if k else len(bits)
    before, behind = spikes[spikes <= middle], spikes[spikes > middle]
    taken = [*before[::-1][:side], *behind[:side]]
    first = min(taken) if len(before) else middle + 1  # no spike on a side: it ends at the middle
    last = max(taken) if len(behind) else middle
    return (len(taken) - 1) / (last - first) if len(taken) > 1 else 0.0


@given(st.integers(0, 10_000), st.integers(1, 25))
def test_rates_are_those_of_the_intervals_around_the_middle(seed: int, half: int) -> None:
    draw = np.random.default_rng(seed)
    bits = draw.random((2, 2 * half + 1, 3, 2)) < draw.random((2, 1, 3, 2))
    ks = (1, 3, 7, 0)
    found = interval_rates(torch.from_numpy(bits).float(), ks).numpy()
    for b, k, y, x in np.ndindex(found.shape):
        assert found[b, k, y, x] == pytest.approx(by_hand(bits[b, :, y, x], ks[k]), abs=1e-6)


@given(st.floats(0.1, 1), st.floats(0, 1))
def test_still_light_is_told_to_a_frame_of_all_intervals(light: float, begin: float) -> None:
    """n intervals of still light take n/light frames, less or more than one."""
    bits = torch.diff((torch.arange(42, dtype=torch.float64) * light + begin).floor()).view(1, 41, 1, 1)
    intervals, found = float(bits.sum()) - 1, float(interval_rates(bits, (0,)))
    assert abs(intervals / found - intervals / light) < 1 + 1e-6


def test_untrained_they_show_the_mean() -> None:
    bits = (torch.rand(2, 41, 9, 7, generator=torch.Generator().manual_seed(0)) < 0.3).float()
    assert torch.equal(five_convolutions(torch.Generator().manual_seed(0))(bits), bits.mean(1))
    assert torch.equal(FiveConvolutions()(bits), bits.mean(1))
    near = spiking_reconstruction(torch.Generator().manual_seed(0)).eval()(bits[:, :40])
    assert (near - bits[:, :40].mean(1)).abs().max() < 0.2


def test_they_have_as_many_weights_as_is_said() -> None:
    def weights(network: nn.Module) -> int:
        return sum(p.numel() for p in network.parameters())

    assert round(weights(FiveConvolutions()) / 1e6, 2) == 0.18
    assert round(weights(FiveConvolutions(FiveConvolutionsConfig(intervals=()))) / 1e6, 2) == 0.18
    assert round(weights(SpikingReconstruction()), -3) == 29_000
    assert round(weights(spike_depth()) / 1e6, 1) == 0.2


@pytest.mark.parametrize("size", [(16, 24), (17, 21), (1, 1)])
def test_depth_lies_between_the_nearest_and_the_farthest(size: tuple[int, int]) -> None:
    network = spike_depth(torch.Generator().manual_seed(0), nearest=2.0, farthest=9.0).eval()
    found = network((torch.rand(2, 41, *size, generator=torch.Generator().manual_seed(0)) < 0.3).float()).detach()
    assert found.shape == (2, *size)
    assert 2 <= float(found.min()) <= float(found.max()) <= 9


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"FiveConvolutions got \[1, 40, 3, 3\], expected bits \[B, 41, H, W\]"):
        five_convolutions()(torch.zeros(1, 40, 3, 3))
    with pytest.raises(ValueError, match=r"SpikingReconstruction got \[1, 41, 3, 3\]"):
        spiking_reconstruction()(torch.zeros(1, 41, 3, 3))
    with pytest.raises(ValueError, match=r"SpikeDepth got \[1, 40, 3, 3\]"):
        spike_depth()(torch.zeros(1, 40, 3, 3))
    with pytest.raises(ValueError, match="and odd numbers from 3"):
        FiveConvolutionsConfig(frames=40)
    with pytest.raises(ValueError, match="and odd numbers from 3"):
        FiveConvolutionsConfig(intervals=(2,))
    with pytest.raises(ValueError, match=r"channels=\(\)"):
        FiveConvolutionsConfig(channels=())
    with pytest.raises(ValueError, match="steps"):
        SpikingReconstructionConfig(steps=0)
    with pytest.raises(ValueError, match="no channels"):
        SpikingReconstructionConfig(channels=())
    with pytest.raises(ValueError, match="nearest=3"):
        SpikeDepthConfig(nearest=3.0, farthest=2.0)
