"""Parallel spiking neurons against the sum written out."""

import copy
import math

import pytest
import torch
from torch import nn

import spikeworks as sw
from spikeworks.layers import PSN, SNN, MaskedPSN, SlidingPSN


def signal(steps: int, *shape: int) -> torch.Tensor:
    return 3 * torch.randn(steps, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def spread(layer: nn.Module) -> nn.Module:
    torch.manual_seed(4)
    for parameter in layer.parameters():
        nn.init.uniform_(parameter, -1, 1)
    return layer.double()


@pytest.mark.parametrize("shape", [(3,), (3, 2), (2, 3, 5, 4)])
@pytest.mark.parametrize("mask", [None, 0.0, 0.4, 1.0])
def test_psn_equals_the_double_loop(shape, mask):
    steps, order = 6, 3
    layer = spread(PSN(steps) if mask is None else MaskedPSN(steps, order, mask=mask))
    x_T, y_T = signal(steps, *shape), layer(signal(steps, *shape))
    for t in range(steps):
        h = layer.bias[t].clone()
        for u in range(steps):
            within = t - order < u <= t
            share = 1.0 if mask is None or within else 1 - torch.tensor(mask).item()
            h = h + share * layer.weight[t, u] * x_T[u]
        assert torch.equal(y_T[t], (h >= 0).double())
    assert 0 < y_T.mean() < 1


@pytest.mark.parametrize("order", [1, 2, 5, 9])
def test_sliding_psn_equals_the_double_loop(order):
    layer, x_T = spread(SlidingPSN(order)), signal(7, 2, 3)
    y_T = layer(x_T)
    for t in range(7):
        h = layer.bias.clone()
        for i in range(order):
            if t - order + 1 + i >= 0:
                h = h + layer.weight[i] * x_T[t - order + 1 + i]
        assert torch.equal(y_T[t], (h >= 0).double())
    assert 0 < y_T.mean() < 1


def test_gradients_are_those_of_the_surrogate():
    layer, x_T = spread(PSN(4, sw.surrogate.sigmoid(alpha=3.0))), signal(4, 2, 3).requires_grad_()
    layer(x_T).sum().backward()
    slope = sw.surrogate.sigmoid(alpha=3.0).slope(
        torch.einsum("tu,ubc->tbc", layer.weight, x_T) + layer.bias.view(-1, 1, 1)
    )
    assert torch.allclose(x_T.grad, torch.einsum("tu,tbc->ubc", layer.weight, slope))
    assert torch.allclose(layer.weight.grad, torch.einsum("tbc,ubc->tu", slope, x_T))
    assert torch.allclose(layer.bias.grad, slope.sum((1, 2)))


def test_a_masked_psn_at_one_is_blind_to_the_future_and_to_the_far_past():
    layer, x_T = spread(MaskedPSN(6, 2, mask=1.0)), signal(6, 4, 5)
    y_T = layer(x_T)
    changed = x_T.clone()
    changed[3] += 10
    differs = (layer(changed) != y_T).flatten(1).any(1)
    assert not differs[:3].any()
    assert not differs[5:].any()
    assert differs[3]


def test_the_mask_is_kept_in_the_state_dict_and_anneals():
    layer = MaskedPSN(4, 2)
    layer.anneal(0.75)
    other = MaskedPSN(4, 2)
    other.load_state_dict(layer.state_dict())
    assert other.mask == 0.75
    assert set(layer.state_dict()) == {"weight", "bias", "mask"}
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="expected 0 to 1"):
            layer.anneal(wrong)


def test_windows_that_cannot_be_answered_are_refused():
    psn, masked, x_T = PSN(4), MaskedPSN(4, 2, mask=0.5), torch.rand(4, 2)
    with pytest.raises(ValueError, match="window of 3 steps after 0, expected all 4"):
        psn(x_T[:3])
    _, state = psn.stream(x_T)
    with pytest.raises(ValueError, match="after 4"):
        psn.stream(x_T, state)
    with pytest.raises(ValueError, match=r"mask=0\.5, expected mask=1"):
        masked(x_T[:3])
    masked.anneal(1.0)
    _, state = masked.stream(x_T[:3])
    with pytest.raises(ValueError, match="at most 4 steps"):
        masked.stream(x_T, state)
    with pytest.raises(ValueError, match="order=5"):
        MaskedPSN(4, 5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_low_precision_is_computed_in_float32(dtype):
    for layer in (PSN(4), MaskedPSN(4, 2), SlidingPSN(3)):
        x_T = (3 * torch.rand(4, 50)).to(dtype)
        assert layer(x_T).dtype == dtype
        assert torch.equal(layer(x_T).float(), layer(x_T.float()))


KINDS = [lambda: PSN(8), lambda: MaskedPSN(8, 3, mask=0.3), lambda: SlidingPSN(3)]


@pytest.mark.parametrize("make", KINDS)
def test_autocast_leaves_the_membrane_in_float32(make):
    torch.manual_seed(0)
    layer, x_T = make(), 3 * torch.randn(8, 32, 32)
    nn.init.constant_(layer.bias, -0.3)
    expected_T = layer(x_T)
    with torch.autocast("cpu", torch.bfloat16):
        y_T = layer(x_T)
    assert y_T.dtype == x_T.dtype
    assert torch.equal(y_T, expected_T)
    assert 0 < y_T.mean() < 1


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_modules_compute_in_float32(make, dtype):
    torch.manual_seed(0)
    layer = make().to(dtype)
    same = copy.deepcopy(layer).float()  # the rounded weights, in float32
    x_T = (3 * torch.randn(8, 50)).to(dtype).requires_grad_()
    y_T = layer(x_T)
    assert y_T.dtype == dtype
    assert torch.equal(y_T.float(), same(x_T.float()))
    y_T.sum().backward()
    assert {p.grad.dtype for p in (x_T, *layer.parameters())} == {dtype}
    assert layer(x_T.double()).dtype == torch.float64  # whatever the module is in


@pytest.mark.parametrize("make", KINDS)
def test_a_membrane_is_refused_for_what_is_in_it_only(make):
    torch.manual_seed(0)
    x_T = torch.full((8, 50), 1e38)
    assert 0 < make()(x_T).mean() <= 1  # finite, though its sum is not
    for bad in (math.nan, math.inf, -math.inf):
        x_T[7, 49] = bad
        with pytest.raises(ValueError, match="drove its membrane to NaN or infinity"):
            make()(x_T)


@pytest.mark.parametrize("make", KINDS)
def test_where_there_are_no_values_to_look_at_it_runs(make):
    layer, x_T = make(), torch.randn(8, 6, 5)
    assert torch.equal(torch.func.vmap(layer, 1, 1)(x_T.unsqueeze(2)).squeeze(2), layer(x_T))
    assert layer.to("meta")(x_T.to("meta")).shape == x_T.shape


@pytest.mark.parametrize("layer", [PSN(4), MaskedPSN(4, 2), SlidingPSN(3)])
def test_layout_and_network_use(layer):
    x = torch.rand(4 * 2, 3, 5, 6).to(memory_format=torch.channels_last)
    x_T = x.unflatten(0, (4, 2))
    assert layer(x_T).stride() == x_T.stride()
    assert torch.equal(layer(x_T), layer(x_T.contiguous()))
    assert torch.equal(SNN(nn.Sequential(layer))(x_T), layer(x_T))
