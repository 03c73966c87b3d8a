"""In which order a converted network is run over time. A schedule is a value; what a run needs to know, it carries."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from torch import Tensor

from ..layers import NetworkState, Spiking
from ..neurons.neuron import state_type
from .control import Controller, Seen, Shift, account, observing
from .parallel import counted

Run = Callable[..., tuple[Tensor, NetworkState]]
"""Runs the network: ``run(x, steps, state=None, at=None, least=1, early=False)``, input ``[B, ...]`` → outputs
``[T, B, ...]`` and states. ``state``: to start from. ``at``: what happens at neuron sites. ``least``: steps that the
first window must have. ``early``: whether this is a run before the run."""


@dataclass(frozen=True)
class Schedule(ABC):
    """What every schedule has.

    :param steps: T, at least 1: the steps whose outputs are read, counting those left out at the beginning.
    :param start: steps at the beginning that are not read, 0 to T − 1 (a delayed readout lets deep layers settle).
    :raises ValueError: for values out of range.
    """

    steps: int = 32
    start: int = 0

    causal: ClassVar[bool] = True
    """Whether a layer can do step t before the layer in front of it has done step t + 1."""
    prefix: ClassVar[bool] = True
    """Whether the first t steps of a run are a run of t steps."""

    def __post_init__(self) -> None:
        if self.steps < 1 or not 0 <= self.start < self.steps:
            raise ValueError(
                f"the schedule got steps={self.steps}, start={self.start}, expected steps >= 1 and 0 <= start < steps; "
                "run longer or read earlier."
            )

    @property
    def before(self) -> int:
        """Steps spent before step 1, all runs together."""
        return 0

    @abstractmethod
    def run(self, run: Run, x: Tensor) -> Tensor:
        """``[B, ...]`` → the outputs that count, ``[T − start, B, ...]``."""


@dataclass(frozen=True)
class Plain(Schedule):
    """All neurons start fresh and run for ``steps``; outputs count from step ``start`` on."""

    def run(self, run: Run, x: Tensor) -> Tensor:
        """One run."""
        y_T, _ = run(x, self.steps)
        return y_T[self.start :]


Scope = Literal["global", "layer"]


@dataclass(frozen=True)
class TwoStage(Schedule):
    """A run before the run, on the same input, tells every neuron where to start. Nothing is learned or kept.

    :param pre: steps of the run before (τ of SRP, ρ of COS); 0: none, and this is :class:`Plain`.
    :param scope: ``"global"``: the whole network runs ``pre`` steps uncorrected, then all neurons are set, as many
        times as the controller asks; ``pre + T`` steps on a machine with one clock. ``"layer"``: layer by layer, each
        on the corrected output of the one before; better informed, but on one clock that is ``pre`` steps per layer.
    :param controller: what decides.
    :raises ValueError: for ``pre`` below 0 or another scope.
    """

    pre: int = 4
    scope: Scope = "global"
    controller: Controller = field(default_factory=Shift)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pre < 0 or self.scope not in ("global", "layer"):
            raise ValueError(
                f"TwoStage got pre={self.pre}, scope={self.scope!r}, expected pre >= 0 and 'global' or 'layer'."
            )

    @property
    def causal(self) -> bool:  # type: ignore[override]
        """Layer by layer, a layer waits for the corrected output of the one before."""
        return self.scope == "global" or self.pre == 0

    @property
    def before(self) -> int:
        """``pre`` for each run that the controller asks for."""
        return self.pre * self.controller.iterations

    def run(self, run: Run, x: Tensor) -> Tensor:
        """The runs before, and the run."""
        if self.pre == 0:
            y_T, _ = run(x, self.steps)
        elif self.scope == "layer":
            y_T, _ = run(x, max(self.steps, self.pre), at=self._settle, least=self.pre)
        else:
            y_T, _ = run(x, self.steps, self._settled(run, x))
        return y_T[self.start : self.steps]

    def _settle(self, name: str, layer: Spiking, x_T: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Set a site in its first window, from its input, and run it."""
        if state is None:
            early_T, (start,) = x_T[: self.pre], layer.fresh(x_T)
            first = _observed(name, layer, early_T, start)
            for i in range(self.controller.iterations):
                last = _observed(name, layer, early_T, start) if i else first
                start = self.controller.adjust(first, last, i)
            state = state_type(("v",))(start)
        return layer.run(x_T, state)

    def _settled(self, run: Run, x: Tensor) -> NetworkState:
        """The start of every site, from runs of the whole network."""
        starts: NetworkState = {}
        first: dict[str, Seen] = {}
        for i in range(self.controller.iterations):
            sites: dict[str, tuple[Spiking, Tensor]] = {}

            def at(name: str, layer: Spiking, x_T: Tensor, state: Any, sites: Any = sites) -> tuple[Tensor, Any]:
                if name not in sites:
                    sites[name] = layer, (layer.fresh(x_T) if state is None else state)[0]
                    state = (sites[name][1],)
                return observing(name, layer, x_T, state)

            _, states = run(x, self.pre, starts, at, early=True)
            for name, (layer, start) in sites.items():
                last = account(layer, states[name], start, self.pre)
                adjusted = self.controller.adjust(first.setdefault(name, last), last, i)
                starts[name] = state_type(("v",))(adjusted)
        return starts


def _observed(name: str, layer: Spiking, x_T: Tensor, start: Tensor) -> Seen:
    _, state = observing(name, layer, x_T, (start,))
    return account(layer, state, start, x_T.shape[0])


@dataclass(frozen=True)
class Parallel(Schedule):
    """Every layer waits for all steps of the one before: neurons are :class:`~spikeworks.convert.parallel.ParallelIF`.

    As their counts depend on the mean of their input alone, an answer needs no run over time: one pass in which every
    step stands for all T, at the cost of the deep network whatever T is (:meth:`answer`).
    """

    causal: ClassVar[bool] = False
    prefix: ClassVar[bool] = False

    def run(self, run: Run, x: Tensor) -> Tensor:
        """Over time, in one window."""
        y_T, _ = run(x, self.steps, least=self.steps)
        return y_T[self.start :]

    def answer(self, run: Run, x: Tensor) -> Tensor:
        """The mean of the outputs over T steps ``[B, ...]``, in the domain of counts."""
        y_T, _ = run(x, 1, at=counted(self.steps))
        return y_T[0]
