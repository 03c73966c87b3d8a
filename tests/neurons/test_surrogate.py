"""The mathematics of every surrogate: its value at threshold, its symmetry, its integral, and its gradient."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import spikeworks as sw
from spikeworks.neurons import surrogate as sg

SMOOTH_FORWARD = {"poisson_pass", "multi_level_spike_count"}  # the two that do not emit Θ(x)

AT_THRESHOLD: dict[str, Callable[..., float]] = {
    "sigmoid": lambda alpha: alpha / 4,
    "atan": lambda alpha: alpha / 2,
    "piecewise_quadratic": lambda alpha: alpha,
    "piecewise_exp": lambda alpha: alpha / 2,
    "soft_sign": lambda alpha: alpha / 2,
    "super_spike": lambda alpha: alpha,
    "erf": lambda alpha: alpha / math.sqrt(math.pi),
    "nonzero_sign_log_abs": lambda alpha: alpha,
    "piecewise_leaky_relu": lambda w, c: 1 / (2 * w),
    "squarewave_fourier_series": lambda n, T: 4 * (n - 1) / T,
    "s2nn": lambda alpha, beta: beta,
    "q_pseudo_spike": lambda alpha: 1.0,
    "leaky_k_relu": lambda leak, k: k,
    "fake_numerical_gradient": lambda alpha: alpha,
    "log_tailed_relu": lambda alpha: alpha,
    "rect": lambda alpha: alpha,
    "deterministic_pass": lambda: 1.0,
    "poisson_pass": lambda: 1.0,
    "multi_level_spike_count": lambda levels: 1.0,
    "dspike": lambda b, width: b / (2 * math.tanh(b * width)),
}
OTHER = {  # parameters away from the defaults, so that a formula that only holds at the default is caught
    "piecewise_leaky_relu": {"w": 0.7, "c": 0.03}, "squarewave_fourier_series": {"n": 4, "T": 5.0},
    "s2nn": {"alpha": 3.0, "beta": 0.6}, "leaky_k_relu": {"leak": 0.1, "k": 0.7}, "log_tailed_relu": {"alpha": 0.2},
    "deterministic_pass": {}, "poisson_pass": {}, "multi_level_spike_count": {"levels": 6.0},
    "dspike": {"b": 5.0, "width": 0.3}, "q_pseudo_spike": {"alpha": 3.5},
}  # fmt: skip
INTEGRAL_ONE = (
    "sigmoid", "atan", "piecewise_quadratic", "piecewise_exp", "soft_sign", "erf", "q_pseudo_spike", "rect", "dspike",
)  # fmt: skip
NOT_EVEN = ("s2nn", "leaky_k_relu", "log_tailed_relu", "multi_level_spike_count")
KINKS: dict[str, Callable[..., list[float]]] = {  # where the slope jumps or bends, by parameters
    "piecewise_quadratic": lambda alpha: [0.0, 1 / alpha],
    "piecewise_exp": lambda alpha: [0.0],
    "soft_sign": lambda alpha: [0.0],
    "super_spike": lambda alpha: [0.0],
    "nonzero_sign_log_abs": lambda alpha: [0.0],
    "piecewise_leaky_relu": lambda w, c: [w],
    "s2nn": lambda alpha, beta: [0.0],
    "q_pseudo_spike": lambda alpha: [0.0],
    "leaky_k_relu": lambda leak, k: [0.0],
    "fake_numerical_gradient": lambda alpha: [1 / alpha],
    "log_tailed_relu": lambda alpha: [0.0, 1.0],
    "rect": lambda alpha: [1 / (2 * alpha)],
    "multi_level_spike_count": lambda levels: [0.0, levels],
    "dspike": lambda b, width: [width],
}

CASES = [
    pytest.param(surrogate, id=repr(surrogate))
    for name, kind in sg.ALL.items()
    for surrogate in dict.fromkeys((kind(), kind(**OTHER.get(name, {"alpha": 1.7}))))
]
DETERMINISTIC = [case for case in CASES if case.values[0].kind is not sg.poisson_pass]


def points(surrogate: sg.Surrogate, n: int = 301, clear: float = 1e-3) -> Tensor:
    """float64 points in [−3, 7.5] that keep ``clear`` of the slope's kinks on both sides of the threshold."""
    x = torch.linspace(-3.0, 7.5, n, dtype=torch.float64) + 1e-4
    for kink in KINKS.get(surrogate.kind.__name__, lambda **_: [])(**dict(surrogate.parameters)):
        x = x[(x.abs() - kink).abs() > clear]
    return x


