"""What a neuron puts out over T steps if its current comes evenly: the staircase that it counts up."""

from __future__ import annotations

import torch
from torch import Tensor

from .spec import ThresholdSpec


def ideal(spec: ThresholdSpec, z: Tensor, steps: int) -> Tensor:
    """The mean output over T steps of constant current: ``u/T·clip(⌊T·(gain·z + drive)/u + fraction⌋, 0, K·T)``.

    With u the smallest of K equal levels. The floor passes gradients on as if it were not there.

    :param spec: of a neuron with equal levels, none below zero. :param z: currents ``[B, ...]``. :param steps: T ≥ 1.
    :raises ValueError: for other levels, or thresholds that are not above 0.
    """
    rule, unit = spec.rule, spec.unit.to(z)
    if rule.signed or rule.levels != tuple(range(1, rule.top + 1)):
        raise ValueError(
            f"ideal got a neuron of {rule.name}, expected equal levels above zero, as its staircase is even; choose "
            "such a rule, or another correction."
        )
    if not bool((unit > 0).all()):
        raise ValueError(f"ideal got a threshold of {float(unit.min()):g}, expected more than 0; calibrate it first.")
    current = z if spec.gain is None else z * spec.gain.to(z)
    current = current if spec.drive is None else current + spec.drive.to(z)
    start = spec.fraction.to(z) if isinstance(spec.fraction, Tensor) else spec.fraction
    count = (current * steps / unit + start).clamp(0, steps * rule.top)
    floor = count.detach().floor()
    return (floor + (count - count.detach())) * unit / steps if torch.is_grad_enabled() else floor * unit / steps
