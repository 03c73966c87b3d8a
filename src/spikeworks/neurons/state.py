"""The state of a neuron: what it is before the first step, and whether one that was handed in fits."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import torch
from torch import Tensor

from .native import aside
from .neuron import Neuron, Parameter, State, state_type


def compute_dtype(x: Tensor) -> torch.dtype:
    """The dtype of the membrane: float64 for float64 input, float32 for every other."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def start(neuron: Neuron, x_T: Tensor, parameters: Mapping[str, Parameter] | None = None) -> State:
    """The state before the first step for an input like ``x_T``: one tensor ``[B, ...]`` per state variable."""
    kind = {"dtype": compute_dtype(x_T), "device": x_T.device}
    values = (torch.as_tensor(value, **kind) for value in _values(neuron, x_T, parameters))
    return state_type(neuron.state_names)(*(value.expand(x_T.shape[1:]) for value in values))


def start_small(neuron: Neuron, x_T: Tensor, parameters: Mapping[str, Parameter]) -> State:
    """As :func:`start` for kernels, which only read it: a number stays a tensor without axes, shared by all calls."""
    kind, values = compute_dtype(x_T), _values(neuron, x_T, parameters)
    return tuple(
        value.to(kind).expand(x_T.shape[1:]) if isinstance(value, Tensor) else _number(value, kind, x_T.device)
        for value in values
    )


def _values(neuron: Neuron, x_T: Tensor, parameters: Mapping[str, Parameter] | None) -> tuple[Parameter, ...]:
    values = neuron.start(parameters)
    for name, value in zip(neuron.state_names, values, strict=True):
        if isinstance(value, Tensor):
            check_fits(f"initial {name}", value, x_T)
        elif not isinstance(value, int | float):
            raise ValueError(f"scan got {value!r} as initial {name}, expected a number or a tensor; pass one.")
    return values


@lru_cache(256)
def _number(value: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    # made aside: one that was made in the caller's inference mode could never be trained with
    return aside(lambda: torch.tensor(value, dtype=dtype, device=device))  # type: ignore[no-any-return]


def check_fits(what: str, value: Tensor, x_T: Tensor) -> None:
    """A parameter or initial value must broadcast against one step, on its device."""
    step = tuple(x_T.shape[1:])
    spare = len(step) - value.dim()
    fits = spare >= 0 and all(n in (1, m) for n, m in zip(value.shape, step[spare:], strict=True))
    if not fits or value.device != x_T.device or not value.is_floating_point():
        raise ValueError(
            f"scan got {what} as {value.dtype} {tuple(value.shape)} on {value.device}, expected a floating tensor "
            f"that broadcasts against one step {step} on {x_T.device}; per channel means shape [C, 1, 1]."
        )


def check_state(neuron: Neuron, x_T: Tensor, state: State) -> State:
    """The state as the neuron's own named tuple, in the dtype of the membrane.

    :raises ValueError: for another number or order of variables, shape or device than an input like ``x_T`` needs.
    """
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
    return state_type(names)(*(v.to(compute_dtype(x_T)) for v in state))
