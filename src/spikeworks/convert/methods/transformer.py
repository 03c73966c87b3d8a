"""Methods without training for networks with attention, normalisation and smooth activations.

Messages are analog only inside these functions; what enters a product with weights or with another activation is
spikes, of several levels and either sign, from a site put there (:mod:`spikeworks.convert.encoders`). The functions
themselves are computed on estimates (:class:`~spikeworks.convert.compensate.Compensated`), exactly.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import fx

from ...measure.batches import Batches
from ..activation import Activation
from ..calibrate import Scope, Specs
from ..coding import Coding, Difference, Differential
from ..encoders import insert_encoders, site_kind
from ..graph import sites
from ..neuron import TERNARY, Rule, powers
from ..signed import quantiles
from .base import Method


@dataclass(frozen=True)
class _Encoded(Method):
    """What the methods here share. ``head``: whether the last linear layer, which gives the logits, gets spikes."""

    nonlinear: ClassVar[bool] = True
    head: bool = False

    def prepare(self, network: fx.GraphModule) -> None:
        """A site in front of every product with weights or activations, save the first and the last."""
        insert_encoders(network, self.head)
        bounded = [(n, network.get_submodule(n)) for n in sites(network)]
        if clipped := [f"{n!r} ({type(m).__name__})" for n, m in bounded if isinstance(m, Activation)]:
            raise ValueError(
                f"{self.label} got {', '.join(clipped)}, expected ReLU or smooth activations: its levels do not end "
                "at a bound; choose a method made for that activation, such as QCFS or OPI."
            )

    def _specs(self, network: fx.GraphModule, found: Specs, rule: Rule) -> Specs:
        """Neurons of that rule; those in the place of a ReLU never put out less than nothing."""
        zero = {name: torch.zeros_like(spec.threshold) for name, spec in found.items()}
        relu = {name for name in found if site_kind(network, name) == "relu"}
        return {n: replace(s, rule=rule, low=zero[n] if n in relu else None) for n, s in found.items()}


@dataclass(frozen=True)
class ECMT(_Encoded):
    """Rate coding with expectation compensation, and multi-threshold neurons: levels p, 2p, 4p, ... and −q, −2q, ...

    The *smallest* levels are quantiles of the activations, p of the positive and q of the negative tail; the larger
    ones catch what accumulates and outliers. At most one level fires in a step; v(0) = 0. With neurons that pass
    everything on, the network equals its source at every T. Huang et al., ACM MM 2024: from their code, the quantiles
    over all data here in place of a running mean over batches, and no thresholds set by hand.

    :param levels: n of either sign. :param q: quantile of the smallest level, in (½, 1).
    :param scope: one p and q per ``"layer"`` (as released) or per ``"channel"``.
    """

    name: ClassVar[str] = "ecmt"
    label: ClassVar[str] = "ECMT"
    levels: int = 8
    q: float = 0.99
    scope: Scope = "layer"

    def thresholds(self, network: fx.GraphModule, data: Batches | None) -> Specs:
        """Quantiles of either sign."""
        top, reach = 2 ** (self.levels - 1), _sizes(network, self.needed(data), 0.999, self.scope)
        found = quantiles(network, self.needed(data), self.q, self.scope)
        found = {
            n: replace(s, threshold=s.threshold * top, negative=None if s.negative is None else s.negative * top,
                       reach=reach[n].threshold)
            for n, s in found.items()
        }  # fmt: skip
        return self._specs(network, found, powers(self.levels, "half"))

    def describe(self, network: fx.GraphModule) -> str:
        """With n and q."""
        return f"{self.label} (±{self.levels} levels, q={self.q:g})"


@dataclass(frozen=True)
class _Nearest(_Encoded):
    """Neurons that fire the nearest level: θ, θ/2, θ/4, ... of either sign, θ a multiple of a quantile of the size.

    :param levels: n of either sign. :param q: quantile that θ is a multiple of. :param scale: that multiple.
    :param scope: one θ per ``"layer"`` or per ``"channel"``.
    """

    levels: int = 8
    q: float = 0.999
    scale: float = 1.0
    scope: Scope = "layer"

    def thresholds(self, network: fx.GraphModule, data: Batches | None) -> Specs:
        """Quantiles of the size."""
        found = _sizes(network, self.needed(data), self.q, self.scope, self.scale)
        return self._specs(network, found, powers(self.levels, "nearest"))

    def describe(self, network: fx.GraphModule) -> str:
        """With n."""
        return f"{self.label} (±{self.levels} levels)"


@dataclass(frozen=True)
class DCGS(_Nearest):
    """Differential coding, and multi-threshold neurons that fire the nearest level: θ, θ/2, θ/4, ... of either sign.

    What is sent at step t counts 1/t, so that later spikes refine; with n ≥ 4 levels the error falls an order of
    magnitude faster than under rate coding. Huang et al., ICML 2025, from their code. Departures: θ from a quantile of
    the activations times ``scale`` at every site; constants of layers computed, not collected in an extra step.

    :param levels: n of either sign. :param q: quantile that θ is a multiple of.
    :param scale: that multiple; 2 did best of ½, 1 and 2 on a small vision transformer.
    :param scope: one θ per ``"layer"`` or per ``"channel"``.
    """

    name: ClassVar[str] = "dcgs"
    label: ClassVar[str] = "DCGS"
    scale: float = 2.0

    @property
    def coding(self) -> Coding:
        """Differential."""
        return Differential()


@dataclass(frozen=True)
class STA(_Nearest):
    """Difference coding: only changes are sent, all worth the same, by multi-threshold neurons of the nearest level.

    Jiang et al., ICLR 2024 (spatio-temporal approximation), reconstructed: universal group operators are computed on
    estimates here, which is what they approximate. Parameters as :class:`DCGS`; accuracy ends at the smallest level.
    """

    name: ClassVar[str] = "sta"
    label: ClassVar[str] = "STA"

    @property
    def coding(self) -> Coding:
        """Difference."""
        return Difference()


@dataclass(frozen=True)
class SpikeZIP(_Encoded):
    """Difference coding by ternary neurons that count: after enough steps the network is its source, quantised.

    A neuron sends +1, −1 or nothing and its total stays within the quantiser's range. It equals the quantised network
    after enough steps, not at a fixed T; that takes about as many steps as the quantiser has levels.
    SpikeZIP-TF: You et al., ICML 2024, reconstructed from their code; the quantiser is fitted here, not trained.

    :param levels: L of the quantiser, from 0 to the largest. :param q: quantile of the size that is the largest.
    :param scope: one step size per ``"layer"`` or per ``"channel"``.
    """

    name: ClassVar[str] = "spikezip"
    label: ClassVar[str] = "SpikeZIP"
    levels: int = 16
    q: float = 0.999
    scope: Scope = "layer"

    @property
    def coding(self) -> Coding:
        """Difference."""
        return Difference()

    def thresholds(self, network: fx.GraphModule, data: Batches | None) -> Specs:
        """Quantiles of the size, in L steps."""
        found = _sizes(network, self.needed(data), self.q, self.scope)
        specs = self._specs(network, found, TERNARY)
        return {
            n: replace(s, threshold=s.threshold / self.levels, high=s.threshold, fraction=0.5,
                       low=-s.threshold if s.low is None else s.low)
            for n, s in specs.items()
        }  # fmt: skip

    def describe(self, network: fx.GraphModule) -> str:
        """With L."""
        return f"{self.label} (L={self.levels})"


def _sizes(network: fx.GraphModule, data: Batches, q: float, scope: Scope, scale: float = 1.0) -> Specs:
    """θ: the larger of the two tails' quantiles, times ``scale``."""
    specs: Specs = {}
    for name, spec in quantiles(network, data, q, scope).items():
        size = spec.threshold if spec.negative is None else torch.maximum(spec.threshold, spec.negative)
        specs[name] = replace(spec, threshold=size * scale, negative=None, reach=size)
    return specs
