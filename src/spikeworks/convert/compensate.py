"""Any function of activations, exact in the mean at every step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..layers import Temporal
from .coding import Coding


class Compensated(Temporal):
    """``y = f(a, b, ...)`` over time: the estimate of the output is f of the estimates of the inputs, at every step.

    A function that is not linear does not pass means on: ``mean f(x) ≠ f(mean x)``. This one looks at what its inputs
    amount to so far and sends the message that makes the output amount to f of it. For rate coding that is expectation
    compensation, for a product ``O(T) = (A_T·B_T)/T − (A_{T−1}·B_{T−1})/(T−1)`` with running sums A and B; hardware
    computes the change of ``A·B`` from spikes, ``x·B + A·y + x·y``, which is the same number.

    State: the total of each input ``[B, ...]``, the estimate of the output, and the number of steps so far, shape
    ``[]``.

    :param function: one or several tensors ``[B, ...]`` → one ``[B, ...]``, every sample by itself; its ``arity`` tells
        how many are activations, if not one. Inputs after these are constants.
    :param coding: what messages mean.
    """

    def __init__(self, function: nn.Module, coding: Coding) -> None:
        super().__init__()
        self.function, self.coding = function, coding
        self.arity = getattr(function, "arity", 1)

    def run(self, x_T: Tensor | tuple[Tensor, ...], state: Any) -> tuple[Tensor, Any]:  # type: ignore[override]
        """Messages ``[T, B, ...]``, for several inputs a tuple, constants after them → messages and the state."""
        given = x_T if isinstance(x_T, tuple) else (x_T,)
        inputs, constants = given[: self.arity], given[self.arity :]
        *totals, made, count = state if state is not None else (*(None for _ in inputs), None, None)
        elapsed = 0 if count is None else int(count)
        now = [self.coding.integrate(x, total, elapsed) for x, total in zip(inputs, totals, strict=True)]
        steps = inputs[0].shape[0]
        e_T = self.function(*(e.flatten(0, 1) for e, _ in now), *constants).unflatten(0, (steps, -1))
        after = (*(total.clone() for _, total in now), e_T[-1].clone(), torch.tensor(float(elapsed + steps)))
        return self.coding.emit(e_T, made, elapsed), after

    def extra_repr(self) -> str:
        """The coding."""
        return f"{self.coding}"
