"""Neurons that wait for all their input: unevenness cannot arise, and counts can be computed without time."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..layers import Spiking


class ParallelIF(Spiking):
    """An integrate-and-fire site that sees its whole window before it fires: spike t of T iff ``(Σ x + v(0))/t ≥ θ``.

    So ``n = clip(⌊(Σ x + v(0))/θ⌋, 0, T)`` spikes come, all of them first: with v(0) = θ/2 and T = L that is the count
    of the QCFS activation, for any order of arrival, and a network of these equals its QCFS source exactly. Not causal:
    a layer waits for T steps of the one before. Hao et al., ICML 2025, reconstructed from their code.

    :param neuron: a :func:`~spikeworks.convert.neuron.ValueIF` of one level; gives θ and v(0).
    """

    def run(self, x_T: Tensor, state: Any) -> tuple[Tensor, tuple[()]]:
        """Currents ``[T, B, ...]`` → spikes ``[T, B, ...]``, sorted; keeps no state.

        :raises ValueError: if it is to go on from an earlier window: it has no part of one.
        """
        if state is not None:
            raise ValueError(
                "ParallelIF got the next window of a run, expected the whole run as one; give all T steps at once."
            )
        count = self._count(x_T.sum(0), x_T.shape[0])
        t = torch.arange(1, x_T.shape[0] + 1, device=x_T.device, dtype=x_T.dtype)
        fired = t.view(-1, *(1,) * (x_T.dim() - 1)) <= count
        return fired * self.value("threshold"), ()

    def mean(self, x: Tensor, steps: int) -> Tensor:
        """The mean current over ``steps`` steps ``[B, ...]`` → the mean output over them, exactly, without running."""
        return self._count(x * steps, steps) * self.value("threshold") / steps

    def _count(self, total: Tensor, steps: int) -> Tensor:
        return (total / self.value("threshold") + self.value("fraction")).floor().clamp(0, steps)


def counted(steps: int) -> Any:
    """What happens at a site when one step carries means of ``steps`` (:data:`~spikeworks.convert.execute.At`)."""

    def at(name: str, layer: Spiking, x_T: Tensor, state: Any) -> tuple[Tensor, tuple[()]]:
        if not isinstance(layer, ParallelIF):
            raise ValueError(
                f"{name!r} is {layer.neuron.kind.__name__}, expected ParallelIF, the one neuron whose count depends on "
                "the mean of its input alone; run it over time."
            )
        return layer.mean(x_T[0], steps).unsqueeze(0), ()

    return at
