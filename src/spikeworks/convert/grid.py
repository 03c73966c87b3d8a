"""The threshold of a grid with which T steps represent the activations best."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, fx

from ..measure.batches import Batches
from .calibrate import Specs
from .observe import Scope, active, axes, observe, spread
from .spec import ThresholdSpec

SHARES = 95
"""Candidates: the largest activation times 1, 0.99, ..., 0.06."""


def least_error(
    network: fx.GraphModule, data: Batches, steps: int = 32, scope: Scope = "layer", momentum: float = 0.9
) -> Specs:
    """θ of the least squared error between an activation a and what T steps make of it, ``⌊clip(aT/θ, 0, T)⌋·θ/T``.

    The best of :data:`SHARES` shares of each batch's largest activation, averaged over batches with weights that fall
    by ``momentum`` from the latest to earlier ones: the result depends on the order of the batches, and later ones
    count more. v(0) = 0; the shift by half a level that the source adds is :func:`~spikeworks.convert.correct.shifted`.
    SNN Calibration: Li et al., ICML 2021, from their code (5 to 20 batches there). Departures: the error is computed
    from sorted activations, which gives the same and costs as much for any T; a channel that is silent in a batch keeps
    its θ, and one that always was takes the layer's largest.

    :param steps: T that the network is to run for, at least 1.
    :param scope: one θ per ``"layer"`` or per ``"channel"``.
    :param momentum: in [0, 1).
    :raises ValueError: for ``steps`` or ``momentum`` out of range, data that is empty or not finite, a site that never
        was active or was below 0, or one whose channel axis cannot be told.
    """
    if steps < 1 or not 0 <= momentum < 1:
        raise ValueError(
            f"least_error got steps={steps}, momentum={momentum:g}, expected at least 1 and 0 <= momentum < 1; pass "
            "the T that the network is to run for, and 0.9."
        )
    found: dict[str, Tensor] = {}

    def see(name: str, y_CN: Tensor) -> None:
        now_C = best(y_CN, steps)
        before_C = found.get(name, now_C)
        both = (now_C > 0) & (before_C > 0)
        found[name] = torch.where(both, momentum * before_C + (1 - momentum) * now_C, torch.maximum(before_C, now_C))

    ranks = observe(network, data, axes(network, scope), see)
    return {n: ThresholdSpec(spread(active(n, value_C.float()), *ranks[n])) for n, value_C in found.items()}


def best(y_CN: Tensor, steps: int) -> Tensor:
    """Per row of activations ``[C, N]``, ≥ 0, the candidate of the least squared error; ``[C]``, float64.

    With u = θ/T, and sums over the values at or above the k-th level, ``Σ (y − q)² = Σ y² − 2u·Σ_k Σ y +
    u²·Σ_k (2k − 1)·Σ 1``; the first of equals wins. A silent row gives 0.
    """
    at_once = max(1, 2**22 // (SHARES * steps))  # rows, so that memory does not grow with channels times T
    return torch.cat([_best(rows, steps) for rows in y_CN.split(at_once)])


def _best(y_CN: Tensor, steps: int) -> Tensor:
    ordered = y_CN.double().contiguous().sort(1).values
    before = F.pad(ordered.cumsum(1), (1, 0))
    share_G = 1 - 0.01 * torch.arange(SHARES, dtype=torch.float64, device=y_CN.device)
    k_T = torch.arange(1, steps + 1, dtype=torch.float64, device=y_CN.device)
    theta_CG = ordered[:, -1:] * share_G
    bound_CGT = theta_CG.unsqueeze(2) * (k_T / steps)  # in this order the last of the first is the largest, exactly
    below = torch.searchsorted(ordered, bound_CGT.flatten(1))
    count_CGT = (y_CN.shape[1] - below).unflatten(1, (SHARES, steps))
    sum_CGT = (before[:, -1:] - before.gather(1, below)).unflatten(1, (SHARES, steps))
    unit_CG = theta_CG / steps
    error_CG = unit_CG.square() * (count_CGT * (2 * k_T - 1)).sum(2) - 2 * unit_CG * sum_CGT.sum(2)
    return theta_CG.gather(1, error_CG.argmin(1, keepdim=True)).squeeze(1)
