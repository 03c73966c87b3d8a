"""The neurons: one pure step each, in the order charge → fire → reset.

Conventions. ``v`` is the membrane after reset, ``h`` the membrane after charging and before reset; a spike is
``s = Θ(h − threshold)`` with ``Θ(0) = 1``. Time is counted in steps, so every ``tau`` is in steps; voltages and inputs
share one arbitrary unit. Dynamics and defaults follow SpikingJelly 2.0 where it has the neuron (so published networks
keep their spikes); a docstring says where we depart. Parameters may be numbers, tensors of any shape that broadcasts
against one time step (``[C, 1, 1]``: per channel), or ``nn.Parameter`` (learned).

Options shared by the neurons that have a reset:

* ``reset``: ``"hard"`` (``v = v_reset`` after a spike), ``"soft"`` (``v = h − threshold``), ``"none"``.
* ``detach_reset``: keep the reset out of the gradient.
* ``v_reset``: hard-reset value, resting potential of the leak, and value before the first step.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from . import surrogate as sg
from .neuron import Neuron, NeuronType, Parameter, neuron
from .surrogate import Surrogate, spike


def reset_membrane(h: Tensor, s: Tensor, threshold: Any, v_reset: Any, reset: str, detach: bool) -> Tensor:
    """The membrane after a spike ``s``: hard, soft or no reset."""
    s = s.detach() if detach else s
    if reset == "hard":
        return (1 - s) * h if _is_zero(v_reset) else s * v_reset + (1 - s) * h
    if reset == "soft":
        return h - s * threshold
    if reset == "none":
        return h
    raise ValueError(f"reset got {reset!r}, expected 'hard', 'soft' or 'none'; choose one.")


def _is_zero(value: Any) -> bool:
    return not isinstance(value, Tensor) and value == 0


def _leak(v: Tensor, rest: Any) -> Tensor:
    return v if _is_zero(rest) else v - rest


def _sigmoid(value: Any) -> Any:
    return value.sigmoid() if isinstance(value, Tensor) else 1 / (1 + math.exp(-value))


def _apply(function: str, value: Any) -> Any:
    """``exp`` and its like, on a tensor by torch and on a number by math."""
    return getattr(torch if isinstance(value, Tensor) else math, function)(value)


@neuron(initial={"v": "v_reset"}, positive=("threshold",))
def IF(  # noqa: N802  neurons read as types
    x: Tensor, v: Tensor, *, threshold: Parameter = 1.0, v_reset: Parameter = 0.0, reset: str = "hard",
    detach_reset: bool = False, surrogate: Surrogate = sg.atan(),
) -> tuple[Tensor, Any]:  # fmt: skip
    """Integrate and fire: ``h = v + x``."""
    h = v + x
    s = spike(h - threshold, surrogate)
    return s, reset_membrane(h, s, threshold, v_reset, reset, detach_reset)


def _lif_charge(x: Tensor, v: Tensor, tau: Any, rest: Any, decay_input: bool) -> Tensor:
    return v + (x - _leak(v, rest)) / tau if decay_input else v - _leak(v, rest) / tau + x


@neuron(initial={"v": "v_reset"}, positive=("tau", "threshold"))
def LIF(  # noqa: N802
    x: Tensor, v: Tensor, *, tau: Parameter = 2.0, threshold: Parameter = 1.0, v_reset: Parameter = 0.0,
    reset: str = "hard", detach_reset: bool = False, decay_input: bool = True, surrogate: Surrogate = sg.atan(),
) -> tuple[Tensor, Any]:  # fmt: skip
    """Leaky integrate and fire: ``h = v + (x − (v − v_reset))/tau``, or ``h = v − (v − v_reset)/tau + x`` with
    ``decay_input=False``. ``tau`` in steps, > 0 (> 1 for a decaying membrane)."""
    h = _lif_charge(x, v, tau, v_reset, decay_input)
    s = spike(h - threshold, surrogate)
    return s, reset_membrane(h, s, threshold, v_reset, reset, detach_reset)


@neuron(initial={"v": "v_reset"}, positive=("threshold",))
def LearnedTauLIF(  # noqa: N802
    x: Tensor, v: Tensor, *, w: Parameter = 0.0, threshold: Parameter = 1.0, v_reset: Parameter = 0.0,
    reset: str = "hard", detach_reset: bool = False, decay_input: bool = True, surrogate: Surrogate = sg.atan(),
) -> tuple[Tensor, Any]:  # fmt: skip
    """LIF whose leak is ``1/tau = σ(w)``; use :func:`PLIF` to make one from a time constant."""
    rate = _sigmoid(w)
    h = v + (x - _leak(v, v_reset)) * rate if decay_input else v - _leak(v, v_reset) * rate + x
    s = spike(h - threshold, surrogate)
    return s, reset_membrane(h, s, threshold, v_reset, reset, detach_reset)


def PLIF(tau: float | Tensor = 2.0, **values: Any) -> Neuron:  # noqa: N802
    """Parametric LIF: the time constant is learned through ``1/tau = σ(w)``, ``w`` starting at ``−ln(tau − 1)``.

    :param tau: initial time constant in steps, > 1; a tensor ``[C, 1, 1]`` learns one per channel.
    Fang et al., ICCV 2021, eq. 9.
    """
    tau = torch.as_tensor(tau, dtype=torch.float32)
    if not tau.is_meta and not bool((tau > 1).all()):
        raise ValueError(f"PLIF got tau={tau.min().item():g}, expected more than 1; pass a larger time constant.")
    return LearnedTauLIF(w=torch.nn.Parameter(-(tau - 1).log()), **values)


@neuron(initial={"v": "v_reset"}, positive=("threshold",))
def CUBALIF(  # noqa: N802
    x: Tensor, c: Tensor, v: Tensor, *, current_decay: Parameter = 0.5, voltage_decay: Parameter = 0.75,
    threshold: Parameter = 0.5, v_reset: Parameter = 0.0, reset: str = "hard", detach_reset: bool = False,
    surrogate: Surrogate = sg.rect(),
) -> tuple[Tensor, Any]:  # fmt: skip
    """Current-based LIF: ``c ← current_decay·c + x``, ``h = voltage_decay·v + c``; decays in (0, 1) per step."""
    c = current_decay * c + x
    h = voltage_decay * v + c
    s = spike(h - threshold, surrogate)
    return s, (c, reset_membrane(h, s, threshold, v_reset, reset, detach_reset))


@neuron(positive=("tau", "tau_a", "threshold"))
def ALIF(  # noqa: N802
    x: Tensor, v: Tensor, a: Tensor, *, tau: Parameter = 2.0, tau_a: Parameter = 20.0, beta: Parameter = 0.2,
    threshold: Parameter = 1.0, detach_reset: bool = False, decay_input: bool = True,
    surrogate: Surrogate = sg.atan(),
) -> tuple[Tensor, Any]:  # fmt: skip
    """LIF with an adaptive threshold ``θ = threshold + beta·a``, ``a ← (1 − 1/tau_a)·a + s``; soft reset by θ.

    Bellec et al., NeurIPS 2018 (LSNN), with the trace unnormalised: their β equals ``beta·tau_a`` here.
    """
    h = _lif_charge(x, v, tau, 0.0, decay_input)
    theta = threshold + beta * a
    s = spike(h - theta, surrogate)
    return s, (reset_membrane(h, s, theta, 0.0, "soft", detach_reset), a - a / tau_a + s)


@neuron(positive=("threshold",))
def AdLIF(  # noqa: N802
    x: Tensor, v: Tensor, w: Tensor, *, decay: Parameter = 0.9, decay_w: Parameter = 0.98, a: Parameter = 0.1,
    b: Parameter = 0.5, threshold: Parameter = 1.0, detach_reset: bool = False, surrogate: Surrogate = sg.atan(),
) -> tuple[Tensor, Any]:  # fmt: skip
    """LIF with a current of adaptation that membrane and spikes drive: ``h = decay·v + (1 − decay)(x − w)``,
    ``w ← decay_w·w + a·h + b·s``; soft reset. Decays in (0, 1) per step.

    Bittar & Garner 2022 (adLIF; RadLIF with feedback): they draw ``a`` from −1 to 1 and ``b`` from 0 to 2, one of each
    for every neuron, and learn them with the decays.
    """
    h = decay * v + (1 - decay) * (x - w)
    s = spike(h - threshold, surrogate)
    return s, (reset_membrane(h, s, threshold, 0.0, "soft", detach_reset), decay_w * w + a * h + b * s)


@neuron(initial={"v": "v_reset"}, positive=("tau", "threshold"))
def QIF(  # noqa: N802
    x: Tensor, v: Tensor, *, tau: Parameter = 2.0, v_c: Parameter = 0.8, a0: Parameter = 1.0, v_rest: Parameter = 0.0,
    threshold: Parameter = 1.0, v_reset: Parameter = -0.1, reset: str = "hard", detach_reset: bool = False,
    surrogate: Surrogate = sg.atan(),
) -> tuple[Tensor, Any]:  # fmt: skip
    """Quadratic integrate and fire: ``h = v + (x + a0(v − v_rest)(v − v_c))/tau``."""
    h = v + (x + a0 * (v - v_rest) * (v - v_c)) / tau
    s = spike(h - threshold, surrogate)
    return s, reset_membrane(h, s, threshold, v_reset, reset, detach_reset)


@neuron(initial={"v": "v_reset"}, positive=("tau", "delta_t", "threshold"))
def EIF(  # noqa: N802
    x: Tensor, v: Tensor, *, tau: Parameter = 2.0, delta_t: Parameter = 1.0, theta_rh: Parameter = 0.8,
    v_rest: Parameter = 0.0, threshold: Parameter = 1.0, v_reset: Parameter = -0.1, reset: str = "hard",
    detach_reset: bool = False, surrogate: Surrogate = sg.atan(),
) -> tuple[Tensor, Any]:  # fmt: skip
    """Exponential integrate and fire: ``h = v + (x + v_rest − v + Δ·exp((v − θ_rh)/Δ))/tau``."""
    h = v + (x + v_rest - v + delta_t * torch.exp((v - theta_rh) / delta_t)) / tau
    s = spike(h - threshold, surrogate)
    return s, reset_membrane(h, s, threshold, v_reset, reset, detach_reset)


@neuron(initial={"v": "v_reset", "w": "w_rest"}, positive=("tau", "tau_w", "threshold"))
def Izhikevich(  # noqa: N802
    x: Tensor, v: Tensor, w: Tensor, *, tau: Parameter = 2.0, v_c: Parameter = 0.8, a0: Parameter = 1.0,
    v_rest: Parameter = -0.1, w_rest: Parameter = 0.0, tau_w: Parameter = 2.0, a: Parameter = 0.0,
    b: Parameter = 0.0, threshold: Parameter = 1.0, v_reset: Parameter = -0.1, reset: str = "hard",
    detach_reset: bool = False, surrogate: Surrogate = sg.atan(),
) -> tuple[Tensor, Any]:  # fmt: skip
    """Izhikevich: ``h = v + (x + a0(v − v_rest)(v − v_c) − w)/tau``, ``w ← w + (a(h − v_rest) − w)/tau_w + b·s``."""
    h = v + (x + a0 * (v - v_rest) * (v - v_c) - w) / tau
    s = spike(h - threshold, surrogate)
    w = w + (a * (h - v_rest) - w) / tau_w
    return s, (reset_membrane(h, s, threshold, v_reset, reset, detach_reset), w + b * s)


@neuron(initial={"v": "v_rest"}, positive=("tau", "tau_w", "delta_t", "threshold"))
def AdEx(  # noqa: N802
    x: Tensor, v: Tensor, w: Tensor, *, tau: Parameter = 5.0, delta_t: Parameter = 0.5, theta_rh: Parameter = 0.8,
    v_rest: Parameter = 0.0, tau_w: Parameter = 20.0, a: Parameter = 0.1, b: Parameter = 0.1,
    threshold: Parameter = 1.0, v_reset: Parameter = 0.0, reset: str = "hard", detach_reset: bool = False,
    surrogate: Surrogate = sg.atan(),
) -> tuple[Tensor, Any]:  # fmt: skip
    """Adaptive exponential: ``h = v + (x − (v − v_rest) + Δ·exp((v − θ_rh)/Δ) − w)/tau``,
    ``w ← w + (a(v − v_rest) − w)/tau_w + b·s``. Brette & Gerstner 2005, forward Euler with a step of one."""
    h = v + (x - (v - v_rest) + delta_t * torch.exp((v - theta_rh) / delta_t) - w) / tau
    s = spike(h - threshold, surrogate)
    w = w + (a * (v - v_rest) - w) / tau_w
    return s, (reset_membrane(h, s, threshold, v_reset, reset, detach_reset), w + b * s)


@neuron(initial={"v": "v_reset"}, positive=("tau", "k", "threshold"))
def KLIF(  # noqa: N802
    x: Tensor, v: Tensor, *, tau: Parameter = 2.0, k: Parameter = 1.0, threshold: Parameter = 1.0,
    v_reset: Parameter = 0.0, reset: str = "hard", detach_reset: bool = False, decay_input: bool = True,
    scale_reset: bool = False, surrogate: Surrogate = sg.atan(),
) -> tuple[Tensor, Any]:  # fmt: skip
    """LIF with a scaled, rectified membrane ``h ← relu(k·h)``; pass ``k=nn.Parameter(...)`` to learn the scale.

    ``scale_reset=True`` divides by ``k`` again before a soft or hard reset. Jiang & Zhang 2023.
    """
    h = torch.relu(k * _lif_charge(x, v, tau, v_reset, decay_input))
    s = spike(h - threshold, surrogate)
    if scale_reset:
        return s, reset_membrane(h / k, s, threshold / k, v_reset, reset, detach_reset)
    return s, reset_membrane(h, s, threshold, v_reset, reset, detach_reset)


@neuron(positive=())
def GatedLIF(  # noqa: N802
    x: Tensor, v: Tensor, y: Tensor, *, alpha: Parameter = 0.0, beta: Parameter = 0.0, gamma: Parameter = 0.0,
    tau: Parameter = 0.0, linear_decay: Parameter = 0.0, conduct: Parameter = 0.0, v_subreset: Parameter = 0.0,
    threshold: Parameter = 0.0, surrogate: Surrogate = sg.atan(),
) -> tuple[Tensor, Any]:  # fmt: skip
    """Gated LIF on raw (pre-sigmoid) parameters, ``y`` being the last spike; use :func:`GLIF` to make one.

    With every parameter passed through σ: ``h = (1 − α(1 − τ))·v·(1 − γy) − (1 − α)·linear_decay
    + (1 − β(1 − conduct))·x − (1 − γ)·v_subreset·y``.
    """
    al, be, ga, ta, ld, co, vs, th = (
        _sigmoid(p) for p in (alpha, beta, gamma, tau, linear_decay, conduct, v_subreset, threshold)
    )
    keep = 1 - al * (1 - ta)
    h = keep * v - (1 - al) * ld + (1 - be * (1 - co)) * x - keep * ga * (v * y) - (1 - ga) * vs * y
    s = spike(h - th, surrogate)
    return s, (h, s)


def GLIF(  # noqa: N802
    tau: float = 0.25, threshold: float = 0.5, linear_decay: float | None = None, conduct: float = 0.5,
    v_subreset: float | None = None, channels: int | None = None, surrogate: Surrogate = sg.atan(),
) -> Neuron:  # fmt: skip
    """Gated LIF with all gates learned, per channel if ``channels`` is given (input ``[B, C, H, W]``).

    All values in (0, 1). Yao et al., NeurIPS 2022. Departure: the paper learns one conductance per time step, which
    fixes T; here it is shared over time, so the network runs at any T.
    """
    shape = (channels, 1, 1) if channels else ()
    values = {
        "alpha": 0.5, "beta": 0.5, "gamma": 0.5, "tau": tau, "threshold": threshold, "conduct": conduct,
        "linear_decay": threshold / 8 if linear_decay is None else linear_decay,
        "v_subreset": threshold if v_subreset is None else v_subreset,
    }  # fmt: skip
    for name, value in values.items():
        if not 0 < value < 1:
            raise ValueError(f"GLIF got {name}={value:g}, expected a value in (0, 1); every gate is a sigmoid.")
    logits = {n: torch.nn.Parameter(torch.full(shape, math.log(p / (1 - p)))) for n, p in values.items()}
    return GatedLIF(**logits, surrogate=surrogate)


@neuron(positive=("tau", "threshold"))
def ComplementaryLIF(  # noqa: N802
    x: Tensor, v: Tensor, m: Tensor, *, tau: Parameter = 2.0, threshold: Parameter = 1.0,
    surrogate: Surrogate = sg.rect(),
) -> tuple[Tensor, Any]:  # fmt: skip
    """Complementary LIF: ``h = v − v/tau + x``, ``m ← m·σ(h/tau) + s``, ``v = h − s(threshold + σ(m))``.

    Huang et al., ICML 2024: the complementary potential ``m`` carries gradients past the leak.
    """
    h = v - v / tau + x
    s = spike(h - threshold, surrogate)
    m = m * torch.sigmoid(h / tau) + s
    return s, (h - s * (threshold + torch.sigmoid(m)), m)


@neuron(initial={"v": "v_reset"}, positive=("threshold",))
def ResonateAndFire(  # noqa: N802
    x: Tensor, u: Tensor, v: Tensor, *, b: Parameter = -0.2, omega: Parameter = 1.0, dt: float = 1.0,
    threshold: Parameter = 1.0, v_reset: Parameter = 0.0, reset: str = "hard", detach_reset: bool = False,
    surrogate: Surrogate = sg.atan(),
) -> tuple[Tensor, Any]:  # fmt: skip
    """Resonate and fire: a damped rotation of ``u + iv`` by ``omega·dt``, decay ``e^{b·dt}``, spike on ``v``; the
    reset touches ``v`` only.

    Izhikevich 2001, exact solution over one step. ``b < 0`` in 1/step, ``omega`` in rad/step.
    """
    decay, c, s_ = _apply("exp", b * dt), _apply("cos", omega * dt), _apply("sin", omega * dt)
    u, h = decay * (u * c - v * s_) + x, decay * (u * s_ + v * c)
    s = spike(h - threshold, surrogate)
    return s, (u, reset_membrane(h, s, threshold, v_reset, reset, detach_reset))


def _ternary(
    h: Tensor, threshold: Any, v_reset: Any, reset: str, detach: bool, surrogate: Surrogate
) -> tuple[Tensor, Tensor]:
    up, down = spike(h - threshold, surrogate), spike(-h - threshold, surrogate)
    event = up + down if reset == "hard" else up - down
    return up - down, reset_membrane(h, event, threshold, v_reset, reset, detach)


@neuron(initial={"v": "v_reset"}, positive=("threshold",))
def TernaryIF(  # noqa: N802
    x: Tensor, v: Tensor, *, threshold: Parameter = 1.0, v_reset: Parameter = 0.0, reset: str = "soft",
    detach_reset: bool = False, surrogate: Surrogate = sg.atan(),
) -> tuple[Tensor, Any]:  # fmt: skip
    """IF that emits −1, 0 or +1: ``s = Θ(h − θ) − Θ(−h − θ)``, soft reset ``v = h − sθ``.

    Departure: SpikingJelly resets hard by default.
    """
    return _ternary(v + x, threshold, v_reset, reset, detach_reset, surrogate)


@neuron(initial={"v": "v_reset"}, positive=("tau", "threshold"))
def TernaryLIF(  # noqa: N802
    x: Tensor, v: Tensor, *, tau: Parameter = 2.0, threshold: Parameter = 1.0, v_reset: Parameter = 0.0,
    reset: str = "soft", detach_reset: bool = False, decay_input: bool = True, surrogate: Surrogate = sg.atan(),
) -> tuple[Tensor, Any]:  # fmt: skip
    """LIF that emits −1, 0 or +1; resets as :func:`TernaryIF`."""
    return _ternary(_lif_charge(x, v, tau, v_reset, decay_input), threshold, v_reset, reset, detach_reset, surrogate)


@neuron(positive=("tau", "threshold"))
def IntegerLIF(  # noqa: N802
    x: Tensor, v: Tensor, *, tau: Parameter = 4 / 3, threshold: Parameter = 1.0, detach_reset: bool = False,
    surrogate: Surrogate = sg.multi_level_spike_count(),
) -> tuple[Tensor, Any]:  # fmt: skip
    """Integer LIF: emits a count ``n = round(clip(h/θ, 0, D))``, ``h = (1 − 1/tau)v + x``, ``v = h − nθ``.

    ``D`` is the surrogate's ``levels``. Luo et al., ECCV 2024 (I-LIF).
    """
    h = (1 - 1 / tau) * v + x
    n = spike(h / threshold, surrogate)
    return n, h - (n.detach() if detach_reset else n) * threshold


@neuron
def Integrator(x: Tensor, v: Tensor) -> tuple[Tensor, Any]:  # noqa: N802
    """Non-spiking IF: emits its membrane ``v ← v + x``."""
    return v + x, v + x


@neuron(initial={"v": "v_reset"}, positive=("tau",))
def LeakyIntegrator(  # noqa: N802
    x: Tensor, v: Tensor, *, tau: Parameter = 2.0, v_reset: Parameter = 0.0, decay_input: bool = True
) -> tuple[Tensor, Any]:
    """Non-spiking LIF: emits its membrane, charged as in :func:`LIF`."""
    h = _lif_charge(x, v, tau, v_reset, decay_input)
    return h, h


ALL: dict[str, NeuronType | Any] = {
    "IF": IF, "LIF": LIF, "PLIF": PLIF, "CUBALIF": CUBALIF, "ALIF": ALIF, "AdLIF": AdLIF, "QIF": QIF, "EIF": EIF,
    "Izhikevich": Izhikevich, "AdEx": AdEx, "KLIF": KLIF, "GLIF": GLIF, "ComplementaryLIF": ComplementaryLIF,
    "ResonateAndFire": ResonateAndFire, "TernaryIF": TernaryIF, "TernaryLIF": TernaryLIF, "IntegerLIF": IntegerLIF,
    "Integrator": Integrator, "LeakyIntegrator": LeakyIntegrator,
}  # fmt: skip
"""Every neuron by name: call an entry to make a :class:`Neuron`."""
