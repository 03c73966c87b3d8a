"""Trainable activations: their values, and the gradients of the surrogate they stand for."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import spikeworks.convert as convert
from spikeworks.convert.activation import QCFS, Clip


@pytest.mark.parametrize("levels", [1, 2, 4, 8, 5])
def test_qcfs_is_the_clipped_staircase(levels: int) -> None:
    z = torch.linspace(-3, 9, 5001, dtype=torch.float64)
    for bound in (0.7, 2.0, 8.0):
        activation = QCFS(levels, bound).double()
        bound = float(activation.threshold())
        wanted = bound * torch.clamp(torch.floor(z * levels / bound + 0.5) / levels, 0, 1)
        torch.testing.assert_close(activation(z).detach(), wanted, rtol=0, atol=1e-12)


def test_gradient_of_the_bound_is_that_of_the_straight_through_surrogate() -> None:
    """The floor's step is a constant for the surrogate: f(λ) = λ(clip(z/λ, 0, 1) + r)."""
    z = torch.randn(400, dtype=torch.float64) * 3
    activation = QCFS(4, 2.0).double()
    clipped = torch.clamp(z / 2, 0, 1)
    residual = torch.floor(clipped * 4 + 0.5) / 4 - clipped

    def surrogate(bound: float) -> Tensor:
        return bound * (torch.clamp(z / bound, 0, 1) + residual)

    numeric = (surrogate(2 + 1e-6) - surrogate(2 - 1e-6)) / 2e-6
    weights = torch.randn_like(z)
    (analytic,) = torch.autograd.grad((activation(z) * weights).sum(), activation.bound)
    assert analytic.item() == pytest.approx(float((numeric * weights).sum()), rel=1e-6)


def test_gradients_in_the_three_regions() -> None:
    z = torch.tensor([-1.0, 0.3, 1.1, 2.5], dtype=torch.float64, requires_grad=True)
    activation = QCFS(4, 2.0).double()
    for i, (slope, bound_slope) in enumerate([(0, 0), (1, (0.5 - 0.3) / 2), (1, (1.0 - 1.1) / 2), (0, 1)]):
        dz, db = torch.autograd.grad(activation(z)[i], (z, activation.bound))
        assert dz[i] == slope
        assert db.item() == pytest.approx(bound_slope, abs=1e-12)


def test_clip() -> None:
    z = torch.tensor([-1.0, 0.3, 7.0], requires_grad=True)
    activation = Clip(4.0)
    assert activation(z).tolist() == pytest.approx([0, 0.3, 4])
    dz, db = torch.autograd.grad(activation(z).sum(), (z, activation.bound))
    assert dz.tolist() == [0, 1, 0]
    assert db.item() == 1


@pytest.mark.parametrize("make", [lambda: QCFS(0), lambda: QCFS(4, 0.0), lambda: Clip(float("nan")), lambda: Clip(-1)])
def test_bad_values_are_refused(make: object) -> None:
    with pytest.raises(ValueError, match="expected"):
        make()  # type: ignore[operator]


def test_replacing_activations_makes_a_trainable_copy() -> None:
    source = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.5), nn.BatchNorm1d(8), nn.Linear(8, 2))
    network = convert.replace_activations(source, lambda: QCFS(levels=2, init=1.0))
    assert isinstance(source[1], nn.ReLU)
    assert network.training
    kinds = [type(module) for module in network.modules()]
    assert QCFS in kinds
    assert nn.Dropout in kinds
    assert nn.ReLU not in kinds
    network(torch.randn(16, 4)).sum().backward()
    assert all(p.grad is not None for p in network.parameters())
    assert source[0].weight.grad is None


@pytest.mark.parametrize("activation", [Clip(2.0), QCFS(4, 2.0)])
def test_nan_is_not_hidden(activation: torch.nn.Module) -> None:
    assert activation(torch.tensor([[float("nan"), 1.0]])).isnan().tolist() == [[True, False]]
