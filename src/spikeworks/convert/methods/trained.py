"""Methods for a network that was trained to be converted: thresholds are what its activations have learned."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor, fx

from ...measure.batches import Batches, batches
from ...measure.record import record
from .. import activation
from ..calibrate import Specs, from_activation
from ..correct import shifted
from ..graph import sites
from .base import Method, Upon


@dataclass(frozen=True)
class TCL(Method):
    """θ: the bound that the activation has learned; v(0) = 0. Needs a network trained with ``activation.Clip``.

    Nothing is clipped that the source network does not clip. Ho & Chang, DAC 2021 (reconstructed).
    """

    name: ClassVar[str] = "tcl"
    label: ClassVar[str] = "TCL"
    takes: ClassVar[str] = "Clip"

    def thresholds(self, network: fx.GraphModule, data: Batches | None) -> Specs:
        """The learned bounds; ``data`` is not looked at."""
        return from_activation(network, (activation.Clip,), self.label)


@dataclass(frozen=True)
class QCFS(Method):
    """θ: the bound that the activation has learned; v(0) = θ/2. Needs a network trained with ``activation.QCFS``.

    A site whose input is the same at every step equals its activation exactly at T = L, and in the mean over inputs at
    every T. Bu et al., ICLR 2022.
    """

    name: ClassVar[str] = "qcfs"
    label: ClassVar[str] = "QCFS"
    takes: ClassVar[str] = "QCFS"

    def thresholds(self, network: fx.GraphModule, data: Batches | None) -> Specs:
        """The learned bounds, started at one half; ``data`` is not looked at."""
        specs = from_activation(network, (activation.QCFS,), self.label)
        return {name: replace(spec, fraction=0.5) for name, spec in specs.items()}

    def describe(self, network: fx.GraphModule) -> str:
        """With the levels."""
        return f"{self.label} (L={_levels(network)})"


@dataclass(frozen=True)
class SlipReLU(Method):
    """θ: the learned bound; v(0): the shift of its staircase. Needs a network trained with ``activation.SlipReLU``.

    The activation is between a clip and a staircase; the neuron is that of both. Jiang et al., ICML 2023, from their
    code.
    """

    name: ClassVar[str] = "sliprelu"
    label: ClassVar[str] = "SlipReLU"
    takes: ClassVar[str] = "SlipReLU"

    def thresholds(self, network: fx.GraphModule, data: Batches | None) -> Specs:
        """The learned bounds, started where the staircase is shifted to; ``data`` is not looked at."""
        specs = from_activation(network, (activation.SlipReLU,), self.label)
        shifts = {name: network.get_submodule(name).shifts[1] for name in specs}  # type: ignore[index, union-attr]
        return {name: replace(spec, fraction=float(shifts[name])) for name, spec in specs.items()}

    def describe(self, network: fx.GraphModule) -> str:
        """With the levels."""
        return f"{self.label} (N={_levels(network)})"


@dataclass(frozen=True)
class RNL(Method):
    """θ = p·max, learned; v(0) = 0; spikes are 0 or 1 and weights unscaled, since the activation is a rate already.

    Needs a network trained with ``activation.RNL``; with stage 2 (:func:`spikeworks.train.fit_rate_inference`) the
    thresholds are those that are reached fast. The current is divided by θ and the neuron's threshold is 1, which is
    the same as a threshold of θ. Ding et al., IJCAI 2021.
    """

    name: ClassVar[str] = "rnl"
    label: ClassVar[str] = "RNL"
    takes: ClassVar[str] = "RNL"

    def thresholds(self, network: fx.GraphModule, data: Batches | None) -> Specs:
        """The learned thresholds; ``data`` is not looked at."""
        specs = from_activation(network, (activation.RNL,), self.label)
        one = {name: torch.ones_like(spec.threshold) for name, spec in specs.items()}
        return {n: replace(spec, threshold=one[n], gain=1 / spec.threshold) for n, spec in specs.items()}


Initial = Literal["optimal", "zero", "uniform", "gaussian"]


@dataclass(frozen=True)
class OPI(Upon):
    """Another method's neurons, started elsewhere; at v(0) = θ/2 the expected error of a neuron is 0 at every T.

    With v(T) spread evenly over [0, θ): bias ``(v(0) − θ/2)/T``, mean squared error ``θ²/T²·(1/12 + (v(0)/θ − ½)²)``.
    Optimal potential initialisation: Bu et al., AAAI 2022, on TCL (training details reconstructed); on any other here.

    :param base: where thresholds come from.
    :param initial: ``"optimal"``: ½; ``"zero"``; a number, v(0)/θ; ``"uniform"`` in [0, 1) or ``"gaussian"`` around ½
        with σ = 1/6, drawn once per neuron, for which calibration data tell the shapes.
    :param seed: of what is drawn.
    """

    name: ClassVar[str] = "opi"
    label: ClassVar[str] = "OPI"
    base: Method = TCL()
    initial: Initial | float = "optimal"
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.initial, str) and self.initial not in ("optimal", "zero", "uniform", "gaussian"):
            raise ValueError(
                f"OPI got initial={self.initial!r}, expected 'optimal', 'zero', 'uniform', 'gaussian' or a number."
            )

    def thresholds(self, network: fx.GraphModule, data: Batches | None) -> Specs:
        """Those of the base, started as asked."""
        specs = super().thresholds(network, data)
        if self.initial in ("uniform", "gaussian"):
            drawn = self._draw(network, self.needed(data))
            return {name: replace(spec, fraction=drawn[name]) for name, spec in specs.items()}
        fixed = {"optimal": 0.5, "zero": 0.0}
        fraction = fixed[self.initial] if isinstance(self.initial, str) else self.initial
        return {name: replace(spec, fraction=fraction) for name, spec in specs.items()}

    def _draw(self, network: fx.GraphModule, data: Batches) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(self.seed)
        x, _ = next(batches(data, network, self.label))
        with torch.no_grad(), record(network, sites(network)) as seen:
            network(x[:1])
        gaussian, drawn = self.initial == "gaussian", {}
        for name, y in seen.items():
            random = torch.randn if gaussian else torch.rand
            value = random(y.shape[1:], generator=generator).to(y)
            drawn[name] = 0.5 + value / 6 if gaussian else value
        return drawn

    def describe(self, network: fx.GraphModule) -> str:
        """With the start, where it is another, and the base."""
        how = (
            ""
            if self.initial == "optimal"
            else f" ({self.initial if isinstance(self.initial, str) else f'{self.initial:g}'})"
        )
        return f"{self.label}{how} on {self.base.describe(network)}"


@dataclass(frozen=True)
class RTS(Upon):
    """Another method's thresholds, and θ/(2T) added to the current at every step; v(0) = 0.

    Right at T = ``steps`` alone, where it equals a start at θ/2. Deng & Gu, ICLR 2021, on clipped activations.
    """

    name: ClassVar[str] = "rts"
    label: ClassVar[str] = "RTS"
    base: Method = TCL()

    def thresholds(self, network: fx.GraphModule, data: Batches | None) -> Specs:
        """Those of the base, shifted."""
        specs = super().thresholds(network, data)
        return shifted({name: replace(spec, fraction=0.0) for name, spec in specs.items()}, self.steps)

    def describe(self, network: fx.GraphModule) -> str:
        """With T and the base."""
        return f"{self.label} (T={self.steps}) on {self.base.describe(network)}"


def _levels(network: fx.GraphModule) -> str:
    levels = sorted({getattr(network.get_submodule(name), "levels", None) or 0 for name in sites(network)})
    return ", ".join(map(str, levels))
