"""What a conversion method is: a named choice of pieces."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

from torch import fx

from ...layers import Spiking
from ...measure.batches import Batches
from ..calibrate import Specs
from ..coding import Coding, Rate
from ..pool import Pooling
from ..schedule import Plain, Schedule


@dataclass(frozen=True)
class Method:
    """What every method can be told, and what it answers.

    :param steps: T when a call says nothing else, at least 1.
    :param start: steps that are not read, see :class:`~spikeworks.convert.schedule.Schedule`.
    :param pooling: what becomes of max pooling, see :mod:`spikeworks.convert.pool`.
    :param fold: fold batch normalisation into the layers before it.
    """

    name: ClassVar[str]
    """Short name, as in :data:`~spikeworks.convert.METHODS`."""
    label: ClassVar[str]
    """Name for people."""
    nonlinear: ClassVar[bool] = False
    """Whether it takes functions that are not affine, computed on estimates."""

    takes: ClassVar[str] = ""
    """The activation of :mod:`spikeworks.convert.activation` a network has to be trained with; empty: any will do."""

    steps: int = field(default=32, kw_only=True)
    start: int = field(default=0, kw_only=True)
    pooling: Pooling = field(default="delta", kw_only=True)
    fold: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        _ = self.schedule  # refuses what cannot be run

    @property
    def schedule(self) -> Schedule:
        """In which order it is run over time."""
        return Plain(self.steps, self.start)

    @property
    def coding(self) -> Coding:
        """What messages mean."""
        return Rate()

    @property
    def layer(self) -> type[Spiking]:
        """What runs a neuron over time."""
        return Spiking

    def prepare(self, network: fx.GraphModule) -> None:
        """Put sites where the method needs some that the network does not have, in place."""

    def thresholds(self, network: fx.GraphModule, data: Batches | None) -> Specs:
        """The threshold, the levels and the start of every site of a normalised network.

        :param data: calibration batches; ``None`` where the method needs none.
        :raises ValueError: if the method does not fit the network, or needs data and has none.
        """
        raise NotImplementedError

    def refine(self, network: fx.GraphModule, specs: Specs, data: Batches | None) -> tuple[fx.GraphModule, Specs]:
        """Corrections by what the spiking network does; the network may come back with other weights."""
        return network, specs

    def describe(self, network: fx.GraphModule) -> str:
        """The label with what tells this conversion from others of its kind."""
        return self.label

    def needed(self, data: Batches | None) -> Batches:
        """``data``, if there is any; else ``ValueError``."""
        if data is None:
            raise ValueError(
                f"{self.label} got calibration=None, expected batches of training data; pass calibration=."
            )
        return data


@dataclass(frozen=True)
class Upon(Method):
    """A method that changes one piece of another.

    :param base: where everything else comes from; its own steps and start are not used, its pooling and fold are, where
        this one names none.
    """

    base: Method
    pooling: Pooling | None = field(default=None, kw_only=True)  # type: ignore[assignment]
    fold: bool | None = field(default=None, kw_only=True)  # type: ignore[assignment]

    def __post_init__(self) -> None:
        for name in ("pooling", "fold"):
            if getattr(self, name) is None:
                object.__setattr__(self, name, getattr(self.base, name))
        object.__setattr__(self, "base", replace(self.base, steps=self.steps, pooling=self.pooling, fold=self.fold))
        super().__post_init__()

    @property
    def takes(self) -> str:  # type: ignore[override]
        """As the base."""
        return self.base.takes

    @property
    def nonlinear(self) -> bool:  # type: ignore[override]
        """As the base."""
        return self.base.nonlinear

    @property
    def schedule(self) -> Schedule:
        """That of the base, with this method's steps."""
        return replace(self.base.schedule, steps=self.steps, start=self.start)

    @property
    def coding(self) -> Coding:
        """That of the base."""
        return self.base.coding

    @property
    def layer(self) -> type[Spiking]:
        """That of the base."""
        return self.base.layer

    def prepare(self, network: fx.GraphModule) -> None:
        """As the base."""
        self.base.prepare(network)

    def thresholds(self, network: fx.GraphModule, data: Batches | None) -> Specs:
        """Those of the base."""
        return self.base.thresholds(network, data)

    def refine(self, network: fx.GraphModule, specs: Specs, data: Batches | None) -> tuple[fx.GraphModule, Specs]:
        """As the base."""
        return self.base.refine(network, specs, data)

    def describe(self, network: fx.GraphModule) -> str:
        """With the base."""
        return f"{self.label} on {self.base.describe(network)}"
