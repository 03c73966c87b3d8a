"""Methods for a trained network as it is: thresholds from what its activations do on calibration data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from torch import fx

from ...measure.batches import Batches
from .. import correct, grid, local, tune
from ..calibrate import Scope, Specs, maximum, quantile, threshold_balancing
from ..gaussian import gaussian
from ..neuron import equal
from ..pool import Pooling
from .base import Method


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
class RMP(Method):
    """θ: a share α of the largest current of the spiking network, as Spike-Norm finds it; v(0) = 0, soft reset.

    Han, Srinivasan & Roy, CVPR 2020: what a soft reset keeps makes a smaller threshold affordable. α is tuned there.

    :param alpha: in (0, 1].
    """

    name: ClassVar[str] = "rmp"
    label: ClassVar[str] = "RMP"
    alpha: float = 0.5
    window: int = 32

    def thresholds(self, network: fx.GraphModule, data: Batches | None) -> Specs:
        """Calibrated by running the spiking network, then scaled."""
        return correct.scaled(threshold_balancing(network, self.needed(data), self.window, self.pooling), self.alpha)

    def describe(self, network: fx.GraphModule) -> str:
        """With α."""
        return f"{self.label} (α={self.alpha:g})"


@dataclass(frozen=True)
class LTB(Method):
    """θ: per channel, from a local rule that raises it wherever an activation exceeds it; v(0) = θ/2. No training.

    Max pooling is taken before the neuron. Bu, Li & Yu, CVPR 2025; see :mod:`spikeworks.convert.local`. A delayed
    readout is ``start``; :func:`~spikeworks.convert.local.readout_start` computes theirs.

    :param iterations: calibration batches seen, over and over if there are fewer; 1,000 to 5,000 in the paper.
    :param scope: one threshold per ``"layer"`` or per ``"channel"``.
    """

    name: ClassVar[str] = "ltb"
    label: ClassVar[str] = "LTB"
    iterations: int = 200
    scope: Scope = "channel"
    pooling: Pooling = field(default="pre-neuron", kw_only=True)

    def thresholds(self, network: fx.GraphModule, data: Batches | None) -> Specs:
        """Calibrated; see :func:`~spikeworks.convert.local.local_rule`."""
        return local.local_rule(network, self.needed(data), self.iterations, scope=self.scope)


@dataclass(frozen=True)
class Gaussian(Method):
    """K equal levels, θ fitted per channel to the mean and variance of its current; v(0) half a level. No quantiles.

    As DCGS and H-MT fit theirs, see :func:`~spikeworks.convert.gaussian.gaussian`; with K = 1, thresholds of one spike.

    :param levels: K, at least 1. :param scope: one threshold per ``"layer"`` or per ``"channel"``.
    """

    name: ClassVar[str] = "gaussian"
    label: ClassVar[str] = "Gaussian"
    levels: int = 4
    scope: Scope = "channel"

    def thresholds(self, network: fx.GraphModule, data: Batches | None) -> Specs:
        """Calibrated by two numbers per channel."""
        return gaussian(network, self.needed(data), equal(self.levels), 0.5, self.scope)

    def describe(self, network: fx.GraphModule) -> str:
        """With K."""
        return f"{self.label} (K={self.levels})"


Correction = Literal["none", "light", "potential", "weights"]


@dataclass(frozen=True)
class Calibration(Method):
    """θ: the value of a grid with the least squared error of the T-step activation; θ/(2T) is added at every step.

    SNN Calibration, Li et al., ICML 2021. The shift is right at T = ``steps`` alone, as in the paper. Fashion-MNIST,
    VGG-9 (seed 0, deep network 92.6), at T = ``steps`` = 8: none 65.2, light 88.5, potential 91.0, weights 89.9
    (``spikeworks convert convert_fashion_vgg:ReLU --weights … --data fashion_mnist --method calibration --correction
    light --steps 4 8``).

    :param correction: ``"none"``; ``"light"``: biases, by the mean error of each channel; ``"potential"``, their
        "advanced" on CIFAR: v(0) of each neuron, by its mean error; ``"weights"``: gradient descent layer by layer.
    :param scope: one threshold per ``"layer"`` or per ``"channel"``.
    """

    name: ClassVar[str] = "calibration"
    label: ClassVar[str] = "SNN Calibration"
    correction: Correction = "potential"
    scope: Scope = "channel"

    def thresholds(self, network: fx.GraphModule, data: Batches | None) -> Specs:
        """Calibrated; see :mod:`spikeworks.convert.grid`."""
        return correct.shifted(grid.least_error(network, self.needed(data), self.steps, self.scope), self.steps)

    def refine(self, network: fx.GraphModule, specs: Specs, data: Batches | None) -> tuple[fx.GraphModule, Specs]:
        """By the chosen correction, see :mod:`spikeworks.convert.correct`."""
        if self.correction == "none":
            return network, specs
        found = {"light": correct.bias, "potential": correct.potential, "weights": tune.weights}[self.correction]
        return found(network, specs, self.needed(data), self.steps, self.pooling)

    def describe(self, network: fx.GraphModule) -> str:
        """With the correction and T."""
        return f"{self.label} ({self.correction}, T={self.steps})"
