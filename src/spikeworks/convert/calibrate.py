"""Thresholds: from the activations' own bounds, or from what the network does on calibration data.

The data is an argument; use training data, never the data that the result is judged by. A threshold is one number per
site (``scope="layer"``) or one per channel, shaped to broadcast against one step ``[B, ...]`` (``"channel"``).
"""

from __future__ import annotations

import torch
from torch import Tensor, fx

from ..measure.batches import Batches, batches, reread
from .activation import Activation
from .build import spiking
from .execute import window
from .graph import sites, until
from .histogram import Histogram
from .observe import Scope, active, axes, observe, spread
from .pool import Pooling
from .spec import Specs, ThresholdSpec


def from_activation(network: fx.GraphModule, kinds: tuple[type[Activation], ...], method: str) -> Specs:
    """The learned bounds of the activations.

    :param kinds: the activations that the method stands on.
    :param method: its name, for messages.
    :raises ValueError: if a site has another activation (all are named), or a bound is not a number above 0.
    """
    modules = {name: network.get_submodule(name) for name in sites(network)}
    wanted = " or ".join(f"activation.{kind.__name__}" for kind in kinds)
    if others := [f"{n!r} ({type(m).__name__})" for n, m in modules.items() if not isinstance(m, kinds)]:
        raise ValueError(
            f"{method} got {', '.join(others)}, expected a network trained with {wanted} everywhere; use "
            "sw.convert.replace_activations and train, or choose a calibrated method such as Robust."
        )
    specs = {n: ThresholdSpec(m.threshold()) for n, m in modules.items() if isinstance(m, Activation)}
    if bad := [name for name, spec in specs.items() if not bool(spec.threshold > 0)]:
        raise ValueError(
            f"{method} got a bound of {bad} that is not above 0, expected one; train again from a larger init."
        )
    return specs


def maximum(network: fx.GraphModule, data: Batches, scope: Scope = "layer") -> Specs:
    """The largest activation seen, exactly. Diehl et al., IJCNN 2015 (data-based; thresholds set, not weights scaled).

    For activations that are never below 0; signed ones have :func:`~spikeworks.convert.signed.maxima`.

    :raises ValueError: as :func:`quantile`.
    """
    largest: dict[str, Tensor] = {}

    def see(name: str, units_CN: Tensor) -> None:
        now_C = units_CN.amax(1)
        largest[name] = torch.maximum(largest[name], now_C) if name in largest else now_C

    ranks = observe(network, data, axes(network, scope), see)
    return {name: ThresholdSpec(spread(active(name, value_C), *ranks[name])) for name, value_C in largest.items()}


def quantile(network: fx.GraphModule, data: Batches, q: float = 0.999, scope: Scope = "layer") -> Specs:
    """The q-quantile of the activations, zeros included, from a histogram that grows with the data.

    The value returned is the upper edge of the histogram bin that the quantile lies in, so it is never below the
    quantile and above it by less than 2⁻¹² of the largest activation (:mod:`spikeworks.convert.histogram`). Memory does
    not grow with the data, and neither order nor batching of the data changes the result.
    Rueckauer et al., Frontiers in Neuroscience 2017, take q = 0.999 of a layer. For activations that are never below 0;
    signed ones have :func:`~spikeworks.convert.signed.quantiles`.

    :param q: in (0, 1].
    :param scope: ``"layer"`` or ``"channel"``; a channel that never was active takes the layer's largest threshold.
    :raises ValueError: for q out of range, data that is empty or not finite, a site that never was active (or not often
        enough for q) or was below 0, or a site whose channel axis cannot be told.
    """
    if not 0 < q <= 1:
        raise ValueError(f"quantile got q={q}, expected more than 0 and at most 1; 0.999 is usual.")
    histograms: dict[str, Histogram] = {}

    def see(name: str, units_CN: Tensor) -> None:
        histograms.setdefault(name, Histogram(units_CN.shape[0])).add(units_CN)

    ranks = observe(network, data, axes(network, scope), see)
    return {n: ThresholdSpec(spread(active(n, h.quantile(q), q), *ranks[n])) for n, h in histograms.items()}


def threshold_balancing(network: fx.GraphModule, data: Batches, steps: int = 32, pooling: Pooling = "delta") -> Specs:
    """Site by site: with all earlier thresholds set, the largest current into a site over data and time.

    Spike-Norm, Sengupta et al., Frontiers in Neuroscience 2019. Departures: constant analog input in place of Poisson
    spikes, soft in place of hard reset, and biases are allowed. Cost: one run of the network's beginning per site.

    :param steps: T of the runs, at least 1.
    :param pooling: as in :func:`~spikeworks.convert.build.spiking`.
    :raises ValueError: for data that can be read only once, is empty or not finite, or a site that gets no positive
        current.
    """
    data = reread(data, "threshold_balancing")
    specs: Specs = {}
    for name in sites(network):
        beginning = until(network, name)
        before = set(sites(beginning))
        part = spiking(beginning, {n: spec for n, spec in specs.items() if n in before}, pooling)
        largest = torch.tensor(-torch.inf)
        with torch.no_grad():
            for x, _ in batches(data, network, "threshold_balancing"):
                current_T, _ = window(part, x, steps)
                largest = torch.maximum(largest.to(current_T), current_T.max())
        specs[name] = ThresholdSpec(active(name, largest.view(1)).squeeze(0))
    return specs
