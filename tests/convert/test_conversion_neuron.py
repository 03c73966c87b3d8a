"""The neuron a converted network is made of obeys its laws exactly."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from spikeworks.convert import ValueIF
from spikeworks.convert.activation import QCFS
from spikeworks.neurons import scan


def run(x_T: Tensor, threshold: float | Tensor = 1.0, fraction: float = 0.5) -> tuple[Tensor, Tensor]:
    out_T, state = scan(ValueIF(threshold=threshold, fraction=fraction), x_T)
    return out_T, state[0]


@pytest.mark.parametrize("fraction", [0.0, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("per_channel", [False, True])
def test_charge_is_conserved(fraction: float, per_channel: bool) -> None:
    x_T = torch.randn(13, 5, 3, 4, 4, dtype=torch.float64) * 2
    threshold = torch.rand(3, 1, 1).double() + 0.3 if per_channel else torch.tensor(0.7).double()
    out_T, v = run(x_T, threshold, fraction)
    balance = out_T.sum(0) + v - x_T.sum(0) - fraction * threshold
    assert balance.abs().max() < 1e-12
    assert ((out_T == 0) | (out_T == threshold)).all()


def test_fires_at_the_threshold_itself() -> None:
    at, below = 0.75, math.nextafter(0.75, 0)
    x_T = torch.tensor([[at, below]], dtype=torch.float64)
    out_T, _ = run(x_T, torch.tensor(0.75).double(), 0.0)
    assert out_T.tolist() == [[0.75, 0.0]]


@pytest.mark.parametrize("steps", [1, 3, 4, 8])
def test_master_identity(steps: int) -> None:
    """k = clip(n + floor(v/θ), 0, T) for any order of arrival; inputs are multiples of 1/8, so ties do occur."""
    coarse = torch.randint(-20, 28, (steps, 100_000)).double() / 8
    fine = torch.randn(steps, 100_000, dtype=torch.float64)
    for x_T in (coarse, fine):
        for threshold in (1.0, 0.5):
            out_T, v = run(x_T, threshold)
            n = (out_T != 0).sum(0)
            k = torch.floor(x_T.sum(0) / threshold + 0.5).clamp(0, steps)
            mismatches = (k != (n + torch.floor(v / threshold)).clamp(0, steps)).sum()
            # one cell in about 1e11 lies within rounding of an edge when inputs are real numbers
            assert mismatches == 0
            assert not ((n == 0) & (k > 0)).any()
            settled = (v >= 0) & (v < threshold)
            assert (n == k)[settled].all()


@pytest.mark.parametrize("levels", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("bound", [0.5, 1.0, 4.0])
def test_constant_input_equals_qcfs_at_as_many_steps_as_levels(levels: int, bound: float) -> None:
    z = torch.cat((torch.linspace(-0.7, 1.7, 9973), torch.arange(-8, 41) / 32)).double() * bound
    activation = QCFS(levels, bound).double()
    out_T, _ = run(z.expand(levels, -1), bound)
    assert torch.equal(out_T.sum(0) / levels, activation(z).detach())


@pytest.mark.parametrize("bound", [0.3, 1.7, 2.9])
def test_constant_input_gives_the_count_of_any_bound(bound: float) -> None:
    z = torch.rand(20_000, dtype=torch.float64) * 2 * bound - bound / 2
    out_T, _ = run(z.expand(8, -1), bound)
    wanted = QCFS(8, bound).double()
    wanted.bound.data.fill_(bound)
    assert torch.equal((out_T != 0).sum(0), (wanted(z).detach() * 8 / bound).round().long())


@pytest.mark.parametrize(
    ("levels", "steps", "biased"), [(4, 2, -0.125), (4, 8, 0.063), (4, 16, 0.094), (8, 4, -0.063), (8, 3, -0.104)]
)
def test_expected_error_is_zero_with_the_half_shift_and_not_without(levels: int, steps: int, biased: float) -> None:
    z = (torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000
    shifted = run(z.expand(steps, -1))[0].mean(0) - QCFS(levels, 1.0).double()(z).detach()
    assert shifted.mean().abs() < 3e-4
    plain = run(z.expand(steps, -1), 1.0, 0.0)[0].mean(0) - torch.floor(z * levels) / levels
    assert plain.mean().item() == pytest.approx(biased, abs=6e-4)


@pytest.mark.parametrize("steps", [4, 8, 16, 32])
@pytest.mark.parametrize("fraction", [0.0, 0.25, 0.5, 0.75, 1.0])
def test_bias_and_squared_error_follow_the_initial_potential(steps: int, fraction: float) -> None:
    theta, samples = 1.6, 100_000
    z = torch.rand(samples, dtype=torch.float64) * theta
    error = run(z.expand(steps, -1), theta, fraction)[0].mean(0) - z
    bias = (fraction - 0.5) * theta / steps
    assert abs(error.mean() - bias) < 3 * error.std() / samples**0.5
    squared = (error * steps / theta) ** 2
    assert abs(squared.mean() - (1 / 12 + (fraction - 0.5) ** 2)) < 3 * squared.std() / samples**0.5


def test_fused_equals_eager() -> None:
    x_T = torch.randn(7, 3, 5, 3, 3)
    neuron = ValueIF(threshold=torch.rand(5, 1, 1) + 0.5, fraction=0.5)
    fast, reference = scan(neuron, x_T), scan(neuron, x_T, backend="eager")
    assert torch.equal(fast[0], reference[0])
    assert torch.equal(fast[1][0], reference[1][0])
