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

from .check import at_least, describe, in_time
from .state import NetworkState, carried, recent, unfit


def unfold(x: Tensor, steps: int) -> Tensor:
    """``[T·B, ...]`` as ``[T, B, ...]``, without a copy; B may be 0."""
    if not isinstance(x, Tensor) or x.dim() == 0 or x.shape[0] % steps:
        raise ValueError(
            f"SNN got {describe(x)} inside, expected one tensor whose first axis is time and batch folded, a multiple "
            f"of T={steps}; let the layers keep the batch axis."
        )
    return x.unflatten(0, (steps, x.shape[0] // steps))


@dataclass
class Passage:
    """One run of a network over a window: how many steps it has, what came in, what goes out; and whether layers are
    called on folded tensors, or on ``[T, B, ...]``."""

    steps: int
    names: dict[nn.Module, str]
    incoming: NetworkState
    outgoing: NetworkState = field(default_factory=dict)
    folded: bool = True

    def through(self, layer: Temporal, first: Tensor, *more: Tensor) -> Tensor:
        """Run a temporal layer with the state it left in the previous window: ``[T·B, ...]`` → the same."""
        if layer not in self.names:
            raise ValueError(
                f"SNN got {type(layer).__name__} inside, which is not among the modules of its network, expected every "
                "temporal layer to be; assign it as an attribute or use nn.ModuleList in place of a list."
            )
        x = (first, *more)
        key = self.names[layer]
        while key in self.outgoing:  # the same layer called again in one forward has a state of its own
            key += "'"
        # what a layer calls while it runs sees time as the layer itself does: unfolded
        inputs = layer.unfolded(x, self.steps) if self.folded else x if more else first
        y_T, self.outgoing[key] = during(None, layer.run, inputs, self.incoming.get(key))
        return y_T.flatten(0, 1) if self.folded else y_T


class _Thread(threading.local):  # torch.compile traces it
    passage: Passage | None = None  # the window this thread is in; None where tensors are [T, B, ...]
    known: bool = False  # whether somebody has said so


_THREAD = _Thread()


def during(passage: Passage | None, run: Callable[..., Any], *arguments: Any) -> Any:
    """``run(*arguments)`` in that window; ``None``: in none, tensors are ``[T, B, ...]``."""
    outer = _THREAD.passage, _THREAD.known
    _THREAD.passage, _THREAD.known = passage, True
    try:
        return run(*arguments)
    finally:
        _THREAD.passage, _THREAD.known = outer


def ambient(layer: nn.Module) -> Passage | None:
    """The window that ``layer`` is called in; ``None`` if it is in none and takes ``[T, B, ...]``.

    :raises ValueError: if a backward pass calls it, as ``torch.utils.checkpoint`` makes it do: the window is over.
    """
    # -1 is no backward pass; this is how torch.utils.checkpoint itself asks
    if not _THREAD.known and not torch.compiler.is_compiling() and torch._C._current_graph_task_id() != -1:
        raise ValueError(
            f"{type(layer).__name__} got called by a backward pass, which cannot tell whether time is folded, expected "
            "a recomputation by sw.layers.Checkpoint; use it in place of torch.utils.checkpoint."
        )
    return _THREAD.passage


class Temporal(nn.Module):
    """A layer that sees time. Subclasses define :meth:`run`; alone it is called on ``[T, B, ...]``, inside an
    :class:`SNN` on folded tensors. In :meth:`run` time is unfolded for whatever it calls."""

    arity: int = 1
    """How many inputs are in time; of several inputs :meth:`run` gets a tuple, those after these as they are."""

    def unfolded(self, x: tuple[Tensor, ...], steps: int) -> Any:
        """The inputs of one call, folded, as :meth:`run` takes them."""
        in_time = [unfold(a, steps) for a in x[: self.arity]]
        return in_time[0] if len(x) == 1 else (*in_time, *x[self.arity :])

    def run(self, x_T: Tensor, state: Any) -> tuple[Tensor, Any]:
        """``x_T``: ``[T, B, ...]``; ``state``: as returned by the previous call, ``None`` for a fresh start."""
        raise NotImplementedError

    def forward(self, x: Tensor, *more: Tensor) -> Tensor:
        """A fresh start on ``[T, B, ...]``; inside an :class:`SNN`, the running window folded to ``[T·B, ...]``.

        :param more: further inputs, for layers whose :attr:`arity` is more than 1.
        :raises ValueError: for an input of another kind, or when a backward pass calls it (see
            :class:`~spikeworks.layers.Checkpoint`).
        """
        passage = ambient(self)
        if passage is not None:
            return passage.through(self, x, *more)
        return self.run((x, *more), None)[0] if more else self.stream(x)[0]  # type: ignore[arg-type]

    def stream(self, x_T: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Carry on from ``state``: ``[T, B, ...]`` → output ``[T, B, ...]`` and the state to pass next time.

        :raises ValueError: for an input or a state of another kind or shape.
        """
        return self.run(in_time(type(self).__name__, x_T), state)

    def step(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """One live step: ``[B, ...]`` → output ``[B, ...]`` and the state to pass with the next."""
        return _one_step(self, x, state)


def _one_step(layer: Temporal | SNN, x: Tensor, state: Any) -> tuple[Tensor, Any]:
    y_T, state = layer.stream(x.unsqueeze(0) if isinstance(x, Tensor) else x, state)
    return y_T.squeeze(0), state


class SNN(nn.Module):
    """Run a network of stateless and temporal layers over time.

    Called inside of another SNN, it is a part of that one's network: time is folded already, and its states travel with
    the others. ``encode`` and ``decode`` have no meaning there, since time neither begins nor ends: they are refused.
    :meth:`stream` and :meth:`step` always run a window of their own.

    :param network: any module written for ``[B, ...]``, with :class:`Temporal` layers inside.
    :param encode: what turns the input into ``[T, B, ...]``, e.g. ``Repeat(4)`` for images; default: it already is.
    :param decode: what turns outputs ``[T, B, ...]`` into the answer, e.g. ``mean``; default: all steps.
    :raises ValueError: if ``network`` is no ``nn.Module``.
    """

    def __init__(
        self, network: nn.Module, encode: Callable[[Tensor], Tensor] | None = None,
        decode: Callable[[Tensor], Tensor] | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        if not isinstance(network, nn.Module):
            raise ValueError(
                f"SNN got {describe(network)} as network, expected an nn.Module; a neuron becomes one by Spiking(...)."
            )
        self.network, self.encode, self.decode = network, encode, decode

    def forward(self, x: Tensor) -> Tensor:
        """A fresh start: ``encode`` → network over time → ``decode``. Nothing has to be reset, nothing leaks.

        :raises ValueError: with ``encode`` or ``decode`` inside of another SNN; for an input that is not in time; as
            :meth:`Temporal.forward` when a backward pass calls it.
        """
        if self.encode is None and self.decode is None:
            return self.stream(x)[0] if ambient(self) is None else self.network(x)
        if _THREAD.passage is not None:
            raise ValueError(
                "SNN got called inside of another SNN with encode or decode, expected neither, as time is running; "
                "build it without (a model: decode=None, no steps), or use its .network."
            )
        y_T, _ = self.stream(self.encode(x) if self.encode else x)
        return self.decode(y_T) if self.decode else y_T

    def stream(self, x_T: Tensor, state: NetworkState | None = None) -> tuple[Tensor, NetworkState]:
        """Carry on: ``[T, B, ...]`` and the state of the previous window → ``[T, B, ...]`` and the state after it.

        Neither ``encode`` nor ``decode`` applies: a stream already is in time, and so is its answer.

        :raises ValueError: for an input that is not ``[T, B, ...]`` with T ≥ 1, a state that this network did not
            return, or a temporal layer that is not among its modules.
        """
        in_time("SNN", x_T)
        if state is not None and not isinstance(state, dict):
            raise unfit(self, state, "a dict from layer names to states")
        names: dict[nn.Module, str] = {
            module: name for name, module in self.network.named_modules() if isinstance(module, Temporal)
        }
        passage = Passage(x_T.shape[0], names, dict(state or {}))
        if unknown := [key for key in passage.incoming if str(key).rstrip("'") not in names.values()]:
            raise ValueError(
                f"SNN got a state for {sorted(map(str, unknown))}, expected layers among {sorted(names.values())}; "
                "pass the state this network returned."
            )
        y = during(passage, self.network, x_T.flatten(0, 1))
        return unfold(y, x_T.shape[0]), passage.outgoing

    def step(self, x: Tensor, state: NetworkState | None = None) -> tuple[Tensor, NetworkState]:
        """One live step: ``[B, ...]`` → output ``[B, ...]`` and the state to pass with the next."""
        return _one_step(self, x, state)


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
        if not isinstance(x, Tensor):
            raise ValueError(f"Repeat got {describe(x)}, expected a tensor [B, ...]; convert it with torch.as_tensor.")
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
        past = carried(self, x_T, state, self.steps)
        return torch.stack((*past, *x_T.unbind(0))[: x_T.shape[0]]), recent(past, x_T, self.steps)

    def extra_repr(self) -> str:
        """The delay."""
        return f"steps={self.steps}"
