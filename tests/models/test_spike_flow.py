"""The network for flow: its parts against loops, gradients, odd sizes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from spikeworks.models import (
    SpikeFlow,
    SpikeFlowConfig,
    correlate,
    shift_slices,
    spike_flow,
    spike_flow_small,
    warp,
)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("radius", [0, 1, 4])
def test_correlation_equals_the_loop(radius: int) -> None:
    first, second = drawn(2, 3, 5, 7), drawn(2, 3, 5, 7, seed=1)
    found = correlate(first, second, radius)
    side = 2 * radius + 1
    assert found.shape == (2, side * side, 5, 7)
    for b, k, y, x in ((b, k, y, x) for b in range(2) for k in range(side * side) for y in range(5) for x in range(7)):
        row, column = y + k // side - radius, x + k % side - radius
        inside = 0 <= row < 5 and 0 <= column < 7
        expected = float((first[b, :, y, x] * second[b, :, row, column]).mean()) if inside else 0.0
        assert float(found[b, k, y, x]) == pytest.approx(expected, abs=1e-6)


def test_correlation_has_the_right_gradient() -> None:
    first, second = (drawn(1, 2, 3, 4, seed=s).double().requires_grad_() for s in (0, 1))
    assert torch.autograd.gradcheck(lambda a, b: correlate(a, b, 2), (first, second))


def test_warping_reads_where_the_flow_leads() -> None:
    x, flow = drawn(2, 3, 6, 9), torch.zeros(2, 2, 6, 9)
    assert torch.allclose(warp(x, flow), x, atol=1e-6)
    flow[:, 0], flow[:, 1] = 2, -1
    assert torch.allclose(warp(x, flow)[..., 1:, :-2], x[..., :-1, 2:], atol=1e-5)
    flow[:, 0], flow[:, 1] = 0.25, 0
    assert torch.allclose(warp(x, flow)[..., :-1], 0.75 * x[..., :-1] + 0.25 * x[..., 1:], atol=1e-5)


def test_slices_that_move_with_the_flow_stand_still() -> None:
    ramp = torch.arange(30.0).expand(20, 30) + 100 * torch.arange(20.0)[:, None]
    u, v = 0.5, -0.25
    clip = torch.stack([ramp - k * u - 100 * k * v for k in range(-3, 4)])[:, None]
    flow = torch.tensor([u, v]).view(1, 2, 1, 1).expand(1, 2, 20, 30)
    assert torch.allclose(shift_slices(clip, flow)[..., 2:-2, 2:-2], ramp[2:-2, 2:-2].expand(7, 1, 16, 26), atol=1e-2)


@pytest.mark.parametrize(("height", "width"), [(16, 24), (17, 31), (5, 13)])
@pytest.mark.parametrize("known", [False, True])
def test_sizes_and_gradients(height: int, width: int, known: bool) -> None:
    network = spike_flow_small(torch.Generator().manual_seed(0), frames=5)
    first, second = ((drawn(5, 2, height, width, seed=s) > 0).float() for s in (0, 1))
    flow = 0.1 * drawn(2, 2, height, width) if known else None
    flows = network(first, second, flow)
    assert len(flows) == network.config.levels + 1
    assert flows[-1].shape == (2, 2, height, width)
    padded = [(-(-s // 8) * 8) for s in (height, width)]
    assert [tuple(f.shape[2:]) for f in flows[:-1]] == [tuple(p // d for p in padded) for d in (8, 4, 2)]
    flows[-1].abs().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.abs().sum() > 0 for p in network.parameters())


def test_odd_sizes_are_repeated_at_the_border() -> None:
    network = spike_flow_small(torch.Generator().manual_seed(0), frames=5)
    first, second = ((drawn(5, 1, 14, 21, seed=s) > 0).float() for s in (0, 1))
    wide = [F.pad(clip, (0, 3, 0, 2), "replicate") for clip in (first, second)]
    assert torch.allclose(network(first, second)[-1], network(*wide)[-1][..., :14, :21], atol=1e-6)


def test_a_picture_of_a_pixel_is_told_something() -> None:
    network = spike_flow_small(torch.Generator().manual_seed(0), frames=5)
    assert network(torch.ones(5, 1, 1, 1), torch.zeros(5, 1, 1, 1))[-1].isfinite().all()


def test_as_large_as_published() -> None:
    count = sum(p.numel() for p in spike_flow().parameters())
    assert 3.1e6 < 4 * count < 3.3e6  # the published weights have 3.2 MB
    assert sum(p.numel() for p in spike_flow_small().parameters()) < 160_000


def test_a_seed_gives_the_same_weights() -> None:
    one, other = (spike_flow_small(torch.Generator().manual_seed(3)).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_what_does_not_fit_is_refused() -> None:
    network = SpikeFlow(SpikeFlowConfig(frames=3, channels=(2, 2), hidden=(2,)))
    clip = torch.zeros(3, 1, 4, 6)
    for first, second, flow in ((clip[1:], clip[1:], None), (clip, clip[:, :, 1:], None), (clip, clip, clip[:2])):
        with pytest.raises(ValueError, match="SpikeFlow got clips"):
            network(first, second, flow)
    with pytest.raises(ValueError, match="channels"):
        SpikeFlowConfig(channels=(4,))
    with pytest.raises(ValueError, match="radius"):
        SpikeFlowConfig(radius=0)
