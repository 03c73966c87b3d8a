"""The reference backend: the step, applied T times by plain torch and autograd. Every other backend equals it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch._C._functorch import maybe_current_level
from torch._subclasses.fake_tensor import FakeTensor

from .neuron import Neuron, State, state_type
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
    now: State = start(neuron, x_T, parameters) if state is None else state
    looking = not torch.compiler.is_compiling() and is_concrete(x_T)
    outputs: list[Tensor] = []
    versions: list[int] = []
    # unbind, not x_T[t]: the backward of indexing writes a full [T, B, ...] tensor at each step, O(T²) in all
    for x in x_T.unbind(0):
        given = (x.to(compute), *now)
        if looking and not outputs:  # the first step works on copies, so that an impure one does no harm
            grad = torch.is_grad_enabled()
            with torch.inference_mode(False), torch.set_grad_enabled(grad):  # only there are versions counted
                # one number seen everywhere stays one: a copy of it would lay out what follows
                given = (given[0].clone(), *(v.clone() if any(v.stride()) else v for v in now))
            versions = [0 if value.is_inference() else value._version for value in given]
        try:
            out, now = neuron.step(*given, **parameters)
        except RuntimeError as error:
            if "written-to tensor" in str(error):  # so torch refuses to write into a number seen everywhere
                raise _impure(neuron) from error
            raise
        if looking and not outputs and versions != [0 if v.is_inference() else v._version for v in given]:
            raise _impure(neuron)
        outputs.append(out.to(x_T.dtype))
    if looking and x_T.device.type == "cpu":
        for name, value in zip(neuron.state_names, now, strict=True):
            if not bool(value.isfinite().all()):
                raise not_finite(name)
    if looking:  # a step may hand on its input: a state that lived in x_T would change with it, and keep it alive
        home = x_T.untyped_storage().data_ptr()
        own = (value.clone() if value.untyped_storage().data_ptr() == home else value for value in now)
        now = state_type(neuron.state_names)(*own)
    return torch.stack(outputs), now


def _impure(neuron: Neuron) -> ValueError:
    return ValueError(
        f"{neuron.kind.__name__} got its input or state and wrote into it, expected new tensors from a step; "
        "write v = v + x in place of v += x."
    )


def is_concrete(x: Tensor) -> bool:
    """Whether there are values to look at: not under a ``torch.func`` transform, nor in a tensor without memory."""
    return maybe_current_level() is None and not isinstance(x, FakeTensor)


class Diverged(ValueError):  # noqa: N818  what happened, not whose error it is
    """A state ended as NaN or infinity."""


def not_finite(state: str) -> Diverged:
    """What a CPU backend raises when a state ended as NaN or infinity (on a GPU, looking would stall it)."""
    return Diverged(
        f"scan got input that drove state {state} to NaN or infinity, expected finite values; check the input and the "
        "weights before this neuron."
    )
