"""What becomes of max pooling: the maximum of means is not the mean of maxima, so a network has to choose.

* ``"gated"``: pass, at each step, the output of the unit that has received most so far (Rueckauer et al. 2017). Exact
  in the limit of many steps, for any input; keeps spikes spikes. Needs a state.
* ``"pre-neuron"``: take the maximum of the currents of each step, before the neuron (max∘ReLU = ReLU∘max). Exact if
  the current is the same at every step; else at least as large as it should be, ``mean(max) ≥ max(mean)``.
* ``"avg"``: average instead, same window. This is another network: do it before training
  (:func:`replace_activations`), or expect to lose accuracy.
"""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor, nn

from ..layers import Temporal
from ..neurons import Integrator, State, scan

Pooling = Literal["gated", "pre-neuron", "avg"]
POOLINGS: tuple[Pooling, ...] = ("gated", "pre-neuron", "avg")

MaxPool = (
    nn.MaxPool1d | nn.MaxPool2d | nn.MaxPool3d | nn.AdaptiveMaxPool1d | nn.AdaptiveMaxPool2d | nn.AdaptiveMaxPool3d
)


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
        total_T, state = scan(Integrator(), x_T, state)
        _, index = self.pool(total_T.flatten(0, 1))
        y = x_T.flatten(0, 1).flatten(2).gather(2, index.flatten(2)).view(index.shape)
        return y.unflatten(0, x_T.shape[:2]), state


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
        raise ValueError(f"pooling='avg' got {pool}, expected no dilation; choose pooling='gated'.")
    kinds = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
    return kinds[_dimensions(pool) - 1](pool.kernel_size, pool.stride, pool.padding, pool.ceil_mode)  # type: ignore[arg-type]


def _dimensions(pool: nn.Module) -> int:
    return next(int(name[-2]) for kind in type(pool).__mro__ if (name := kind.__name__).endswith("d") and "Max" in name)
