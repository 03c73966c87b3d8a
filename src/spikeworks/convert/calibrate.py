"""Thresholds: from the activations' own bounds, or from what the network does on calibration data.

The data is an argument; use training data, never the data that the result is judged by. A threshold is one number per
site (``scope="layer"``) or one per channel, shaped to broadcast against one step ``[B, ...]`` (``"channel"``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, fx

from ..measure.batches import Batches, batches, reread
from ..measure.record import record
from ..neurons import Neuron
from .activation import Activation
from .build import spiking
from .execute import window
from .graph import channel_axis, sites, until
from .histogram import Histogram
from .neuron import ValueIF
from .pool import Pooling

Scope = Literal["layer", "channel"]


@dataclass(frozen=True, eq=False)
class ThresholdSpec:
    """What a neuron site needs.

    :param threshold: θ, shape ``[]`` or ``[C, 1, ...]``, finite and > 0, in units of the activation.
    :param fraction: v(0)/θ, usually 0 or ½.
    """

    threshold: Tensor
    fraction: float = 0.0

    def neuron(self) -> Neuron:
        """The neuron with this threshold and start."""
        return ValueIF(threshold=self.threshold, fraction=self.fraction)


Specs = dict[str, ThresholdSpec]
"""Site → its threshold."""


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

    :raises ValueError: as :func:`quantile`.
    """
    largest: dict[str, Tensor] = {}

    def see(name: str, units_CN: Tensor) -> None:
        now_C = units_CN.amax(1)
        largest[name] = torch.maximum(largest[name], now_C) if name in largest else now_C

    ranks = _observe(network, data, scope, see)
    return {name: _spec(name, value_C, scope, *ranks[name]) for name, value_C in largest.items()}


def quantile(network: fx.GraphModule, data: Batches, q: float = 0.999, scope: Scope = "layer") -> Specs:
    """The q-quantile of the activations, zeros included, from a histogram that grows with the data.

    The value returned is the upper edge of the histogram bin that the quantile lies in, so it is never below the
    quantile and above it by less than 2⁻¹² of the largest activation (:mod:`spikeworks.convert.histogram`). Memory does
    not grow with the data, and neither order nor batching of the data changes the result.
    Rueckauer et al., Frontiers in Neuroscience 2017, take q = 0.999 of a layer.

    :param q: in (0, 1].
    :param scope: ``"layer"`` or ``"channel"``; a channel that never was active takes the layer's largest threshold.
    :raises ValueError: for q out of range, data that is empty or not finite, a site that never was active (or not often
        enough for q), or a site whose channel axis cannot be told.
    """
    if not 0 < q <= 1:
        raise ValueError(f"quantile got q={q}, expected more than 0 and at most 1; 0.999 is usual.")
    histograms: dict[str, Histogram] = {}

    def see(name: str, units_CN: Tensor) -> None:
        histograms.setdefault(name, Histogram(units_CN.shape[0])).add(units_CN)

    ranks = _observe(network, data, scope, see)
    return {name: _spec(name, h.quantile(q), scope, *ranks[name], q) for name, h in histograms.items()}


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
        part = spiking(beginning, {n: spec.neuron() for n, spec in specs.items() if n in before}, pooling)
        largest = torch.tensor(-torch.inf)
        with torch.no_grad():
            for x, _ in batches(data, network, "threshold_balancing"):
                current_T, _ = window(part, x, steps)
                largest = torch.maximum(largest.to(current_T), current_T.max())
        specs[name] = _spec(name, largest.view(1), "layer", 0, None)
    return specs


def _observe(
    network: fx.GraphModule, data: Batches, scope: Scope, see: Callable[[str, Tensor], None]
) -> Mapping[str, tuple[int, int | None]]:
    """Show ``see`` the activations of each site as ``[C, N]`` (one row for a layer); rank and channel axis of each."""
    if scope not in ("layer", "channel"):
        raise ValueError(f"calibration got scope={scope!r}, expected 'layer' or 'channel'; choose one.")
    names = sites(network)
    axes = {name: channel_axis(network, name) if scope == "channel" else None for name in names}
    if unknown := [name for name in names if scope == "channel" and axes[name] is None]:
        raise ValueError(f"calibration got {unknown}, whose channel axis cannot be told; choose scope='layer'.")
    ranks: dict[str, tuple[int, int | None]] = {}

    def keep(name: str, y: Tensor) -> None:
        axis = axes[name]
        ranks[name] = (y.dim(), axis)
        if not bool(y.isfinite().all()):
            raise ValueError(
                f"{name!r} got NaN or infinite activations on calibration data; check the network's weights."
            )
        see(name, y.reshape(1, -1) if axis is None else y.movedim(axis, 0).flatten(1))

    with torch.no_grad(), record(network, names, keep):
        for x, _ in batches(data, network, "calibration"):
            network(x)
    return ranks


def _spec(name: str, value_C: Tensor, scope: Scope, rank: int, axis: int | None, q: float = 1.0) -> ThresholdSpec:
    top = value_C.max()
    if not bool(top > 0):
        raise ValueError(
            f"{name!r} was never active on the calibration data{f' at quantile {q:g}' if q < 1 else ''}, expected some "
            "activation above 0; calibrate on more or other data, raise q, or remove the dead layer."
        )
    value_C = torch.where(value_C > 0, value_C, top)
    if scope == "layer" or axis is None:
        return ThresholdSpec(value_C.reshape(()))
    after = rank - 1 - axis % rank  # axes after the channel, against which the threshold has to broadcast
    return ThresholdSpec(value_C.reshape(-1, *(1,) * after))
