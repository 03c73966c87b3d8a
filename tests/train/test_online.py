"""Rules that stop the gradient in time: equal to BPTT where they should be, bounded in memory, and they learn."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spikeworks import models
from spikeworks.layers import SNN, Checkpoint, Delay, Recurrent, Repeat, Spiking, detach, mean
from spikeworks.neurons import ALIF, CUBALIF, IF, KLIF, LIF, PLIF, QIF, IntegerLIF, LeakyIntegrator, Neuron, TernaryLIF
from spikeworks.train import OTTT, SLTT, TET, LocalLosses, MeanCE, TruncatedBPTT, local_readouts
from spikeworks.train.presynaptic import leak_of

EACH = TET(share=0.0)  # a mean over steps
CLASSES = 3


def data(steps: int = 5, size: int = 4, *shape: int) -> tuple[Tensor, Tensor]:
    x = torch.rand(steps, size, *(shape or (6,)), dtype=torch.float64) * 2
    return x, torch.randint(0, CLASSES, (size,))


def dense(neuron: Neuron, last: Neuron | None = None) -> SNN:
    tail = [] if last is None else [Spiking(last)]
    return SNN(nn.Sequential(nn.Linear(6, 8), Spiking(neuron), nn.Linear(8, CLASSES), *tail).double())


def convolutional(neuron: Neuron) -> SNN:
    """With strides, groups, normalisation and pooling, on ``[T, B, 2, 7, 5]``."""
    return SNN(
        nn.Sequential(
            nn.Conv2d(2, 4, 3, stride=2, padding=1), nn.BatchNorm2d(4), Spiking(neuron), nn.Conv2d(4, 6, 3, padding=1,
            groups=2), Spiking(neuron), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(12, CLASSES),
        ).double()
    )  # fmt: skip


def gradients(network: nn.Module, rule: Any, x: Tensor, y: Tensor, objective: Any = EACH) -> dict[str, Tensor]:
    network.zero_grad()
    rule(network, x, y, objective)
    return {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}


def bptt(network: SNN, x: Tensor, y: Tensor, objective: Any) -> None:
    objective(network(x), y).backward()


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.allclose(one[k], other[k], rtol=1e-10, atol=1e-13) for k in one)


RULES = [TruncatedBPTT(1), SLTT(), OTTT()]


@pytest.mark.parametrize("rule", [*RULES, SLTT(steps=1)], ids=["window", "sltt", "ottt", "sltt-1"])
@pytest.mark.parametrize("objective", [EACH, MeanCE(0.1)], ids=["tet", "mean"])
def test_one_step_is_bptt(rule: Any, objective: Any) -> None:
    network = convolutional(LIF())
    x, y = data(1, 4, 2, 7, 5)
    assert same(gradients(network, rule, x, y, objective), gradients(network, bptt, x, y, objective))


@pytest.mark.parametrize("window", [5, 6, 100])
def test_a_window_that_holds_all_steps_is_bptt(window: int) -> None:
    network, (x, y) = dense(LIF()), data()
    told: list[Any] = []
    found = gradients(network, lambda *given: told.extend(TruncatedBPTT(window)(*given)), x, y, MeanCE())
    wanted = gradients(network, bptt, x, y, MeanCE())
    assert all(torch.equal(found[k], wanted[k]) for k in wanted)
    assert torch.equal(told[0], MeanCE()(network(x), y))
    assert torch.equal(told[1], network(x))


@pytest.mark.parametrize("window", [1, 2, 3, 4])
@pytest.mark.parametrize("reset", ["hard", "soft"])
def test_truncation_is_a_membrane_detached_at_the_borders(window: int, reset: str) -> None:
    first, second, (x, y) = LIF(reset=reset), LIF(reset=reset, threshold=0.5), data(7)
    network = dense(first, second)
    a, b = network.network[0], network.network[2]  # type: ignore[index]

    def explicit(*_: Any) -> None:
        v = [torch.zeros(4, 8, dtype=torch.float64), torch.zeros(4, CLASSES, dtype=torch.float64)]
        for t, now in enumerate(x):
            if t % window == 0:
                v = [value.detach() for value in v]
            s, (v[0],) = first.step(a(now), v[0])
            z, (v[1],) = second.step(b(s), v[1])
            losses.append(F.cross_entropy(z, y) / len(x))
        torch.stack(losses).sum().backward()

    losses: list[Tensor] = []
    wanted = gradients(network, explicit, x, y)
    told: list[Tensor] = []
    found = gradients(network, lambda *given: told.extend(TruncatedBPTT(window)(*given)), x, y)
    assert same(found, wanted)
    assert torch.allclose(told[0], torch.stack(losses).sum())
    assert torch.equal(told[1], network(x))


def test_sltt_is_a_window_of_one_and_ottt_without_leak() -> None:
    for network in (dense(LIF(), LIF()), convolutional(PLIF())):
        x, y = data(6, 4, *((2, 7, 5) if isinstance(network.network[0], nn.Conv2d) else (6,)))  # type: ignore[index]
        found = gradients(network, SLTT(), x, y)
        assert same(found, gradients(network, TruncatedBPTT(1), x, y))
        assert same(found, gradients(network, OTTT(leak=0.0), x, y))
        assert not same(found, gradients(network, OTTT(), x, y))


LINEAR = {
    "none": LIF(reset="none"),
    "soft, detached": LIF(reset="soft", detach_reset=True),
    "input not decayed": LIF(tau=3.0, reset="soft", detach_reset=True, decay_input=False),
    "rest": LIF(v_reset=-0.3, reset="none"),
    "integrate and fire": IF(reset="soft", detach_reset=True),
    "learned time constant": PLIF(3.0, reset="soft", detach_reset=True),
    "ternary": TernaryLIF(detach_reset=True),
    "integer": IntegerLIF(detach_reset=True),
    "one leak as a tensor": LIF(tau=torch.full((8,), 4.0), reset="none"),
}


@pytest.mark.parametrize("name", LINEAR)
def test_ottt_is_bptt_in_front_of_the_last_neurons(name: str) -> None:
    """There h[t] = Σ_τ λ^{t−τ} c (W x[τ] + b) + (what W does not move), so ∂h[t]/∂W is the trace."""
    network, (x, y) = dense(LINEAR[name]), data(9, 5)
    found, wanted = gradients(network, OTTT(), x, y), gradients(network, bptt, x, y)
    assert wanted["network.0.weight"].abs().max() > 1e-4
    weights = {k: v for k, v in found.items() if not k.endswith(".w")}  # what the neuron learns: from one step alone
    assert same(weights, {k: wanted[k] for k in weights})


def test_ottt_is_bptt_for_convolutions_and_a_leaky_readout() -> None:
    neuron = LIF(tau=3.0, reset="soft", detach_reset=True)
    head = [nn.Flatten(), nn.Linear(16, CLASSES), Spiking(LeakyIntegrator(tau=4.0))]
    network = SNN(nn.Sequential(nn.Conv2d(2, 4, 3, stride=2, groups=2), nn.BatchNorm2d(4), Spiking(neuron)).double())
    network.eval()  # statistics of one batch are no part of a linear layer
    x, y = data(6, 4, 2, 7, 5)
    score = lambda z, y: z.flatten(2).square().mean(2).sum() / len(z)  # noqa: E731
    found, wanted = gradients(network, OTTT(), x, y, score), gradients(network, bptt, x, y, score)
    assert same(
        {k: found[k] for k in ("network.0.weight", "network.0.bias")}, {k: wanted[k] for k in wanted if "0" in k}
    )
    deep = SNN(nn.Sequential(nn.Conv2d(2, 4, 3, stride=2), Spiking(neuron), nn.AvgPool2d((1, 1)), *head[:1],
                             nn.Linear(24, CLASSES), head[2]).double())  # fmt: skip
    found, wanted = gradients(deep, OTTT(), x, y), gradients(deep, bptt, x, y)
    assert same({k: found[k] for k in found if "4" in k}, {k: wanted[k] for k in wanted if "4" in k})
    assert not torch.allclose(found["network.0.weight"], wanted["network.0.weight"])


def test_layers_called_twice_and_side_by_side() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(6, 6), nn.Linear(6, 6, bias=False)
            self.neurons = nn.ModuleList(Spiking(LIF(tau=t, reset="none")) for t in (2.0, 2.0, 5.0))

        def forward(self, x: Tensor) -> Tensor:
            left = self.neurons[0](self.a(x)) + self.neurons[1](self.a(x.flip(-1)) + x)
            return left[:, :CLASSES] + self.neurons[2](self.b(x))[:, :CLASSES]

    network, (x, y) = SNN(Twice().double()), data(6)
    assert same(gradients(network, OTTT(), x, y), gradients(network, bptt, x, y))
    assert not any("forward" in vars(module) or module._forward_hooks for module in network.modules())


def test_steps_that_are_not_drawn_learn_nothing() -> None:
    network, (x, y) = dense(LIF(), LIF()), data(6)
    draw = torch.Generator().manual_seed(1)
    found = gradients(network, SLTT(2, torch.Generator().manual_seed(1)), x, y)
    chosen = set(torch.randperm(6, generator=draw)[:2].tolist())

    def explicit(*_: Any) -> None:
        state = None
        for t, now in enumerate(x):
            z, state = network.step(now, detach(state))
            if t in chosen:
                (F.cross_entropy(z, y) / 6).backward()

    assert same(found, gradients(network, explicit, x, y))
    every = gradients(network, SLTT(6), x, y)
    assert same(every, gradients(network, SLTT(), x, y))


@pytest.mark.parametrize("rule", [TruncatedBPTT, SLTT, OTTT], ids=["window", "sltt", "ottt"])
def test_updates_come_after_each_window(rule: Any) -> None:
    network, (x, y) = dense(LIF()), data(6)
    optimiser = torch.optim.SGD(network.parameters(), 0.1)
    seen: list[Tensor] = []

    def update() -> None:
        optimiser.step()
        optimiser.zero_grad()
        seen.append(network.network[0].weight.detach().clone())  # type: ignore[index, union-attr]

    values = {"window": 2} if rule is TruncatedBPTT else {}
    rule(**values, update=update)(network, x, y, EACH)
    assert len(seen) == (3 if values else 6)
    assert all(not torch.equal(a, b) for a, b in pairwise(seen))


def test_half_precision_learns_with_the_weights_as_they_are() -> None:
    x, y = torch.rand(4, 3, 6) * 2, torch.randint(0, CLASSES, (3,))
    torch.manual_seed(1)
    ends = []
    for rule, together in ((OTTT, True), (OTTT, False), (SLTT, True), (SLTT, False)):
        network = dense(LIF()).float()
        with torch.no_grad():
            for value in network.parameters():
                value.copy_(torch.linspace(-0.5, 0.7, value.numel()).view_as(value))
        optimiser = torch.optim.SGD(network.parameters(), 1.0)

        def update(optimiser: Any = optimiser) -> None:
            optimiser.step()
            optimiser.zero_grad()

        with torch.autocast("cpu", torch.bfloat16, cache_enabled=together):
            loss, _ = rule(update=update)(network, x, y, EACH)
        ends.append(next(network.parameters()))
        assert loss.dtype == torch.float32
    assert torch.equal(ends[0], ends[1])
    assert torch.equal(ends[2], ends[3])
    assert not torch.equal(ends[0], ends[2])


def kept(network: SNN, run: Callable[[], Any]) -> int:
    """The most bytes that lay saved for backward at once, counted each time they are saved."""
    now = most = 0

    class Held:
        def __init__(self, tensor: Tensor) -> None:
            self.tensor = tensor

    def pack(tensor: Tensor) -> Held:
        nonlocal now, most
        held, size = Held(tensor), tensor.numel() * tensor.element_size()
        now += size
        most = max(most, now)
        weakref.finalize(held, free, size)
        return held

    def free(size: int) -> None:
        nonlocal now
        now -= size

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda held: held.tensor):
        run()
    network.zero_grad()
    return most


@pytest.mark.parametrize("rule", [TruncatedBPTT(2), SLTT(), OTTT(), SLTT(steps=2)], ids=["window", "sltt", "ottt", "k"])
def test_memory_does_not_grow_with_time(rule: Any) -> None:
    network = convolutional(LIF())
    (x, y), (long, _) = data(4, 4, 2, 7, 5), data(32, 4, 2, 7, 5)
    assert kept(network, lambda: rule(network, long, y, EACH)) == kept(network, lambda: rule(network, x, y, EACH)) > 0
    whole = TruncatedBPTT(100)
    assert kept(network, lambda: whole(network, long, y, EACH)) > 7 * kept(network, lambda: whole(network, x, y, EACH))


def test_models_of_the_house() -> None:
    y = torch.randint(0, 10, (2,))
    for network in (
        models.vgg9(10, neuron=LIF(), steps=3, decode=None, width=0.125, in_channels=1, image=16),
        models.sew_resnet20(10, neuron=LIF(), steps=3, decode=None, in_channels=1),
        models.ms_resnet20(10, neuron=PLIF(), steps=3, decode=None, in_channels=1),
    ):
        x = torch.rand(2, 1, 16, 16)
        for rule in RULES:
            loss, z = rule(network, x, y, TET())
            assert z.shape == (3, 2, 10)
            assert loss.isfinite()
            assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_leaks_are_asked_from_the_step() -> None:
    known = {
        LIF(tau=4.0): 0.75, IF(): 1.0, PLIF(5.0): 0.8, LeakyIntegrator(tau=2.0): 0.5, IntegerLIF(tau=4.0): 0.75,
        LIF(tau=4.0, v_reset=-0.5, decay_input=False): 0.75,
    }  # fmt: skip
    for neuron, leak in known.items():
        assert leak_of("test", Spiking(neuron)) == pytest.approx(leak, abs=1e-6)
    for unknown in (QIF(), KLIF(), ALIF(), CUBALIF(), LIF(tau=torch.tensor([2.0, 3.0]))):
        with pytest.raises(ValueError, match="one state v <- leak"):
            leak_of("test", Spiking(unknown))


def test_refusals() -> None:
    x, y = data()
    recurrent = SNN(nn.Sequential(Recurrent(Spiking(LIF()), nn.Linear(6, 6)), nn.Linear(6, CLASSES)).double())
    delayed = SNN(nn.Sequential(nn.Linear(6, 3), Delay(1), Spiking(LIF())).double())
    again = SNN(nn.Sequential(Checkpoint(nn.Linear(6, 3)), Spiking(LIF())).double())
    other = SNN(nn.Sequential(nn.Linear(6, 3), nn.PReLU(), Spiking(LIF())).double())
    for network in (recurrent, delayed, again, other):
        with pytest.raises(ValueError, match="train this network by TruncatedBPTT"):
            OTTT()(network, x, y, EACH)
        with pytest.raises(ValueError, match="LocalLosses got"):
            LocalLosses({})(network, x, y, EACH)
        assert TruncatedBPTT(2)(network, x, y, EACH)[0].isfinite()
    with pytest.raises(ValueError, match=r"OTTT got QIF.*pass leak="):
        OTTT()(dense(QIF()), x, y, EACH)
    assert OTTT(leak=0.5)(dense(QIF()), x, y, EACH)[0].isfinite()

    class Split(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.fast, self.slow = nn.Linear(6, 3), Spiking(LIF(tau=2.0)), Spiking(LIF(tau=3.0))

        def forward(self, x: Tensor) -> Tensor:
            y = self.a(x)
            return self.fast(y) + self.slow(y)

    with pytest.raises(ValueError, match=r"OTTT got network\.a, which feeds neurons of leaks"):
        OTTT()(SNN(Split().double()), x, y, EACH)
    decoded = SNN(nn.Linear(6, 3).double(), decode=mean)
    for network in (decoded, nn.Linear(6, 3).double()):
        with pytest.raises(ValueError, match=r"expected an SNN without decode"):
            SLTT()(network, x, y, EACH)
    learned = SNN(nn.Linear(6, 3).double(), encode=nn.Linear(6, 6).double())
    with pytest.raises(ValueError, match="an input with a gradient"):
        SLTT()(learned, x, y, EACH)
    for network in (delayed, SNN(nn.Linear(6, 3).double().requires_grad_(False))):
        with pytest.raises(ValueError, match="SLTT got no gradient in any window of 1 steps"):
            SLTT()(network, x, y, EACH)
    with pytest.raises(ValueError, match="SLTT got steps=6 for 5 steps"):
        SLTT(6)(dense(LIF()), x, y, EACH)
    with pytest.raises(ValueError, match="window=0"):
        TruncatedBPTT(0)


def test_nothing_stays_on_the_network_after_a_failure() -> None:
    network, (x, y) = dense(LIF()), data()
    with pytest.raises(ValueError, match=r"expected.*\[T, B, C\]"):
        OTTT()(network, x, y[:2], EACH)
    assert not any("forward" in vars(module) or module._forward_hooks for module in network.modules())
    assert OTTT()(network, x, y, EACH)[0].isfinite()


def learned(rule: Callable[[SNN, Tensor], Any], seed: int = 0, epochs: int = 5, steps: int = 4) -> float:
    """Accuracy on 300 digits in percent, after some passes over the others."""
    from spikeworks.recipes.data import digits

    torch.manual_seed(seed)
    split = digits()
    x, y = split.train.prepare(split.train.x).flatten(1), split.train.y
    network = SNN(
        nn.Sequential(nn.Linear(64, 128), Spiking(LIF()), nn.Linear(128, 64), Spiking(LIF()), nn.Linear(64, 10)),
        encode=Repeat(steps),
    )
    step = rule(network, x[:2])
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(epochs):
        for index in torch.randperm(len(y)).split(64):
            optimiser.zero_grad()
            step(network, x[index], y[index], TET(share=0.0))
            optimiser.step()
    right = network(split.test.prepare(split.test.x).flatten(1)).mean(0).argmax(1) == split.test.y
    return 100.0 * float(right.float().mean())


LEARNERS: dict[str, Callable[[SNN, Tensor], Any]] = {
    "bptt": lambda network, x: TruncatedBPTT(4),
    "truncated": lambda network, x: TruncatedBPTT(2),
    "ottt": lambda network, x: OTTT(),
    "sltt": lambda network, x: SLTT(),
    "sltt-2": lambda network, x: SLTT(2),
    "local": lambda network, x: LocalLosses(local_readouts(network, x, 10, torch.Generator().manual_seed(0))),
}


@pytest.mark.parametrize("name", LEARNERS)
def test_they_learn_digits(name: str) -> None:
    assert learned(LEARNERS[name]) > 65
