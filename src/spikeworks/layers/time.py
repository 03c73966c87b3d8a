"""Time in a network: stateless layers see it folded into the batch, temporal layers see it unfolded.

A network is written as for still data, ``[B, ...]`` in and out, from any ``nn.Module``. :class:`SNN` runs it on
``[T, B, ...]``: it folds time into the batch, ``[T·B, ...]``, so that convolutions, normalisation and reshapes serve
unchanged, and every :class:`Temporal` layer inside (a spiking neuron, a delay) unfolds what it gets. What temporal
layers carry from one call to the next is passed in and handed back; modules hold parameters and nothing else.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

NetworkState = dict[str, Any]
"""What the temporal layers of a network carry: layer name → its state (tensors, or tuples of tensors)."""


def unfold(x: Tensor, steps: int) -> Tensor:
    """``[T·B, ...]`` as ``[T, B, ...]``, without a copy; B may be 0."""
    return x.unflatten(0, (steps, x.shape[0] // steps))


@dataclass
class Passage:
    """One run of a network over a window: how many steps are folded, what came in, what goes out."""

    steps: int
    names: dict[nn.Module, str]
    incoming: NetworkState
    outgoing: NetworkState = field(default_factory=dict)

    def through(self, layer: Temporal, x: Tensor) -> Tensor:
        """Run a temporal layer on folded ``[T·B, ...]``, with the state it left in the previous window."""
        key = self.names[layer]
        while key in self.outgoing:  # the same layer called again in one forward has a state of its own
            key += "'"
        y_T, self.outgoing[key] = layer.run(unfold(x, self.steps), self.incoming.get(key))
        return y_T.flatten(0, 1)


class _Thread(threading.local):
    passage: Passage | None = None  # the window this thread is in, while an SNN runs (torch.compile traces it)


_THREAD = _Thread()


class Temporal(nn.Module):
    """A layer that sees time. Subclasses define :meth:`run`; alone it is called on ``[T, B, ...]``, inside an
    :class:`SNN` on folded tensors."""

    def run(self, x_T: Tensor, state: Any) -> tuple[Tensor, Any]:
        """``x_T``: ``[T, B, ...]``; ``state``: as returned by the previous call, ``None`` for a fresh start."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """A fresh start on ``[T, B, ...]``; inside an :class:`SNN`, the running window folded to ``[T·B, ...]``."""
        passage = _THREAD.passage
        return self.run(x, None)[0] if passage is None else passage.through(self, x)

    def stream(self, x_T: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Carry on from ``state``: ``[T, B, ...]`` → output ``[T, B, ...]`` and the state to pass next time."""
        return self.run(x_T, state)

    def step(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """One live step: ``[B, ...]`` → output ``[B, ...]`` and the state to pass with the next."""
        y_T, state = self.run(x.unsqueeze(0), state)
        return y_T.squeeze(0), state


class SNN(nn.Module):
    """Run a network of stateless and temporal layers over time.

    :param network: any module written for ``[B, ...]``, with :class:`Temporal` layers inside.
    :param encode: what turns the input into ``[T, B, ...]``, e.g. ``Repeat(4)`` for images; default: it already is.
    :param decode: what turns outputs ``[T, B, ...]`` into the answer, e.g. ``mean``; default: all steps.
    """

    def __init__(
        self, network: nn.Module, encode: Callable[[Tensor], Tensor] | None = None,
        decode: Callable[[Tensor], Tensor] | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.network, self.encode, self.decode = network, encode, decode

    def forward(self, x: Tensor) -> Tensor:
        """A fresh start: ``encode`` → network over time → ``decode``. Nothing has to be reset, nothing leaks."""
        y_T, _ = self.stream(self.encode(x) if self.encode else x)
        return self.decode(y_T) if self.decode else y_T

    def stream(self, x_T: Tensor, state: NetworkState | None = None) -> tuple[Tensor, NetworkState]:
        """Carry on: ``[T, B, ...]`` and the state of the previous window → ``[T, B, ...]`` and the state after it.

        Neither ``encode`` nor ``decode`` applies: a stream already is in time, and so is its answer.
        """
        if x_T.dim() < 2 or x_T.shape[0] == 0:
            raise ValueError(
                f"SNN got an input of shape {tuple(x_T.shape)}, expected [T, B, ...] with T >= 1; time comes first."
            )
        names: dict[nn.Module, str] = {
            module: name for name, module in self.network.named_modules() if isinstance(module, Temporal)
        }
        passage = Passage(x_T.shape[0], names, state or {})
        if unknown := passage.incoming.keys() - {k for n in names.values() for k in (n, *_repeats(n, passage))}:
            raise ValueError(
                f"SNN got a state for {sorted(unknown)}, expected layers among {sorted(names.values())}; "
                "pass the state this network returned."
            )
        outer, _THREAD.passage = _THREAD.passage, passage
        try:
            y = self.network(x_T.flatten(0, 1))
        finally:
            _THREAD.passage = outer
        return unfold(y, x_T.shape[0]), passage.outgoing

    def step(self, x: Tensor, state: NetworkState | None = None) -> tuple[Tensor, NetworkState]:
        """One live step: ``[B, ...]`` → output ``[B, ...]`` and the state to pass with the next."""
        y_T, state = self.stream(x.unsqueeze(0), state)
        return y_T.squeeze(0), state


def _repeats(name: str, passage: Passage) -> list[str]:
    return [key for key in passage.incoming if key.rstrip("'") == name]


def detach(state: Any) -> Any:
    """The same state, cut from the graph: truncated back-propagation through time."""
    return tree_map(lambda t: t.detach() if isinstance(t, Tensor) else t, state)


def move(state: Any, *where: Any) -> Any:
    """The same state on another device: ``move(state, "cuda")``."""
    return tree_map(lambda t: t.to(*where) if isinstance(t, Tensor) else t, state)


def batch(states: list[Any]) -> Any:
    """Join the states of several streams along the batch axis (the first): serve them in one call.

    :raises ValueError: if a layer counts steps and the streams stand at different steps.
    """
    return tree_map(_join, states[0], *states[1:])


def _join(*values: Any) -> Any:
    if isinstance(values[0], Tensor):
        return torch.cat(values)
    if any(value != values[0] for value in values):
        raise ValueError(
            f"batch got streams at steps {list(values)}, expected one step for all; join streams that started together."
        )
    return values[0]


@dataclass(frozen=True)
class Repeat:
    """Direct encoding: the same input at every step, ``[B, ...]`` → ``[steps, B, ...]``, a view, nothing is copied.

    :param steps: T, at least 1.
    :raises ValueError: if ``steps`` is less than 1.
    """

    steps: int

    def __post_init__(self) -> None:
        at_least("Repeat", "steps", self.steps, 1)

    def __call__(self, x: Tensor) -> Tensor:
        return x.expand(self.steps, *x.shape)


class Delay(Temporal):
    """``y[t] = x[t − steps]``, zero before the first input.

    Its state is a tuple of the last ``steps`` inputs, oldest first, each ``[B, ...]``; a copy, so that the caller may
    write the next frame into the same memory.

    :param steps: the delay in steps, at least 0.
    :raises ValueError: if ``steps`` is negative.
    """

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = at_least("Delay", "steps", steps, 0)

    def run(self, x_T: Tensor, state: tuple[Tensor, ...] | None) -> tuple[Tensor, tuple[Tensor, ...]]:
        """``[T, B, ...]`` → the same, later; T may be less than the delay."""
        past = (torch.zeros_like(x_T[0]),) * self.steps if state is None else state
        return torch.stack((*past, *x_T.unbind(0))[: x_T.shape[0]]), recent(past, x_T, self.steps)

    def extra_repr(self) -> str:
        """The delay."""
        return f"steps={self.steps}"


def recent(past: tuple[Tensor, ...], x_T: Tensor, count: int) -> tuple[Tensor, ...]:
    """The last ``count`` of the inputs ``past`` and then ``x_T[0], x_T[1], ...``, copied; fewer if there are fewer."""
    new = tuple(x.clone() for x in x_T[max(0, x_T.shape[0] - count) :].unbind(0))
    return (*past[max(0, len(past) + len(new) - count) :], *new)


def span(layer: nn.Module, x_T: Tensor, seen: int | None, limit: int) -> tuple[int, int]:
    """Steps ``first`` to ``last`` (exclusive) of a window after ``seen`` steps; ``ValueError`` if ``last > limit``."""
    first = seen or 0
    last = first + x_T.shape[0]
    if last > limit:
        raise ValueError(
            f"{type(layer).__name__} got steps {first} to {last - 1}, expected at most {limit} steps in all; build it "
            f"with steps={last} or more, or start fresh (state=None)."
        )
    return first, last


def at_least(owner: str, name: str, value: int, least: int) -> int:
    """``value``, if it is a whole number ≥ ``least``; else ``ValueError`` in the name of ``owner``."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{owner} got {name}={value!r}, expected a whole number of at least {least}; pass one.")
    return value
