"""The weights of TAD: a distribution over steps, without gradient, that follows the first confident step."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from spikeworks.layers import SNN, LatencyEncoder, Spiking, latency_features, running_sum
from spikeworks.measure import DecisionCurve, decision_curve
from spikeworks.neurons import LIF
from spikeworks.neurons import surrogate as sg
from spikeworks.train import TAD, TET, LastCE, Objective
from spikeworks.train.latency import first_decision

UNIT = st.sampled_from([0.0, 1e-9, 0.1, 0.5, 0.9, 1.0])
ALL = [
    TAD(form, of=of, chance=chance, sharpness=k)
    for form in ("hazard", "normalised", "crossing")
    for of in ("largest", "true")
    for chance in (True, False)
    for k in (0.5, 2.0)
]


@given(rows=st.lists(st.lists(UNIT, min_size=2, max_size=2), min_size=1, max_size=7))
def test_hazard_is_the_probability_of_deciding_first(rows: list[list[float]]) -> None:
    c = torch.tensor(rows, dtype=torch.float64)
    d = first_decision(c)
    for n in range(2):
        left = 1.0
        for t in range(len(rows) - 1):
            assert float(d[t, n]) == pytest.approx(rows[t][n] * left, abs=1e-12)
            left *= 1 - rows[t][n]
        assert float(d[-1, n]) == pytest.approx(left, abs=1e-12)
    assert (d >= 0).all()
    assert torch.allclose(d.sum(0), torch.ones(2, dtype=torch.float64))


@pytest.mark.parametrize("tad", ALL, ids=repr)
def test_weights_are_a_distribution_without_gradient(tad: TAD) -> None:
    z, y = (4 * torch.randn(6, 40, 5).double()).requires_grad_(), torch.randint(0, 5, (40,))
    d = tad.weights(z, y)
    assert not d.requires_grad
    assert (d >= 0).all()
    assert torch.allclose(d.sum(0), torch.ones(40, dtype=torch.float64))
    tad(z, y).backward()
    # the gradient is that of cross-entropies under constant weights
    w = 0.7 * d + 0.3 / 6
    one_hot = torch.nn.functional.one_hot(y, 5)
    assert torch.allclose(z.grad, (w.unsqueeze(-1) * (z.softmax(-1) - one_hot) / 40).detach())


def test_certain_at_once_is_the_first_step_and_never_certain_the_last() -> None:
    z, y = torch.randn(4, 6, 3).double(), torch.randint(0, 3, (6,))
    z[0] = 0
    z[0, torch.arange(6), (y + 1) % 3] = 800.0  # sure, and wrong
    assert torch.allclose(TAD(floor=0.0)(z, y), LastCE()(z[:1], y))
    z[:3] = 0  # no more than chance before the last step
    assert torch.allclose(TAD(floor=0.0)(z, y), LastCE()(z, y))
    assert not torch.allclose(TAD(floor=0.0, chance=False)(z, y), LastCE()(z, y))


@pytest.mark.parametrize("form", ["hazard", "normalised", "crossing"])
def test_the_floor_leads_to_tet(form: str) -> None:
    z, y = torch.randn(4, 6, 3).double(), torch.randint(0, 3, (6,))
    none, half, whole = (TAD(form, floor)(z, y) for floor in (0.0, 0.5, 1.0))
    assert torch.allclose(whole, TET(0.0)(z, y))
    assert torch.allclose(half, (none + whole) / 2)


def test_other_forms_by_hand() -> None:
    p = torch.tensor([[0.6, 0.4], [0.9, 0.1], [0.25, 0.75]], dtype=torch.float64)
    z, y = p.log().unsqueeze(1), torch.tensor([1])
    assert TAD("normalised", chance=False).weights(z, y).flatten().tolist() == pytest.approx(
        [0.6 / 2.25, 0.9 / 2.25, 0.75 / 2.25]
    )
    assert TAD("normalised").weights(z, y).flatten().tolist() == pytest.approx([0.2 / 1.5, 0.8 / 1.5, 0.5 / 1.5])
    assert TAD("normalised", of="true").weights(z, y).flatten().tolist() == pytest.approx([0, 0, 1])
    assert TAD("normalised").weights(0 * z, y).flatten().tolist() == pytest.approx([1 / 3] * 3)
    for certainty, row in ((0.5, [1, 0, 0]), (0.8, [0, 1, 0]), (0.95, [0, 0, 1])):
        assert TAD("crossing", certainty=certainty).weights(z, y).flatten().tolist() == row
    assert TAD("crossing", certainty=0.7, of="true").weights(z, y).flatten().tolist() == [0, 0, 1]
    assert TAD(sharpness=2.0).confidence(z, y).flatten().tolist() == pytest.approx([0.04, 0.64, 0.25])


def test_settings_out_of_range_are_refused() -> None:
    for wrong in ({"form": "soft"}, {"of": "any"}, {"sharpness": 0.0}, {"floor": 1.5}):
        with pytest.raises(ValueError, match="TAD got"):
            TAD(**wrong)


def learned(objective: Objective, features: bool) -> DecisionCurve:
    """600 digits, 10 epochs, T = 8; the curve on 600 others."""
    from sklearn.datasets import load_digits

    torch.manual_seed(0)
    data, classes = load_digits(return_X_y=True)
    order = torch.randperm(len(data))[:1200]
    x, y = torch.tensor(data / 16, dtype=torch.float32).view(-1, 1, 8, 8)[order], torch.tensor(classes)[order]
    encoder = LatencyEncoder(8, latency_features(1, 8) if features else None)
    neuron = LIF(decay_input=False, detach_reset=True, surrogate=sg.piecewise_quadratic())
    layers = (nn.Conv2d(8 if features else 1, 16, 3, padding=1), nn.BatchNorm2d(16), Spiking(neuron))
    snn = SNN(nn.Sequential(*layers, nn.AvgPool2d(2), nn.Flatten(), nn.Linear(256, 10)), encoder, running_sum).train()
    optimiser = torch.optim.Adam(snn.parameters(), 5e-3)
    for _ in range(10):
        for part in torch.randperm(600).split(50):
            loss = objective(snn(x[part]), y[part])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return decision_curve(snn.eval()(x[600:]), y[600:])


def test_learned_features_are_worth_points_and_tad_is_worth_time() -> None:
    last, tad, direct = learned(LastCE(), True), learned(TAD(), True), learned(LastCE(), False)
    assert last.accuracy[-1] > direct.accuracy[-1] + 4
    assert tad.at(0.9)[1] < 0.7 * last.at(0.9)[1]
    assert tad.least_time(88.0) < 0.8 * last.least_time(88.0)
