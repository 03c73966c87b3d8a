"""Accelerated networks: the same answers, fewer computations, and a plan that says which layer does what."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import nn

import spikeworks as sw
from spikeworks.layers import SNN, Accelerated, Acceleration, Repeat, Spiking, Still, accelerate, mean


def network(channels: int = 20, size: int = 9) -> nn.Sequential:
    torch.manual_seed(0)
    made = nn.Sequential(
        nn.Conv2d(3, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), Spiking(sw.LIF()),
        nn.Conv2d(channels, 33, 3, stride=2, padding=1), nn.BatchNorm2d(33), Spiking(sw.LIF()), nn.AvgPool2d(2),
        nn.Conv2d(33, 17, 1), Spiking(sw.IF()), nn.Flatten(), nn.Linear(17 * (((size + 1) // 2) // 2) ** 2, 10),
    )  # fmt: skip
    for module in made:
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.1, 0.3)
            nn.init.uniform_(module.weight, 0.8, 1.5)
    return made.eval()


def forced(net: nn.Module, break_even: float) -> nn.Module:
    """A copy in which every layer that can is event-driven (2.0) or dense (0.0)."""
    net = copy.deepcopy(net)
    for module in net.modules():
        if isinstance(module, Accelerated):
            module.break_even = break_even
    return net


def everything_accelerated(net: SNN) -> SNN:
    """The copy with every layer replaced, whatever the clock says on this machine."""
    fast, _ = accelerate(net, torch.rand(2, 3, 9, 9))
    for parent in list(fast.modules()):
        for name, child in list(parent.named_children()):
            if type(child) in (nn.Conv2d, nn.Linear):
                setattr(parent, name, Accelerated(child, 2.0))
    return forced(fast, 2.0)


def test_the_copy_answers_as_the_network():
    net = SNN(network(), Repeat(5), mean)
    x = torch.rand(4, 3, 9, 9)
    with torch.no_grad():
        expected = net(x)
        kept = copy.deepcopy(net.state_dict())
        for fold in (True, False):
            fast, plan = accelerate(net, x, fold=fold)
            assert plan.folded == (2 if fold else 0)
            for break_even in (0.0, 2.0):
                assert torch.allclose(forced(fast, break_even)(x), expected, atol=1e-5)
        assert torch.allclose(everything_accelerated(net)(x), expected, atol=1e-5)
    assert all(torch.equal(kept[name], value) for name, value in net.state_dict().items())  # the original is as it was
    assert type(fast) is SNN
    assert not any(p.requires_grad for p in fast.parameters())


def test_the_plan_is_a_table():
    x = torch.rand(2, 3, 9, 9)
    _, plan = accelerate(SNN(network(), Repeat(3), mean), x)
    assert isinstance(plan, Acceleration)
    assert [line.layer for line in plan.lines] == [
        "conv 3×3 3→20",
        "conv 3×3 20→33",
        "conv 1×1 33→17",
        "linear 68→10",
    ]
    assert plan.lines[0].rate == 1.0
    for line in plan.lines:
        assert line.dense > 0
        assert line.events > 0
        assert line.choice == ("events" if line.rate < line.break_even else "dense")
    text = str(plan).splitlines()
    assert len(text) == 2 + len(plan.lines)
    assert "dense ms" in text[1]
    assert "100.0%" in text[2]


def test_a_repeated_input_is_seen_once():
    calls: list[int] = []

    class Seen(nn.Conv2d):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            calls.append(x.shape[0])
            return super().forward(x)

    net = SNN(nn.Sequential(nn.Identity(), Seen(3, 4, 3), Spiking(sw.LIF()), nn.Flatten(), nn.Linear(4 * 49, 5))).eval()
    x = torch.rand(2, 3, 9, 9)
    still_T, moving_T = x.expand(6, *x.shape), torch.rand(6, 2, 3, 9, 9)
    fast, plan = accelerate(net, still_T)
    assert plan.still == 2
    with torch.no_grad():
        for x_T, batch in ((still_T, 2), (moving_T, 12), (torch.cat([still_T, moving_T]), 24)):
            expected = net(x_T)
            calls.clear()
            assert torch.allclose(fast(x_T), expected, atol=1e-6)
            assert calls == [batch]


def test_still_layers_draw_at_every_step_while_they_train():
    layer = Still(nn.Dropout(0.5), Spiking(sw.IF()))
    x_T = torch.ones(64, 1, 8)
    assert len({tuple(x.tolist()) for x in layer(x_T).flatten(1)}) > 1
    assert torch.equal(layer.eval()(x_T), x_T)


def test_a_stream_goes_on_in_the_copy():
    net = SNN(network()).eval()
    x_T = torch.rand(2, 3, 9, 9).expand(6, 2, 3, 9, 9)
    fast, _ = accelerate(net, x_T)
    with torch.no_grad():
        expected, end = net.stream(x_T)
        _, state = net.stream(x_T[:4])
        got, fast_end = fast.stream(x_T[4:], state)
        assert torch.allclose(got, expected[4:], atol=1e-5)
        assert end.keys() == fast_end.keys()
        halves = fast.stream(x_T[:4])[1]
        assert torch.allclose(fast.stream(x_T[4:], halves)[0], expected[4:], atol=1e-5)


class Branching(nn.Module):
    """A residual block, and a norm that stands after a sum: what may be folded, and what may not."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.spiking, self.second, self.after = Spiking(sw.IF()), nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        s = self.spiking(self.norm(self.first(x)))
        return self.after(self.second(s) + s)


