"""A spiking network made from a deep one."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from torch import Tensor, fx, nn

from ..layers import SNN, Acceleration, NetworkState, accelerate
from .coding import Rate
from .execute import EXECUTORS, At, Folded, Interpreter, Recording, window
from .graph import normalise, sites
from .methods import Method
from .schedule import Parallel, Run, Schedule
from .spec import Specs


def source_of(snn: Converted, ann: nn.Module, owner: str) -> fx.GraphModule:
    """The deep network as it was converted, site by site comparable with the spiking one.

    :param owner: what asks, for messages.
    :raises ValueError: for another network than the one that was converted.
    """
    method = snn.method
    source = normalise(ann, method.pooling, method.fold, method.nonlinear, snn.example)
    method.prepare(source)
    if sites(source) != snn.sites:
        raise ValueError(
            f"{owner} got {type(ann).__name__} with the activations {sites(source)}, expected the network that was "
            f"converted, which has {snn.sites}; pass that one."
        )
    return source


class Converted(nn.Module):
    """A spiking network that computes with estimates over time what a deep network computes at once.

    Holds parameters and no state: every call starts fresh; :meth:`stream` carries state on explicitly. Always in
    evaluation mode inside: :meth:`train` leaves batch normalisation and pooling as converted.

    :param network: a graph whose activations are neurons, see :func:`~spikeworks.convert.build.spiking`; serves in an
        ``sw.SNN`` as it is, under rate coding.
    :param method: how it was made; gives the schedule and the coding.
    :param specs: what each site was given, for reports.
    :param executor: ``"window"`` (fast) or ``"step"`` (the causal reference); the results agree.
    :param example: one input ``[1, ...]``, by whose sizes the deep network was traced, where it had to be.
    :raises ValueError: for an executor that the method's schedule cannot run by.
    """

    def __init__(
        self, network: fx.GraphModule, method: Method, specs: Specs | None = None,
        executor: Literal["window", "step"] = "window", example: Tensor | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        if executor not in EXECUTORS:
            raise ValueError(f"Converted got executor={executor!r}, expected one of {list(EXECUTORS)}; choose one.")
        if executor == "step" and not method.schedule.causal:
            raise ValueError(
                f"Converted got executor='step' for {method.label}, in which a layer waits for several steps of the "
                "one before, expected 'window'; choose it, or scope='global'."
            )
        self.network, self.method, self.specs, self.example = network, method, specs or {}, example
        self.executor: Literal["window", "step"] = executor

    @property
    def sites(self) -> list[str]:
        """Names of the neuron layers, in running order, as in the deep network."""
        return sites(self.network)

    def forward(self, x: Tensor, steps: int | None = None) -> Tensor:
        """``[B, ...]`` → the answer after ``steps`` time steps (default: the schedule's), ``[B, C]``.

        Under a parallel schedule it is computed in the domain of counts, in one pass whatever T is.
        """
        schedule = self._schedule(x, steps)
        if isinstance(schedule, Parallel) and not schedule.start:
            return schedule.answer(self._run(), x)
        return self.method.coding.decode(schedule.run(self._run(), x))[-1]

    def over_time(self, x: Tensor, steps: int | None = None) -> Tensor:
        """``[B, ...]`` → the answer up to each step, ``[T, B, C]``: at every T from one run.

        Row t is what :meth:`forward` gives with t + 1 steps (where the schedule is not parallel: there the last row
        alone is an answer). With a delayed readout the first row is that of the first step read.
        """
        return self.method.coding.decode(self._schedule(x, steps).run(self._run(), x))

    def spikes(self, x: Tensor, steps: int | None = None) -> dict[str, Tensor]:
        """``[B, ...]`` → what every neuron layer puts out, name → ``[T, B, ...]``, runs before the run left out."""
        outputs: dict[str, Tensor] = {}
        schedule = self._schedule(x, steps)
        schedule.run(self._run(lambda g, c, at: Recording(g, c, at, outputs)), x)
        return {name: y_T[: schedule.steps] for name, y_T in outputs.items()}

    def run(self, x: Tensor, steps: int | None, interpreter: Interpreter, early: Interpreter = Folded) -> Tensor:
        """:meth:`over_time` in one window by a given interpreter: how reports look inside.

        :param early: what runs the runs before the run.
        """
        schedule = self._schedule(x, steps)
        return self.method.coding.decode(schedule.run(self._run(interpreter, early, whole=True), x))

    def _schedule(self, x: Tensor, steps: int | None) -> Schedule:
        if not isinstance(x, Tensor) or not x.is_floating_point() or x.dim() < 2:
            got = f"{x.dtype} {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
            raise ValueError(f"Converted got {got}, expected floating-point [B, ...]; add the batch axis, convert it.")
        return self.method.schedule if steps is None else replace(self.method.schedule, steps=steps)

    def _run(self, interpreter: Interpreter = Folded, early: Interpreter = Folded, whole: bool = False) -> Run:
        size = EXECUTORS[self.executor]
        before, coding = early, self.method.coding

        def run(
            x: Tensor, steps: int, state: NetworkState | None = None, at: At | None = None, least: int = 1,
            early: bool = False,
        ) -> tuple[Tensor, NetworkState]:  # fmt: skip
            by = before if early else interpreter
            return window(self.network, x, steps, state, at, coding, by, steps if whole else max(size, least))

        return run

    def stream(self, x_T: Tensor, state: NetworkState | None = None) -> tuple[Tensor, NetworkState]:
        """An input that changes: currents ``[T, B, ...]`` and a state → outputs of each step ``[T, B, C]``, state.

        :raises ValueError: under a coding or a schedule that needs the input to stay.
        """
        return self._live().stream(x_T, state)

    def step(self, x: Tensor, state: NetworkState | None = None) -> tuple[Tensor, NetworkState]:
        """One live step: ``[B, ...]`` and a state → the output ``[B, C]`` and the state to pass with the next.

        :raises ValueError: as :meth:`stream`.
        """
        return self._live().step(x, state)

    def _live(self) -> SNN:
        if not isinstance(self.method.coding, Rate) or not self.method.schedule.prefix:
            raise ValueError(
                f"Converted got a stream for {self.method.label}, whose input has to stay, expected rate coding and "
                "neurons that do not wait; call it with one [B, ...] instead."
            )
        return SNN(self.network)

    def accelerated(
        self, sample: Tensor, steps: int | None = None, precision: Literal["float32", "int8"] = "float32"
    ) -> tuple[Converted, Acceleration]:
        """A copy for inference on the CPU, each layer dense or event-driven by the rate of its input, and the plan.

        See :func:`spikeworks.layers.accelerate`: in ``"float32"`` the same up to rounding of sums, so that a spike
        whose membrane lies that close to its threshold may move; ``"int8"`` changes weights: measure it.

        :param sample: ``[B, ...]``, of the size to be expected. :param steps: T of the run that layers are timed in.
        """
        method = self.method if steps is None else replace(self.method, steps=steps)
        twin = Converted(self.network, method, self.specs, self.executor, self.example)
        made, plan = accelerate(twin, sample, precision)
        made.method = self.method
        return made, plan

    def train(self, mode: bool = True) -> Converted:
        """Sets the mode of this module alone: what is inside was converted in evaluation mode and stays there."""
        self.training = mode
        self.network.eval()
        return self

    def extra_repr(self) -> str:
        """How it was made and is run."""
        return f"{self.method}, executor={self.executor!r}"
