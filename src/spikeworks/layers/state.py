"""What layers carry from one window to the next: whether it fits, what of it is kept, and how states are moved."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map, tree_structure

from .check import describe

NetworkState = dict[str, Any]
"""What the temporal layers of a network carry: layer name → its state (tensors, or tuples of tensors)."""


def unfit(layer: nn.Module, state: Any, expected: str) -> ValueError:
    """The refusal of a state that ``layer`` did not return."""
    return ValueError(
        f"{type(layer).__name__} got a state of {describe(state)}, expected {expected}; pass the state that it "
        "returned, or None for a fresh start."
    )


def like_a_step(layer: nn.Module, x_T: Tensor, value: Any) -> Tensor:
    """``value``, if it is a tensor that fits one step ``[B, ...]`` of ``x_T``; else ``ValueError``."""
    step = x_T[0]
    if (
        not isinstance(value, Tensor)
        or value.shape != step.shape
        or value.device != step.device
        or value.is_floating_point() != step.is_floating_point()
    ):
        raise unfit(layer, value, f"{describe(step)}, as one step of the input")
    return value


def carried(layer: nn.Module, x_T: Tensor, state: Any, count: int) -> tuple[Tensor, ...]:
    """``state``, if it is ``count`` tensors that fit one step of ``x_T``; zeros for ``None``.

    :raises ValueError: for another type or number, or a tensor of another shape, on another device or of another kind.
    """
    if state is None:
        return (torch.zeros_like(x_T[0]),) * count
    # a named tuple is the state of something else, such as a neuron
    if type(state) is not tuple or len(state) != count:
        raise unfit(layer, state, f"a tuple of {count} like one step of the input")
    return tuple(like_a_step(layer, x_T, value) for value in state)


def recent(past: tuple[Tensor, ...], x_T: Tensor, count: int) -> tuple[Tensor, ...]:
    """The last ``count`` of the inputs ``past`` and then ``x_T[0], x_T[1], ...``, copied; fewer if there are fewer."""
    new = tuple(x.clone() for x in x_T[max(0, x_T.shape[0] - count) :].unbind(0))
    return (*past[max(0, len(past) + len(new) - count) :], *new)


def counted(layer: nn.Module, seen: Any) -> int:
    """The number of steps seen, 0 for ``None``; ``ValueError`` for what is no such number."""
    if seen is None:
        return 0
    if not isinstance(seen, int) or isinstance(seen, bool) or seen < 0:
        raise unfit(layer, seen, "the number of steps it has seen")
    return seen


def span(layer: nn.Module, x_T: Tensor, seen: Any, limit: int) -> tuple[int, int]:
    """Steps ``first`` to ``last`` (exclusive) of a window after ``seen`` steps; ``ValueError`` if ``last > limit``."""
    first = counted(layer, seen)
    last = first + x_T.shape[0]
    if last > limit:
        raise ValueError(
            f"{type(layer).__name__} got steps {first} to {last - 1}, expected at most {limit} steps in all; build it "
            f"with steps={last} or more, or start fresh (state=None)."
        )
    return first, last


def detach(state: Any) -> Any:
    """The same state, cut from the graph: truncated back-propagation through time."""
    return tree_map(lambda t: t.detach() if isinstance(t, Tensor) else t, state)


def move(state: Any, *where: Any) -> Any:
    """The same state on another device: ``move(state, "cuda")``."""
    return tree_map(lambda t: t.to(*where) if isinstance(t, Tensor) else t, state)


def batch(states: list[Any]) -> Any:
    """Join the states of several streams along the batch axis (the first): serve them in one call.

    :raises ValueError: if there are none, they are not all of one network, or a layer counts steps and the streams
        stand at different steps.
    """
    if len({str(tree_structure(state)) for state in states}) != 1:
        raise ValueError(
            f"batch got {len(states)} states, expected one or more of one structure; join streams of the same network."
        )
    return tree_map(_join, states[0], *states[1:])


def _join(*values: Any) -> Any:
    if all(isinstance(value, Tensor) for value in values):
        if len({(value.shape[1:], value.dtype, value.device) for value in values}) > 1:
            raise ValueError(
                f"batch got {describe(values)} for one layer, expected the same but for the first axis; join streams "
                "of one network on one device."
            )
        return torch.cat(values)
    if any(isinstance(value, Tensor) or value != values[0] for value in values):
        raise ValueError(
            f"batch got streams at steps [{', '.join(map(describe, values))}], expected one step for all; join streams "
            "that started together."
        )
    return values[0]
