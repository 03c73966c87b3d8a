"""The reference backend: the step, applied T times by plain torch and autograd. Every other backend equals it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch._C._functorch import maybe_current_level

from .neuron import Neuron, State
from .state import compute_dtype, start


def run(
    neuron: Neuron, x_T: Tensor, state: State | None, parameters: Mapping[str, Tensor]
) -> tuple[Tensor, State]:  # the signature every backend shares
    """Apply the step to ``x_T[0], x_T[1], ...``.

    :param x_T: ``[T, B, ...]``; float16 and bfloat16 are computed in float32 and returned in their own type.
    :param state: one tensor ``[B, ...]`` per state variable, float32 (float64 if ``x_T`` is); ``None``: a fresh start.
    :returns: outputs ``[T, B, ...]`` in the dtype of ``x_T``, and the state after the last step.
    :raises ValueError: if the step writes into its arguments, or (on the CPU) a state ended as NaN or infinity.
    """
    compute = compute_dtype(x_T)
    state = start(neuron, x_T, parameters) if state is None else state
    looking = not torch.compiler.is_compiling() and maybe_current_level() is None
    outputs: list[Tensor] = []
    # unbind, not x_T[t]: the backward of indexing writes a full [T, B, ...] tensor at each step, O(T²) in all
    for x in x_T.unbind(0):
        given = (x.to(compute), *state)
        if looking and not outputs:  # the first step works on copies, so that an impure one does no harm
            given = tuple(value.clone() for value in given)
        out, state = neuron.step(*given, **parameters)
        if looking and not outputs and any(value._version for value in given):
            raise ValueError(
                f"{neuron.kind.__name__} got its input or state and wrote into it, expected new tensors from a step; "
                "write v = v + x in place of v += x."
            )
        outputs.append(out.to(x_T.dtype))
    if looking and x_T.device.type == "cpu":
        for name, value in zip(neuron.state_names, state, strict=True):
            if not bool(value.isfinite().all()):
                raise not_finite(name)
    return torch.stack(outputs), state


def not_finite(state: str) -> ValueError:
    """What a CPU backend raises when a state ended as NaN or infinity (on a GPU, looking would stall it)."""
    return ValueError(
        f"scan got input that drove state {state} to NaN or infinity, expected finite values; check the input and the "
        "weights before this neuron."
    )
