"""Surrogate gradients: what replaces the derivative of the Heaviside step in the backward pass.

A spike is ``s = Θ(x)`` with ``x`` the distance of the membrane to its threshold and ``Θ(0) = 1``. Its
derivative is zero almost everywhere, so the backward pass uses a slope ``g(x)`` instead. Here a surrogate *is*
its slope, one line of plain torch, and every backend derives its kernels from that line:

    @slope
    def atan(x, alpha=2.0):
        return alpha / 2 / (1 + (math.pi / 2 * alpha * x) ** 2)

    sw.spike(h - threshold, sw.surrogate.atan(alpha=3.0))

Nineteen of the twenty slopes are those of SpikingJelly 2.0 (``activation_based.surrogate``) with its defaults, so
that published networks keep their gradients.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor


def heaviside(x: Tensor) -> Tensor:
    """Θ(x) as 0/1 in the dtype of ``x``; Θ(0) = 1."""
    return (x >= 0).to(x.dtype)


@dataclass(frozen=True)
class Surrogate:
    """A slope with its parameters bound; make one by calling a :class:`SurrogateType`, e.g. ``atan(alpha=2.0)``."""

    kind: SurrogateType
    parameters: tuple[tuple[str, float], ...] = ()

    def slope(self, x: Tensor) -> Tensor:
        """The pseudo-derivative g(x), elementwise, same shape as ``x``."""
        return self.kind.slope(x, **dict(self.parameters))

    def fire(self, x: Tensor) -> Tensor:
        """The forward value, elementwise: Θ(x) for all but the few surrogates that say otherwise."""
        return self.kind.forward(x, **dict(self.parameters)) if self.kind.forward else heaviside(x)

    def __repr__(self) -> str:
        return f"{self.kind.__name__}({', '.join(f'{k}={v:g}' for k, v in self.parameters)})"


@dataclass(frozen=True, eq=False)
class SurrogateType:
    """What :func:`slope` makes of a function ``g(x, **parameters)``; calling it binds the parameters."""

    slope: Callable[..., Tensor]
    forward: Callable[..., Tensor] | None = None
    defaults: dict[str, float] = field(default_factory=dict)
    __name__: ClassVar[str]  # each its own, set from the function; ClassVar keeps it out of __init__
    __qualname__: ClassVar[str]

    def __post_init__(self) -> None:
        for name in ("__name__", "__qualname__", "__module__", "__doc__"):
            object.__setattr__(self, name, getattr(self.slope, name))

    def __call__(self, **parameters: float) -> Surrogate:
        if unknown := parameters.keys() - self.defaults.keys():
            raise ValueError(
                f"{self.__name__} got {sorted(unknown)}, expected parameters among {sorted(self.defaults)}; "
                "check the spelling."
            )
        for name, value in parameters.items():
            if not isinstance(value, int | float) or not math.isfinite(value):
                raise ValueError(f"{self.__name__} got {name}={value!r}, expected a finite number; pass one.")
        made = Surrogate(self, tuple((self.defaults | parameters).items()))
        try:
            at_threshold = float(made.slope(torch.zeros((), dtype=torch.float32, device="cpu")))
        except ZeroDivisionError:
            at_threshold = math.nan
        if not 0 <= at_threshold < math.inf:
            raise ValueError(
                f"{self.__name__} got {', '.join(f'{k}={v:g}' for k, v in made.parameters)}, expected parameters that "
                f"give a finite slope >= 0 at threshold; it is {at_threshold:g} there."
            )
        return made

    def __reduce__(self) -> str:
        return self.__qualname__  # pickled by reference, like a function


def slope(function: Callable[..., Tensor] | None = None, *, forward: Callable[..., Tensor] | None = None) -> Any:
    """Make a surrogate of ``g(x, **parameters)``, written in elementwise torch.

    :param function: the slope; its keyword defaults become the surrogate's parameters.
    :param forward: what the forward pass emits, of the same signature; ``None`` means the Heaviside step.
    :returns: a :class:`SurrogateType`; define it at module level if modules that use it shall be pickled.
    """
    if function is None:
        return lambda f: slope(f, forward=forward)
    keywords = list(inspect.signature(function).parameters.values())[1:]
    return SurrogateType(function, forward, {p.name: p.default for p in keywords})


class _Spike(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, surrogate: Surrogate) -> Tensor:  # type: ignore[override]
        return surrogate.fire(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Surrogate], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0])
        ctx.surrogate = inputs[1]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0] * ctx.surrogate.slope(*ctx.saved_tensors), None


def spike(x: Tensor, surrogate: Surrogate | None = None) -> Tensor:
    """Fire: ``Θ(x)`` forward, the surrogate's slope backward.

    :param x: distance to threshold, any shape, floating point.
    :param surrogate: default ``atan(alpha=2.0)``.
    :returns: 0/1 in the dtype and shape of ``x``.
    :raises ValueError: for a surrogate that was not called (``atan`` instead of ``atan()``).
    """
    surrogate = _DEFAULT if surrogate is None else surrogate
    if not isinstance(surrogate, Surrogate):
        raise ValueError(
            f"spike got {surrogate!r} as surrogate, expected one with its parameters, like atan(); call it."
        )
    return _Spike.apply(x, surrogate)  # type: ignore[no-any-return]


# ---- the twenty slopes: value at threshold, integral, symmetry are proved in tests/neurons/test_surrogate.py ----


@slope
def sigmoid(x: Tensor, alpha: float = 4.0) -> Tensor:
    """ασ(αx)(1−σ(αx)); even, integral 1, g(0)=α/4."""
    return alpha * torch.sigmoid(alpha * x) * (1 - torch.sigmoid(alpha * x))


@slope
def atan(x: Tensor, alpha: float = 2.0) -> Tensor:
    """(α/2)/(1+(παx/2)²); even, integral 1, g(0)=α/2. Fang et al., ICCV 2021."""
    return alpha / 2 / (1 + (math.pi / 2 * alpha * x) ** 2)


@slope
def piecewise_quadratic(x: Tensor, alpha: float = 1.0) -> Tensor:
    """max(0, α−α²|x|), a triangle; even, integral 1, g(0)=α."""
    return torch.relu(alpha - alpha**2 * x.abs())


@slope
def piecewise_exp(x: Tensor, alpha: float = 1.0) -> Tensor:
    """(α/2)e^{−α|x|}; even, integral 1, g(0)=α/2."""
    return alpha / 2 * torch.exp(-alpha * x.abs())


@slope
def soft_sign(x: Tensor, alpha: float = 2.0) -> Tensor:
    """1/(2α(1/α+|x|)²); even, integral 1, g(0)=α/2."""
    return 1 / (2 * alpha * (1 / alpha + x.abs()) ** 2)


@slope
def super_spike(x: Tensor, alpha: float = 1.0) -> Tensor:
    """α/(1+|x|)²; even, integral 2α, g(0)=α. Zenke & Ganguli 2018."""
    return alpha / (1 + x.abs()) ** 2


@slope
def erf(x: Tensor, alpha: float = 2.0) -> Tensor:
    """(α/√π)e^{−α²x²}, a Gaussian; even, integral 1, g(0)=α/√π."""
    return alpha / math.sqrt(math.pi) * torch.exp(-(alpha**2) * x**2)


@slope
def nonzero_sign_log_abs(x: Tensor, alpha: float = 1.0) -> Tensor:
    """1/(1/α+|x|); even, not integrable, g(0)=α."""
    return 1 / (1 / alpha + x.abs())


@slope
def piecewise_leaky_relu(x: Tensor, w: float = 1.0, c: float = 0.01) -> Tensor:
    """1/(2w) for |x|<w, else c; even, integral 1 over the window, g(0)=1/(2w)."""
    return torch.where(x.abs() < w, torch.full_like(x, 1 / (2 * w)), c)


@slope
def squarewave_fourier_series(x: Tensor, n: int = 2, T: float = 8.0) -> Tensor:
    """(4/T)Σ_{i=1}^{n−1} cos(2π(2i−1)x/T); even, T-periodic with integral 0 over a period, g(0)=4(n−1)/T."""
    return 4 / T * sum((torch.cos(2 * math.pi * (2 * i - 1) / T * x) for i in range(1, int(n))), 0 * x)


@slope
def s2nn(x: Tensor, alpha: float = 4.0, beta: float = 1.0) -> Tensor:
    """ασ(αx)(1−σ(αx)) for x<0, β/(1+x) for x≥0; not even, integral ½ below threshold, g(0)=β."""
    left = alpha * torch.sigmoid(alpha * x) * (1 - torch.sigmoid(alpha * x))
    return torch.where(x < 0, left, beta / (1 + x.abs()))  # |x| keeps the untaken branch finite


@slope
def q_pseudo_spike(x: Tensor, alpha: float = 2.0) -> Tensor:
    """(1+2|x|/(α−1))^{−α}; even, integral 1, g(0)=1. Herranz-Celotti & Rouat 2022."""
    return (1 + 2 / (alpha - 1) * x.abs()) ** (-alpha)


@slope
def leaky_k_relu(x: Tensor, leak: float = 0.0, k: float = 1.0) -> Tensor:
    """k for x≥0, leak below; a step of height k−leak, g(0)=k."""
    return torch.where(x >= 0, torch.full_like(x, k), leak)


@slope
def fake_numerical_gradient(x: Tensor, alpha: float = 0.3) -> Tensor:
    """min(1/|x|, α); even, not integrable, g(0)=α."""
    return torch.clamp(1 / x.abs().clamp(min=1e-30), max=alpha)


@slope
def log_tailed_relu(x: Tensor, alpha: float = 0.0) -> Tensor:
    """α for x≤0, 1 for 0<x≤1, 1/x above; not even, g(0)=α. Cai et al. 2017."""
    return torch.where(x > 1, 1 / x.abs().clamp(min=1e-30), torch.where(x > 0, torch.ones_like(x), alpha))


@slope
def rect(x: Tensor, alpha: float = 1.0) -> Tensor:
    """α for |x|<1/(2α), else 0; even, integral 1, g(0)=α."""
    return torch.where(x.abs() < 1 / (2 * alpha), torch.full_like(x, alpha), 0.0)


@slope
def deterministic_pass(x: Tensor) -> Tensor:
    """1 everywhere: the straight-through estimator."""
    return torch.ones_like(x)


def _bernoulli(x: Tensor) -> Tensor:
    return (torch.rand_like(x) <= x).to(x.dtype)


@slope(forward=_bernoulli)
def poisson_pass(x: Tensor) -> Tensor:
    """1 everywhere; the forward pass draws Bernoulli(clip(x,0,1)) from torch's default generator.

    A draw is not a function of the input, so a neuron with this surrogate always runs on the eager backend.
    """
    return torch.ones_like(x)


def _count(x: Tensor, levels: float = 4.0) -> Tensor:
    return torch.round(torch.clamp(x, 0, levels))


@slope(forward=_count)
def multi_level_spike_count(x: Tensor, levels: float = 4.0) -> Tensor:
    """1 for 0≤x≤D, else 0; the forward pass emits round(clip(x,0,D)) spikes; integral D. Luo et al., ECCV 2024."""
    return torch.where((x >= 0) & (x <= levels), torch.ones_like(x), 0.0)


@slope
def dspike(x: Tensor, b: float = 3.0, width: float = 0.5) -> Tensor:
    """Derivative of tanh(bx)/(2tanh(b·width)) for |x|<width, else 0; even, integral 1. Li et al., NeurIPS 2021.

    The paper writes the bump on [0,1] around a threshold at ½; here ``x`` is the distance to threshold.
    """
    return torch.where(x.abs() < width, b / (2 * math.tanh(b * width)) * (1 - torch.tanh(b * x) ** 2), 0.0)


ALL: dict[str, SurrogateType] = {
    kind.__name__: kind
    for kind in (
        sigmoid, atan, piecewise_quadratic, piecewise_exp, soft_sign, super_spike, erf, nonzero_sign_log_abs,
        piecewise_leaky_relu, squarewave_fourier_series, s2nn, q_pseudo_spike, leaky_k_relu, fake_numerical_gradient,
        log_tailed_relu, rect, deterministic_pass, poisson_pass, multi_level_spike_count, dspike,
    )
}  # fmt: skip
"""Every surrogate by name: for tests, the command line and the documentation."""

_DEFAULT = atan()
