"""Every neuron's equation against an independent float64 reference, written in numpy from its docstring."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import spikeworks as sw
from spikeworks.neurons import surrogate as sg


def fire(h: np.ndarray, threshold: Any) -> np.ndarray:
    return np.where(h - threshold >= 0, 1.0, 0.0)


def reset(h: np.ndarray, s: np.ndarray, p: SimpleNamespace) -> np.ndarray:
    return {"hard": np.where(s > 0, p.v_reset, h), "soft": h - s * p.threshold, "none": h}[p.reset]


def charge(x: np.ndarray, v: np.ndarray, p: SimpleNamespace, rest: Any) -> np.ndarray:
    return v + (x - (v - rest)) / p.tau if p.decay_input else v - (v - rest) / p.tau + x


def logistic(z: Any) -> Any:
    return 1 / (1 + np.exp(-np.asarray(z)))


def ref_if(x, v, p):
    s = fire(v + x, p.threshold)
    return s, (reset(v + x, s, p),)


def ref_lif(x, v, p):
    h = charge(x, v, p, p.v_reset)
    s = fire(h, p.threshold)
    return s, (reset(h, s, p),)


def ref_plif(x, v, p):
    p.tau = 1 / logistic(p.w)
    return ref_lif(x, v, p)


def ref_cubalif(x, c, v, p):
    c = p.current_decay * c + x
    h = p.voltage_decay * v + c
    s = fire(h, p.threshold)
    return s, (c, reset(h, s, p))


def ref_alif(x, v, a, p):
    h = charge(x, v, p, 0.0)
    theta = p.threshold + p.beta * a
    s = fire(h, theta)
    return s, (h - s * theta, (1 - 1 / p.tau_a) * a + s)


def ref_qif(x, v, p):
    h = v + (x + p.a0 * (v - p.v_rest) * (v - p.v_c)) / p.tau
    s = fire(h, p.threshold)
    return s, (reset(h, s, p),)


def ref_eif(x, v, p):
    h = v + (x + p.v_rest - v + p.delta_t * np.exp((v - p.theta_rh) / p.delta_t)) / p.tau
    s = fire(h, p.threshold)
    return s, (reset(h, s, p),)


def ref_izhikevich(x, v, w, p):
    h = v + (x + p.a0 * (v - p.v_rest) * (v - p.v_c) - w) / p.tau
    s = fire(h, p.threshold)
    return s, (reset(h, s, p), w + (p.a * (h - p.v_rest) - w) / p.tau_w + p.b * s)


def ref_adex(x, v, w, p):
    h = v + (x - (v - p.v_rest) + p.delta_t * np.exp((v - p.theta_rh) / p.delta_t) - w) / p.tau
    s = fire(h, p.threshold)
    return s, (reset(h, s, p), w + (p.a * (v - p.v_rest) - w) / p.tau_w + p.b * s)


def ref_klif(x, v, p):
    h = np.maximum(p.k * charge(x, v, p, p.v_reset), 0)
    s = fire(h, p.threshold)
    if p.scale_reset:
        p.threshold = p.threshold / p.k
        h = h / p.k
    return s, (reset(h, s, p),)


def ref_glif(x, v, y, p):
    al, be, ga, ta, ld, co, vs, th = map(
        logistic, (p.alpha, p.beta, p.gamma, p.tau, p.linear_decay, p.conduct, p.v_subreset, p.threshold)
    )
    leak = (1 - al * (1 - ta)) * v * (1 - ga * y) - (1 - al) * ld
    h = leak + (1 - be * (1 - co)) * x - (1 - ga) * vs * y
    s = fire(h, th)
    return s, (h, s)


def ref_adlif(x, v, w, p):
    h = p.decay * v + (1 - p.decay) * (x - w)
    s = fire(h, p.threshold)
    return s, (h - s * p.threshold, p.decay_w * w + p.a * h + p.b * s)


def ref_clif(x, v, m, p):
    h = v - v / p.tau + x
    s = fire(h, p.threshold)
    m = m * logistic(h / p.tau) + s
    return s, (h - s * (p.threshold + logistic(m)), m)


def ref_raf(x, u, v, p):
    z = (u + 1j * v) * np.exp((p.b + 1j * p.omega) * p.dt) + x
    s = fire(z.imag, p.threshold)
    return s, (z.real, reset(z.imag, s, p))


def ref_ternary(h, p):
    s = np.where(h >= p.threshold, 1.0, np.where(-h >= p.threshold, -1.0, 0.0))
    if p.reset == "hard":
        return s, (np.where(s != 0, p.v_reset, h),)
    return s, (reset(h, s, p),)


def ref_integer(x, v, p):
    h = (1 - 1 / p.tau) * v + x
    n = np.round(np.clip(h / p.threshold, 0, dict(p.surrogate.parameters)["levels"]))
    return n, (h - n * p.threshold,)


REFERENCE: dict[str, Callable[..., Any]] = {
    "IF": ref_if, "LIF": ref_lif, "LearnedTauLIF": ref_plif, "CUBALIF": ref_cubalif, "ALIF": ref_alif,
    "AdLIF": ref_adlif, "QIF": ref_qif,
    "EIF": ref_eif, "Izhikevich": ref_izhikevich, "AdEx": ref_adex, "KLIF": ref_klif, "GatedLIF": ref_glif,
    "ComplementaryLIF": ref_clif, "ResonateAndFire": ref_raf, "IntegerLIF": ref_integer,
    "TernaryIF": lambda x, v, p: ref_ternary(v + x, p),
    "TernaryLIF": lambda x, v, p: ref_ternary(charge(x, v, p, p.v_reset), p),
    "Integrator": lambda x, v, p: (v + x, (v + x,)),
    "LeakyIntegrator": lambda x, v, p: (charge(x, v, p, p.v_reset), (charge(x, v, p, p.v_reset),)),
}  # fmt: skip

RESETS = [
    {"reset": "hard"}, {"reset": "soft"}, {"reset": "hard", "v_reset": -0.3}, {"reset": "hard", "threshold": 0.7},
    {"reset": "soft", "threshold": 1.3}, {"reset": "none"},
]  # fmt: skip
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "IF": RESETS,
    "LIF": [{**r, "decay_input": d, "tau": t} for r in RESETS for d, t in ((True, 2.0), (False, 3.7))],
    "PLIF": [{**r, "decay_input": d, "tau": t} for r in RESETS for d, t in ((True, 2.0), (False, 3.7))],
    "CUBALIF": [*RESETS, {"current_decay": 0.3, "voltage_decay": 0.9}],
    "ALIF": [{}, {"tau": 3.7, "tau_a": 5.0, "beta": 0.5, "threshold": 0.7}, {"decay_input": False}],
    "AdLIF": [{"decay": 0.4}, {"decay": 0.3, "decay_w": 0.7, "a": -0.2, "b": 0.9, "threshold": 0.6}],
    "QIF": [{}, {"tau": 3.7, "v_c": 0.6, "a0": 0.7, "v_rest": 0.1}, {"reset": "soft"}],
    "EIF": [{}, {"tau": 3.7, "delta_t": 0.4, "theta_rh": 0.6, "v_rest": 0.1}, {"reset": "soft"}],
    "Izhikevich": [{}, {"a": 0.3, "b": 0.2, "tau_w": 3.0, "w_rest": 0.1}, {"a": 0.1, "b": 0.1, "reset": "soft"}],
    "AdEx": [{}, {"a": 0.3, "b": 0.2, "tau": 2.0, "v_reset": -0.2}, {"reset": "soft"}],
    "KLIF": [{"k": 1.3, "scale_reset": c, **r} for c in (False, True) for r in RESETS[:4]],
    "GLIF": [{}, {"tau": 0.6, "conduct": 0.8, "v_subreset": 0.2}],
    "ComplementaryLIF": [{}, {"tau": 3.7, "threshold": 0.7}],
    "ResonateAndFire": [*RESETS, {"b": -0.1, "omega": 0.7, "dt": 0.5, "threshold": 0.6}],
    "TernaryIF": RESETS,
    "TernaryLIF": [{"tau": 3.7, "decay_input": d, **r, "threshold": 0.4} for r in RESETS for d in (True, False)],
    "IntegerLIF": [{}, {"tau": 3.0, "threshold": 0.6, "surrogate": sg.multi_level_spike_count(levels=2)}],
    "Integrator": [{}],
    "LeakyIntegrator": [{}, {"tau": 3.7, "decay_input": False, "v_reset": -0.3}],
}  # fmt: skip
NEURONS = [
    pytest.param(sw.neurons.ALL[name](**values), id=f"{name}-{i}")
    for name, variants in VARIANTS.items()
    for i, values in enumerate(variants)
]
NEURONS.append(
    pytest.param(  # every gate at another value, so that no two of them can be mistaken for each other
        sw.neurons.GatedLIF(
            alpha=0.7, beta=-0.4, gamma=0.9, tau=0.3, linear_decay=-1.0, conduct=0.6, v_subreset=-0.5, threshold=-0.2
        ),
        id="GatedLIF",
    )
)


def drive(T: int = 23, shape: tuple[int, ...] = (3, 5), seed: int = 0, scale: float = 1.0) -> Tensor:
    return 0.4 + scale * torch.randn(T, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def reference(neuron: sw.Neuron, x_T: np.ndarray) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    values = {k: v.detach().double().numpy() if isinstance(v, Tensor) else v for k, v in neuron.parameters.items()}
    begin = {"v": values.get("v_reset", 0.0), "w": values.get("w_rest", 0.0)}
    if neuron.kind is sw.AdEx:
        begin["v"] = values["v_rest"]
    state = tuple(np.full(x_T.shape[1:], begin.get(name, 0.0)) for name in neuron.state_names)
    outs = []
    for x in x_T:
        out, state = REFERENCE[neuron.kind.__name__](x, *state, SimpleNamespace(**values, **neuron.options))
        outs.append(out)
    return np.stack(outs), state


def test_every_neuron_is_held_to_a_reference() -> None:
    assert set(VARIANTS) == set(sw.neurons.ALL)


@pytest.mark.parametrize("neuron", NEURONS)
def test_equation(neuron: sw.Neuron) -> None:
    # soft-reset exponential and quadratic neurons run away under strong input, in the equation itself
    runaway = neuron.kind.__name__ in ("QIF", "EIF", "Izhikevich")
    x_T = drive(scale=0.4 if runaway else 1.0)
    learned = {n: v.detach().double() for n, v in neuron.parameters.items() if isinstance(v, Tensor)}
    neuron = neuron.replace(**learned)  # σ of a float32 parameter would be rounded to float32
    expected, final = reference(neuron, x_T.numpy())
    out_T, state = sw.scan(neuron, x_T)
    assert out_T.dtype == torch.float64
    np.testing.assert_allclose(out_T.detach().numpy(), expected, rtol=1e-12, atol=1e-12)
    for got, want in zip(state, final, strict=True):
        np.testing.assert_allclose(got.detach().numpy(), want, rtol=1e-12, atol=1e-12)
    if "surrogate" in neuron.options:
        assert 0.02 < np.abs(np.sign(expected)).mean() < 0.98  # the comparison saw both spikes and silence


@pytest.mark.parametrize(
    ("neuron", "at_threshold"),
    [
        (sw.IF(threshold=0.75), 0.75), (sw.LIF(tau=2.0, threshold=0.75), 1.5), (sw.PLIF(tau=2.0, threshold=0.75), 1.5),
        (sw.LIF(decay_input=False, threshold=0.75), 0.75), (sw.CUBALIF(), 0.5), (sw.ALIF(tau=2.0), 2.0),
        (sw.KLIF(tau=2.0, k=0.5), 4.0), (sw.ComplementaryLIF(), 1.0), (sw.TernaryIF(), 1.0), (sw.TernaryLIF(), 2.0),
    ],
    ids=lambda v: repr(v)[:20],
)  # fmt: skip
def test_reaching_the_threshold_exactly_fires(neuron: sw.Neuron, at_threshold: float) -> None:
    x_T = torch.tensor([[at_threshold, math.nextafter(at_threshold, 0)]], dtype=torch.float64)
    assert sw.scan(neuron, x_T)[0].tolist() == [[1, 0]]


def test_ternary_fires_minus_one_at_minus_threshold() -> None:
    x_T = torch.tensor([[-1.0, -0.999, 0.999, 1.0]])
    out_T, state = sw.scan(sw.TernaryIF(), x_T)
    assert out_T.tolist() == [[-1, 0, 0, 1]]
    assert state.v.tolist() == pytest.approx([0, -0.999, 0.999, 0])


@pytest.mark.parametrize("reset", ["hard", "soft"])
@pytest.mark.parametrize("detach", [False, True])
def test_detach_reset_changes_the_gradient_as_the_chain_rule_says(reset: str, detach: bool) -> None:
    # one IF over two steps, loss s₂: d s₂/d x₁ = g(h₂ − θ) · ∂v₁/∂h₁
    theta, x = 0.8, torch.tensor([[0.9], [0.5]], dtype=torch.float64, requires_grad=True)
    neuron = sw.IF(threshold=theta, reset=reset, detach_reset=detach)
    out_T, _ = sw.scan(neuron, x)
    (gradient,) = torch.autograd.grad(out_T[1].sum(), x)
    g = sg.atan().slope
    h1, s1 = 0.9, 1.0
    v1 = 0.0 if reset == "hard" else h1 - theta
    g1, g2 = (g(torch.tensor(h - theta, dtype=torch.float64)).item() for h in (h1, v1 + 0.5))
    through = {"hard": 1 - s1 - (0 if detach else h1 * g1), "soft": 1 - (0 if detach else theta * g1)}[reset]
    assert gradient.flatten().tolist() == pytest.approx([g2 * through, g2], rel=1e-12)


def test_reset_must_be_a_known_word() -> None:
    with pytest.raises(ValueError, match="reset got 'softly', expected 'hard', 'soft' or 'none'"):
        sw.scan(sw.LIF(reset="softly"), torch.zeros(2, 3))


@sg.slope(forward=lambda x: torch.sigmoid(3 * x))
def soft(x: Tensor) -> Tensor:
    """A spike that is smooth forward too: with it every neuron is differentiable, so gradients can be checked."""
    return 3 * torch.sigmoid(3 * x) * (1 - torch.sigmoid(3 * x))


@pytest.mark.parametrize("neuron", NEURONS)
def test_gradients_match_finite_differences(neuron: sw.Neuron) -> None:
    if "surrogate" in neuron.options:
        neuron = neuron.replace(surrogate=soft())
    x_T = drive(T=4, shape=(2, 3), scale=0.4).requires_grad_()
    learnable = [n for n in neuron.parameters if n != "dt" and not (n == "v_reset" and neuron.parameters[n] == 0)]
    values = tuple(torch.as_tensor(neuron.parameters[n]).detach().double().clone().requires_grad_() for n in learnable)
    state = tuple(torch.rand(2, 3, dtype=torch.float64).mul_(0.3).requires_grad_() for _ in neuron.state_names)
    count = len(state)

    def run(x_T: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        out_T, end = sw.scan(neuron, x_T, rest[:count], **dict(zip(learnable, rest[count:], strict=True)))
        return out_T, *end

    assert torch.autograd.gradcheck(run, (x_T, *state, *values), atol=1e-6)


@pytest.mark.parametrize("name", ["tau", "threshold", "v_reset"])
def test_a_parameter_per_channel_equals_each_channel_alone(name: str) -> None:
    values = {"tau": [2.0, 3.0, 1.5], "threshold": [1.0, 0.5, 0.8], "v_reset": [0.1, -0.2, 0.3]}[name]
    x_T = drive(shape=(2, 3, 4, 5)).float()
    out_T, state = sw.scan(sw.LIF(**{name: torch.tensor(values)[:, None, None]}), x_T)
    for c, value in enumerate(values):
        alone_T, end = sw.scan(sw.LIF(**{name: torch.tensor(value)}), x_T[:, :, c])
        assert torch.equal(out_T[:, :, c], alone_T)
        assert torch.equal(state.v[:, c], end.v)


def test_plif_starts_at_tau_and_learns_it() -> None:
    neuron = sw.PLIF(tau=torch.tensor([1.5, 2.0, 4.0]))
    w = neuron.parameters["w"]
    assert isinstance(w, nn.Parameter)
    assert torch.allclose(1 / torch.sigmoid(w), torch.tensor([1.5, 2.0, 4.0]))
    out_T, _ = sw.scan(neuron, drive(shape=(2, 3)).float())
    out_T.sum().backward()
    assert w.grad is not None
    assert bool((w.grad != 0).all())


def test_glif_learns_every_gate_per_channel() -> None:
    neuron = sw.GLIF(channels=3)
    sw.scan(neuron, drive(shape=(2, 3, 4, 4)).float())[0].sum().backward()
    for name, value in neuron.parameters.items():
        assert isinstance(value, nn.Parameter), name
        assert value.shape == (3, 1, 1)
        assert value.grad is not None
        assert bool((value.grad != 0).all()), name
