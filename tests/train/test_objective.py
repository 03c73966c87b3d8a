"""Objectives are their formulas, their gradients are right, and sums of them are objectives."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from spikeworks.layers import SNN, Spiking, running_sum
from spikeworks.measure import record
from spikeworks.neurons import LIF
from spikeworks.train import TAD, TET, After, Distil, LastCE, MeanCE, Objective, Recorded, Weighted, rate_penalty

LABELS = [MeanCE(), LastCE(), TET(), TET(0.3, 2.0), TAD(), TAD("normalised"), TAD("crossing"), TAD(of="true")]


def batch(steps: int = 5, size: int = 7, classes: int = 3) -> tuple[Tensor, Tensor]:
    return torch.randn(steps, size, classes, dtype=torch.float64), torch.randint(0, classes, (size,))


def ce(row: list[float], y: int) -> float:
    return math.log(sum(math.exp(value) for value in row)) - row[y]


def test_formulas_against_plain_loops() -> None:
    z, y = batch()
    rows, labels = z.tolist(), y.tolist()
    mean = [[sum(rows[t][n][c] for t in range(5)) / 5 for c in range(3)] for n in range(7)]
    assert float(MeanCE()(z, y)) == pytest.approx(sum(ce(mean[n], labels[n]) for n in range(7)) / 7)
    assert float(LastCE()(z, y)) == pytest.approx(sum(ce(rows[4][n], labels[n]) for n in range(7)) / 7)
    each = sum(ce(rows[t][n], labels[n]) for t in range(5) for n in range(7)) / 35
    square = sum((value - 2) ** 2 for step in rows for row in step for value in row) / 105
    assert float(TET(0.3, 2.0)(z, y)) == pytest.approx(0.7 * each + 0.3 * square)
    smooth = sum(0.8 * ce(mean[n], labels[n]) + 0.2 * sum(ce(mean[n], c) for c in range(3)) / 3 for n in range(7)) / 7
    assert float(MeanCE(0.2)(z, y)) == pytest.approx(smooth)


def test_steps_cost_at_least_what_their_mean_costs() -> None:
    z, y = batch(8, 50, 10)
    assert TET(0.0)(z, y) > MeanCE()(z, y)
    still = z[:1].expand(8, -1, -1)
    assert torch.allclose(TET(0.0)(still, y), MeanCE()(still, y))


@pytest.mark.parametrize(
    "objective",
    [MeanCE(0.1), LastCE(0.1), TET(0.3, 2.0), After(running_sum, TET())],
    ids=lambda value: repr(value).partition(" at 0x")[0],
)
def test_gradients(objective: Objective) -> None:
    z, y = batch()
    assert torch.autograd.gradcheck(lambda z: objective(z, y), (z.requires_grad_(),))


@pytest.mark.parametrize("objective", LABELS, ids=lambda value: repr(value).partition(" at 0x")[0])
def test_the_names_of_classes_and_the_order_of_samples_do_not_matter(objective: Objective) -> None:
    z, y = batch(4, 9, 5)
    before, classes, samples = objective(z, y), torch.randperm(5), torch.randperm(9)
    assert torch.allclose(objective(z[..., classes.argsort()], classes[y]), before)
    assert torch.allclose(objective(z[:, samples], y[samples]), before)


@pytest.mark.parametrize("objective", LABELS, ids=lambda value: repr(value).partition(" at 0x")[0])
def test_one_step_one_sample_one_class(objective: Objective) -> None:
    for shape in ((1, 3, 4), (3, 1, 4), (2, 3, 1)):
        z = torch.randn(shape, requires_grad=True)
        loss = objective(z, torch.zeros(shape[1], dtype=torch.long))
        loss.backward()
        assert loss.shape == ()
        assert z.grad.isfinite().all()


def test_weighted_sums() -> None:
    z, y = batch()
    plain = lambda z, y: z.square().mean()  # noqa: E731
    total = MeanCE() + 0.5 * (TET() + LastCE() * 2.0) + plain
    wanted = MeanCE()(z, y) + 0.5 * TET()(z, y) + LastCE()(z, y) + plain(z, y)
    assert torch.allclose(total(z, y), wanted)
    assert [w for w, _ in total.parts] == [1.0, 0.5, 1.0, 1.0]
    assert torch.allclose((plain + MeanCE())(z, y), plain(z, y) + MeanCE()(z, y))
    assert torch.allclose(sum([MeanCE(), TET()])(z, y), MeanCE()(z, y) + TET()(z, y))
    with pytest.raises(ValueError, match="at least one"):
        Weighted(())


def test_what_was_recorded_is_penalised_in_a_network_that_learns() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 16), Spiking(LIF(threshold=0.2)), nn.Linear(16, 3))
    snn, x, y = SNN(network), torch.rand(6, 20, 4), torch.randint(0, 3, (20,))
    rates = []
    with record(network, ["1"]) as seen:
        objective = MeanCE() + 30.0 * Recorded(seen, rate_penalty)
        optimiser = torch.optim.Adam(snn.parameters(), 0.02)
        for _ in range(60):
            loss = objective(snn(x), y)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            rates.append(float(seen["1"].detach().mean()))
    assert rates[0] > 0.1
    assert rates[-1] < rates[0] / 3
    for empty, names in (({}, None), (seen, ("7",))):
        with pytest.raises(ValueError, match="run the network inside"):
            Recorded(empty, rate_penalty, names)(torch.zeros(6, 20, 3), y)


@pytest.mark.parametrize(
    "objective", [*LABELS, Distil(torch.zeros(7, 3))], ids=lambda value: repr(value).partition(" at 0x")[0]
)
def test_what_does_not_fit_is_refused(objective: Objective) -> None:
    z, y = batch()
    for wrong in ((z[0], y), (z, y[:-1]), (z, y.double()), (z[:0], y), (z[:, :0], y[:0])):
        with pytest.raises(ValueError, match=r"expected \[T, B, C\]"):
            objective(*wrong)


def test_settings_out_of_range_are_refused() -> None:
    for wrong in (lambda: MeanCE(1.5), lambda: LastCE(-0.1), lambda: TET(2.0), lambda: TET(0.1, 1.0, math.nan)):
        with pytest.raises(ValueError, match="expected 0 to 1"):
            wrong()
