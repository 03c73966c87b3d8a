"""Conversion methods: each one a named choice of pieces.

| method | activation | thresholds | v(0) | source |
|---|---|---|---|---|
| :class:`Max` | ReLU | largest activation | 0 | Diehl et al., IJCNN 2015 |
| :class:`Robust` | ReLU | quantile | 0 | Rueckauer et al., Front. Neurosci. 2017 |
| :class:`ThresholdBalancing` | ReLU | largest current, site by site | 0 | Sengupta et al., Front. Neurosci. 2019 |
| :class:`TCL` | learned clip | the learned bound | 0 | Ho & Chang, DAC 2021 |
| :class:`OPI` | that of its base | those of its base | θ/2 | Bu et al., AAAI 2022 |
| :class:`QCFS` | learned quantised clip | the learned bound | θ/2 | Bu et al., ICLR 2022 |

All use the neuron :class:`~spikeworks.convert.ValueIF`, rate coding and a plain schedule, and keep these invariants:
charge is conserved in every neuron; the answer does not depend on how samples are batched; nothing is left over from
one call to the next; weights are those of the source network.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

from torch import fx

from ..measure.batches import Batches
from . import activation
from .calibrate import Scope, Specs, from_activation, maximum, quantile, threshold_balancing
from .coding import Rate
from .graph import sites
from .pool import Pooling
from .schedule import Plain


@dataclass(frozen=True)
class Method:
    """What every method can be told.

    :param steps: T when a call says nothing else, at least 1.
    :param start: steps that are not read, see :class:`~spikeworks.convert.schedule.Plain`.
    :param pooling: what becomes of max pooling, see :mod:`spikeworks.convert.pool`.
    :param fold: fold batch normalisation into the layers before it.
    """

    name: ClassVar[str]
    """Short name, as in :data:`METHODS`."""
    label: ClassVar[str]
    """Name for people."""
    coding: ClassVar[Rate] = Rate()
    """How input becomes currents and outputs an answer."""

    steps: int = field(default=32, kw_only=True)
    start: int = field(default=0, kw_only=True)
    pooling: Pooling = field(default="delta", kw_only=True)
    fold: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        _ = self.schedule  # refuses what cannot be run

    @property
    def schedule(self) -> Plain:
        """In which order it is run over time."""
        return Plain(self.steps, self.start)

    def thresholds(self, network: fx.GraphModule, data: Batches | None) -> Specs:
        """The threshold and the start of every site of a normalised network.

        :param data: calibration batches; ``None`` where the method needs none.
        :raises ValueError: if the method does not fit the network, or needs data and has none.
        """
        raise NotImplementedError

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
class Max(Method):
    """θ: the largest activation of a site (or channel) on the calibration data; v(0) = 0.

    No activation of the calibration data is clipped, so the error of a site under constant input is at most θ/T, all
    of it missing spikes. One outlier makes the network slow. Diehl et al., IJCNN 2015, as threshold balancing in
    place of scaled weights, which is the same numbers.

    :param scope: one threshold per ``"layer"`` or per ``"channel"``.
    """

    name: ClassVar[str] = "max"
    label: ClassVar[str] = "Max"
    scope: Scope = "layer"

    def thresholds(self, network: fx.GraphModule, data: Batches | None) -> Specs:
        """Calibrated; see :func:`~spikeworks.convert.calibrate.maximum`."""
        return maximum(network, self.needed(data), self.scope)


@dataclass(frozen=True)
class Robust(Method):
    """θ: the q-quantile of the activations of a site (or channel), zeros included; v(0) = 0.

    Clips the 1 − q largest for fewer steps. Rueckauer et al., Frontiers in Neuroscience 2017.

    :param q: in (0, 1].
    :param scope: one threshold per ``"layer"`` or per ``"channel"``.
    """

    name: ClassVar[str] = "robust"
    label: ClassVar[str] = "Robust"
    q: float = 0.999
    scope: Scope = "layer"

    def thresholds(self, network: fx.GraphModule, data: Batches | None) -> Specs:
        """Calibrated; see :func:`~spikeworks.convert.calibrate.quantile`."""
        return quantile(network, self.needed(data), self.q, self.scope)

    def describe(self, network: fx.GraphModule) -> str:
        """With q."""
        return f"{self.label} (q={self.q:g})"


@dataclass(frozen=True)
class ThresholdBalancing(Method):
    """θ: site by site, the largest current that the spiking network so far sends into the site; v(0) = 0.

    On the calibration data, within ``window`` steps, no current exceeds a threshold, so no neuron has to fire more than
    once per step; other data and later steps can exceed it a little. The safest and slowest choice.
    Spike-Norm: Sengupta et al., Frontiers in Neuroscience 2019; departures in
    :func:`~spikeworks.convert.calibrate.threshold_balancing`.

    :param window: T of the calibration runs, at least 1.
    """

    name: ClassVar[str] = "spike-norm"
    label: ClassVar[str] = "Spike-Norm"
    window: int = 32

    def thresholds(self, network: fx.GraphModule, data: Batches | None) -> Specs:
        """Calibrated by running the spiking network."""
        return threshold_balancing(network, self.needed(data), self.window, self.pooling)


@dataclass(frozen=True)
class TCL(Method):
    """θ: the bound that the activation has learned; v(0) = 0. Needs a network trained with ``activation.Clip``.

    Nothing is clipped that the source network does not clip. Ho & Chang, DAC 2021 (reconstructed).
    """

    name: ClassVar[str] = "tcl"
    label: ClassVar[str] = "TCL"

    def thresholds(self, network: fx.GraphModule, data: Batches | None) -> Specs:
        """The learned bounds; ``data`` is not looked at."""
        return from_activation(network, (activation.Clip,), self.label)


@dataclass(frozen=True)
class OPI(Method):
    """The thresholds of another method, and v(0) = θ/2: the expected error of a neuron is 0 at every T.

    With v(T) spread evenly over [0, θ): bias ``(v(0) − θ/2)/T``, mean squared error ``θ²/T²·(1/12 + (v(0)/θ − ½)²)``.
    Optimal potential initialisation: Bu et al., AAAI 2022, on TCL (training details reconstructed); on any other here.

    :param base: where thresholds come from; its own steps, start, pooling and fold are not used.
    """

    name: ClassVar[str] = "opi"
    label: ClassVar[str] = "OPI"
    base: Method = TCL()

    def thresholds(self, network: fx.GraphModule, data: Batches | None) -> Specs:
        """Those of the base, started at one half."""
        specs = replace(self.base, pooling=self.pooling).thresholds(network, data)
        return {name: replace(spec, fraction=0.5) for name, spec in specs.items()}

    def describe(self, network: fx.GraphModule) -> str:
        """With the base."""
        return f"{self.label} on {self.base.describe(network)}"


@dataclass(frozen=True)
class QCFS(Method):
    """θ: the bound that the activation has learned; v(0) = θ/2. Needs a network trained with ``activation.QCFS``.

    A site whose input is the same at every step equals its activation exactly at T = L, and in the mean over inputs at
    every T. Bu et al., ICLR 2022.
    """

    name: ClassVar[str] = "qcfs"
    label: ClassVar[str] = "QCFS"

    def thresholds(self, network: fx.GraphModule, data: Batches | None) -> Specs:
        """The learned bounds, started at one half; ``data`` is not looked at."""
        specs = from_activation(network, (activation.QCFS,), self.label)
        return {name: replace(spec, fraction=0.5) for name, spec in specs.items()}

    def describe(self, network: fx.GraphModule) -> str:
        """With the levels."""
        levels = sorted({getattr(network.get_submodule(name), "levels", None) or 0 for name in sites(network)})
        return f"{self.label} (L={', '.join(map(str, levels))})"


METHODS: dict[str, type[Method]] = {kind.name: kind for kind in (Max, Robust, ThresholdBalancing, TCL, OPI, QCFS)}
"""Every method by name."""