def integral(g: Callable[[Tensor], Tensor]) -> float:
    """∫ g over the reals by the midpoint rule in u, x = tan(πu/2): slopes that fall as 1/x² become smooth in u."""
    n = 400_001
    u = (torch.arange(n, dtype=torch.float64) + 0.5) / n * 2 - 1
    x = torch.tan(math.pi / 2 * u)
    return float((g(x) * math.pi / 2 * (1 + x**2)).sum()) * 2 / n


def test_the_facts_cover_every_surrogate() -> None:
    assert set(AT_THRESHOLD) == set(sg.ALL)
    assert len(sg.ALL) == 20


@pytest.mark.parametrize("surrogate", CASES)
def test_value_at_threshold(surrogate: sg.Surrogate) -> None:
    at_0 = surrogate.slope(torch.zeros(1, dtype=torch.float64)).item()
    expected = AT_THRESHOLD[surrogate.kind.__name__](**dict(surrogate.parameters))
    assert at_0 == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("surrogate", CASES)
def test_symmetry(surrogate: sg.Surrogate) -> None:
    x = points(surrogate)
    # 1 − σ cancels to 1e-16 absolute, hence atol
    even = torch.allclose(surrogate.slope(x), surrogate.slope(-x), rtol=1e-12, atol=1e-15)
    assert even == (surrogate.kind.__name__ not in NOT_EVEN)


@pytest.mark.parametrize("surrogate", [c for c in CASES if c.values[0].kind.__name__ in INTEGRAL_ONE])
def test_integral_is_one(surrogate: sg.Surrogate) -> None:
    # a slope is the derivative of a step of height one
    assert integral(surrogate.slope) == pytest.approx(1, abs=1e-4)


def test_integrals_other_than_one() -> None:
    assert integral(sg.super_spike(alpha=1.7).slope) == pytest.approx(2 * 1.7, abs=1e-4)
    assert integral(sg.multi_level_spike_count(levels=6.0).slope) == pytest.approx(6, abs=1e-3)
    below = sg.s2nn(alpha=3.0, beta=0.6)
    assert integral(lambda x: torch.where(x < 0, below.slope(x), 0.0)) == pytest.approx(0.5, abs=1e-4)
    window = sg.piecewise_leaky_relu(w=0.7, c=0.03)
    assert integral(lambda x: torch.where(x.abs() < 0.7, window.slope(x), 0.0)) == pytest.approx(1, abs=1e-4)
    assert window.slope(torch.tensor([-0.71, 0.71])).tolist() == pytest.approx([0.03, 0.03])


def test_squarewave_is_periodic_with_integral_zero_and_sums_its_odd_harmonics() -> None:
    wave = sg.squarewave_fourier_series(n=4, T=5.0)
    x = torch.arange(5000, dtype=torch.float64) / 1000
    assert torch.allclose(wave.slope(x), wave.slope(x + 5.0), atol=1e-9)
    assert wave.slope(x).mean().item() == pytest.approx(0, abs=1e-12)
    expected = 4 / 5 * sum(torch.cos(2 * math.pi * k / 5 * x) for k in (1, 3, 5))
    assert torch.allclose(wave.slope(x), expected, atol=1e-12)


