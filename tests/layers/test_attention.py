"""Attention in time against its formula written out."""

import math

import pytest
import torch
from torch import nn

from spikeworks.layers import SNN, TemporalAttention, TemporalChannelAttention

SHAPES = [(5, 2), (5, 2, 3), (5, 1, 3, 4), (5, 2, 3, 4, 7)]


def signal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("reduction", [1, 2, 9])
def test_temporal_attention_is_its_formula(shape: tuple[int, ...], reduction: int) -> None:
    layer, x_T = TemporalAttention(5, reduction).double(), signal(*shape)
    one, two = layer.fc1.weight.tolist(), layer.fc2.weight.tolist()
    assert len(one) == max(1, 5 // reduction)
    expected_T = torch.empty_like(x_T)
    for b in range(shape[1]):
        s = [x_T[t, b].mean().item() for t in range(5)]
        hidden = [max(0.0, sum(w * value for w, value in zip(row, s, strict=True))) for row in one]
        for t in range(5):
            d = 1 / (1 + math.exp(-sum(w * h for w, h in zip(two[t], hidden, strict=True))))
            assert layer.scores(x_T)[t, b].item() == pytest.approx(d)
            expected_T[t, b] = d * x_T[t, b]
    torch.testing.assert_close(layer(x_T), expected_T)


def test_steps_of_low_score_are_dropped_in_evaluation_and_the_others_left_alone() -> None:
    layer, x_T = TemporalAttention(6).double(), 5 * signal(6, 40, 3)
    d_TB = layer.scores(x_T)
    layer.threshold = d_TB.median().item()
    assert torch.equal(layer(x_T), d_TB.unsqueeze(2) * x_T)
    y_T = layer.eval()(x_T)
    kept = d_TB >= layer.threshold
    assert 0 < kept.double().mean() < 1
    assert torch.equal(y_T[kept], x_T[kept])
    assert not y_T[~kept].any()


@pytest.mark.parametrize("shape", SHAPES[1:])
@pytest.mark.parametrize(("kernel_time", "kernel_channel"), [(1, 1), (3, 2), (2, 5), (4, 3)])
def test_joint_attention_is_its_formula(shape: tuple[int, ...], kernel_time: int, kernel_channel: int) -> None:
    steps, channels = 5, 3
    layer, x_T = TemporalChannelAttention(steps, channels, kernel_time, kernel_channel).double(), signal(*shape)
    a, e = layer.time.weight.tolist(), layer.channel.weight.tolist()
    expected_T = torch.empty_like(x_T)
    for b in range(shape[1]):
        z = [[x_T[t, b, c].mean().item() for c in range(channels)] for t in range(steps)]
        at = lambda t, c: z[t][c] if 0 <= t < steps and 0 <= c < channels else 0.0  # noqa: E731, B023
        for t in range(steps):
            for c in range(channels):
                before = (kernel_time - 1) // 2
                u = sum(a[c][i][m] * at(t + m - before, i) for i in range(channels) for m in range(kernel_time))
                before = (kernel_channel - 1) // 2
                v = sum(e[t][i][n] * at(i, c + n - before) for i in range(steps) for n in range(kernel_channel))
                expected_T[t, b, c] = x_T[t, b, c] / (1 + math.exp(-u * v))
    torch.testing.assert_close(layer(x_T), expected_T)


LAYERS = [lambda: TemporalAttention(4, 2), lambda: TemporalChannelAttention(4, 3)]


@pytest.mark.parametrize("make", LAYERS)
def test_a_network_runs_it_on_all_steps_and_gradients_reach_it(make) -> None:
    layer, x_T = make().double(), signal(4, 2, 3, 5, 5)
    net = SNN(nn.Sequential(nn.Identity(), layer))
    assert torch.equal(net(x_T), layer(x_T))
    assert torch.autograd.gradcheck(layer, signal(4, 1, 3, 2).requires_grad_())
    net(x_T).pow(2).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in net.parameters())
    assert layer(torch.rand(4, 0, 3, 5, dtype=torch.float64)).shape == (4, 0, 3, 5)


@pytest.mark.parametrize("make", LAYERS)
def test_a_part_of_time_is_refused(make) -> None:
    layer, x_T = make(), torch.rand(4, 2, 3)
    name = type(layer).__name__
    with pytest.raises(ValueError, match=f"{name} got a window of 3 steps after 0, expected all 4 at once; .* stream"):
        layer(x_T[:3])
    _, state = layer.stream(x_T)
    assert state == 4
    with pytest.raises(ValueError, match="4 steps after 4"):
        layer.stream(x_T, state)
    with pytest.raises(ValueError, match="a window of 1 steps"):
        layer.step(x_T[0])
    with pytest.raises(ValueError, match="floating-point"):
        layer(torch.ones(4, 2, 3, dtype=torch.int64))


def test_impossible_numbers_and_shapes_are_refused() -> None:
    for wrong, said in (
        (lambda: TemporalAttention(0), "steps=0"),
        (lambda: TemporalAttention(4, reduction=0), "reduction=0"),
        (lambda: TemporalAttention(4, threshold=1.5), r"threshold=1\.5, expected 0 to 1"),
        (lambda: TemporalChannelAttention(4, 3, kernel_time=0), "kernel_time=0"),
        (lambda: TemporalChannelAttention(4, 3)(torch.rand(4, 2, 5)), r"expected \[T, B, 3, ...\]"),
        (lambda: TemporalChannelAttention(4, 3)(torch.rand(4, 3)), r"expected \[T, B, 3, ...\]"),
    ):
        with pytest.raises(ValueError, match=said):
            wrong()
