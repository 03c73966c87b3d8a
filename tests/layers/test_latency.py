"""Latency coding that learns: at most one spike, monotone, and gradients that move spikes as they should."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from spikeworks.layers import (
    SNN,
    LatencyEncoder,
    SingleSpike,
    Spiking,
    first_spike,
    latency_features,
    latency_spikes,
    running_sum,
)
from spikeworks.neurons import LIF, scan

UNIT = st.lists(st.floats(0, 1, width=32), min_size=1, max_size=20)
ESTIMATORS = pytest.mark.parametrize("estimator", ["triangle", "difference"])


@given(values=UNIT, steps=st.integers(1, 33))
def test_one_spike_or_none_and_never_later_for_more(values: list[float], steps: int) -> None:
    a = torch.tensor(values, dtype=torch.float64)
    s_T = latency_spikes(a, steps)
    count = s_T.sum(0)
    assert ((count == 0) | (count == 1)).all()
    assert torch.equal(first_spike(s_T), ((1 - a) * steps).floor().long())
    assert (first_spike(s_T)[a.argsort()].diff() <= 0).all()
    ends = first_spike(latency_spikes(torch.tensor([1.0, 0.0]), steps))
    assert ends.tolist() == [0, steps]


@ESTIMATORS
@given(values=UNIT, steps=st.integers(1, 33))
def test_the_gradient_of_the_spike_time_is_that_of_the_latency(estimator: str, values: list[float], steps: int) -> None:
    """Of every unit, at both ends too; one that never fires counts as firing at T."""
    a = torch.tensor(values, dtype=torch.float64, requires_grad=True)
    s_T = latency_spikes(a, steps, estimator)
    clock_T = torch.arange(steps).double().unsqueeze(1)
    (steps + ((clock_T - steps) * s_T).sum(0)).sum().backward()
    assert torch.allclose(a.grad, torch.full_like(a, -float(steps)))


def test_triangle_is_the_gradient_of_the_soft_occupancy() -> None:
    steps = 7
    tau = torch.rand(500, dtype=torch.float64) * (steps - 0.5) + 0.5  # inside; the first half bin is extrapolated
    weight, clock_T = torch.randn(steps, 500, dtype=torch.float64), torch.arange(steps).double().unsqueeze(1)

    def soft(a: Tensor) -> Tensor:
        return (weight * (1 - ((1 - a) * steps - clock_T - 0.5).abs()).relu()).sum()

    a = (1 - tau / steps).requires_grad_()
    (wanted,) = torch.autograd.grad(soft(a), a)
    (got,) = torch.autograd.grad((weight * latency_spikes(a, steps)).sum(), a)
    assert torch.allclose(got, wanted)
    assert torch.autograd.gradcheck(soft, (a,), eps=1e-9, atol=1e-3)  # the reference is right itself


def test_difference_is_what_a_move_by_one_bin_changes() -> None:
    steps, weight = 6, torch.randn(6, dtype=torch.float64)
    padded = torch.cat([weight, torch.zeros(1, dtype=torch.float64)])  # bin T: no spike
    for k in range(steps + 1):
        a = torch.tensor([1 - (min(k, steps - 0.5) + 0.25 * (k < steps)) / steps], dtype=torch.float64)
        a = (a if k < steps else torch.zeros(1, dtype=torch.float64)).requires_grad_()
        s_T = latency_spikes(a, steps, "difference")
        assert int(first_spike(s_T)) == k
        (weight.unsqueeze(1) * s_T).sum().backward()
        to = max(k - 1, 0)  # the first bin is left, not entered
        assert float(a.grad) == pytest.approx(steps * float(padded[to] - padded[to + 1]))


@ESTIMATORS
def test_more_intensity_means_more_early_spikes(estimator: str) -> None:
    a = torch.cat([torch.zeros(1), torch.rand(300)]).double()  # the first is silent, and to fire at the last step
    for j in range(8):
        leaf = a.clone().requires_grad_()
        latency_spikes(leaf, 8, estimator)[: j + 1].sum().backward()  # spikes up to step j
        assert (leaf.grad >= 0).all()
        assert (leaf.grad > 0).any()


def test_gradients_reach_features_and_features_learn_to_be_early() -> None:
    torch.manual_seed(0)
    encoder = LatencyEncoder(8, latency_features(1, 3))
    snn = SNN(nn.Flatten(), encoder)
    assert sum(p.numel() for p in snn.parameters()) == 3 * 9 + 6
    x, optimiser = torch.rand(16, 1, 6, 6), torch.optim.Adam(snn.parameters(), 0.05)
    times = []
    for _ in range(40):
        s_T = snn(x)
        early = torch.linspace(1, 0, 8).view(-1, 1, 1)
        loss = -(s_T * early).mean()
        optimiser.zero_grad()
        loss.backward()
        assert all(p.grad.isfinite().all() and p.grad.abs().sum() > 0 for p in encoder.parameters())
        optimiser.step()
        times.append(float(first_spike(s_T).float().mean()))
    assert times[-1] < times[0] - 1


def test_without_features_it_is_direct_coding() -> None:
    x = torch.rand(4, 1, 5, 5)
    assert torch.equal(LatencyEncoder(6)(x), latency_spikes(x, 6))
    assert repr(LatencyEncoder(6)) == "LatencyEncoder(steps=6, estimator='triangle')"


@pytest.mark.parametrize("backend", ["auto", "eager"])
def test_single_spike_is_the_product_of_silences(backend: str) -> None:
    s_T = (torch.rand(7, 40, 3) < 0.3).float()
    reference = torch.stack([s_T[t] * (1 - s_T[:t]).prod(0) for t in range(7)])
    out_T, _ = scan(SingleSpike(), s_T, backend=backend)
    assert torch.equal(out_T, reference)
    assert (s_T.sum(0) > 1).any()
    assert (out_T.sum(0) <= 1).all()
    assert torch.equal(first_spike(out_T), first_spike(s_T))
    x_T = torch.randn(7, 40, 3, requires_grad=True)  # the gradient passes where the input does
    out_T, _ = scan(SingleSpike(), x_T, backend=backend)
    out_T.sum().backward()
    assert torch.equal(x_T.grad, torch.cat([torch.ones(1, 40, 3), torch.zeros(6, 40, 3)]))


def test_strict_layers_fire_once_others_more_often_and_nothing_sees_the_future() -> None:
    torch.manual_seed(0)
    strict = SNN(nn.Sequential(nn.Linear(5, 30), Spiking(LIF(threshold=0.3)), Spiking(SingleSpike())))
    plain = SNN(strict.network[:2])
    x_T = torch.rand(9, 4, 5)
    assert (strict(x_T).sum(0) <= 1).all()
    assert (plain(x_T).sum(0) > 1).any()
    whole = SNN(nn.Sequential(strict.network, nn.Linear(30, 3)), decode=running_sum)
    for cut in (1, 4, 8):
        later = torch.cat([x_T[:cut], torch.rand(9 - cut, 4, 5)])
        assert torch.equal(whole(later)[:cut], whole(x_T)[:cut])


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: latency_spikes(torch.rand(3), 0), lambda: latency_spikes(torch.rand(3), 4, "other"),
        lambda: latency_spikes(torch.tensor([1.1]), 4), lambda: latency_spikes(torch.tensor([float("nan")]), 4),
        lambda: latency_spikes(torch.zeros(3, dtype=torch.uint8), 4), lambda: LatencyEncoder(0),
        lambda: LatencyEncoder(4, None, "other"), lambda: latency_features(0, 3), lambda: latency_features(1, 3, 4),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(wrong) -> None:
    with pytest.raises(ValueError, match="expected"):
        wrong()
