"""What neurons must do by physics: rates, periods, conserved charge, fixed points, resonance; float64, closed form."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import spikeworks as sw
from spikeworks.neurons import surrogate as sg


def constant(value: float, T: int) -> Tensor:
    return torch.full((T, 1), value, dtype=torch.float64)


def noise(T: int = 200, n: int = 64, mean: float = 0.3, seed: int = 0) -> Tensor:
    return mean + torch.randn(T, n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def membranes(neuron: sw.Neuron, x_T: Tensor) -> Tensor:
    """Every state after every step, ``[T, states, ...]``."""
    state, found = None, []
    for x in x_T:
        _, state = sw.scan(neuron, x[None], state)
        found.append(torch.stack(tuple(state)))
    return torch.stack(found)


def spike_times(neuron: sw.Neuron, x_T: Tensor) -> list[int]:
    out_T, _ = sw.scan(neuron, x_T)
    return [t + 1 for t in out_T[:, 0].nonzero()[:, 0].tolist()]


# ---- integrate and fire ----


@given(st.integers(0, 64), st.integers(1, 200), st.integers(0, 63))
def test_soft_if_is_a_perfect_rate_coder(x64: int, T: int, v64: int) -> None:
    # dyadic numbers: every sum is exact, so the count after t steps is ⌊v₀ + t·x⌋ for 0 ≤ x ≤ θ = 1
    out_T, _ = sw.scan(sw.IF(reset="soft").starting(v=v64 / 64), constant(x64 / 64, T))
    expected = [(v64 + x64 * (t + 1)) // 64 for t in range(T)]
    assert out_T[:, 0].cumsum(0).tolist() == expected


@given(st.integers(1, 300), st.integers(1, 300))
def test_hard_if_fires_every_ceil_of_threshold_over_input(x64: int, threshold64: int) -> None:
    period = math.ceil(threshold64 / x64)
    times = spike_times(sw.IF(threshold=threshold64 / 64), constant(x64 / 64, 3 * period))
    assert times == [period, 2 * period, 3 * period]


def test_soft_reset_conserves_charge() -> None:
    # Σ s·θ + v(T) = Σ x + v(0)
    x_T, v0, theta = noise(), 0.37, 0.8
    out_T, state = sw.scan(sw.IF(reset="soft", threshold=theta).starting(v=v0), x_T)
    assert torch.allclose(out_T.sum(0) * theta + state.v, x_T.sum(0) + v0, rtol=0, atol=1e-12)
    assert bool((out_T.sum(0) > 0).all())


def test_ternary_if_conserves_charge_of_both_signs() -> None:
    x_T = noise(mean=0.0)
    out_T, state = sw.scan(sw.TernaryIF(threshold=0.7), x_T)
    assert torch.allclose(out_T.sum(0) * 0.7 + state.v, x_T.sum(0), rtol=0, atol=1e-12)
    assert set(out_T.unique().tolist()) == {-1, 0, 1}


def test_ternary_if_is_odd() -> None:
    x_T = noise(mean=0.0)
    assert torch.equal(sw.scan(sw.TernaryIF(), x_T)[0], -sw.scan(sw.TernaryIF(), -x_T)[0])


def test_ternary_neurons_are_their_binary_kin_on_positive_input() -> None:
    x_T = noise().abs()
    assert torch.equal(sw.scan(sw.TernaryIF(), x_T)[0], sw.scan(sw.IF(reset="soft"), x_T)[0])
    kin = {"tau": 3.0, "threshold": 0.4}
    assert torch.equal(sw.scan(sw.TernaryLIF(**kin), x_T)[0], sw.scan(sw.LIF(**kin, reset="soft"), x_T)[0])


# ---- leaky ----


@pytest.mark.parametrize("tau", [1.5, 2.0, 5.0, 20.0])
@pytest.mark.parametrize("current", [0.99, 1.01, 1.3, 2.0, 7.5])
@pytest.mark.parametrize("rest", [0.0, -0.5])
def test_lif_period_under_constant_current(tau: float, current: float, rest: float) -> None:
    # u = v − rest obeys uₙ = I(1 − λⁿ), λ = 1 − 1/τ, and fires when u ≥ θ − rest
    height = 1 - rest
    times = spike_times(sw.LIF(tau=tau, v_reset=rest), constant(current, 200))
    if current < height:
        assert times == []  # below rheobase it never fires
        return
    period = math.ceil(math.log(1 - height / current) / math.log(1 - 1 / tau) - 1e-9)
    assert times == list(range(period, 201, period))


@pytest.mark.parametrize("tau", [1.5, 2.0, 5.0])
@pytest.mark.parametrize("current", [0.3, 0.55])
def test_lif_period_when_the_input_is_not_scaled(tau: float, current: float) -> None:
    ceiling = current * tau  # uₙ = I·τ·(1 − λⁿ)
    times = spike_times(sw.LIF(tau=tau, decay_input=False), constant(current, 100))
    if ceiling < 1:
        assert times == []
        return
    period = math.ceil(math.log(1 - 1 / ceiling) / math.log(1 - 1 / tau) - 1e-9)
    assert times == list(range(period, 101, period))


@pytest.mark.parametrize(
    ("neuron", "decay", "gain"),
    [
        (sw.LIF(tau=3.0, reset="soft", threshold=0.4), 2 / 3, 1 / 3),
        (sw.LIF(tau=3.0, reset="soft", threshold=0.4, decay_input=False), 2 / 3, 1.0),
        (sw.TernaryLIF(tau=4.0, threshold=0.4), 3 / 4, 1 / 4),
        (sw.IntegerLIF(), 1 / 4, 1.0),
        (sw.IntegerLIF(tau=4.0, threshold=0.6, surrogate=sg.multi_level_spike_count(levels=2)), 3 / 4, 1.0),
    ],
    ids=repr,
)
def test_leaky_soft_reset_forgets_input_and_output_alike(neuron: sw.Neuron, decay: float, gain: float) -> None:
    # v(T) = λᵀv(0) + Σ λ^{T−1−t}·gain·xₜ − Σ λ^{T−1−t}·θ·sₜ
    x_T = noise(T=60)
    out_T, state = sw.scan(neuron.starting(v=0.2), x_T)
    kernel = decay ** torch.arange(59, -1, -1, dtype=torch.float64)[:, None]
    theta = neuron.parameters["threshold"]
    expected = decay**60 * 0.2 + (kernel * (gain * x_T - theta * out_T)).sum(0)
    assert torch.allclose(state.v, expected, rtol=0, atol=1e-12)
    assert bool((out_T != 0).any())


def test_soft_lif_rate_balances_input_leak_and_reset() -> None:
    # summed over time: θ·Σs = (Σx − Σv)/τ − (v(T) − v(0)), v before each charge
    tau, theta, x_T = 4.0, 0.6, noise()
    v_T = membranes(sw.LIF(tau=tau, threshold=theta, reset="soft"), x_T)[:, 0]
    out_T, _ = sw.scan(sw.LIF(tau=tau, threshold=theta, reset="soft"), x_T)
    before = torch.cat([torch.zeros_like(v_T[:1]), v_T[:-1]])
    assert torch.allclose(theta * out_T.sum(0), (x_T - before).sum(0) / tau - v_T[-1], atol=1e-12)


def test_leaky_integrator_is_an_exponential_filter() -> None:
    out_T, _ = sw.scan(sw.LeakyIntegrator(tau=4.0), constant(1.0, 50))
    expected = 1 - 0.75 ** torch.arange(1, 51, dtype=torch.float64)
    assert torch.allclose(out_T[:, 0], expected, atol=1e-12)


def test_integrator_is_the_running_sum() -> None:
    x_T = noise()
    out_T, state = sw.scan(sw.Integrator(), x_T)
    assert torch.allclose(out_T, x_T.cumsum(0), atol=1e-12)
    assert torch.equal(state.v, out_T[-1])


def test_cubalif_impulse_response_is_a_difference_of_exponentials() -> None:
    x_T = torch.zeros(30, 1, dtype=torch.float64)
    x_T[0] = 0.1
    v_T = membranes(sw.CUBALIF(current_decay=0.5, voltage_decay=0.8), x_T)[:, 1, 0]
    t = torch.arange(30, dtype=torch.float64)
    assert torch.allclose(v_T, 0.1 * (0.8 ** (t + 1) - 0.5 ** (t + 1)) / (0.8 - 0.5), atol=1e-12)


def test_klif_with_scale_one_is_lif_while_the_membrane_stays_positive() -> None:
    x_T = noise().abs()
    assert torch.equal(
        sw.scan(sw.KLIF(tau=3.0, threshold=0.4), x_T)[0], sw.scan(sw.LIF(tau=3.0, threshold=0.4), x_T)[0]
    )


def test_klif_membrane_is_never_negative() -> None:
    assert bool((membranes(sw.KLIF(reset="none"), noise(mean=-0.5)) >= 0).all())


# ---- adaptation ----


def test_alif_threshold_settles_at_its_closed_form() -> None:
    # firing at every step, a = τₐ(1 − λⁿ); silent, a decays by λ = 1 − 1/τₐ
    tau_a, beta = 10.0, 0.3
    a_T = membranes(sw.ALIF(tau=2.0, tau_a=tau_a, beta=beta), constant(1000.0, 300))[:, 1, 0]
    steps = torch.arange(1, 301, dtype=torch.float64)
    assert torch.allclose(a_T, tau_a * (1 - 0.9**steps), atol=1e-9)
    state = (torch.zeros(1, dtype=torch.float64), torch.full((1,), 4.0, dtype=torch.float64))
    out_T, end = sw.scan(sw.ALIF(tau_a=tau_a, beta=beta), constant(0.0, 20), state)
    assert out_T.sum() == 0
    assert end.a.item() == pytest.approx(4 * 0.9**20, rel=1e-12)


def test_alif_and_adex_slow_down_under_constant_current() -> None:
    for neuron in (sw.ALIF(tau=5.0, beta=0.1), sw.AdEx(a=0.0, b=0.4)):
        times = spike_times(neuron, constant(3.0, 400))
        intervals = [b - a for a, b in itertools.pairwise(times)]
        assert len(intervals) > 10
        assert intervals[-1] > intervals[0]
        assert max(intervals[-5:]) - min(intervals[-5:]) <= 1  # and reach a steady rate


def test_alif_without_adaptation_is_lif() -> None:
    x_T = noise(mean=1.0)
    assert torch.equal(sw.scan(sw.ALIF(beta=0.0), x_T)[0], sw.scan(sw.LIF(reset="soft"), x_T)[0])


# ---- nonlinear membranes ----


def test_qif_fixed_points_and_their_stability() -> None:
    neuron = sw.QIF(tau=2.0, v_c=0.8, a0=1.0, v_rest=0.1)
    for fixed in (0.1, 0.8):
        v_T = membranes(neuron.starting(v=fixed), constant(0.0, 20))
        assert torch.allclose(v_T, torch.full_like(v_T, fixed), atol=1e-12)
        # a small push is multiplied by 1 + a₀(2v* − v_rest − v_c)/τ at each step
        pushed = membranes(neuron.starting(v=fixed + 1e-7), constant(0.0, 1)).item() - fixed
        assert pushed / 1e-7 == pytest.approx(1 + (2 * fixed - 0.9) / 2, rel=1e-5)
    assert spike_times(neuron.starting(v=0.79), constant(0.0, 200)) == []
    assert spike_times(neuron.starting(v=0.81), constant(0.0, 200)) != []


@pytest.mark.parametrize(
    ("neuron", "rheobase"),
    [
        (sw.QIF(v_c=0.8, a0=1.5, v_rest=0.0), 1.5 * 0.8**2 / 4),
        (sw.EIF(delta_t=0.2, theta_rh=0.8, v_rest=0.1), 0.8 - 0.1 - 0.2),
        (sw.AdEx(a=0.0, b=0.0, delta_t=0.2, theta_rh=0.8, v_rest=0.1), 0.8 - 0.1 - 0.2),
        (sw.Izhikevich(v_c=0.8, a0=1.5, v_rest=0.0), 1.5 * 0.8**2 / 4),
    ],
    ids=lambda v: v.kind.__name__ if isinstance(v, sw.Neuron) else "",
)
def test_rheobase(neuron: sw.Neuron, rheobase: float) -> None:
    # the current at which resting and threshold fixed points meet
    assert spike_times(neuron, constant(rheobase - 1e-3, 2000)) == []
    assert spike_times(neuron, constant(rheobase + 1e-3, 2000)) != []


def test_izhikevich_without_recovery_is_qif() -> None:
    x_T = noise(mean=0.2) * 0.5
    shared = {"tau": 3.0, "v_c": 0.7, "a0": 0.9, "v_rest": 0.05}
    assert torch.equal(sw.scan(sw.Izhikevich(**shared), x_T)[0], sw.scan(sw.QIF(**shared), x_T)[0])


def test_adex_without_adaptation_is_eif() -> None:
    x_T, shared = noise(mean=0.2), {"tau": 3.0, "delta_t": 0.3, "v_rest": 0.05, "v_reset": 0.05}
    adex, eif = sw.AdEx(a=0.0, b=0.0, **shared), sw.EIF(**shared)
    assert torch.allclose(membranes(adex, x_T)[:, :1], membranes(eif, x_T), atol=1e-9)


# ---- resonance ----


def test_resonator_rings_at_its_frequency_and_decays() -> None:
    x_T = torch.zeros(40, 1, dtype=torch.float64)
    x_T[0] = 0.3
    u_T, v_T = membranes(sw.ResonateAndFire(b=-0.1, omega=0.7), x_T).unbind(1)
    t = torch.arange(40, dtype=torch.float64)[:, None]
    assert torch.allclose(u_T, 0.3 * torch.exp(-0.1 * t) * torch.cos(0.7 * t), atol=1e-12)
    assert torch.allclose(v_T, 0.3 * torch.exp(-0.1 * t) * torch.sin(0.7 * t), atol=1e-12)


def test_resonator_answers_its_own_frequency_most() -> None:
    t = torch.arange(400, dtype=torch.float64)
    frequencies = torch.linspace(0.1, 3.0, 59, dtype=torch.float64)
    x_T = 0.01 * torch.sin(t[:, None] * frequencies)
    v_T = membranes(sw.ResonateAndFire(b=-0.05, omega=1.0), x_T)[200:, 1]
    best = frequencies[v_T.abs().amax(0).argmax()].item()
    assert best == pytest.approx(1.0, abs=0.06)


def test_resonator_reset_leaves_u_alone() -> None:
    x_T = noise(mean=0.5)
    step = sw.ResonateAndFire(reset="hard")
    out_T, _ = sw.scan(step, x_T)
    states_T = membranes(step, x_T)
    assert bool((states_T[:, 1][out_T == 1] == 0).all())
    assert bool((states_T[:, 0][out_T == 1] != 0).all())
    assert bool((out_T == 1).any())


# ---- complementary and gated ----


def test_complementary_lif_resets_further_the_more_it_fired() -> None:
    # firing at every step, m grows, so v = h − (θ + σ(m)) falls further below h than θ
    states_T = membranes(sw.ComplementaryLIF(tau=2.0), constant(50.0, 30))
    m_T = states_T[:, 1, 0]
    assert bool((m_T[1:] > m_T[:-1]).all())
    v, before = states_T[-1, 0, 0].item(), states_T[-2, 0, 0].item()
    h = before / 2 + 50
    assert h - v == pytest.approx(1 + 1 / (1 + math.exp(-m_T[-1].item())), rel=1e-12)


def test_gated_lif_with_gates_shut_is_a_soft_lif_reset_one_step_later() -> None:
    # α = 1, β = 0, γ = 0: h = τ·v + x − v_sub·y, a soft-reset LIF whose reset comes with the next charge
    on = 40.0
    logit = lambda p: math.log(p / (1 - p))  # noqa: E731
    gated = sw.neurons.GatedLIF(
        alpha=on, beta=-on, gamma=-on, tau=logit(0.6), conduct=0.0, v_subreset=logit(0.5), threshold=logit(0.5),
        linear_decay=-on,
    )  # fmt: skip
    x_T = noise(mean=0.2) * 0.5
    v = torch.zeros(64, dtype=torch.float64)
    y, expected = torch.zeros_like(v), []
    for x in x_T:
        v = 0.6 * v + x - 0.5 * y
        y = (v >= 0.5).double()
        expected.append(y)
    assert torch.equal(sw.scan(gated, x_T)[0], torch.stack(expected))
    assert 0.02 < torch.stack(expected).mean() < 0.98