@pytest.mark.parametrize("surrogate", CASES)
def test_never_negative_and_finite_far_away(surrogate: sg.Surrogate) -> None:
    x = torch.tensor([-1e30, -1e4, -3.0, -1e-30, 0.0, 1e-30, 0.2, 3.0, 1e4, 1e30])
    g = surrogate.slope(x)
    assert g.dtype == x.dtype
    assert g.shape == x.shape
    assert bool(g.isfinite().all())
    if surrogate.kind is not sg.squarewave_fourier_series:
        assert bool((g >= 0).all())


@pytest.mark.parametrize("surrogate", CASES)
def test_second_order_gradient_stays_finite_at_threshold(surrogate: sg.Surrogate) -> None:
    x = torch.tensor([-2.0, -0.0, 0.0, 2.0], requires_grad=True)
    g = surrogate.slope(x)
    if g.requires_grad:
        (second,) = torch.autograd.grad(g.sum(), x)
        assert bool(second.isfinite().all())


@pytest.mark.parametrize("surrogate", [c for c in CASES if c.values[0].kind.__name__ not in SMOOTH_FORWARD])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_forward_is_the_heaviside_step(surrogate: sg.Surrogate, dtype: torch.dtype) -> None:
    x = torch.tensor([-2.0, -1e-6, -0.0, 0.0, 1e-6, 2.0], dtype=dtype)
    s = sw.spike(x, surrogate)
    assert s.dtype == dtype
    assert s.tolist() == [0, 0, 1, 1, 1, 1]


def test_multi_level_forward_counts_and_rounds_half_to_even() -> None:
    x = torch.tensor([-3.0, -0.4, 0.5, 0.51, 1.5, 2.5, 3.2, 4.4, 9.0])
    assert sw.spike(x, sg.multi_level_spike_count(levels=4)).tolist() == [0, 0, 0, 1, 2, 2, 3, 4, 4]


def test_poisson_forward_draws_with_probability_x() -> None:
    torch.manual_seed(0)
    p = torch.tensor([-0.5, 0.0, 0.3, 0.8, 1.0, 1.5])
    rate = sw.spike(p.expand(40_000, 6), sg.poisson_pass()).mean(0)
    assert torch.allclose(rate, p.clamp(0, 1), atol=4 * 0.5 / math.sqrt(40_000))
    assert rate[0] == 0
    assert rate[4] == rate[5] == 1


def test_nan_is_no_spike() -> None:
    assert sw.spike(torch.tensor([math.nan])).item() == 0


@pytest.mark.parametrize("surrogate", CASES)
def test_gradient_is_the_slope(surrogate: sg.Surrogate) -> None:
    x = points(surrogate).float().requires_grad_()
    incoming = torch.linspace(-1, 2, x.numel())
    (gradient,) = torch.autograd.grad(sw.spike(x, surrogate), x, incoming)
    assert torch.equal(gradient, incoming * surrogate.slope(x.detach()))


def test_default_surrogate_is_atan_of_2() -> None:
    x = torch.linspace(-3, 3, 31).requires_grad_()
    (gradient,) = torch.autograd.grad(sw.spike(x).sum(), x)
    assert torch.equal(gradient, sg.atan(alpha=2.0).slope(x.detach()))


@pytest.mark.parametrize("surrogate", DETERMINISTIC)
def test_functional_transforms(surrogate: sg.Surrogate) -> None:
    x = points(surrogate)[:12].float().view(3, 4)
    grad = torch.func.grad(lambda x: sw.spike(x, surrogate).sum())
    assert torch.equal(grad(x), surrogate.slope(x))
    assert torch.equal(torch.func.vmap(lambda x: sw.spike(x, surrogate))(x), surrogate.fire(x))
    assert torch.equal(torch.func.vmap(grad)(x), surrogate.slope(x))
    jacobian = torch.func.jacrev(lambda x: sw.spike(x, surrogate))(x[0])
    assert torch.equal(jacobian, torch.diag(surrogate.slope(x[0])))


