"""Hybrid step-wise distillation: an exact conversion to start from, a teacher apart, and steadier steps on digits."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from spikeworks.convert.activation import QCFS
from spikeworks.layers import SNN, Spiking
from spikeworks.measure import StepSpread, correct, step_spread
from spikeworks.neurons import IF, scan
from spikeworks.neurons import surrogate as sg
from spikeworks.train import Distil, Distillation, LastCE, MeanCE, frozen, rebin, student, teach


def small(levels: int = 4, bound: float = 1.0) -> nn.Sequential:
    """2-12C3-AP-16C3-AP-FC on 8×8 frames of two polarities."""
    layers = (
        block(2, 12, levels, bound), nn.AvgPool2d(2), block(12, 16, levels, bound), nn.AvgPool2d(2), nn.Flatten(),
        nn.Linear(64, 10),
    )  # fmt: skip
    return nn.Sequential(*layers)


def block(channels: int, features: int, levels: int, bound: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, features, 3, padding=1), nn.BatchNorm2d(features), QCFS(levels, bound)
    )  # fmt: skip


def spiking(snn: nn.Module) -> list[Spiking]:
    return [module for module in snn.modules() if isinstance(module, Spiking)]


@pytest.mark.parametrize("bound", [0.7, 1.0, 2.5])
@pytest.mark.parametrize("levels", [1, 4, 16])
def test_the_start_is_the_conversion_exact_in_its_first_layer(levels: int, bound: float) -> None:
    ann = nn.Sequential(QCFS(levels, bound))
    z = ((torch.arange(4001) + 0.37) / 2000 - 0.5).unsqueeze(0) * bound  # never halfway between two levels
    snn = student(ann)
    assert torch.allclose(snn(z.expand(levels, 1, -1)).mean(0), ann(z), atol=1e-6)
    once = snn(z.unsqueeze(0))[0]
    assert torch.equal(once, torch.where(z + torch.tensor(bound) / 2 >= bound, torch.tensor(bound), 0.0))


def test_its_gradient_is_that_of_if_on_inputs_in_units_of_the_threshold() -> None:
    """v ← v + x/λ; s = [v ≥ 1]; v ← v − s; output λ·s, triangle of width 1."""
    bound = 2.5
    snn, x = student(nn.Sequential(QCFS(4, bound))), torch.rand(5, 7, 3, requires_grad=True)
    unit = IF(reset="soft", surrogate=sg.piecewise_quadratic(alpha=1.0)).starting(v=0.5)
    weight = torch.randn(5, 7, 3)
    mine, theirs = snn(x), bound * scan(unit, x / bound)[0]
    assert torch.allclose(mine, theirs)
    got, wanted = (torch.autograd.grad((y * weight).sum(), x)[0] for y in (mine, theirs))
    assert torch.allclose(got, wanted, atol=1e-6)
    assert (wanted != 0).all()
    with pytest.raises(ValueError, match="parameter alpha"):
        student(nn.Sequential(QCFS(4)), sg.dspike)


def test_what_runs_fused_equals_eager_with_gradients() -> None:
    torch.manual_seed(0)
    fast = student(small(bound=0.6))
    slow = student(small(bound=0.6))
    slow.load_state_dict(fast.state_dict())
    for layer in spiking(slow):
        layer.backend = "eager"
    assert len(spiking(fast)) == 2
    x, weight = torch.rand(3, 5, 2, 8, 8) * 2, torch.randn(3, 5, 10)
    outputs = [net(x) for net in (fast, slow)]
    assert torch.allclose(*outputs, atol=1e-6)
    for y in outputs:
        (y * weight).sum().backward()
    for (name, a), (_, b) in zip(fast.named_parameters(), slow.named_parameters(), strict=True):
        assert torch.allclose(a.grad, b.grad, rtol=1e-4, atol=1e-4), name


def test_a_step_of_training_reaches_every_weight_and_leaves_the_teacher_alone() -> None:
    torch.manual_seed(0)
    ann, x, y = small(), torch.rand(8, 10, 2, 8, 8) * 3, torch.randint(0, 10, (10,))
    SNN(ann)(x)  # statistics of normalisation
    led, snn = Distillation(ann), student(ann)
    before = {k: v.clone() for k, v in led.teacher.state_dict().items()}
    memory = [{t.untyped_storage().data_ptr() for t in net.state_dict().values()} for net in (ann, led.teacher, snn)]
    assert not memory[0] & memory[1]
    assert not memory[0] & memory[2]
    assert not memory[1] & memory[2]
    learned = dict(snn.named_parameters())
    assert len(learned) == len(list(ann.parameters())) - 2  # all but the bounds, now thresholds
    start = {k: v.detach().clone() for k, v in learned.items()}
    statistics_before = snn.state_dict()["network.0.1.running_mean"].clone()
    optimiser = torch.optim.SGD(snn.parameters(), 0.1)
    led.of(x)(snn(rebin(x, 2)), y).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for k, p in learned.items() if not k.endswith("0.0.bias"))
    optimiser.step()
    assert not torch.equal(learned["network.0.0.weight"], start["network.0.0.weight"])
    assert not torch.equal(snn.state_dict()["network.0.1.running_mean"], statistics_before)  # normalisation goes on
    assert all(torch.equal(v, led.teacher.state_dict()[k]) for k, v in before.items())
    assert not any(p.requires_grad or p.grad is not None for p in led.teacher.parameters())
    assert all(p.requires_grad for p in ann.parameters())


def test_the_objective_is_its_formula() -> None:
    torch.manual_seed(0)
    ann, x, y = small().eval(), torch.rand(8, 5, 2, 8, 8), torch.randint(0, 10, (5,))
    q = torch.stack([ann(frame) for frame in x]).mean(0)
    assert torch.allclose(teach(frozen(ann), x), q, atol=1e-6)
    z = torch.randn(3, 5, 10)
    for at in ("steps", "mean", "last"):
        wanted = LastCE()(z, y) + 0.3 * Distil(q, 4.0, at)(z, y)
        assert torch.allclose(Distillation(ann, 0.3, 4.0, at, LastCE()).of(x)(z, y), wanted)
    assert torch.allclose(Distillation(ann, 0.0).of(x)(z, y), MeanCE()(z, y))
    for wrong in ({"weight": -1.0}, {"temperature": 0.0}, {"at": "first"}):
        with pytest.raises(ValueError, match="expected"):
            Distillation(ann, **wrong)
    with pytest.raises(ValueError, match="evaluation mode"):
        teach(ann.train(), x)


# ---- digits seen by an event camera that moves right, down, left and up ----


def events(x: Tensor, frames: int, draw: torch.Generator) -> Tensor:
    """``[B, 1, 8, 8]`` → counts of brighter and darker ``[N, B, 2, 8, 8]``, Poisson."""
    moved = [x.roll(move, (-2, -1)) - x for move in ((0, 1), (1, 0), (0, -1), (-1, 0))]
    rates = [torch.cat([d.relu(), (-d).relu()], 1) * 6 for d in moved for _ in range(frames // 4)]
    return torch.poisson(torch.stack(rates), generator=draw)


def train(
    net: nn.Module, x: Tensor, y: Tensor, loss: Callable[[Tensor, Tensor], Tensor], epochs: int, rate: float,
    draw: torch.Generator,
) -> None:  # fmt: skip
    optimiser = torch.optim.Adam(net.train().parameters(), rate)
    for _ in range(epochs):
        for part in torch.randperm(len(y), generator=draw).split(50):
            value = loss(x[:, part], y[part])
            optimiser.zero_grad()
            value.backward()
            optimiser.step()
    net.eval()


@pytest.fixture(scope="module")
def runs() -> dict[str, list[tuple[float, float, float, StepSpread]]]:
    """For each placement of the teacher's word, three seeds: accuracy of the teacher, before, after, spread; T = 4."""
    from sklearn.datasets import load_digits

    data, classes = load_digits(return_X_y=True)
    found: dict[str, list[tuple[float, float, float, StepSpread]]] = {"steps": [], "last": []}
    for seed in range(3):
        draw = torch.Generator().manual_seed(seed)
        torch.manual_seed(seed)
        order = torch.randperm(len(data), generator=draw)[:800]
        x = torch.tensor(data / 16, dtype=torch.float32).view(-1, 1, 8, 8)[order]
        y = torch.tensor(classes)[order]
        many = events(x, 8, draw)
        few, ann = rebin(many, 4), small()
        train(ann, many[:, :500], y[:500], lambda x, y: MeanCE()(SNN(ann)(x), y), 12, 1e-2, draw)  # noqa: B023
        taught = float(correct(teach(ann, many[:, 500:]), y[500:])) / 3
        for at, results in found.items():
            led, snn, again = Distillation(ann, 1.0, 4.0, at), student(ann), torch.Generator().manual_seed(seed)
            before = float(correct(snn.eval()(few[:, 500:]).mean(0), y[500:])) / 3
            train(snn, many[:, :500], y[:500], lambda x, y: led.of(x)(snn(rebin(x, 4)), y), 8, 2e-3, again)  # noqa: B023
            z = snn(few[:, 500:])
            after = float(correct(z.mean(0), y[500:])) / 3
            results.append((taught, before, after, step_spread(z, y[500:])))
    return found


def test_distillation_brings_a_converted_network_near_its_teacher(
    runs: dict[str, list[tuple[float, float, float, StepSpread]]],
) -> None:
    for taught, before, after, _ in runs["steps"]:
        assert taught > 80
        assert after > before + 4
        assert after > taught - 6


def test_step_wise_makes_single_steps_more_alike_than_the_last_step_alone(
    runs: dict[str, list[tuple[float, float, float, StepSpread]]],
) -> None:
    for (*_, steps), (*_, last) in zip(runs["steps"], runs["last"], strict=True):
        assert steps.deviation < 0.75 * last.deviation
        assert steps.range < 0.75 * last.range
    mean = {at: statistics.fmean(row[3].deviation for row in rows) for at, rows in runs.items()}
    assert mean["steps"] < 0.6 * mean["last"]
