"""A spiking network made from a deep one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Literal

from torch import Tensor, fx, nn

from ..layers import SNN, NetworkState
from .execute import EXECUTORS, Folded, window
from .graph import sites
from .methods import Method


class Converted(nn.Module):
    """A spiking network that computes with means over time what a deep network computes at once.

    Holds parameters and no state: every call starts fresh; :meth:`stream` carries state on explicitly. Always in
    evaluation mode inside: :meth:`train` leaves batch normalisation and pooling as converted.

    :param network: a graph whose activations are neurons, see :func:`~spikeworks.convert.build.spiking`; serves in an
        ``sw.SNN`` as it is.
    :param method: how it was made; gives the schedule and the coding.
    :param executor: ``"window"`` (fast) or ``"step"`` (the causal reference); the results agree.
    """

    def __init__(self, network: fx.GraphModule, method: Method, executor: Literal["window", "step"] = "window") -> None:
        super().__init__()
        if executor not in EXECUTORS:
            raise ValueError(f"Converted got executor={executor!r}, expected one of {list(EXECUTORS)}; choose one.")
        self.network, self.method, self.executor = network, method, executor

    @property
    def sites(self) -> list[str]:
        """Names of the neuron layers, in running order, as in the deep network."""
        return sites(self.network)

    def forward(self, x: Tensor, steps: int | None = None) -> Tensor:
        """``[B, ...]`` → the mean of the logits over ``steps`` time steps (default: the schedule's), ``[B, C]``."""
        return self.over_time(x, steps)[-1]

    def over_time(self, x: Tensor, steps: int | None = None) -> Tensor:
        """``[B, ...]`` → the mean of the logits up to each step, ``[T, B, C]``: the answer at every T from one run.

        Row t is what :meth:`forward` gives with t + 1 steps. With a delayed readout the first row is that of the first
        step read.
        """
        return self.run(x, steps, EXECUTORS[self.executor])

    def watch(self, x: Tensor, steps: int | None, interpreter: Callable[[fx.GraphModule, int], Folded]) -> Tensor:
        """:meth:`over_time`, run layer by layer by a given interpreter: how reports look inside."""
        return self.run(x, steps, partial(window, interpreter=interpreter))

    def run(self, x: Tensor, steps: int | None, execute: Callable[..., tuple[Tensor, NetworkState]]) -> Tensor:
        """:meth:`over_time` by a given executor.

        :raises ValueError: for an input that is not floating point ``[B, ...]``.
        """
        if not isinstance(x, Tensor) or not x.is_floating_point() or x.dim() < 2:
            got = f"{x.dtype} {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
            raise ValueError(f"Converted got {got}, expected floating-point [B, ...]; add the batch axis, convert it.")
        schedule = self.method.schedule if steps is None else replace(self.method.schedule, steps=steps)
        return self.method.coding.decode(schedule.run(partial(execute, self.network), x))

    def stream(self, x_T: Tensor, state: NetworkState | None = None) -> tuple[Tensor, NetworkState]:
        """An input that changes: currents ``[T, B, ...]`` and a state → outputs of each step ``[T, B, C]``, state."""
        return SNN(self.network).stream(x_T, state)

    def step(self, x: Tensor, state: NetworkState | None = None) -> tuple[Tensor, NetworkState]:
        """One live step: ``[B, ...]`` and a state → the output ``[B, C]`` and the state to pass with the next."""
        return SNN(self.network).step(x, state)

    def train(self, mode: bool = True) -> Converted:
        """Sets the mode of this module alone: what is inside was converted in evaluation mode and stays there."""
        self.training = mode
        self.network.eval()
        return self

    def extra_repr(self) -> str:
        """How it was made and is run."""
        return f"{self.method}, executor={self.executor!r}"
