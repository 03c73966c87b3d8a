"""Local threshold balancing: thresholds that grow wherever an activation exceeds them, without any gradient.

Each site minimises, by itself, the squared error of clipping its input at θ: ``θ ← θ + η·mean 2(z − θ)·1[z > θ]``, from
θ = 0. Bu, Li & Yu, CVPR 2025 (inference-scale complexity), from the paper and its code; max pooling there is put before
the neuron (``pooling="pre-neuron"``).
"""

from __future__ import annotations

import torch
from torch import Tensor, fx, nn

from ..measure.batches import Batches, batches, reread
from .calibrate import Specs
from .graph import sites
from .observe import Means, Scope, Visitor, active, axes, finite, one_sided, spread
from .spec import ThresholdSpec


def local_rule(
    network: fx.GraphModule, data: Batches, iterations: int = 1000, rate: float = 1.0, scope: Scope = "channel"
) -> Specs:
    """θ by the local rule, v(0) = θ/2.

    All sites learn in the same forward pass, and a site passes on what its own, just updated θ leaves of its input: so
    the first site learns from true activations, a later one from clipped ones, and all settle one after the other. θ
    never falls. It follows that:

    * A site whose input does not change (the first) approaches the largest activation of the data, the slower the rarer
      large values are: each batch closes the part ``2η·P(z > θ)`` of the mean gap to what exceeds θ.
    * With η ≤ ½ it never passes that largest; with η = 1, as released, it can where more than half of the values exceed
      θ, for which the first batches of a layer of mostly positive currents are enough.
    * A later site can end above its largest activation, if clipped inputs, on the way, were larger in it.

    The result depends on order and size of the batches. Departures: activations with a bound of their own keep it, and
    a channel that never was active takes the layer's largest θ.

    :param data: is read again and again until ``iterations`` batches were seen.
    :param iterations: batches seen in all, at least 1; 1,000 to 5,000 of 100 in the paper.
    :param rate: η > 0; 1 in the released code.
    :param scope: one θ per ``"layer"`` or per ``"channel"``.
    :raises ValueError: for ``iterations`` or ``rate`` out of range, data that can be read only once, is empty or not
        finite, a site that never was active or can be below 0, or one whose channel axis cannot be told.
    """
    if iterations < 1 or not 0 < rate < float("inf"):
        raise ValueError(
            f"local_rule got iterations={iterations}, rate={rate:g}, expected at least 1 and more than 0; 1000 and 1 "
            "are usual."
        )
    one_sided(network, "local_rule")
    data, axis = reread(data, "local_rule"), axes(network, scope)
    theta: dict[str, Tensor] = {}  # with all axes of the activation, in double precision: increments become small
    kinds: dict[str, tuple[int, torch.dtype]] = {}

    def at(name: str, module: nn.Module, z: Tensor) -> Tensor:
        y, channel = module(z), axis[name]
        others = [a for a in range(y.dim()) if channel is None or a != channel % y.dim()]
        before = theta[name] if name in theta else y.new_zeros(()).double()
        excess = (y - before.to(y)).clamp(min=0).mean(others, keepdim=True)  # as θ ≥ 0, y may stand for z
        now: Tensor = before + 2 * rate * excess
        theta[name], kinds[name] = now, (y.dim(), y.dtype)
        return torch.minimum(y, now.to(y))

    visitor, seen = Visitor(network, at), 0
    with torch.no_grad():
        while seen < iterations:
            for x, _ in batches(data, network, "local_rule"):
                visitor.run(x)
                seen += 1
                if seen == iterations:
                    break
    specs: Specs = {}
    for name, value in theta.items():
        rank, dtype = kinds[name]
        value_C = active(name, finite(name, value).flatten()).to(dtype)
        specs[name] = ThresholdSpec(spread(value_C, rank, axis[name]), fraction=0.5)
    return specs


LEAST_READ = 4
"""Steps that a delayed readout reads at least."""


def readout_start(network: fx.GraphModule, specs: Specs, data: Batches, steps: int) -> int:
    """The first step worth reading: by then the fastest neurons of all layers, one after the other, have fired once.

    ``t0 = Σ_layers (θ − v(0)) / max_i mean relu(z_i)``, rounded down, the mean of each neuron i over samples, with all
    activations clipped at θ; where channels have thresholds of their own, the layer's part is the smallest quotient.
    If that leaves fewer than four of ``steps``, the last four are read (all, if there are no more).

    :param specs: a threshold for every site.
    :param steps: T of the run, at least 1.
    :returns: ``start`` for :class:`~spikeworks.convert.schedule.Plain`, 0 to T − 1.
    :raises ValueError: for ``steps`` below 1, a site without a threshold, data that is empty, not finite or of several
        sizes, or a site that never is active.
    Bu, Li & Yu, CVPR 2025, from the paper.
    """
    if steps < 1:
        raise ValueError(f"readout_start got steps={steps}, expected at least 1; pass the T of the run.")
    means, waits = Means(), 0.0

    def at(name: str, module: nn.Module, z: Tensor) -> Tensor:
        if name not in specs:
            raise ValueError(f"readout_start got no threshold for {name!r}, expected one for every site; calibrate it.")
        y = finite(name, module(z))
        means.add(name, y)
        return torch.minimum(y, specs[name].threshold.to(y))

    visitor = Visitor(network, at)
    with torch.no_grad():
        for x, _ in batches(data, network, "readout_start"):
            visitor.run(x)
    for name in sites(network):
        spec, mean = specs[name], means[name]
        active(name, mean.flatten())  # or refuse
        wait = (spec.threshold - spec.fraction * spec.unit) / mean
        waits += float(wait[mean > 0].min().clamp(min=0))
    return int(waits) if steps >= int(waits) + LEAST_READ else max(0, steps - LEAST_READ)
