"""The only loop over time: ``scan(neuron, x_T, state)`` on any backend, with one meaning."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from . import eager
from .backends import choose
from .neuron import Neuron, Parameter, State, state_type


def scan(
    neuron: Neuron,
    x_T: Tensor,
    state: State | None = None,
    backend: str = "auto",
    **parameters: Parameter,
) -> tuple[Tensor, State]:
    """Run a neuron over time.

    :param neuron: what to run, e.g. ``sw.LIF(tau=2.0)``.
    :param x_T: input current ``[T, B, ...]``, any floating dtype; the membrane is float32 (float64 for float64 input).
    :param state: the state to carry on from, as a previous call returned it; ``None`` is a fresh start.
    :param backend: ``"auto"`` or a name in :data:`BACKENDS`; the result does not depend on it.
    :param parameters: override the neuron's own, e.g. ``tau=self.tau``.
    :returns: the output ``[T, B, ...]`` in the dtype of ``x_T``, and the state after step T, a named tuple.
    :raises ValueError: for an input that is not ``[T, B, ...]`` with T ≥ 1 and floating point, a state of another
        shape, device or number of variables, or an unknown parameter or backend.
    """
    _check_input(neuron, x_T, parameters)
    if any(not isinstance(value, Tensor) for value in parameters.values()):
        neuron, parameters = neuron.replace(**parameters), {}
    state = start(neuron, x_T, parameters) if state is None else _check_state(neuron, x_T, state)
    out, end = choose(neuron, x_T, backend, parameters)(neuron, x_T, state, parameters)
    return out, end


def start(neuron: Neuron, x_T: Tensor, parameters: Mapping[str, Parameter] | None = None) -> State:
    """The state before the first step for an input like ``x_T``: one tensor ``[B, ...]`` per state variable."""
    kind = {"dtype": eager.compute_dtype(x_T), "device": x_T.device}
    values = []
    for name, value in zip(neuron.state_names, neuron.start(parameters), strict=True):
        if isinstance(value, Tensor):
            _check_fits(f"initial {name}", value, x_T)
        elif not isinstance(value, int | float):
            raise ValueError(f"scan got {value!r} as initial {name}, expected a number or a tensor; pass one.")
        values.append(torch.as_tensor(value, **kind).expand(x_T.shape[1:]))
    return state_type(neuron.state_names)(*values)


def _check_input(neuron: Neuron, x_T: Tensor, parameters: Mapping[str, Parameter]) -> None:
    if not isinstance(neuron, Neuron):
        raise ValueError(
            f"scan got {neuron!r} as neuron, expected a Neuron such as sw.LIF(); call the type to make one."
        )
    if not isinstance(x_T, Tensor) or not x_T.is_floating_point():
        got = x_T.dtype if isinstance(x_T, Tensor) else type(x_T).__name__
        raise ValueError(f"scan got {got} as input, expected a floating-point tensor [T, B, ...]; convert it first.")
    if x_T.dim() < 2 or x_T.shape[0] == 0:
        raise ValueError(
            f"scan got an input of shape {tuple(x_T.shape)}, expected [T, B, ...] with T >= 1; time comes first "
            "(x.unsqueeze(0) makes one step)."
        )
    if unknown := parameters.keys() - neuron.parameters.keys():
        raise ValueError(
            f"scan got parameters {sorted(unknown)}, expected names among {sorted(neuron.parameters)} of {neuron!r}."
        )
    for name, value in {**neuron.parameters, **parameters}.items():
        if isinstance(value, Tensor):
            _check_fits(f"parameter {name}", value, x_T)


def _check_fits(what: str, value: Tensor, x_T: Tensor) -> None:
    """A parameter or initial value must broadcast against one step, on its device."""
    step = tuple(x_T.shape[1:])
    spare = len(step) - value.dim()
    fits = spare >= 0 and all(n in (1, m) for n, m in zip(value.shape, step[spare:], strict=True))
    if not fits or value.device != x_T.device or not value.is_floating_point():
        raise ValueError(
            f"scan got {what} as {value.dtype} {tuple(value.shape)} on {value.device}, expected a floating tensor "
            f"that broadcasts against one step {step} on {x_T.device}; per channel means shape [C, 1, 1]."
        )


def _check_state(neuron: Neuron, x_T: Tensor, state: State) -> State:
    names = neuron.state_names
    if not isinstance(state, tuple) or len(state) != len(names) or getattr(state, "_fields", names) != names:
        got = getattr(state, "_fields", f"{len(state)} values") if isinstance(state, tuple) else type(state).__name__
        raise ValueError(f"scan got a state of {got}, expected a tuple {names}; pass the state a scan returned.")
    for name, value in zip(names, state, strict=True):
        if not isinstance(value, Tensor):
            raise ValueError(f"scan got {value!r} as state {name}, expected a tensor; pass the state a scan returned.")
        if value.shape != x_T.shape[1:] or value.device != x_T.device:
            raise ValueError(
                f"scan got state {name} of shape {tuple(value.shape)} on {value.device}, expected "
                f"{tuple(x_T.shape[1:])} on {x_T.device} like the input; start fresh (state=None) for a new batch."
            )
    return state_type(names)(*(v.to(eager.compute_dtype(x_T)) for v in state))
