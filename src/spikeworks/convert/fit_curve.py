"""The optimal fit curve of each layer of a converted network, from what its neurons put out, and Ω, which bounds it."""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor

from ..measure.curves import FitCurve


def rate_inference(rate: Tensor, least: float = 1e-5) -> Tensor:
    """The rate inference loss ``Ω = ‖r̂‖₁ / (‖r̂‖² + least)``, shape ``[]``; it carries gradients.

    The norms are over the whole tensor, batch included. Ω is small where units are either silent or fire at nearly
    every step, and at least 1 (but for ``least``) since no rate is above 1.

    :param rate: any shape, 0 to 1.
    :param least: keeps a silent layer at Ω = 0 instead of dividing by 0.
    Ding, Yu, Tian & Huang, IJCAI 2021.
    """
    return rate.abs().sum() / (rate.square().sum() + least)


def fit_curves(
    outputs: Mapping[str, Tensor], activations: Mapping[str, Tensor],
    thresholds: Mapping[str, Tensor] | None = None,
) -> list[FitCurve]:  # fmt: skip
    """How fast each layer's firing rates reach its activations, over one batch; see :mod:`spikeworks.measure.curves`.

    :param outputs: layer → what its neurons put out at each step, ``[T, B, ...]``, T ≥ 1; in running order.
    :param activations: the same layers → what the deep network's activations put out for that batch, ``[B, ...]``.
    :param thresholds: layer → what a spike is worth, shapes that broadcast against ``[B, ...]``; a layer not named puts
        out spikes of 1, as those of :class:`~spikeworks.convert.RNL`. K does not depend on it, Ω does.
    :returns: one curve per layer of ``outputs``, in its order; computed in double precision.
    :raises ValueError: for layers that are not the same in both, shapes that do not fit, or values that are not finite.
    """
    if outputs.keys() != activations.keys():
        odd = sorted(outputs.keys() ^ activations.keys())
        raise ValueError(f"fit_curves got {odd} on one side only, expected outputs and activations of the same layers.")
    worth = thresholds or {}
    return [_curve(name, y_T, activations[name], worth.get(name)) for name, y_T in outputs.items()]


def _curve(name: str, y_T: Tensor, activation: Tensor, threshold: Tensor | None) -> FitCurve:
    if y_T.dim() < 2 or not len(y_T) or y_T.shape[1:] != activation.shape:
        raise ValueError(
            f"fit_curves got outputs {tuple(y_T.shape)} and activations {tuple(activation.shape)} of {name!r}, "
            "expected [T, B, ...] and [B, ...] with T >= 1; keep the time axis and run one batch through both."
        )
    wanted = activation.detach().double()
    scale = 1.0 if threshold is None else threshold.detach().to(wanted)
    wanted = wanted / scale
    if not bool(wanted.isfinite().all()):
        raise ValueError(f"fit_curves got activations of {name!r} that are not finite, expected finite ones; check it.")
    power = float(wanted.square().sum())
    total, values = wanted.new_zeros(()), []
    for t, y in enumerate(y_T.detach(), 1):  # step by step: a second [T, B, ...] in double precision would be large
        total = total + y.double() / scale
        values.append(float((total / t - wanted).square().sum()) / power if power else math.nan)
    if power and not all(map(math.isfinite, values)):
        raise ValueError(f"fit_curves got outputs of {name!r} that are not finite, expected finite ones; check it.")
    return FitCurve(name, values, float(wanted.abs().sum()) / power if power else math.nan)
