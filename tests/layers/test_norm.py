"""Normalisation over time: against torch's own, and by its statistics."""

import pytest
import torch
from torch import nn

from spikeworks.layers import SNN, PerStepBatchNorm, TemporalEffectiveBatchNorm, ThresholdDependentBatchNorm


def signal(*shape: int) -> torch.Tensor:
    return 3 * torch.randn(*shape, generator=torch.Generator().manual_seed(0)) + 2


@pytest.mark.parametrize("shape", [(5, 4, 3), (5, 4, 3, 7), (5, 4, 3, 6, 7)])
def test_tdbn_normalises_over_time_batch_and_space_to_alpha_threshold(shape):
    x_T = signal(*shape) * torch.arange(1, 6).view(5, *(1,) * (len(shape) - 1))  # statistics differ between steps
    y_T = ThresholdDependentBatchNorm(3, threshold=0.5, alpha=0.7)(x_T)
    channel = y_T.transpose(0, 2).flatten(1)
    assert torch.allclose(channel.mean(1), torch.zeros(3), atol=1e-6)
    assert torch.allclose(channel.std(1, unbiased=False), torch.full((3,), 0.35), rtol=1e-4)


def test_tdbn_is_batch_norm_on_folded_data_with_running_statistics():
    x_T, plain, ours = signal(4, 3, 2, 5, 5), nn.BatchNorm2d(2), ThresholdDependentBatchNorm(2)
    assert torch.equal(plain(x_T.flatten(0, 1)).unflatten(0, (4, 3)), ours(x_T))
    assert torch.equal(plain.running_var, ours.norm.running_var)
    assert torch.equal(plain.eval()(x_T.flatten(0, 1)), ours.eval()(x_T).flatten(0, 1))
    assert torch.equal(SNN(nn.Sequential(ours))(x_T), ours(x_T))


def test_tebn_scales_each_step():
    x_T, layer = signal(4, 3, 2, 5, 5), TemporalEffectiveBatchNorm(2, 6)
    with torch.no_grad():
        layer.scale.copy_(torch.arange(1.0, 7.0))
        layer.norm.bias.fill_(0.5)
    expected = nn.BatchNorm2d(2)(x_T.flatten(0, 1)).unflatten(0, (4, 3)) + 0.5
    assert torch.allclose(layer(x_T), expected * torch.arange(1.0, 5.0).view(4, 1, 1, 1, 1), atol=1e-5)
    layer(x_T).square().sum().backward()
    assert (layer.scale.grad[:4] != 0).all()
    assert (layer.scale.grad[4:] == 0).all()  # steps that were not run


def test_bntt_keeps_statistics_of_each_step():
    x_T, layer = signal(4, 3, 2, 5, 5), PerStepBatchNorm(2, 4)
    for _ in range(2):
        y_T = layer(x_T)
    for t, norm in enumerate(layer.norms):
        plain = nn.BatchNorm2d(2)
        plain(x_T[t])
        assert torch.equal(plain(x_T[t]), y_T[t])
        assert torch.equal(plain.running_mean, norm.running_mean)
        assert norm.bias is None


@pytest.mark.parametrize("kind", [TemporalEffectiveBatchNorm, PerStepBatchNorm])
def test_steps_beyond_the_last_are_refused_also_when_streaming(kind):
    layer, x_T = kind(2, 4), signal(3, 3, 2)
    with pytest.raises(ValueError, match="expected at most 4 steps"):
        layer(signal(5, 3, 2))
    _, state = layer.stream(x_T)
    with pytest.raises(ValueError, match="steps 3 to 5"):
        layer.stream(x_T, state)


def test_channels_in_the_wrong_place_are_refused():
    with pytest.raises(ValueError, match=r"expected \[B, 2, \.\.\.\]"):
        ThresholdDependentBatchNorm(2)(torch.rand(4, 2, 3))
