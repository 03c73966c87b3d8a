"""Thresholds for levels of any kind from two numbers per channel: the mean and the variance of the current.

A normally distributed current, rectified, is put out in levels ``L·u``, the largest whose firing point ``a·u`` it
reaches. The unit u of the least mean squared error has a closed form but for a fixed-point iteration.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, fx

from ..measure.batches import Batches
from .calibrate import Specs
from .neuron import Rule
from .observe import Scope, active, axes, observe, one_sided, spread
from .spec import ThresholdSpec


def gaussian(
    network: fx.GraphModule, data: Batches, rule: Rule, fraction: float = 0.0, scope: Scope = "channel"
) -> Specs:
    """θ with which one step of the levels represents the rectified currents best, were they normally distributed.

    Needs no histogram and little data, and does not depend on its order or batches. For an integrate-and-fire neuron
    over T steps, take ``equal(T)``, then ``spec.levels(1)``. Levels below zero are not used, as the site stands for a
    ReLU. As in DCGS (Huang et al., ICML 2025) and H-MT (AAAI 2026), reconstructed: they fit a scale by a fixed-point
    iteration to a normal distribution; the equations here are derived anew, firing points that are not halfway between
    levels included.

    :param rule: the levels, and where they fire.
    :param fraction: v(0) in units of the smallest level, below the first firing point.
    :param scope: one θ per ``"layer"`` or per ``"channel"``; a channel that never is active takes the layer's largest.
    :raises ValueError: for a start that fires by itself, data that is empty or not finite, a site that can be below 0,
        one whose mean lies 8 or more deviations below it, or one whose channel axis cannot be told.
    """
    if not 0 <= fraction < rule.at[0]:
        raise ValueError(
            f"gaussian got fraction={fraction:g} for {rule.name}, expected from 0 to less than {rule.at[0]:g}, where a "
            "neuron would fire without any current; start lower."
        )
    one_sided(network, "gaussian")
    sums: dict[str, Tensor] = {}  # count, sum, sum of squares: [3, C]

    def see(name: str, z_CN: Tensor) -> None:
        z = z_CN.double()
        now = torch.stack((torch.full_like(z[:, 0], z.shape[1]), z.sum(1), z.square().sum(1)))
        sums[name] = sums[name] + now if name in sums else now

    ranks = observe(network, data, axes(network, scope), see, currents=True)
    specs: Specs = {}
    for name, (count_C, total_C, squares_C) in sums.items():
        mean_C = total_C / count_C
        deviation_C = (squares_C / count_C - mean_C.square()).clamp(min=0).sqrt()
        top_C = best_unit(mean_C, deviation_C, rule, fraction) * rule.top
        specs[name] = ThresholdSpec(spread(active(name, top_C.float()), *ranks[name]), fraction, rule)
    return specs


def best_unit(mean_C: Tensor, deviation_C: Tensor, rule: Rule, fraction: float = 0.0) -> Tensor:
    """The smallest level u of the least :func:`squared_error` for currents N(μ, σ²), rectified; ``[C]``, float64.

    Where the error is least, ``u = (Σ ΔL·M₁(b) − ½u²·Σ a·f(b)·(2aΔL − ΔL²)) / Σ ΔL²·M₀(b)`` over levels, with
    ``b = a·u`` where a level fires, ``ΔL`` and ``ΔL²`` by how much it and its square exceed those of the level below, f
    the density, ``M₀`` and ``M₁`` the mass and the first moment above b. The second sum is 0 for levels that fire
    halfway from the one below. The right side lies where the error falls: u goes that way, farther while the error
    falls, less far if it does not. It is done from the best 16 of 64 starts, as there are several optima, for powers of
    two even equal ones: of those within a thousandth of the best, the smallest is taken whose largest level is not
    below ``μ + 3σ``, as what is cut off is lost at every T, or else the largest.

    :param mean_C: μ. :param deviation_C: σ ≥ 0; taken as a millionth of the mean's size where it is less.
    :returns: 0 where the current never exceeds 0: ``μ ≤ −8σ``.
    """
    mean_C = mean_C.double()
    deviation_C = torch.maximum(deviation_C.double(), 1e-6 * mean_C.abs())
    silent = (mean_C <= -8 * deviation_C) | (deviation_C == 0)
    mean, deviation = torch.where(silent, 0.0, mean_C).unsqueeze(1), torch.where(silent, 1.0, deviation_C).unsqueeze(1)
    start = torch.logspace(math.log10(0.003 / rule.top), 0, 64, dtype=torch.float64, device=mean_C.device)
    unit = (mean.relu() + 8 * deviation) / rule.levels[0] * start
    nearest = squared_error(unit, mean, deviation, rule, fraction).topk(16, dim=1, largest=False).indices
    unit = _descended(unit.gather(1, nearest), mean, deviation, rule, fraction, 30)
    error = squared_error(unit, mean, deviation, rule, fraction)
    good = error <= error.amin(1, keepdim=True) * (1 + 1e-3)
    wide = good & (unit * rule.top >= mean + 3 * deviation)
    least = torch.where(wide, unit, torch.inf).amin(1, keepdim=True)
    unit = torch.where(wide.any(1, keepdim=True), least, torch.where(good, unit, 0.0).amax(1, keepdim=True))
    unit = _descended(unit, mean, deviation, rule, fraction, 60).squeeze(1)
    return torch.where(silent, 0.0, unit)


def squared_error(unit: Tensor, mean: Tensor, deviation: Tensor, rule: Rule, fraction: float = 0.0) -> Tensor:
    """``E (relu(z) − q)²`` for z ~ N(μ, σ²) and q the largest level ``L·u`` with ``z ≥ (a − fraction)·u``.

    :param unit: u > 0. :param mean: μ. :param deviation: σ > 0; all float64, and broadcast.
    """
    return _error_and_aim(unit, mean, deviation, rule, fraction)[0]


def _descended(
    unit: Tensor, mean: Tensor, deviation: Tensor, rule: Rule, fraction: float, iterations: int
) -> Tensor:  # fmt: skip
    share = torch.ones_like(unit)
    error, aim = _error_and_aim(unit, mean, deviation, rule, fraction)
    for _ in range(iterations):
        tried = (unit + share * (aim - unit)).clamp(min=unit / 2)
        its_error, its_aim = _error_and_aim(tried, mean, deviation, rule, fraction)
        better = its_error < error
        unit, error, aim = (
            torch.where(better, new, old) for new, old in ((tried, unit), (its_error, error), (its_aim, aim))
        )
        share = torch.where(better, 2 * share, share / 4)
    return unit


def _error_and_aim(
    unit: Tensor, mean: Tensor, deviation: Tensor, rule: Rule, fraction: float
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The squared error, and the right side of the fixed point."""
    axes_after = (1,) * unit.dim()
    level = unit.new_tensor((0, *rule.levels)).view(-1, *axes_after)
    a = unit.new_tensor(rule.at).view(-1, *axes_after) - fraction
    step, square = level.diff(dim=0), level.square().diff(dim=0)
    mass, moment, density = _tail(a * unit, mean, deviation)
    mass, moment = (square * mass).sum(0), (step * moment).sum(0)
    edge = (a * density * (2 * a * step - square)).sum(0) * unit.square() / 2
    whole, _, at_zero = _tail(torch.zeros_like(unit), mean, deviation)
    second = (mean.square() + deviation.square()) * whole + deviation.square() * mean * at_zero
    aim = torch.where(mass > 0, (moment - edge) / mass, unit)
    return second - 2 * unit * moment + unit.square() * mass, aim


def _tail(bound: Tensor, mean: Tensor, deviation: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of a normal distribution: the mass and the first moment above a bound, and the density at it."""
    scaled = (bound - mean) / deviation
    density = (-scaled.square() / 2).exp() / (deviation * math.sqrt(2 * math.pi))
    mass = torch.erfc(scaled / math.sqrt(2)) / 2
    return mass, mean * mass + deviation.square() * density, density
