"""Methods that run otherwise, or with neurons of more levels, upon the thresholds of another."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from torch import fx

from ...layers import Spiking
from ...measure.batches import Batches
from ..calibrate import Specs
from ..control import Controller, Shift, Silence
from ..offset import offsets
from ..parallel import ParallelIF
from ..schedule import Parallel as ParallelSchedule
from ..schedule import Schedule, Scope, TwoStage
from .base import Method, Upon
from .trained import QCFS


@dataclass(frozen=True)
class _Staged(Upon):
    """A run before the run. ``pre = 0``: the base, started at one half."""

    base: Method = QCFS()
    pre: int = 4
    scope: Scope = "global"

    @property
    def controller(self) -> Controller:
        """What decides where a neuron starts."""
        raise NotImplementedError

    @property
    def schedule(self) -> Schedule:
        """The run before, and the run."""
        return TwoStage(self.steps, self.start, self.pre, self.scope, self.controller)

    def thresholds(self, network: fx.GraphModule, data: Batches | None) -> Specs:
        """Those of the base, started at one half, on which the corrections rest."""
        return {name: replace(spec, fraction=0.5) for name, spec in super().thresholds(network, data).items()}

    def describe(self, network: fx.GraphModule) -> str:
        """With the steps before and the base."""
        return f"{self.label} ({self._how()}) on {self.base.describe(network)}"

    def _how(self) -> str:
        return f"{self.pre} before, {self.scope}"


@dataclass(frozen=True)
class SRP(_Staged):
    """Neurons that fire although their activation is 0 are found in a run before, and silenced.

    Gains most at T = 1 and 2, and caps below the source at many steps, since it silences for good.
    Hao et al., AAAI 2023: on QCFS, ``pre`` (τ) = 4 for CIFAR, 8 to 14 for ImageNet; works best near L.

    :param base: where thresholds come from. :param pre: τ, steps of the run before; 0: none.
    :param scope: ``"global"`` as released, or ``"layer"``.
    """

    name: ClassVar[str] = "srp"
    label: ClassVar[str] = "SRP"

    @property
    def controller(self) -> Controller:
        """Silence."""
        return Silence()


@dataclass(frozen=True)
class COS(_Staged):
    """Neurons that fire once too often or too rarely are found in a run before, and started one spike lower or higher.

    Hao et al., ICLR 2023: on QCFS, ``pre`` (ρ) = 4 for CIFAR, 8 for ImageNet, layer by layer as released.

    :param base: where thresholds come from. :param pre: ρ, steps of the run before; 0: none.
    :param scope: ``"layer"`` as released, or ``"global"``: ρ + T steps on a machine with one clock.
    :param iterations: repairs offsets of up to so many spikes; each costs another run before.
    """

    name: ClassVar[str] = "cos"
    label: ClassVar[str] = "COS"
    scope: Scope = "layer"
    iterations: int = 1

    @property
    def controller(self) -> Controller:
        """Shift."""
        return Shift(self.iterations)

    def _how(self) -> str:
        return super()._how() + (f", {self.iterations} iterations" if self.iterations > 1 else "")


@dataclass(frozen=True)
class Parallel(Upon):
    """Neurons that wait for their whole window: with QCFS at T = L the spiking network equals its source, exactly.

    Not causal. Hao et al., ICML 2025, reconstructed from their code.

    :param base: where thresholds come from; started at one half.
    :param offsets: batches by which offsets per channel are fitted, so that means follow a source that is no QCFS
        (DA-QCFS, see :func:`~spikeworks.convert.offset.offsets`; 500 is usual); 0: none. Right at T = ``steps``.
    """

    name: ClassVar[str] = "parallel"
    label: ClassVar[str] = "Parallel"
    base: Method = QCFS()
    offsets: int = 0

    @property
    def schedule(self) -> Schedule:
        """All of a layer before the next."""
        return ParallelSchedule(self.steps, self.start)

    @property
    def layer(self) -> type[Spiking]:
        """The neuron that waits."""
        return ParallelIF

    def refine(self, network: fx.GraphModule, specs: Specs, data: Batches | None) -> tuple[fx.GraphModule, Specs]:
        """As the base; then by offsets, if any."""
        network, specs = super().refine(network, specs, data)
        if not self.offsets:
            return network, specs
        return offsets(network, specs, self.needed(data), self.steps, self.offsets)

    def thresholds(self, network: fx.GraphModule, data: Batches | None) -> Specs:
        """Those of the base, started at one half."""
        return {name: replace(spec, fraction=0.5) for name, spec in super().thresholds(network, data).items()}


@dataclass(frozen=True)
class Group(Upon):
    """Neurons with K equal levels: θ/K, 2θ/K, ... in one step; T steps are QCFS with K·T levels, for constant input.

    Group neuron (Hao et al., 2025), M-HT and LM-HT (NeurIPS 2024) alike, reconstructed from code and text: K
    comparators summed and a count capped at K are the same number. v(0) = θ/(2K). An emission of n levels counts as n
    spikes.

    :param base: where thresholds come from. :param levels: K, at least 1.
    """

    name: ClassVar[str] = "group"
    label: ClassVar[str] = "Group"
    base: Method = QCFS()
    levels: int = 4

    def thresholds(self, network: fx.GraphModule, data: Batches | None) -> Specs:
        """Those of the base in K levels, started at half of one."""
        specs = super().thresholds(network, data)
        return {name: replace(spec.levels(self.levels), fraction=0.5) for name, spec in specs.items()}

    def describe(self, network: fx.GraphModule) -> str:
        """With K and the base."""
        return f"{self.label} (K={self.levels}) on {self.base.describe(network)}"
