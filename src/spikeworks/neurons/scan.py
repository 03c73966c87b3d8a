"""The only loop over time: ``scan(neuron, x_T, state)`` on any backend, with one meaning."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from .backends import choose
from .neuron import Neuron, Parameter, State
from .state import check_fits, check_state, compute_dtype


def scan(
    neuron: Neuron,
    x_T: Tensor,
    state: State | None = None,
    backend: str = "auto",
    **parameters: Parameter,
) -> tuple[Tensor, State]:
    """Run a neuron over time.

    :param neuron: what to run, e.g. ``sw.LIF(tau=2.0)``.
    :param x_T: input current ``[T, B, ...]``, any floating dtype; the membrane is float32 (float64 for float64 input),
        and so are tensor parameters, whatever their own dtype.
    :param state: the state to carry on from, as a previous call returned it; ``None`` is a fresh start.
    :param backend: ``"auto"`` or a name in :data:`BACKENDS`; the result does not depend on it.
    :param parameters: override the neuron's own, e.g. ``tau=self.tau``. A number is checked as at construction; of a
        tensor only shape, dtype and device, since looking at its values would stall every call.
    :returns: the output ``[T, B, ...]`` in the dtype of ``x_T``, and the state after step T, a named tuple.
    :raises ValueError: for an input that is not ``[T, B, ...]`` with T ≥ 1 and floating point, a state of another
        shape, device or number of variables, or an unknown parameter or backend.
    """
    _check_input(neuron, x_T, parameters)
    tensors = {name: value for name, value in parameters.items() if isinstance(value, Tensor)}
    if len(tensors) < len(parameters):
        neuron = neuron.replace(**{name: value for name, value in parameters.items() if name not in tensors})
    for name, value in neuron.tensors(tensors).items():
        check_fits(f"parameter {name}", value, x_T)
        if value.dtype != compute_dtype(x_T):
            tensors[name] = value.to(compute_dtype(x_T))
    if state is not None:
        state = check_state(neuron, x_T, state)
    return choose(neuron, x_T, backend, tensors)(neuron, x_T, state, tensors)


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
    if parameters and (unknown := parameters.keys() - neuron.parameters.keys()):
        raise ValueError(
            f"scan got parameters {sorted(unknown)}, expected names among {sorted(neuron.parameters)} of {neuron!r}."
        )
