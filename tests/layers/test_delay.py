"""Learned delays: shifts written out, gradients, the schedule, streams."""

import copy
import io
import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import spikeworks as sw
from spikeworks.layers import SNN, DelayedLinear, Spiking


def make(inputs: int = 3, outputs: int = 4, max_delay: int = 5, **options) -> DelayedLinear:
    return DelayedLinear(inputs, outputs, max_delay, generator=torch.Generator().manual_seed(0), **options).double()


def signal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def shifted(layer: DelayedLinear, x_T: torch.Tensor) -> torch.Tensor:
    """The sum of explicit shifts, one synapse after the other; delays are whole."""
    y_T = torch.zeros(*x_T.shape[:-1], layer.out_features, dtype=x_T.dtype)
    for o in range(layer.out_features):
        for i in range(layer.in_features):
            d = int(layer.delay[o, i])
            for t in range(d, x_T.shape[0]):
                y_T[t, ..., o] += layer.weight[o, i].detach() * x_T[t - d, ..., i]
    return y_T + (0 if layer.bias is None else layer.bias.detach())


@given(
    steps=st.integers(1, 9), max_delay=st.integers(0, 6), inputs=st.integers(1, 4), outputs=st.integers(1, 3),
    seed=st.integers(0, 99), sharp=st.booleans(),
)  # fmt: skip
def test_whole_delays_without_width_are_shifts_exactly(steps, max_delay, inputs, outputs, seed, sharp):
    draw = torch.Generator().manual_seed(seed)
    layer = DelayedLinear(inputs, outputs, max_delay, generator=draw)
    with torch.no_grad():  # whole numbers: whatever the order of the sum, nothing is rounded
        layer.weight.copy_(torch.randint(-8, 9, layer.weight.shape, generator=draw))
        layer.bias.copy_(torch.randint(-8, 9, layer.bias.shape, generator=draw))
    layer.round_()
    if sharp:
        layer.sigma.fill_(1e-3)  # the limit, rather than the mode after training
    x_T = torch.randint(0, 3, (steps, 2, inputs), generator=draw).float()
    assert torch.equal(layer(x_T), shifted(layer, x_T))
    assert ((layer.kernel() != 0).sum(2) <= 1).all()


def test_wide_bumps_are_the_formula():
    layer, x_T = make(), signal(7, 2, 3)
    taps = torch.arange(6.0, dtype=torch.float64)
    y_T = torch.zeros(7, 2, 4, dtype=torch.float64)
    for o in range(4):
        for i in range(3):
            g = torch.exp(-((taps - layer.delay[o, i]) ** 2) / (2 * 2.5**2))
            for k in range(6):
                for t in range(k, 7):
                    y_T[t, :, o] += layer.weight[o, i] * g[k] / g.sum() * x_T[t - k, :, i]
    torch.testing.assert_close(layer(x_T), y_T)
    torch.testing.assert_close(layer.kernel().sum(2), layer.weight)


@pytest.mark.parametrize("sigma", [0.5, 2.5])
def test_gradients(sigma):
    layer, x_T = make(2, 2, 3, sigma=sigma), signal(5, 2, 2).requires_grad_()

    def run(x_T, weight, delay, bias):
        return torch.func.functional_call(layer, {"weight": weight, "delay": delay, "bias": bias}, x_T)

    assert torch.autograd.gradcheck(run, (x_T, layer.weight, layer.delay, layer.bias))


def test_a_delay_is_learned():
    layer, x_T = make(1, 1, 12, bias=False), (signal(60, 4, 1) > 0.5).double()
    with torch.no_grad():
        layer.weight.fill_(1.0)
        layer.delay.fill_(9.3)
    target_T = torch.cat((torch.zeros_like(x_T[:4]), x_T[:-4]))
    optimiser = torch.optim.Adam([layer.delay], 0.2)
    optimiser.register_step_post_hook(lambda *_: layer.clamp_())
    for step in range(60):
        layer.anneal(step / 59)
        optimiser.zero_grad()
        (layer(x_T) - target_T).pow(2).mean().backward()
        optimiser.step()
    layer.round_()
    assert layer.delay.item() == 4
    assert torch.equal(layer(x_T), target_T)


def test_it_is_causal_and_blind_to_what_is_older_than_the_longest_delay():
    layer, x_T = make(max_delay=2), signal(8, 2, 3)
    changed_T = x_T.clone()
    changed_T[3] += 1
    differs = (layer(changed_T) != layer(x_T)).flatten(1).any(1)
    assert differs.tolist() == [False] * 3 + [True] * 3 + [False] * 2


