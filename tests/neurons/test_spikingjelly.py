"""Spikes (bit for bit) and gradients (1e-5) equal SpikingJelly 2.0's, neuron by neuron; needs it installed.

``benchmarks/peers.txt`` says how to build an environment with both.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import spikeworks as sw
from spikeworks.neurons import surrogate as sg

pytestmark = pytest.mark.slow

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # a peer's warnings at import are not ours to fail on
    sj_neuron = pytest.importorskip("spikingjelly.activation_based.neuron", reason="SpikingJelly is not installed")
    from spikingjelly.activation_based import functional as sj_functional  # pyright: ignore[reportMissingImports]
    from spikingjelly.activation_based import surrogate as sj_surrogate  # pyright: ignore[reportMissingImports]

# tensors that are no multiple of a vector's width, and one that is
SHAPES = [(1, 1), (5, 3), (7, 2, 3, 5, 1), (16, 4, 33), (33, 129)]

SURROGATES: dict[str, tuple[sg.Surrogate, Callable[[], nn.Module]]] = {
    "sigmoid": (sg.sigmoid(alpha=4), lambda: sj_surrogate.Sigmoid(alpha=4.0)),
    "atan": (sg.atan(), lambda: sj_surrogate.ATan(alpha=2.0)),
    "piecewise_quadratic": (sg.piecewise_quadratic(), lambda: sj_surrogate.PiecewiseQuadratic(alpha=1.0)),
    "piecewise_exp": (sg.piecewise_exp(), lambda: sj_surrogate.PiecewiseExp(alpha=1.0)),
    "soft_sign": (sg.soft_sign(), lambda: sj_surrogate.SoftSign(alpha=2.0)),
    "super_spike": (sg.super_spike(), lambda: sj_surrogate.SuperSpike(alpha=1.0)),
    "erf": (sg.erf(), lambda: sj_surrogate.Erf(alpha=2.0)),
    "nonzero_sign_log_abs": (sg.nonzero_sign_log_abs(), lambda: sj_surrogate.NonzeroSignLogAbs(alpha=1.0)),
    "piecewise_leaky_relu": (sg.piecewise_leaky_relu(), lambda: sj_surrogate.PiecewiseLeakyReLU(w=1.0, c=0.01)),
    "squarewave": (sg.squarewave_fourier_series(n=4), lambda: sj_surrogate.SquarewaveFourierSeries(n=4, T_period=8.0)),
    "s2nn": (sg.s2nn(), lambda: sj_surrogate.S2NN(alpha=4.0, beta=1.0)),
    "q_pseudo_spike": (sg.q_pseudo_spike(), lambda: sj_surrogate.QPseudoSpike(alpha=2.0)),
    "leaky_k_relu": (sg.leaky_k_relu(leak=0.1), lambda: sj_surrogate.LeakyKReLU(leak=0.1, k=1.0)),
    "fake_numerical_gradient": (sg.fake_numerical_gradient(), lambda: sj_surrogate.FakeNumericalGradient(alpha=0.3)),
    "log_tailed_relu": (sg.log_tailed_relu(alpha=0.1), lambda: sj_surrogate.LogTailedReLU(alpha=0.1)),
    "rect": (sg.rect(), lambda: sj_surrogate.Rect(alpha=1.0)),
    "deterministic_pass": (sg.deterministic_pass(), lambda: sj_surrogate.DeterministicPass()),
}
PAIR = ("atan", "sigmoid", "rect")


def drive(shape: tuple[int, ...], seed: int = 0, scale: float = 1.0) -> Tensor:
    return 0.5 + scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def compare(ours: sw.Neuron, theirs: nn.Module, shape: tuple[int, ...], scale: float = 1.0) -> float:
    """Assert equal spikes, states and gradients; returns the fraction of non-zero outputs."""
    x_T = drive(shape, scale=scale)
    weight_T = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    a, b = (x_T.clone().requires_grad_() for _ in range(2))
    ours_T, state = sw.scan(ours, a)
    sj_functional.set_step_mode(theirs, "m")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs_T = theirs(b)
    assert torch.equal(ours_T, theirs_T)
    assert torch.allclose(state.v, theirs.v, rtol=1e-5, atol=1e-6, equal_nan=True)
    (ga,), (gb,) = (torch.autograd.grad(y, x, weight_T) for y, x in ((ours_T, a), (theirs_T, b)))
    assert torch.allclose(ga, gb, rtol=1e-5, atol=1e-5 * max(1.0, gb.abs().max().item()))
    return float((ours_T != 0).float().mean())


NEURONS: dict[str, tuple[Callable[..., sw.Neuron], Callable[..., nn.Module], dict[str, Any], dict[str, Any]]] = {
    "if": (sw.IF, lambda **k: sj_neuron.IFNode(**k), {}, {}),
    "lif": (sw.LIF, lambda **k: sj_neuron.LIFNode(**k), {"tau": 3.7}, {"tau": 3.7}),
    "lif-no-decay": (
        sw.LIF, lambda **k: sj_neuron.LIFNode(**k), {"tau": 2.0, "decay_input": False},
        {"tau": 2.0, "decay_input": False},
    ),
    "plif": (sw.PLIF, lambda **k: sj_neuron.ParametricLIFNode(**k), {"tau": 2.5}, {"init_tau": 2.5}),
    "plif-no-decay": (
        sw.PLIF, lambda **k: sj_neuron.ParametricLIFNode(**k), {"tau": 2.0, "decay_input": False},
        {"init_tau": 2.0, "decay_input": False},
    ),
    "qif": (sw.QIF, lambda **k: sj_neuron.QIFNode(**k), {"tau": 3.0}, {"tau": 3.0}),
    "eif": (sw.EIF, lambda **k: sj_neuron.EIFNode(**k), {"tau": 3.0}, {"tau": 3.0}),
    "izhikevich": (
        sw.Izhikevich, lambda **k: sj_neuron.IzhikevichNode(**k), {"a": 0.1, "b": 0.2}, {"a": 0.1, "b": 0.2},
    ),
    "klif": (sw.KLIF, lambda **k: sj_neuron.KLIFNode(**k), {"tau": 3.7}, {"tau": 3.7}),
    "klif-scale-reset": (
        sw.KLIF, lambda **k: sj_neuron.KLIFNode(**k), {"scale_reset": True, "decay_input": False},
        {"scale_reset": True, "decay_input": False},
    ),
    "raf": (
        sw.ResonateAndFire, lambda **k: sj_neuron.RAFNode(**k), {"b": -0.1, "omega": 0.7}, {"b": -0.1, "omega": 0.7},
    ),
    "ternary-if": (sw.TernaryIF, lambda **k: sj_neuron.TernaryIFNode(**k), {}, {}),
    "ternary-lif": (sw.TernaryLIF, lambda **k: sj_neuron.TernaryLIFNode(**k), {"tau": 1.5}, {"tau": 1.5}),
    "ternary-lif-no-decay": (
        sw.TernaryLIF, lambda **k: sj_neuron.TernaryLIFNode(**k), {"decay_input": False}, {"decay_input": False},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NEURONS)
@pytest.mark.parametrize("reset", ["hard", "hard-0.2", "soft"])
@pytest.mark.parametrize("detach", [False, True])
@pytest.mark.parametrize("surrogate", PAIR)
def test_neurons_equal(name: str, reset: str, detach: bool, surrogate: str) -> None:
    make, peer, values, peer_values = NEURONS[name]
    slope, peer_slope = SURROGATES[surrogate]
    v_reset = {"hard": 0.0, "hard-0.2": -0.2, "soft": 0.0}[reset]
    rates = []
    for shape in SHAPES[1:] if name == "raf" else SHAPES:  # its input reaches the spike one step later, never at T=1
        ours = make(
            **values, reset=reset.split("-")[0], v_reset=v_reset, threshold=0.9, detach_reset=detach, surrogate=slope
        )
        theirs = peer(
            **peer_values, v_reset=None if reset == "soft" else v_reset, v_threshold=0.9, detach_reset=detach,
            surrogate_function=peer_slope(),
        )  # fmt: skip
        runaway = name in ("qif", "eif", "izhikevich") and reset == "soft"
        rates.append(compare(ours, theirs, shape, scale=0.5 if runaway else 1.5))
    assert 0.02 < rates[-1] < 0.98


@pytest.mark.parametrize("name", SURROGATES)
@pytest.mark.parametrize("reset", ["hard", "soft"])
def test_surrogates_equal(name: str, reset: str) -> None:
    slope, peer_slope = SURROGATES[name]
    for shape in SHAPES:
        ours = sw.LIF(tau=2.0, reset=reset, surrogate=slope)
        theirs = sj_neuron.LIFNode(
            tau=2.0, v_reset=0.0 if reset == "hard" else None, surrogate_function=peer_slope(), step_mode="m"
        )
        compare(ours, theirs, shape, scale=1.5)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("reset", ["hard", "hard-0.2", "soft"])
@pytest.mark.parametrize("surrogate", PAIR)
def test_cubalif(shape: tuple[int, ...], reset: str, surrogate: str) -> None:
    slope, peer_slope = SURROGATES[surrogate]
    v_reset = -0.2 if reset == "hard-0.2" else 0.0
    theirs = sj_neuron.CUBALIFNode(
        v_reset=None if reset == "soft" else v_reset, surrogate_function=peer_slope(), v_threshold=0.7
    )
    ours = sw.CUBALIF(reset=reset.split("-")[0], v_reset=v_reset, threshold=0.7, surrogate=slope)
    compare(ours, theirs, shape)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("surrogate", PAIR)
@pytest.mark.parametrize("tau", [2.0, 3.7])
def test_complementary_lif(shape: tuple[int, ...], surrogate: str, tau: float) -> None:
    slope, peer_slope = SURROGATES[surrogate]
    theirs = sj_neuron.ComplementaryLIFNode(tau=tau, surrogate_function=peer_slope(), step_mode="m").train()
    compare(sw.ComplementaryLIF(tau=tau, surrogate=slope), theirs, shape)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("levels", [1, 4])
@pytest.mark.parametrize("detach", [False, True])
@pytest.mark.parametrize("threshold", [1.0, 0.6])
def test_integer_lif(shape: tuple[int, ...], levels: int, detach: bool, threshold: float) -> None:
    ours = sw.IntegerLIF(
        threshold=threshold, detach_reset=detach, surrogate=sg.multi_level_spike_count(levels=float(levels))
    )
    theirs = sj_neuron.ILIFNode(
        v_threshold=threshold, surrogate_function=sj_surrogate.MultiLevelSpikeCount(levels), detach_reset=detach
    )
    compare(ours, theirs, shape, scale=1.5)


@pytest.mark.parametrize("T", [1, 5, 16])
def test_gated_lif(T: int) -> None:
    # theirs has a conductance per step: with all of them equal it is ours
    torch.manual_seed(T)
    theirs = sj_neuron.GatedLIFNode(T=T, inplane=3, surrogate_function=sj_surrogate.ATan(), step_mode="m")
    names = ("alpha", "beta", "gamma", "tau", "v_threshold", "linear_decay", "v_subreset")
    raw = {name: torch.randn(3, requires_grad=True) for name in names}
    conduct = torch.randn(3)
    for name, value in raw.items():
        getattr(theirs, name).data.copy_(value.detach())
    theirs.conduct.data.copy_(conduct.expand(T, 3))
    ours = sw.neurons.GatedLIF(
        conduct=conduct.view(3, 1, 1), **{n.replace("v_thr", "thr"): v.view(3, 1, 1) for n, v in raw.items()}
    )
    a, b = (drive((T, 2, 3, 5, 7)).requires_grad_() for _ in range(2))
    ours_T, _ = sw.scan(ours, a)
    theirs_T = theirs(b)
    assert torch.equal(ours_T, theirs_T)
    mine = torch.autograd.grad(ours_T.sum(), (a, *raw.values()))
    peer = torch.autograd.grad(theirs_T.sum(), (b, *(getattr(theirs, n) for n in names)), allow_unused=True)
    for name, ga, gb in zip(("x", *names), mine, peer, strict=True):
        gb = torch.zeros_like(ga) if gb is None else gb
        assert torch.allclose(ga, gb, rtol=1e-5, atol=1e-5 * max(1.0, gb.abs().max().item())), name


def test_parameters_learn_alike() -> None:
    shape = (16, 4, 33)
    plif, klif = sj_neuron.ParametricLIFNode(init_tau=2.5, step_mode="m"), sj_neuron.KLIFNode(step_mode="m")
    pairs = [
        (sw.PLIF(tau=2.5, surrogate=sg.sigmoid()), "w", plif, plif.w),
        (sw.KLIF(k=nn.Parameter(torch.tensor(1.0)), surrogate=sg.sigmoid()), "k", klif, klif.k),
    ]
    for ours, name, theirs, parameter in pairs:
        weight_T = torch.randn(shape, generator=torch.Generator().manual_seed(2))
        (sw.scan(ours, drive(shape))[0] * weight_T).sum().backward()
        (theirs(drive(shape)) * weight_T).sum().backward()
        mine = ours.parameters[name]
        assert isinstance(mine, nn.Parameter)
        assert mine.grad is not None
        assert math.isclose(mine.grad.item(), parameter.grad.item(), rel_tol=1e-4, abs_tol=1e-4)


def test_leaky_integrator_equals_the_non_spiking_nodes() -> None:
    x_T = drive((9, 3, 5))
    pairs = [
        (sw.Integrator(), sj_neuron.NonSpikingIFNode()),
        (sw.LeakyIntegrator(tau=3.0), sj_neuron.NonSpikingLIFNode(3.0)),
    ]
    for ours, theirs in pairs:
        assert torch.allclose(sw.scan(ours, x_T)[0], torch.stack(theirs(x_T)), rtol=1e-6, atol=1e-6)


def test_windows_equal_theirs_without_reset() -> None:
    for window, splits in itertools.product((3, 5), (2, 4)):
        x_T = drive((window * splits, 2, 7))
        theirs = sj_neuron.LIFNode(tau=2.0, surrogate_function=sj_surrogate.ATan(), step_mode="m")
        state = None
        for part_T in x_T.split(window):
            ours_T, state = sw.scan(sw.LIF(tau=2.0), part_T, state)
            assert torch.equal(ours_T, theirs(part_T))
