"""Plasticity: the window of pairs exactly, bounds, convolutions as patches, states handed on, and what it learns."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from spikeworks.train import STDP, RewardSTDP

FREE = {"low": -math.inf, "high": math.inf}


def linear(n_in: int, n_out: int, value: float | None = None) -> nn.Linear:
    layer = nn.Linear(n_in, n_out, bias=False).double()
    nn.init.uniform_(layer.weight, 0.2, 0.8) if value is None else nn.init.constant_(layer.weight, value)
    return layer


def spikes(*shape: int, rate: float = 0.3) -> Tensor:
    return (torch.rand(shape) < rate).double()


def single(at: int, steps: int = 40) -> Tensor:
    s = torch.zeros(steps, 1, 1, dtype=torch.float64)
    s[at] = 1
    return s


@pytest.mark.parametrize("nearest", [False, True], ids=["all", "nearest"])
def test_the_window_of_a_pair(nearest: bool) -> None:
    rule = STDP(0.03, 0.02, tau_up=7.0, tau_down=11.0, nearest=nearest, **FREE)
    for delay in range(-19, 20):
        layer = linear(1, 1, 0.5)
        rule.learn(layer, single(20), single(20 + delay))
        wanted = 0.03 * math.exp(-delay / 7) if delay >= 0 else -0.02 * math.exp(delay / 11)
        assert layer.weight.item() - 0.5 == pytest.approx(wanted, rel=1e-12)


def pairs(rule: STDP, pre: list[int], post: list[int]) -> float:
    """What the pairs of two spike trains sum to, one by one."""
    total = 0.0
    for b in (t for t, s in enumerate(post) if s):
        earlier = [t for t, s in enumerate(pre) if s and t <= b]
        total += sum(rule.up * math.exp((t - b) / rule.tau_up) for t in (earlier[-1:] if rule.nearest else earlier))
    for a in (t for t, s in enumerate(pre) if s):
        earlier = [t for t, s in enumerate(post) if s and t < a]
        total -= sum(rule.down * math.exp((t - a) / rule.tau_down) for t in (earlier[-1:] if rule.nearest else earlier))
    return total


TRAIN = st.lists(st.integers(0, 1), min_size=23, max_size=23)


@given(TRAIN, TRAIN, st.booleans())
def test_trains_are_sums_over_their_pairs(pre: list[int], post: list[int], nearest: bool) -> None:
    rule, layer = STDP(0.03, 0.02, 5.0, 9.0, nearest=nearest, **FREE), linear(1, 1, 0.5)
    as_steps = lambda train: torch.tensor(train, dtype=torch.float64).view(-1, 1, 1)  # noqa: E731
    rule.learn(layer, as_steps(pre), as_steps(post))
    assert layer.weight.item() - 0.5 == pytest.approx(pairs(rule, pre, post), abs=1e-12)


def test_batch_and_neurons_each_by_themselves() -> None:
    rule, layer = STDP(tau_up=3.0, **FREE), linear(4, 3)
    before, pre, post = layer.weight.detach().clone(), spikes(11, 5, 4), spikes(11, 5, 3)
    rule.learn(layer, pre, post)
    for i in range(3):
        for j in range(4):
            each = [pairs(rule, pre[:, b, j].int().tolist(), post[:, b, i].int().tolist()) for b in range(5)]
            assert (layer.weight[i, j] - before[i, j]).item() == pytest.approx(sum(each) / 5, abs=1e-12)


@pytest.mark.parametrize("softness", [0.0, 0.4, 1.0])
def test_weights_stay_in_their_bounds(softness: float) -> None:
    for up, down in ((0.4, 0.0), (0.0, 0.4), (0.3, 0.3)):
        layer, rule = linear(6, 5).float(), STDP(up, down, low=0.2, high=0.6, softness=softness)
        nn.init.constant_(layer.weight[:3], 0.6)  # in float32 this is a little further from 0.2 than 0.4
        nn.init.constant_(layer.weight[3:], 0.2)
        state = None
        for _ in range(5):
            state = rule.learn(layer, spikes(20, 3, 6).float(), spikes(20, 3, 5).float(), state)
            assert bool(((layer.weight >= 0.2) & (layer.weight <= 0.6)).all())  # and no NaN
    gentle, layer = STDP(0.01, 0.0, low=0.0, high=2.0, softness=1.0), linear(1, 1, 1.5)
    gentle.learn(layer, single(3), single(3))
    assert layer.weight.item() == pytest.approx(1.5 + 0.01 * 0.25)
    STDP(0.0, 0.01, high=2.0, softness=2.0, tau_down=1.0).learn(layer, single(4), single(3))
    assert layer.weight.item() == pytest.approx(1.5025 - 0.01 * math.exp(-1) * (1.5025 / 2) ** 2)


@pytest.mark.parametrize("nearest", [False, True], ids=["all", "nearest"])
def test_a_convolution_is_the_linear_rule_on_patches(nearest: bool) -> None:
    rule = STDP(0.004, 0.003, 4.0, 6.0, softness=0.5, nearest=nearest)
    conv = nn.Conv2d(2, 3, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2), bias=False).double()
    nn.init.uniform_(conv.weight, 0.2, 0.8)
    pre, post = spikes(9, 4, 2, 7, 6), spikes(9, 4, 3, 4, 4)
    flat = linear(12, 3)
    with torch.no_grad():
        flat.weight.copy_(conv.weight.flatten(1))
    rule.learn(conv, pre, post)
    patches = F.unfold(pre.flatten(0, 1), (3, 2), (1, 2), (1, 0), (2, 1)).unflatten(0, (9, 4)).transpose(2, 3)
    rule.learn(flat, patches, post.flatten(3).transpose(2, 3))
    assert torch.allclose(conv.weight.flatten(1), flat.weight, rtol=1e-12)


@pytest.mark.parametrize(
    "layer", [nn.Conv1d(4, 6, 3, groups=2), nn.Conv3d(2, 3, 2, bias=False), nn.ConvTranspose2d(2, 3, 2, stride=2)],
    ids=["grouped", "3d", "transposed"],
)  # fmt: skip
def test_other_convolutions(layer: Any) -> None:
    shapes = {nn.Conv1d: (4, 9), nn.Conv3d: (2, 3, 4, 3), nn.ConvTranspose2d: (2, 3, 4)}
    layer.double()
    pre = spikes(6, 2, *shapes[type(layer)])
    post = spikes(6, *layer(pre[0]).shape)
    before = layer.weight.detach().clone()
    STDP(down=0.0, **FREE).learn(layer, pre, post)
    assert bool((layer.weight >= before).all())
    assert bool((layer.weight > before).any())
    reward = torch.ones(6, 2, dtype=torch.float64)
    RewardSTDP(STDP(down=0.0, **FREE)).learn(layer, pre, post, reward)


def test_no_spikes_no_change_and_no_reward_no_change() -> None:
    for rule in (STDP(), STDP(softness=1.0), STDP(nearest=True)):
        layer, other = linear(4, 3), linear(4, 3)
        before = layer.weight.detach().clone()
        rule.learn(layer, spikes(8, 2, 4, rate=0.0), spikes(8, 2, 3, rate=0.0))
        rule.learn(layer, spikes(8, 2, 4), spikes(8, 2, 3, rate=0.0))
        rule.learn(layer, spikes(8, 2, 4, rate=0.0), spikes(8, 2, 3))
        RewardSTDP(rule).learn(layer, spikes(8, 2, 4), spikes(8, 2, 3), torch.zeros(8, 2, dtype=torch.float64))
        assert torch.equal(layer.weight, before)
        assert layer.weight.grad is None
        RewardSTDP(rule).learn(other, spikes(8, 2, 4), spikes(8, 2, 3), torch.ones(8, 2, dtype=torch.float64))


@pytest.mark.parametrize("cut", [1, 5, 10])
def test_two_halves_are_one_run(cut: int) -> None:
    pre, post, reward = spikes(11, 3, 4), spikes(11, 3, 5), torch.randn(11, 3, dtype=torch.float64)
    for rule in (STDP(softness=0.5), STDP(nearest=True), RewardSTDP(STDP(softness=1.0), tau=3.0)):
        more = (reward,) if isinstance(rule, RewardSTDP) else ()
        whole, halves = linear(4, 5), linear(4, 5)
        halves.load_state_dict(whole.state_dict())
        end = rule.learn(whole, pre, post, *more)  # type: ignore[call-arg]
        state = rule.learn(halves, pre[:cut], post[:cut], *(r[:cut] for r in more))  # type: ignore[call-arg]
        state = rule.learn(halves, pre[cut:], post[cut:], *(r[cut:] for r in more), state)  # type: ignore[call-arg]
        assert torch.equal(whole.weight, halves.weight)
        assert str(end) == str(state)


def test_reward_is_eligibility_turned_into_change() -> None:
    """With a reward of 1 at the last step only: the sum over pairs, each as old as it then is."""
    layer, rule = linear(1, 1, 0.5), RewardSTDP(STDP(0.03, 0.02, 7.0, 11.0, **FREE), tau=5.0)
    reward = torch.zeros(40, 1, dtype=torch.float64)
    reward[30] = -2.0
    rule.learn(layer, single(10), single(14), reward)
    assert layer.weight.item() - 0.5 == pytest.approx(-2 * 0.03 * math.exp(-4 / 7) * math.exp(-16 / 5))
    ones, layer, plain = torch.ones(9, 3, dtype=torch.float64), linear(4, 5), linear(4, 5)
    plain.load_state_dict(layer.state_dict())
    pre, post = spikes(9, 3, 4), spikes(9, 3, 5)
    RewardSTDP(STDP(), tau=1e-3).learn(layer, pre, post, ones)  # forgotten at once, rewarded at once
    STDP().learn(plain, pre, post)
    assert torch.allclose(layer.weight, plain.weight)


def test_each_sample_has_its_own_reward() -> None:
    pre, post, reward = spikes(9, 3, 4), spikes(9, 3, 5), torch.randn(9, 3, dtype=torch.float64)
    rule, layer = RewardSTDP(STDP(**FREE)), linear(4, 5)
    alone = [linear(4, 5, 0.0) for _ in range(3)]
    before = layer.weight.detach().clone()
    rule.learn(layer, pre, post, reward)
    for b, one in enumerate(alone):
        rule.learn(one, pre[:, b : b + 1], post[:, b : b + 1], reward[:, b : b + 1])
    assert torch.allclose(layer.weight - before, sum(one.weight for one in alone) / 3)  # type: ignore[arg-type]


def patterns(steps: int = 12, inputs: int = 40) -> Tensor:
    """Two patterns ``[2, T, inputs]`` of as many spikes: every input fires once in each, at another time."""
    times = torch.stack([torch.randperm(inputs) % steps for _ in range(2)])
    return F.one_hot(times, steps).double().transpose(1, 2)


def compete(layer: nn.Linear, pattern: Tensor, handicap: Tensor) -> tuple[Tensor, int, int]:
    """The neuron whose membrane is first above 1 fires, once: spikes ``[T, 1, 2]``, who, and when; −1 for nobody."""
    v, fired, who, when = torch.zeros(2, dtype=torch.float64), torch.zeros(len(pattern), 1, 2).double(), -1, -1
    for t, now in enumerate(pattern):
        v = 0.7 * v + layer(now).detach()
        if who < 0 and bool((v - handicap).max() > 1):
            who, when = int((v - handicap).argmax()), t
            fired[t, 0, who] = 1
    return fired, who, when


def two_neurons() -> nn.Linear:
    layer = linear(40, 2)
    nn.init.uniform_(layer.weight, 0.1, 0.2)
    return layer


@pytest.mark.parametrize("seed", range(3))
def test_two_patterns_come_apart(seed: int) -> None:
    """Two neurons that inhibit each other, the one that won last with a handicap: in the end each has its pattern."""
    torch.manual_seed(seed)
    shown, layer, handicap = patterns(), two_neurons(), torch.zeros(2, dtype=torch.float64)
    rule = STDP(0.04, 0.03, tau_up=3.0, tau_down=3.0, high=0.4, softness=1.0)
    before = [compete(layer, pattern, torch.zeros(2)) for pattern in shown]
    for k in torch.randint(2, (60,)).tolist():
        post, who, _ = compete(layer, shown[k], handicap)
        rule.learn(layer, shown[k].unsqueeze(1), post)
        if who >= 0:
            handicap = (handicap + torch.tensor([0.05, -0.05]) * (1 - 2 * who)).clamp(min=0)
    after = [compete(layer, pattern, torch.zeros(2)) for pattern in shown]
    assert sorted(who for _, who, _ in after) == [0, 1]
    assert all(0 <= late[2] < early[2] for early, late in zip(before, after, strict=True))  # and knows it earlier


@pytest.mark.parametrize("wanted", [(0, 1), (1, 0)], ids=["straight", "crossed"])
@pytest.mark.parametrize("seed", range(3))
def test_the_rewarded_answer_is_learned(seed: int, wanted: tuple[int, int]) -> None:
    torch.manual_seed(seed)
    shown, layer = patterns(), two_neurons()
    rule = RewardSTDP(STDP(0.04, 0.0, tau_up=3.0, high=0.4, softness=1.0), tau=10.0)
    for k in torch.randint(2, (80,)).tolist():
        post, who, _ = compete(layer, shown[k], 0.3 * torch.randn(2).abs())
        reward = torch.zeros(len(post), 1)
        reward[-1] = 0 if who < 0 else 1 if who == wanted[k] else -1
        rule.learn(layer, shown[k].unsqueeze(1), post, reward)
    assert tuple(compete(layer, pattern, torch.zeros(2))[1] for pattern in shown) == wanted


def test_refusals() -> None:
    layer, pre, post = linear(4, 3), spikes(5, 2, 4), spikes(5, 2, 3)
    state = STDP().learn(layer, pre, post)
    before = layer.weight.detach().clone()
    for run, match in (
        (lambda: STDP().learn(nn.BatchNorm1d(4), pre, post), "BatchNorm1d, expected a linear layer"),
        (lambda: STDP(high=0.1).learn(layer, pre, post), r"expected them in \[0, 0.1\]"),
        (lambda: STDP().learn(layer, pre, post[:, :1]), r"spikes \(5, 1, 3\) behind the layer, expected \(5, 2, 3\)"),
        (lambda: STDP().learn(layer, pre.int(), post), "floating-point"),
        (lambda: STDP().learn(layer, pre[:, :1], post[:, :1], state), "Linear got a state"),
        (lambda: RewardSTDP().learn(layer, pre, post, torch.zeros(5, 1)), r"rewards \(5, 1\), expected \(5, 2\)"),
        (lambda: STDP(tau_up=0.0), "tau_up=0.0"),
        (lambda: STDP(softness=1.0, high=math.inf), "finite bounds"),
        (lambda: STDP(up=-1.0), "at least 0"),
        (lambda: STDP(low=1.0), "low < high"),
        (lambda: STDP(softness=math.nan), "softness"),
        (lambda: RewardSTDP(tau=0.0), "RewardSTDP got tau=0.0"),
    ):
        with pytest.raises(ValueError, match=match):
            run()
    assert torch.equal(layer.weight, before)
