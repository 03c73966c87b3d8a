"""A neuron as a layer."""

from __future__ import annotations

from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from ..neurons import Neuron, State, forecast, scan
from .time import Temporal


class Spiking(Temporal):
    """A neuron as ``nn.Module``: owns the neuron's tensors, runs it over time, holds no state.

    :param neuron: e.g. ``sw.LIF(tau=2.0)``. Its ``nn.Parameter`` values become this layer's own learnable
        parameters (copied: two layers made from one neuron learn apart), its tensors become buffers.
    :param backend: as in :func:`spikeworks.scan`; ``"auto"`` resolves at the first call.
    """

    def __init__(self, neuron: Neuron, backend: str = "auto") -> None:
        super().__init__()
        self.neuron, self.backend = neuron, backend
        tensors = {name: value for name, value in neuron.parameters.items() if isinstance(value, Tensor)}
        self.learned = tuple(tensors)
        for name, value in tensors.items():
            if isinstance(value, nn.Parameter):
                setattr(self, name, nn.Parameter(value.detach().clone(), value.requires_grad))
            else:
                self.register_buffer(name, value.detach().clone())

    def run(self, x_T: Tensor, state: State | None) -> tuple[Tensor, Any]:
        """``[T, B, ...]`` → spikes ``[T, B, ...]`` and the membrane state after the last step."""
        return scan(self.neuron, x_T, state, self.backend, **{name: getattr(self, name) for name in self.learned})

    def extra_repr(self) -> str:
        """The neuron and its backend, and what ``"auto"`` comes to where this layer is."""
        device = next(chain(self.parameters(), self.buffers(), (torch.empty(0),))).device
        chosen = f" ({forecast(self.neuron, device)})" if self.backend == "auto" else ""
        return f"{self.neuron!r}, backend={self.backend!r}{chosen}"