@pytest.mark.parametrize("surrogate", CASES)
def test_double_backward_is_the_slope_of_the_slope(surrogate: sg.Surrogate) -> None:
    x = points(surrogate).requires_grad_()
    incoming = torch.linspace(0.5, 2, x.numel(), dtype=torch.float64, requires_grad=True)
    (first,) = torch.autograd.grad(sw.spike(x, surrogate), x, incoming, create_graph=True)
    second, wrt_incoming = torch.autograd.grad(first.sum(), (x, incoming), allow_unused=True, materialize_grads=True)
    at, eps = x.detach(), 1e-5
    difference = (surrogate.slope(at + eps) - surrogate.slope(at - eps)) / (2 * eps)
    assert torch.allclose(second, incoming.detach() * difference, rtol=1e-6, atol=1e-7)
    assert torch.equal(wrt_incoming, surrogate.slope(at))


@pytest.mark.parametrize("surrogate", CASES)
def test_copies_and_pickles_by_reference(surrogate: sg.Surrogate) -> None:
    for twin in (pickle.loads(pickle.dumps(surrogate)), copy.deepcopy(surrogate)):
        assert twin == surrogate
        assert hash(twin) == hash(surrogate)
        assert twin.kind is surrogate.kind


def test_repr_and_docstring_come_from_the_definition() -> None:
    assert repr(sg.atan(alpha=3)) == "atan(alpha=3)"
    assert repr(sg.piecewise_leaky_relu()) == "piecewise_leaky_relu(w=1, c=0.01)"
    assert sg.atan.__name__ == "atan"
    assert "integral 1" in (sg.atan.__doc__ or "")


@sg.slope
def box(x: Tensor, half: float = 0.5) -> Tensor:
    """A surrogate of one's own: a box."""
    return (x.abs() < half).to(x.dtype) / (2 * half)


@sg.slope(forward=lambda x: torch.tanh(x))
def smooth(x: Tensor) -> Tensor:
    """A surrogate with its own forward pass."""
    return 1 - torch.tanh(x) ** 2


def test_a_surrogate_of_ones_own() -> None:
    x = torch.tensor([-0.6, -0.2, 0.0, 0.3], requires_grad=True)
    s = sw.spike(x, box(half=0.25))
    (gradient,) = torch.autograd.grad(s.sum(), x)
    assert s.tolist() == [0, 0, 1, 1]
    assert gradient.tolist() == [0, 2, 2, 0]
    assert pickle.loads(pickle.dumps(box(half=0.25))) == box(half=0.25)
    y = torch.linspace(-1, 1, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda y: sw.spike(y, smooth()), y)


@pytest.mark.parametrize(
    ("kind", "parameters", "words"),
    [
        (sg.atan, {"alfa": 2.0}, r"atan got \['alfa'\], expected parameters among \['alpha'\]"),
        (sg.atan, {"alpha": math.nan}, "atan got alpha=nan, expected a finite number"),
        (sg.atan, {"alpha": math.inf}, "atan got alpha=inf, expected a finite number"),
        (sg.atan, {"alpha": "2"}, "atan got alpha='2', expected a finite number"),
        (sg.atan, {"alpha": None}, "atan got alpha=None, expected a finite number"),
        (sg.atan, {"alpha": torch.tensor(2.0)}, r"atan got alpha=tensor\(2.\), expected a finite number"),
        (sg.rect, {"alpha": 0.0}, r"rect got alpha=0, expected parameters that give a finite slope"),
        (sg.q_pseudo_spike, {"alpha": 1.0}, "q_pseudo_spike got alpha=1, expected parameters that give a finite slope"),
        (sg.atan, {"alpha": -2.0}, "atan got alpha=-2, expected parameters that give a finite slope >= 0"),
    ],
)
def test_bad_parameters_are_refused_in_one_sentence(kind: sg.SurrogateType, parameters: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        kind(**parameters)
