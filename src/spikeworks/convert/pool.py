"""What becomes of max pooling: the maximum of means is not the mean of maxima, so a network has to choose.

* ``"delta"``: pass, at each step, by how much the largest sum in the window has grown. The mean of what is passed is
  the maximum of the means at every T, for any input, and what is passed of spikes of one threshold is such spikes.
* ``"gated"``: pass the output of the unit with the largest sum so far (Rueckauer et al., Front. Neurosci. 2017). While
  two units take turns in leading, both are passed, which is too much; exact once one of them stays in front.
* ``"pre-neuron"``: take the maximum of the currents of each step, before the neuron (max∘ReLU = ReLU∘max), as LTB does
  (Bu et al., CVPR 2025). No state. Exact if the current is the same at every step; else too large,
  ``mean(max) ≥ max(mean)``.
* ``"avg"``: average instead, same window. This is another network: do it before training
  (:func:`replace_activations`), or expect to lose accuracy.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..layers import Temporal
from ..neurons import Integrator, State, scan

Pooling = Literal["delta", "gated", "pre-neuron", "avg"]

MaxPool = (
    nn.MaxPool1d | nn.MaxPool2d | nn.MaxPool3d | nn.AdaptiveMaxPool1d | nn.AdaptiveMaxPool2d | nn.AdaptiveMaxPool3d
)


class DeltaMaxPool(Temporal):
    """Max pooling over time: ``y[t] = max Σ_{u≤t} x[u] − max Σ_{u<t} x[u]``, so ``Σ y = max Σ x`` at every T.

    State: the sum ``[B, C, ...]`` of all that has come in.

    :param pool: the max pooling to stand for, of 1, 2 or 3 dimensions, adaptive or not.
    """

    def __init__(self, pool: MaxPool) -> None:
        super().__init__()
        self.pool = pool

    def run(self, x_T: Tensor, state: State | None) -> tuple[Tensor, Any]:
        """``[T, B, C, ...]`` → pooled ``[T, B, C, ...]`` and the sums after the last step."""
        total_T, sums = scan(Integrator(), x_T, state)
        largest_T = self.pool(total_T.flatten(0, 1)).unflatten(0, x_T.shape[:2])
        before = torch.zeros_like(largest_T[0]) if state is None else self.pool(state[0])
        return largest_T - torch.cat((before.unsqueeze(0), largest_T[:-1])), sums


class GatedMaxPool(Temporal):
    """Max pooling over time: each window passes the current value of the unit with the largest sum so far.

    The first of equals wins, as in torch. State: the sum ``[B, C, ...]`` of all that has come in.

    :param pool: the max pooling to stand for, of 1, 2 or 3 dimensions, adaptive or not.
    """

    def __init__(self, pool: MaxPool) -> None:
        super().__init__()
        self.pool = _indexed(pool)

    def run(self, x_T: Tensor, state: State | None) -> tuple[Tensor, Any]:
        """``[T, B, C, ...]`` → pooled ``[T, B, C, ...]`` and the sums after the last step."""
        total_T, sums = scan(Integrator(), x_T, state)
        _, index = self.pool(total_T.flatten(0, 1))
        y = x_T.flatten(0, 1).flatten(2).gather(2, index.flatten(2)).view(index.shape)
        return y.unflatten(0, x_T.shape[:2]), sums


POOLINGS: dict[Pooling, type[DeltaMaxPool] | type[GatedMaxPool] | None] = {
    "delta": DeltaMaxPool, "gated": GatedMaxPool, "pre-neuron": None, "avg": None,
}  # fmt: skip
"""Policy → the layer that max pooling after neurons becomes, if it becomes one."""


def _indexed(pool: MaxPool) -> nn.Module:
    if isinstance(pool, nn.AdaptiveMaxPool1d | nn.AdaptiveMaxPool2d | nn.AdaptiveMaxPool3d):
        return type(pool)(pool.output_size, return_indices=True)  # type: ignore[arg-type]
    return type(pool)(pool.kernel_size, pool.stride, pool.padding, pool.dilation, True, pool.ceil_mode)  # type: ignore[arg-type]


def average(pool: nn.Module) -> nn.Module:
    """Average pooling over the same windows, padding counted as zeros.

    :raises ValueError: for a dilated window, which average pooling does not have.
    """
    if isinstance(pool, nn.AdaptiveMaxPool1d | nn.AdaptiveMaxPool2d | nn.AdaptiveMaxPool3d):
        kinds = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)
        return kinds[_dimensions(pool) - 1](pool.output_size)  # type: ignore[arg-type]
    assert isinstance(pool, nn.MaxPool1d | nn.MaxPool2d | nn.MaxPool3d)
    if pool.dilation not in (1, (1,), (1, 1), (1, 1, 1)):
        raise ValueError(
            f"pooling='avg' got {pool}, expected no dilation; choose another policy, such as pooling='delta'."
        )
    kinds = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
    return kinds[_dimensions(pool) - 1](pool.kernel_size, pool.stride, pool.padding, pool.ceil_mode)  # type: ignore[arg-type]


def _dimensions(pool: nn.Module) -> int:
    return next(int(name[-2]) for kind in type(pool).__mro__ if (name := kind.__name__).endswith("d") and "Max" in name)