@pytest.mark.parametrize("max_delay", [0, 1, 5, 20])
def test_streams_equal_the_whole(max_delay):
    layer, x_T = make(max_delay=max_delay), signal(7, 2, 5, 3)
    whole_T = layer(x_T)
    assert whole_T.shape == (7, 2, 5, 4)
    for windows in ([3, 4], [1] * 7, [6, 1]):
        state, parts = None, []
        for window_T in x_T.split(windows):
            y_T, state = layer.stream(window_T, state)
            parts.append(y_T)
        torch.testing.assert_close(torch.cat(parts), whole_T, rtol=0, atol=1e-12)
        assert len(state) == max_delay
    net = SNN(nn.Sequential(layer, Spiking(sw.LIF())))
    state, spikes = None, []
    for x in x_T:
        y, state = net.step(x, state)
        spikes.append(y)
    assert torch.equal(torch.stack(spikes), net(x_T))


def test_the_schedule_is_geometric_and_kept_with_the_weights():
    layer = make(max_delay=24)
    assert layer.sigma == 12.0
    widths = []
    for fraction in (0.0, 0.25, 0.5, 0.75, 1.0):
        layer.anneal(fraction)
        widths.append(layer.sigma.item())
    ratios = [b / a for a, b in itertools.pairwise(widths)]
    assert widths[0] == 12.0
    assert widths[-1] == pytest.approx(0.5)
    assert ratios == pytest.approx([(0.5 / 12) ** 0.25] * 4)
    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    other = make(max_delay=24)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert other.sigma == layer.sigma
    assert torch.equal(copy.deepcopy(layer).kernel(), other.kernel())
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="expected 0 to 1"):
            layer.anneal(wrong)


def test_delays_beyond_the_range_act_as_its_edge_and_can_come_back():
    layer, x_T = make(1, 2, 3, bias=False), signal(6, 2, 1)
    with torch.no_grad():
        layer.delay.copy_(torch.tensor([[-2.0], [7.0]]))
    outside = layer.kernel()
    layer(x_T).pow(2).sum().backward()
    assert (layer.delay.grad != 0).all()
    layer.clamp_()
    assert layer.delay.flatten().tolist() == [0.0, 3.0]
    assert torch.equal(layer.kernel(), outside)
    with torch.no_grad():
        layer.delay.copy_(torch.tensor([[0.6], [5.0]]))
    layer.round_()
    assert layer.delay.flatten().tolist() == [1.0, 3.0]
    assert layer.sigma == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_keeps_the_bump(dtype):
    layer = make().to(dtype)
    for width in (0.0, 0.5, 2.5):
        layer.sigma.fill_(width)
        torch.testing.assert_close(layer.kernel().sum(2), layer.weight, rtol=0.02, atol=0)
    assert layer(torch.rand(4, 2, 3, dtype=dtype)).dtype == dtype
    assert "sigma" not in repr(layer.to("meta"))


def test_one_generator_gives_one_layer_and_delays_fill_the_range():
    a, b = make(40, 50, 9), make(40, 50, 9)
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))
    assert 0 <= a.delay.min() < 0.1
    assert 8.9 < a.delay.max() <= 9
    assert a.weight.abs().max() <= 1 / 40**0.5
    assert "max_delay=9, sigma=4.5" in repr(a)


def test_impossible_numbers_and_inputs_are_refused():
    layer, x_T = make().float(), torch.rand(4, 2, 3)
    for wrong, said in (
        (lambda: DelayedLinear(0, 1, 1), "in_features=0"),
        (lambda: DelayedLinear(1, 1, -1), "max_delay=-1"),
        (lambda: DelayedLinear(1, 1, 4, sigma=0.2), r"sigma=0\.2 and final=0\.5, expected 0 < final <= sigma"),
        (lambda: DelayedLinear(1, 1, 4, final=0.0), r"final=0\.0, expected 0 < final"),
        (lambda: layer(torch.rand(4, 2, 5)), r"expected \[T, B, ..., 3\]"),
        (lambda: layer(torch.rand(4, 3)), r"expected \[T, B, ..., 3\]"),
        (lambda: layer(x_T.long()), "floating-point"),
        (lambda: layer.stream(x_T, (x_T[0],)), "expected a tuple of 5"),
        (lambda: layer.stream(x_T, layer.stream(x_T[:, :1])[1]), "as one step of the input"),
    ):
        with pytest.raises(ValueError, match=said):
            wrong()
