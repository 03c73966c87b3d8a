"""Offsets that make a spiking network of few steps follow a ReLU network in the mean of each channel."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, fx, nn

from ..measure.batches import Batches, batches, reread
from .calibrate import Specs
from .ideal import ideal
from .observe import Visitor, axes, finite, rows, spread
from .spec import ThresholdSpec


def offsets(
    network: fx.GraphModule, specs: Specs, data: Batches, steps: int, iterations: int = 500, rate: float = 0.01
) -> tuple[fx.GraphModule, Specs]:
    """Per channel, ψ added to the current and φ to what a spike is worth, so that means follow the source network.

    A site becomes ``(θ + φ)/T·clip(⌊(z + ψ)T/θ + v(0)/θ⌋, 0, T)``. Source and quantised network run side by side on
    each batch; at each site ψ tends to the mean difference of their inputs, then φ to that of their outputs (with ψ and
    φ in place), each as a mean with exponentially falling weights: ``ψ ← (1 − r)ψ + r·mean(z_source − z)``. As φ is in
    the output that it is compared with, it makes up for a part of what is missing.

    In the specs: with ``g = (θ + φ)/θ``, threshold ``gθ``, gain ``g`` and drive ``gψ``, which fires as θ does and is
    worth ``θ + φ``. A parallel neuron adds T·ψ once, at its start; that is the same.

    DA-QCFS: Hao et al., ICML 2025, from their code, for parallel neurons; there θ is a layer's largest activation, v(0)
    is θ/2 and one pass over the training data is made. Departures: any thresholds, starts and equal levels; the source
    is not clipped at θ.

    :param specs: what to start from, of neurons with equal levels.
    :param data: is read again and again until ``iterations`` batches were seen; their order and size matter.
    :param steps: T, at least 1.
    :param iterations: batches seen in all, at least 1. :param rate: r in (0, 1).
    :returns: the network as it came, and new specs.
    :raises ValueError: for a number out of range, data that can be read only once, is empty or not finite, a threshold
        not above 0, levels that are not equal, or a site whose channel axis cannot be told.
    """
    if min(steps, iterations) < 1 or not 0 < rate < 1:
        raise ValueError(
            f"offsets got steps={steps}, iterations={iterations}, rate={rate:g}, expected at least 1 of each and a "
            "rate between 0 and 1; 500 and 0.01 are usual."
        )
    data, axis = reread(data, "offsets"), axes(network, "channel")
    psi: dict[str, Tensor] = {}
    phi: dict[str, Tensor] = {}

    def moved(known: dict[str, Tensor], name: str, missing: Tensor) -> Tensor:
        mean = spread(rows(missing, axis[name]).mean(1), missing.dim(), axis[name])
        known[name] = (1 - rate) * known.get(name, torch.zeros_like(mean)) + rate * mean
        return known[name]

    def at(name: str, module: nn.Module, z: Tensor) -> Tensor:
        if name not in specs:
            return module(z)
        source, z = z.chunk(2)
        wanted, spec = finite(name, module(source)), specs[name]
        moved(psi, name, source - z)
        before = phi.get(name, torch.zeros_like(psi[name]))
        y = ideal(_offset(spec, psi[name], before), z, steps)
        moved(phi, name, wanted - y)
        return torch.cat((wanted, y))

    visitor, seen = Visitor(network, at), 0
    with torch.no_grad():
        while seen < iterations:
            for x, _ in batches(data, network, "offsets"):
                visitor.run(torch.cat((x, x)))
                seen += 1
                if seen == iterations:
                    break
    return network, {n: _offset(s, psi[n], phi[n]) if n in psi else s for n, s in specs.items()}


def _offset(spec: ThresholdSpec, psi: Tensor, phi: Tensor) -> ThresholdSpec:
    theta = spec.threshold.to(psi)
    worth = (theta + phi) / theta
    gain = worth if spec.gain is None else worth * spec.gain.to(psi)
    drive = gain * psi if spec.drive is None else gain * psi + worth * spec.drive.to(psi)
    return replace(spec, threshold=theta + phi, gain=gain, drive=drive)
