"""Penalties are 0 where nothing is to be changed, push the right way, and see the membrane that met the threshold."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from spikeworks.convert import ValueIF
from spikeworks.layers import Spiking
from spikeworks.neurons import CUBALIF, IF, LIF, PLIF, Neuron, scan
from spikeworks.train import information_penalty, membrane_penalty, potential, rate_penalty


def test_information_is_most_where_half_fire() -> None:
    h = torch.randn(1000).double()
    h = h - h.mean() + 1.0
    assert float(information_penalty(h, 1.0)) == pytest.approx(0, abs=1e-20)
    assert float(information_penalty(h + 0.3, 1.0)) == pytest.approx(0.09)
    assert float(information_penalty(h, torch.full((1000,), 0.5).double())) == pytest.approx(0.25)
    assert torch.autograd.gradcheck(information_penalty, (torch.randn(3, 4).double().requires_grad_(),))


def test_membrane_by_hand_and_its_gradient() -> None:
    shape = torch.tensor([-1.0, 1.0, -1.0, 1.0], dtype=torch.float64)  # mean 0, deviation 1
    h = torch.stack([1 + 0.5 * shape, 4 + 0.5 * shape, 1 + 3 * shape], 1)  # fine, degenerate, saturated
    assert float(membrane_penalty(h[:, :1])) == 0
    assert float(membrane_penalty(h[:, 1:2])) == pytest.approx((3 - 0.5) ** 2)
    assert float(membrane_penalty(h[:, 2:])) == pytest.approx((3 - 1.0) ** 2)
    assert float(membrane_penalty(h)) == pytest.approx((6.25 + 4) / 3)
    assert float(membrane_penalty(h, reach=9.0, width=0.25)) == pytest.approx((0.0625 * 2 + 2.75**2) / 3)
    assert torch.equal(membrane_penalty(h), membrane_penalty(h.T, axis=0))
    assert torch.autograd.gradcheck(membrane_penalty, (h.requires_grad_(),))
    flat = torch.zeros(4, 2).requires_grad_()  # no deviation at all
    membrane_penalty(flat).backward()
    assert flat.grad.isfinite().all()
    assert (flat.grad < 0).all()  # up, towards the threshold
    for wrong, axis in ((torch.zeros(1, 3), 1), (torch.zeros(4, 3), 2), (torch.zeros(0, 3), 1)):
        with pytest.raises(ValueError, match="two values or more"):
            membrane_penalty(wrong, axis=axis)


def test_rates_by_hand_and_their_gradient() -> None:
    s = torch.tensor([[1.0, 0.0, 1.0], [1.0, 0.0, 0.0]], dtype=torch.float64)  # rates 1, 0, 0.5
    assert float(rate_penalty(s)) == pytest.approx(0.25)
    assert float(rate_penalty(s, 0.2, 0.6)) == 0
    assert float(rate_penalty(s, 0.2, 0.6, keep=1)) == pytest.approx((0.4**2 + 0.2**2) / 3)
    assert torch.autograd.gradcheck(lambda s: rate_penalty(s, 0.2, 0.6, 1), (s.requires_grad_(),))
    for low, high, keep in ((0.6, 0.2, 0), (0.0, 1.0, 2)):
        with pytest.raises(ValueError, match="check them"):
            rate_penalty(s, low, high, keep)


NEURONS = [
    LIF(tau=2.5, reset="hard", v_reset=0.2), LIF(tau=2.5, reset="soft", threshold=torch.tensor([[0.5], [0.9]])), IF(),
    PLIF(3.0, decay_input=False), CUBALIF(), IF(reset="soft").starting(v=torch.full((2, 1), 0.5)),
]  # fmt: skip


@pytest.mark.parametrize("neuron", NEURONS, ids=repr)
@pytest.mark.parametrize("as_layer", [False, True])
def test_potential_is_what_met_the_threshold(neuron: Neuron, as_layer: bool) -> None:
    x = (torch.rand(9, 3, 2, 5) * 1.3).requires_grad_()
    layer = Spiking(neuron)
    h = potential(layer if as_layer else neuron, x)
    assert torch.equal((h >= neuron.parameters["threshold"]).float(), scan(neuron, x)[0])
    # the same by hand: each step once with its reset and once without
    state, rows = layer.fresh(x), []
    for step in x:
        rows.append(neuron.replace(reset="none").step(step, *state)[1])
        _, state = neuron.step(step, *state)
    by_hand = torch.stack([getattr(row, "v") for row in rows])  # noqa: B009  named tuples of no declared fields
    assert torch.allclose(h, by_hand, atol=1e-6)
    weight = torch.randn(h.shape)
    wanted, got = (torch.autograd.grad((y * weight).sum(), x, retain_graph=True)[0] for y in (by_hand, h))
    assert torch.allclose(got, wanted, atol=1e-5)
    assert wanted.abs().sum() > 0


def test_potential_trains_a_silent_layer_to_fire() -> None:
    torch.manual_seed(0)
    weights, layer = nn.Linear(4, 8), Spiking(LIF())
    x, rates = torch.rand(10, 20, 4), []
    optimiser = torch.optim.Adam(weights.parameters(), 0.03)
    for _ in range(80):
        current = weights(x)
        rates.append(float(layer(current).detach().mean()))
        loss = information_penalty(potential(layer, current), 1.0)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert rates[0] < 0.02
    assert rates[-1] > 0.2


def test_a_neuron_without_reset_to_leave_out_is_refused() -> None:
    x: Tensor = torch.rand(3, 2)
    with pytest.raises(ValueError, match=r"ValueIF, expected a neuron with the option 'reset'"):
        potential(ValueIF(), x)
