"""Feedback in time: what a layer put out at one step enters it at the next."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .state import NetworkState, like_a_step, unfit
from .time import SNN, Temporal


class RecurrentState(NamedTuple):
    """What :class:`Recurrent` carries: its layer's state, the last output ``[B, ...]``, its feedback's state."""

    layer: Any
    output: Tensor
    feedback: NetworkState


class Recurrent(Temporal):
    """``y[t] = layer(x[t] + feedback(y[t − 1]))`` with ``y[−1] = 0``.

    Time is walked step by step in Python, as each step needs the one before.

        layer = Recurrent(Spiking(AdLIF(a=nn.Parameter(torch.zeros(256)))), nn.Linear(256, 256, bias=False))   # RadLIF

    :param layer: a temporal layer or an ``SNN`` whose output has the shape of its input, e.g. ``Spiking(LIF())``.
    :param feedback: any module from ``[B, ...]`` to the same shape, e.g. ``nn.Linear(100, 100)``; it may hold temporal
        layers (``Delay(3)``), which see time as everywhere.
    :raises ValueError: if one of them is something else.
    """

    def __init__(self, layer: Temporal | SNN, feedback: nn.Module) -> None:
        super().__init__()
        if not isinstance(layer, Temporal | SNN):
            raise ValueError(
                f"Recurrent got {type(layer).__name__} as layer, expected a temporal layer such as Spiking(LIF()) or "
                "an SNN; wrap other networks in SNN(...)."
            )
        self.layer, self.feedback = layer, SNN(feedback)

    def run(self, x_T: Tensor, state: RecurrentState | None) -> tuple[Tensor, RecurrentState]:
        """``[T, B, ...]`` → the layer's output ``[T, B, ...]`` and what to carry on."""
        if state is not None and not isinstance(state, RecurrentState):
            raise unfit(self, state, "a RecurrentState")
        held, y, fed = state or RecurrentState(None, torch.zeros_like(x_T[0]), {})
        like_a_step(self, x_T, y)
        outputs = []
        for x in x_T.unbind(0):
            back, fed = self.feedback.step(y, fed)
            y, held = self.layer.step(x + back, held)
            outputs.append(y)
        return torch.stack(outputs), RecurrentState(held, y, fed)
