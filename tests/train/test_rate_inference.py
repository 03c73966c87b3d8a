"""Stage 2 of rate norm layers moves p alone, by both terms of its loss, and chooses on validation."""

from __future__ import annotations

import copy
import functools
import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from convert.small_nets import digits
from spikeworks.convert.activation import RNL
from spikeworks.train import Data, Plan, RateEpoch, RateInference, accuracy, fit, fit_rate_inference
from spikeworks.train.rate_inference import choose, loss_terms


class Branching(nn.Module):
    """Cannot be traced: what it does depends on a value; one activation serves twice; normalised and with dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.first = nn.Conv2d(1, 8, 3, stride=2), nn.BatchNorm2d(8), RNL()
        self.hidden = nn.Sequential(nn.Linear(72, 24), nn.BatchNorm1d(24))
        self.more = nn.Sequential(nn.Linear(24, 24), nn.BatchNorm1d(24))
        self.act, self.drop, self.head = RNL(), nn.Dropout(0.1), nn.Linear(24, 10)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(self.norm(self.conv(x))).flatten(1)
        y = self.act(self.hidden(y))
        if bool(y.isfinite().all()):
            y = self.act(self.more(y))
        return self.head(self.drop(y))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@functools.cache
def data() -> tuple[Data, Data]:
    (x, y), _ = digits()
    return Data(x[:800], y[:800]), Data(x[800:1100], y[800:1100])


@functools.cache
def _trained() -> nn.Module:
    torch.manual_seed(0)
    network = Branching()
    fit(network, *data(), Plan(12, 50, 1e-2, "adamw", warmup=1), generator())
    return network


def stage_1() -> nn.Module:
    return copy.deepcopy(_trained())


def layers(network: nn.Module) -> dict[str, RNL]:
    return {name: module for name, module in network.named_modules() if isinstance(module, RNL)}


def terms(network: nn.Module, teacher: nn.Module, c: float, x: Tensor) -> tuple[Tensor, Tensor, nn.Parameter]:
    shared = nn.Parameter(torch.tensor(c, dtype=x.dtype))
    for layer in layers(network).values():
        layer.logit = shared
    return *loss_terms(network, teacher, layers(network), x), shared


def test_p_has_a_gradient_from_each_term_alone_and_it_is_right() -> None:
    x = data()[0].x[:60].double()
    network, teacher = stage_1().double().eval(), stage_1().double().eval()
    distance, omega, c = terms(network, teacher, 1.0, x)
    assert float(distance.detach()) > 1e-3
    (of_distance,) = torch.autograd.grad(distance, c, retain_graph=True)
    (of_omega,) = torch.autograd.grad(omega, c)
    assert float(of_distance) < 0  # the answer wants p up,
    assert float(of_omega) > 0  # speed wants it down
    low, high = (terms(network, teacher, 1 + step, x) for step in (-1e-6, 1e-6))
    for i, analytic in enumerate((of_distance, of_omega)):
        assert float(analytic) == pytest.approx(float((high[i] - low[i]).detach()) / 2e-6, rel=1e-4)


def test_the_terms_are_their_formulas() -> None:
    x = data()[0].x[:40].double()
    network, teacher = stage_1().double().eval(), stage_1().double().eval()
    distance, omega, _ = terms(network, teacher, 2.5, x)
    with torch.no_grad():
        y, wanted = network(x), teacher(x)
        cosine = (y * wanted).sum(1) / (y.norm(dim=1) * wanted.norm(dim=1))
        first = network.first(network.norm(network.conv(x)))
        second = network.act(network.hidden(first.flatten(1)))
        third = network.act(network.more(second))
        rates = [first, second, third, y.relu() / y.max()]
        ratios = [r.sum() / (r**2).sum() for r in rates]  # a layer called twice counts twice; the logits count, too
    assert float(distance.detach()) == pytest.approx(float(1 - cosine.mean()), rel=1e-9)
    assert float(omega.detach()) == pytest.approx(float(sum(ratios) / 4), rel=1e-6)


def test_stage_2_moves_p_and_statistics_and_nothing_else() -> None:
    network, seen = stage_1(), []
    network.head.weight.requires_grad_(False)  # as it was, it must be again
    before = {k: v.clone() for k, v in network.state_dict().items()}
    assert float(before["first.maximum"]) != 1.0
    plan = RateInference(epochs=3, weight=0.05, tolerance=5)
    network.train()  # whatever mode it comes in
    history = fit_rate_inference(network, *data(), plan, generator(), progress=seen.append)
    assert seen == history
    assert [e.number for e in history] == [0, 1, 2, 3]
    after = network.state_dict()
    changed = {k for k, v in before.items() if not torch.equal(v, after[k])}
    statistics = {k for k in before if "running" in k or "num_batches" in k}
    assert changed == {"first.logit", "act.logit"} | statistics
    assert network.first.logit is network.act.logit
    assert all(layer.locked and not layer.logit.requires_grad for layer in layers(network).values())
    assert {n for n, p in network.named_parameters() if not p.requires_grad} == {"first.logit", "head.weight"}
    assert not any(module.training for module in network.modules())
    network.train()(data()[0].x[:50] * 100)
    assert torch.equal(network.first.maximum, before["first.maximum"])  # locked, in training mode too


def test_statistics_that_follow_keep_the_answers_where_p_falls() -> None:
    """Rates grow by 1/p: with the statistics of stage 1 the logits turn away, with those that follow hardly at all."""
    network, x, c = stage_1(), data()[1].x, 0.0
    with torch.no_grad():
        wanted = network(x)
        for layer in layers(network).values():
            layer.logit.fill_(c)
        frozen = 1 - torch.cosine_similarity(network(x), wanted).mean()
    network = stage_1()
    fit_rate_inference(
        network, *data(), RateInference(epochs=2, weight=0, rate=1e-9, start=c, tolerance=100), generator()
    )
    followed = 1 - torch.cosine_similarity(network(x), wanted).mean()
    assert float(network.act.share) == pytest.approx(0.5)
    assert frozen > 0.05
    assert followed < frozen / 3


def test_history_tells_what_each_epoch_is() -> None:
    network = stage_1()
    train, held = data()
    reached = accuracy(network, held)
    history = fit_rate_inference(network, train, held, RateInference(epochs=4, weight=0.05, tolerance=3), generator())
    first, *rest = history
    assert first.validation == pytest.approx(reached)
    assert list(first.shares.values()) == pytest.approx([1, 1], abs=1e-4)
    assert list(first.omegas) == ["first", "act", "act_2", "logits"]
    assert math.isnan(first.loss)
    assert all(len(set(e.shares.values())) == 1 for e in history)
    assert all(0.5 < e.shares["act"] < 0.99 for e in rest)
    chosen = choose(history, 3)
    assert chosen.number > 0
    assert chosen.omega < first.omega
    assert float(network.act.share) == pytest.approx(chosen.shares["act"], rel=1e-6)
    assert accuracy(network, held) == pytest.approx(chosen.validation)
    assert chosen.validation >= reached - 3
    with torch.no_grad():
        ratio = (r := network.first(network.norm(network.conv(held.x)))).sum() / (r**2).sum()
    assert chosen.omegas["first"] == pytest.approx(float(ratio), rel=1e-5)  # of all samples, whatever the batches


def test_the_teacher_is_stage_1_and_stays_so() -> None:
    """With Ω left out, only the teacher pulls: p goes back up to where it was trained."""
    network = stage_1()
    x = data()[1].x
    wanted = network(x).detach()
    history = fit_rate_inference(network, *data(), RateInference(epochs=3, weight=0, rate=2.0, start=-1.0), generator())
    shares = [e.shares["act"] for e in history[1:]]
    assert shares == sorted(shares)
    assert history[-1].distance < history[1].distance / 2
    assert choose(history, 100).omega == min(e.omega for e in history)
    again = stage_1()
    fit_rate_inference(again, *data(), RateInference(epochs=1, weight=0, start=30.0), generator())
    cosine = torch.cosine_similarity(again(x).detach(), wanted)
    assert float(1 - cosine.mean()) < 1e-3  # p = 1 all along: only statistics were estimated anew


def test_a_larger_weight_gives_a_smaller_omega() -> None:
    ends = []
    for weight in (0.01, 0.05, 0.3):
        history = fit_rate_inference(stage_1(), *data(), RateInference(epochs=2, weight=weight), generator())
        ends.append(history[-1].omega)
    assert ends[0] > ends[1] > ends[2]


def test_one_p_each() -> None:
    network = stage_1()
    plan = RateInference(epochs=2, weight=0.05, shared=False, tolerance=20)
    history = fit_rate_inference(network, *data(), plan, generator())
    assert len(set(history[-1].shares.values())) == 2
    assert network.first.logit is not network.act.logit
    assert {n for n, p in network.named_parameters() if not p.requires_grad} == {"first.logit", "act.logit"}


def test_the_same_seed_gives_the_same_p_whatever_torchs_own_seed() -> None:
    ends = []
    for outer in (0, 1):
        torch.manual_seed(outer)
        history = fit_rate_inference(stage_1(), *data(), RateInference(epochs=1), generator(7),
                                     lambda x, draw: x + 0.1 * torch.rand(x.shape, generator=draw))  # fmt: skip
        ends.append([replace(e, seconds=0, loss=0) for e in history])
        assert torch.equal(torch.rand(3), torch.rand(3, generator=generator(outer)))
    assert ends[0] == ends[1]


def test_the_choice_is_the_least_omega_within_the_tolerance() -> None:
    def epoch(number: int, validation: float, omega: float) -> RateEpoch:
        return RateEpoch(number, 4, 0.0, 0.0, validation, {"logits": omega}, {"act": 1.0}, 0.0)

    history = [epoch(0, 90, 8), epoch(1, 89, 5), epoch(2, 88.9, 4), epoch(3, 91, 5), epoch(4, 50, 1)]
    assert choose(history, 1).number == 1
    assert choose(history, 2).number == 2
    assert choose(history, 0).number == 3
    assert choose(history, 100).number == 4
    network = stage_1()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    fit_rate_inference(network, *data(), RateInference(epochs=1, weight=50.0, tolerance=0.1), generator())
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())  # all cost too much: p = 1


def test_what_stops_it_leaves_p_as_it_was() -> None:
    network = stage_1()
    before = [layer.logit for layer in layers(network).values()]
    state = {k: v.clone() for k, v in network.state_dict().items()}

    def stop(epoch: RateEpoch) -> None:
        if epoch.number == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_rate_inference(network, *data(), RateInference(epochs=2), generator(), progress=stop)
    assert [layer.logit for layer in layers(network).values()] == before
    assert all(torch.equal(v, state[k]) for k, v in network.state_dict().items())
    assert not any(module.training for module in network.modules())
    assert network.conv.weight.requires_grad


def test_the_learning_rate_falls_twice() -> None:
    plan = RateInference(epochs=8, rate=0.1)
    assert [plan.rate_at(e) for e in range(1, 9)] == pytest.approx([0.1] * 4 + [0.01] * 2 + [0.001] * 2)
    assert [RateInference(epochs=200).rate_at(e + 1) for e in (99, 100, 149, 150, 199)] == pytest.approx(
        [0.1, 0.01, 0.01, 0.001, 0.001]
    )


def test_what_is_wrong_is_refused() -> None:
    with pytest.raises(ValueError, match="without rate norm layers"):
        fit_rate_inference(nn.Linear(2, 2), *data(), RateInference(), generator())
    with pytest.raises(ValueError, match=r"logits of shape \(256, 1, 4, 4\), expected \[256, classes\]"):
        fit_rate_inference(nn.Sequential(nn.Conv2d(1, 1, 5), RNL()), *data(), RateInference(), generator())
    for values, words in (
        ({"epochs": 0}, "epochs=0, batch=50, expected whole"),
        ({"rate": math.inf}, "rate=inf"),
        ({"weight": -1.0}, "weight=-1.0"),
        ({"start": math.nan}, "start=nan"),
        ({"tolerance": -0.1}, "tolerance=-0.1"),
    ):
        with pytest.raises(ValueError, match=words):
            RateInference(**values)  # type: ignore[arg-type]
