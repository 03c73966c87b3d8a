"""A neuron as a layer."""

from __future__ import annotations

import inspect
from dataclasses import replace
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from ..neurons import Neuron, Parameter, State, forecast, scan, start
from ..neurons.state import check_fits, compute_dtype
from .keep import given
from .time import Temporal

_OF_SCAN = frozenset(inspect.signature(scan).parameters)


class Spiking(Temporal):
    """A neuron as ``nn.Module``: owns the neuron's tensors, runs it over time, holds no state.

    :param neuron: e.g. ``sw.LIF(tau=2.0)``. Its ``nn.Parameter`` values become this layer's own learnable
        parameters (copied: two layers made from one neuron learn apart), its tensors become buffers. So do initial
        values that are tensors, under the name of their state: ``IF().starting(v=...)`` gives ``initial_v``.
    :param backend: as in :func:`spikeworks.scan`; ``"auto"`` resolves at the first call.
    :raises ValueError: if ``neuron`` is no :class:`~spikeworks.neurons.Neuron`, or one of its tensors has a name that a
        module or ``scan`` needs for itself.
    """

    def __init__(self, neuron: Neuron, backend: str = "auto") -> None:
        super().__init__()
        if not isinstance(neuron, Neuron):
            raise ValueError(
                f"Spiking got {getattr(neuron, '__name__', type(neuron).__name__)} as neuron, expected a Neuron such "
                "as sw.LIF(); call the type to make one."
            )
        learned = {name: value for name, value in neuron.parameters.items() if isinstance(value, Tensor)}
        started = {name: value for name, value in neuron.initial.items() if isinstance(value, Tensor)}
        self.backend, self.learned, self.started = backend, tuple(learned), tuple(started)
        # the values are here, and follow this layer to a device: what the neuron started from must not be read
        self.neuron = neuron.starting(**dict.fromkeys(started, 0.0)) if started else neuron
        for name, value in (*learned.items(), *((f"initial_{name}", value) for name, value in started.items())):
            self._own(name, value)

    def _own(self, name: str, value: Tensor) -> None:
        if name in _OF_SCAN or hasattr(self, name):
            raise ValueError(
                f"Spiking got a {self.neuron.kind.__name__} with a tensor named {name!r}, expected a name that modules "
                "and scan leave free; rename it in the neuron's step."
            )
        if isinstance(value, nn.Parameter):
            self.register_parameter(name, nn.Parameter(value.detach().clone(), value.requires_grad))
        else:
            self.register_buffer(name, value.detach().clone())

    def run(self, x_T: Tensor, state: State | None) -> tuple[Tensor, Any]:
        """``[T, B, ...]`` → spikes ``[T, B, ...]`` and the membrane state after the last step."""
        if state is None and self.started:
            state = self.fresh(x_T)
        return given(x_T, scan, self.neuron, x_T, state, self.backend, **self.tensors())

    def tensors(self) -> dict[str, Tensor]:
        """The neuron's parameters that are tensors, as this layer holds them."""
        return {name: getattr(self, name) for name in self.learned}

    def value(self, name: str) -> Parameter:
        """A parameter of the neuron as it is now: this layer's tensor, or a number."""
        return getattr(self, name) if name in self.learned else self.neuron.parameters[name]

    def fresh(self, x_T: Tensor) -> State:
        """The state before the first step for an input like ``x_T`` ``[T, B, ...]``: one tensor ``[B, ...]`` each."""
        given = {name: getattr(self, f"initial_{name}") for name in self.started}
        for name, value in given.items():
            check_fits(f"initial {name}", value, x_T)
        own = {name: value.to(compute_dtype(x_T)).expand(x_T.shape[1:]) for name, value in given.items()}
        return start(self.neuron, x_T, self.tensors())._replace(**own)  # type: ignore[attr-defined]

    def extra_repr(self) -> str:
        """The neuron as it is now and its backend, and what ``"auto"`` comes to where this layer is."""
        device = next(chain(self.parameters(), self.buffers(), (torch.empty(0),))).device
        chosen = f" ({forecast(self.neuron, device)})" if self.backend == "auto" else ""
        shown = replace(self.neuron, parameters={**self.neuron.parameters, **self.tensors()})
        return f"{shown!r}, backend={self.backend!r}{chosen}"