class Untraceable(Branching):
    """As before, with a branch on values."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) if x.sum() > 0 else x


@pytest.mark.parametrize(("kind", "folded", "still"), [(Branching, 1, 1), (Untraceable, 0, 0)])
def test_networks_that_are_no_chain(kind, folded, still):
    net = SNN(kind(), Repeat(4)).eval()
    for norm in (net.network.norm, net.network.after):
        nn.init.uniform_(norm.running_var, 0.01, 0.02)
    x = torch.rand(2, 3, 8, 8)
    fast, plan = accelerate(net, x)
    assert (plan.folded, plan.still, len(plan.lines)) == (folded, still, 2)
    with torch.no_grad():
        assert net(x).any()
        assert torch.allclose(fast(x), net(x), atol=1e-4)


def test_a_layer_used_twice_is_replaced_twice():
    shared = nn.Linear(64, 64)
    net = SNN(nn.Sequential(Spiking(sw.IF()), shared, Spiking(sw.IF()), shared)).eval()
    x_T = (torch.rand(4, 256, 64) < 0.02).float()
    fast, plan = accelerate(net, x_T)
    assert len(plan.lines) == 1
    with torch.no_grad():
        assert torch.allclose(forced(fast, 2.0)(x_T), net(x_T), atol=1e-5)


def test_layers_that_are_left_alone_say_why():
    hooked = nn.Linear(8, 8)
    hooked.register_forward_hook(lambda *_: None)
    odd = nn.Conv2d(4, 4, 1, groups=2)
    odd.weight.data.fill_(float("nan"))
    infinite = nn.Linear(8, 8)
    infinite.weight.data[0, 0] = float("inf")
    net = SNN(nn.Sequential(Spiking(sw.IF()), hooked, infinite, nn.Unflatten(1, (4, 2, 1)), odd))
    _, plan = accelerate(net, torch.ones(2, 3, 8))
    assert [line.choice for line in plan.lines] == ["dense"] * 3
    assert "hooks" in plan.lines[0].note
    assert "not finite" in plan.lines[1].note
    assert "groups" in plan.lines[2].note
    assert "-" in str(plan)
    alone, plan = accelerate(SNN(nn.Linear(3, 3)), torch.ones(2, 3, 3))
    assert not plan.lines
    assert type(alone.network) is nn.Linear


def test_int8_is_near_and_only_where_inputs_are_spikes():
    net = SNN(network(channels=64), Repeat(8), mean)
    x = torch.rand(16, 3, 9, 9)
    fast, plan = accelerate(net, x, "int8")
    assert plan.precision == "int8"
    assert plan.lines[0].note == "float32"  # an image
    with torch.no_grad():
        expected = net(x)
        for break_even in (0.0, 2.0):
            got = forced(fast, break_even)(x)
            assert float((got - expected).abs().mean() / expected.abs().mean()) < 0.2


def test_models_and_converted_networks_are_accelerated():
    x = torch.rand(2, 3, 16, 16)
    net = sw.models.sew_resnet18(classes=10, neuron=sw.LIF(), steps=2).eval()
    fast, plan = accelerate(net, x)
    assert plan.folded > 10
    with torch.no_grad():
        assert torch.allclose(forced(fast, 2.0)(x), net(x), atol=1e-3)
    deep = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(1152, 4))
    spiking, _ = sw.convert(deep.eval(), sw.convert.Robust(steps=4), calibration=[x])
    fast, plan = accelerate(spiking, x)
    assert type(fast) is type(spiking)
    assert len(plan.lines) == 3
    with torch.no_grad():
        assert torch.allclose(forced(fast, 2.0)(x), spiking(x), atol=1e-4)


def test_copies_and_files_hold_no_prepared_weights():
    net = everything_accelerated(SNN(network(), Repeat(3), mean))
    x = torch.rand(2, 3, 9, 9)
    with torch.no_grad():
        expected = net(x)
        assert torch.equal(copy.deepcopy(net)(x), expected)
        layer = next(m for m in net.modules() if isinstance(m, Accelerated))
        assert torch.equal(pickle.loads(pickle.dumps(layer))(x), layer(x))
        assert len(pickle.dumps(layer)) < 20_000


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ((3, torch.ones(1)), "accelerate got 3 and .* expected an nn.Module"),
        ((nn.Linear(1, 1), "x"), "expected an nn.Module and an input tensor"),
        ((nn.Linear(1, 1), torch.ones(1, 1), "int4"), "accelerate got precision='int4', expected 'float32' or 'int8'"),
    ],
)
def test_bad_arguments_are_refused(arguments, fault):
    with pytest.raises(ValueError, match=fault) as e:
        accelerate(*arguments)
    assert "\n" not in str(e.value)
