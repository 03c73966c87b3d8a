"""Rate norm layers and SlipReLU: values, gradients by finite differences, what training may change, and fit curves."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from convert.small_nets import Residual, fit_curve
from spikeworks.convert import replace_activations
from spikeworks.convert.activation import FULL, QCFS, RNL, Clip, SlipReLU
from spikeworks.convert.graph import normalise, sites
from spikeworks.convert.neuron import ValueIF
from spikeworks.neurons import scan
from spikeworks.train import load_weights, save_weights
from spikeworks.train.rate_inference import inference_loss


def layer(c: float = FULL, maximum: float = 1.0) -> RNL:
    made = RNL(c).double().eval()
    made.maximum.fill_(maximum)
    return made


def slope(f: Callable[[float], Tensor], at: float, step: float = 1e-6) -> float:
    return float((f(at + step) - f(at - step)) / (2 * step))


# ---- the rate norm layer ----


def test_what_comes_out_is_the_rate_not_the_value() -> None:
    rnl = layer(0.0, 8.0)  # p = 1/2, so θ = 4
    z = torch.tensor([-3.0, 0.0, 1.0, 4.0, 5.0, 1e9], dtype=torch.float64)
    assert rnl(z).tolist() == pytest.approx([0, 0, 0.25, 1, 1, 1], abs=1e-6)
    assert float(rnl.threshold()) == pytest.approx(4 + 1e-6, abs=1e-12)
    assert rnl.scale == "rate"
    assert {kind.scale for kind in (Clip, QCFS, SlipReLU)} == {"value"}
    wild = torch.randn(5000, dtype=torch.float64) * 100
    assert 0 == rnl(wild).min() < rnl(wild).max() == 1


def test_p_is_one_in_stage_1_and_frozen() -> None:
    rnl = RNL()
    assert float(rnl.share) == pytest.approx(1, abs=1e-4)
    assert not rnl.logit.requires_grad
    optimiser = torch.optim.SGD([p for p in (*rnl.parameters(), nn.Parameter(torch.ones(1))) if p.requires_grad], 0.1,
                                weight_decay=0.5)  # fmt: skip
    rnl(torch.randn(4, 3, requires_grad=True)).sum().backward()
    optimiser.step()
    assert float(rnl.logit) == FULL


def test_the_maximum_runs_over_the_whole_tensor_in_training_only() -> None:
    rnl = RNL().train()
    z = torch.tensor([[-9.0, 3.0], [5.0, 0.5]])
    out = rnl(z)
    assert float(rnl.maximum) == pytest.approx(0.9 + 0.1 * 5)
    assert float(out.detach()[0, 1]) == pytest.approx(1)  # the maximum is brought up to date before it is used: θ = 1.4
    assert float(out.detach()[1, 1]) == pytest.approx(0.5 / 1.4, rel=1e-4)
    rnl(-z.abs())
    assert float(rnl.maximum) == pytest.approx(1.4 * 0.9)  # of the positive part, which is 0
    now = rnl.maximum.clone()
    rnl.eval()(z * 100)
    assert torch.equal(rnl.maximum, now)
    rnl.train().lock()(z * 100)
    assert torch.equal(rnl.maximum, now)
    rnl.lock(False)(z * 100)
    assert rnl.maximum > now


def test_gradients_are_those_of_finite_differences() -> None:
    z = (torch.rand(300, dtype=torch.float64) * 8 - 2).requires_grad_()
    weights = torch.randn(300, dtype=torch.float64)
    rnl = layer(0.7, 5.0)
    rnl.logit.requires_grad_()
    dz, dc = torch.autograd.grad((rnl(z) * weights).sum(), (z, rnl.logit))

    def at(c: float) -> Tensor:
        return (torch.clamp(z.detach().relu() / (5 * torch.tensor(c, dtype=torch.float64).sigmoid() + 1e-6), 0, 1)
                * weights).sum()  # fmt: skip

    assert dc.item() == pytest.approx(slope(at, 0.7), rel=1e-6)
    theta, inside = rnl.threshold(), (z > 0) & (z < rnl.threshold())
    torch.testing.assert_close(dz, torch.where(inside, weights / theta, 0.0))


def test_called_twice_in_training_it_still_has_gradients() -> None:
    rnl = RNL(2.5).train()
    rnl.logit.requires_grad_()
    z = torch.randn(8, 4, requires_grad=True)
    rnl(rnl(z)).sum().backward()
    assert rnl.logit.grad is not None
    assert z.grad is not None


def test_one_c_can_serve_all_layers(tmp_path: Path) -> None:
    c = nn.Parameter(torch.tensor(2.5))
    network = replace_activations(Residual(), lambda: RNL(c))
    layers = [m for m in network.modules() if isinstance(m, RNL)]
    assert len(layers) == len(sites(network)) == 4
    assert all(m.logit is c for m in layers)
    copied = [m for m in copy.deepcopy(network).modules() if isinstance(m, RNL)]
    assert len({id(m.logit) for m in copied}) == 1
    assert copied[0].logit is not c
    with torch.no_grad():
        network.double()
    assert len([p for p in network.parameters() if p is layers[0].logit]) == 1
    save_weights(network, tmp_path / "shared.safetensors")
    other = replace_activations(Residual(), RNL).double()
    load_weights(other, tmp_path / "shared.safetensors")
    assert {float(m.logit) for m in other.modules() if isinstance(m, RNL)} == {2.5}


def test_it_survives_copies_state_dicts_and_normalising() -> None:
    network = replace_activations(Residual(), RNL)
    x = torch.rand(6, 1, 8, 8)
    for _ in range(3):
        network(x)  # training mode: the maxima move
    network.eval()
    maxima = {n: float(b) for n, b in network.named_buffers() if n.endswith("maximum")}
    assert len(set(maxima.values())) == 4
    wanted = network(x)
    other = replace_activations(Residual(), RNL).eval()
    other.load_state_dict(network.state_dict())
    assert torch.equal(other(x), wanted)
    assert torch.equal(copy.deepcopy(network)(x), wanted)
    torch.testing.assert_close(normalise(network)(x), wanted)
    assert sites(normalise(network)) == sites(network)


def test_nan_is_not_hidden_and_an_empty_batch_passes() -> None:
    for activation in (RNL().eval(), SlipReLU(), SlipReLU(slope=0.0), SlipReLU(slope=1.0)):
        assert activation(torch.tensor([[float("nan"), 1.0]])).isnan().tolist() == [[True, False]]
    assert RNL().train()(torch.zeros(0, 3)).shape == (0, 3)


@pytest.mark.parametrize(
    "make",
    [
        lambda: RNL(momentum=0.0), lambda: RNL(math.nan), lambda: RNL(nn.Parameter(torch.ones(2))),
        lambda: SlipReLU(0), lambda: SlipReLU(slope=1.1), lambda: SlipReLU(shifts=(0.0, 0.6)), lambda: SlipReLU(init=0),
    ],
)  # fmt: skip
def test_bad_values_are_refused(make: Callable[[], nn.Module]) -> None:
    with pytest.raises(ValueError, match="expected"):
        make()


# ---- the neuron that stands for it, and its fit curve ----


def spikes(rnl: RNL, z: Tensor, steps: int) -> Tensor:
    """``[T, B]`` of an integrate-and-fire neuron of threshold 1 from 0, under the current divided by θ."""
    return scan(ValueIF(threshold=1.0, fraction=0.0), (z / rnl.threshold()).expand(steps, *z.shape))[0]


def test_a_neuron_is_at_most_a_step_away_from_the_rate_and_emits_whole_spikes() -> None:
    rnl, z = layer(1.0, 6.0), torch.rand(4000, 1, dtype=torch.float64) * 10 - 2
    y_T = spikes(rnl, z, 1000)
    assert set(y_T.unique().tolist()) == {0.0, 1.0}
    for steps in (1, 7, 64, 1000):
        gap = rnl(z) - y_T[:steps].mean(0)
        assert float(gap.min()) > -1e-9
        assert float(gap.max()) < 1 / steps + 1e-9


def test_the_curve_stays_below_its_bound_under_constant_input() -> None:
    z = torch.rand(3000, 1, dtype=torch.float64) * 10 - 2
    for c in (-2.0, 0.0, 2.5, FULL):
        rnl = layer(c, 8.0)
        curve = fit_curve("act", spikes(rnl, z, 100), rnl(z))
        assert curve.name == "act"
        assert all(k <= tight for k, tight in zip(curve.values, curve.tight, strict=True))
        assert 0 < curve.excess <= 0.5
        rate = rnl(z).detach()
        assert curve.omega == pytest.approx(float(rate.sum() / (rate**2).sum()))
        assert float(inference_loss(rate)) == pytest.approx(curve.omega, rel=1e-6)
        # at each step it is what its formula says, and falls faster than the bound: like 1/t²
        wanted = [float(((spikes(rnl, z, t).mean(0) - rate) ** 2).sum() / (rate**2).sum()) for t in (1, 10, 100)]
        assert [curve.values[t - 1] for t in (1, 10, 100)] == pytest.approx(wanted)
        assert curve.values[99] < curve.values[9] / 20


def test_a_smaller_omega_speeds_the_curve() -> None:
    z = torch.rand(3000, 1, dtype=torch.float64).square() * 8  # many small activations, as in networks
    curves = []
    for c in (FULL, 1.0, 0.0, -1.0):
        rnl = layer(c, 8.0)
        curves.append(fit_curve("act", spikes(rnl, z, 64), rnl(z)))
    omegas = [c.omega for c in curves]
    assert omegas == sorted(omegas, reverse=True)
    assert omegas[0] > 1.4 * omegas[-1]
    for t in (1, 2, 4, 8, 16, 64):
        distances = [c.values[t - 1] for c in curves]
        assert distances == sorted(distances, reverse=True)


def test_omega_is_small_for_what_is_all_or_nothing() -> None:
    rate = torch.tensor([0.0, 1.0, 1.0, 0.0])
    assert float(inference_loss(rate, 0.0)) == 1
    assert float(inference_loss(rate / 4, 0.0)) == 4
    assert float(inference_loss(torch.zeros(3))) == 0
    given = torch.rand(20, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(inference_loss, given)


# ---- SlipReLU ----


def test_its_ends_are_clip_and_qcfs() -> None:
    z = torch.linspace(-3, 9, 5001, dtype=torch.float64)
    for levels, bound in ((4, 2.0), (5, 0.7), (1, 8.0)):
        assert torch.equal(SlipReLU(levels, 0.0, bound).double()(z), QCFS(levels, bound).double()(z))
        torch.testing.assert_close(SlipReLU(levels, 1.0, bound).double()(z), Clip(bound).double()(z))


@pytest.mark.parametrize("shifts", [(0.0, 0.5), (0.0, 0.0), (0.5, -0.5), (-0.25, 0.25)])
def test_slip_relu_is_its_formula(shifts: tuple[float, float]) -> None:
    z, a, bound, (ramp, stair) = torch.linspace(-3, 9, 5003, dtype=torch.float64), 0.3, 2.0, shifts
    for levels in (1, 4, 5):
        clipped = torch.clamp(z / bound + ramp / levels, 0, 1)
        floored = torch.clamp(torch.floor(levels * z / bound + stair) / levels, 0, 1)
        wanted = a * bound * clipped + (1 - a) * bound * floored
        slip = SlipReLU(levels, a, bound, shifts).double()
        torch.testing.assert_close(slip(z).detach(), wanted, rtol=0, atol=1e-12)
        assert float(slip.threshold()) == bound
        assert slip.levels == levels


def test_slip_relu_has_the_gradients_of_its_surrogate() -> None:
    """The floor's step is a constant for the surrogate: f(λ) = λ(a·c(z/λ) + (1 − a)(c(z/λ + ½/N) + r))."""
    z, a, levels = torch.randn(400, dtype=torch.float64) * 3, 0.3, 4
    slip = SlipReLU(levels, a, 2.0).double()

    def ramp(bound: float, shift: float) -> Tensor:
        return torch.clamp(z / bound + shift / levels, 0, 1)

    residual = torch.floor(ramp(2, 0.5) * levels) / levels - ramp(2, 0.5)
    weights = torch.randn_like(z)

    def surrogate(bound: float) -> Tensor:
        return (bound * (a * ramp(bound, 0) + (1 - a) * (ramp(bound, 0.5) + residual)) * weights).sum()

    z.requires_grad_()
    dz, db = torch.autograd.grad((slip(z) * weights).sum(), (z, slip.bound))
    z.requires_grad_(False)
    assert db.item() == pytest.approx(slope(surrogate, 2.0), rel=1e-6)
    in_clip, in_stair = (z > 0) & (z < 2), (z > -0.25) & (z < 1.75)
    torch.testing.assert_close(dz, weights * (a * in_clip + (1 - a) * in_stair))


def test_slip_relu_in_a_network() -> None:
    network = replace_activations(Residual(), lambda: SlipReLU(levels=2, init=1.0))
    x = torch.rand(16, 1, 8, 8)
    network(x).sum().backward()
    assert all(p.grad is not None for p in network.parameters())
    other = replace_activations(Residual(), lambda: SlipReLU(levels=2, init=3.0))
    other.load_state_dict(network.state_dict())
    assert torch.equal(copy.deepcopy(other)(x), network(x))
    assert sites(normalise(network.eval())) == sites(network)
