"""Corrections of thresholds that were found: by rule, or by what the spiking network does on calibration data.

Those by rule take specs and return specs. The others take the normalised network, its specs, data and T, and return a
network and specs, each a changed copy or what came, so that one may follow another. What they compare is rates over T
steps of constant input, so they are for rate coding, and right at that T.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, fx, nn

from ..layers import Spiking
from ..measure.batches import Batches, batches, reread
from .build import spiking
from .calibrate import Specs
from .execute import WINDOW, window
from .graph import sites, until
from .observe import Means, Visitor, axes, finite, rows, spread
from .pool import Pooling


def scaled(specs: Specs, alpha: float) -> Specs:
    """Every threshold times α; levels, starts and drives are left as they are.

    Below 1 neurons fire sooner, and what exceeds their range is lost: RMP, Han, Srinivasan & Roy, CVPR 2020.

    :param alpha: finite, > 0.
    :raises ValueError: for another.
    """
    if not 0 < alpha < float("inf"):
        raise ValueError(f"scaled got alpha={alpha:g}, expected a finite number above 0; below 1 is usual.")
    return {
        name: replace(s, threshold=s.threshold * alpha, negative=None if s.negative is None else s.negative * alpha)
        for name, s in specs.items()
    }


def shifted(specs: Specs, steps: int) -> Specs:
    """Half a level over T steps, added to the current: ``drive + u/(2T)`` with u the smallest level.

    Equal to ``fraction + ½`` for what is put out by step T; before, it has come in part. Deng & Gu, ICLR 2021 (RTS).

    :param steps: T that the network is to run for, at least 1.
    :raises ValueError: for ``steps`` below 1.
    """
    if steps < 1:
        raise ValueError(f"shifted got steps={steps}, expected at least 1; pass the T that the network is to run for.")
    half = {name: s.unit / (2 * steps) for name, s in specs.items()}
    return {n: replace(s, drive=half[n] if s.drive is None else s.drive + half[n]) for n, s in specs.items()}


def bias(
    network: fx.GraphModule, specs: Specs, data: Batches, steps: int, pooling: Pooling = "delta",
    of: Literal["output", "current"] = "output",
) -> tuple[fx.GraphModule, Specs]:  # fmt: skip
    """To the current of each channel is added what its mean output lacks: ``drive − mean(Σ spikes/T − activation)``.

    Site by site in running order, with all earlier ones corrected; the mean is over samples and space. As weights are
    not changed, the sum is the ``drive`` of the spec, which is a bias of the layer before. Light pipeline of SNN
    Calibration: Li et al., ICML 2021, from their code, which takes one batch.

    :param steps: T, at least 1.
    :param pooling: as in :func:`~spikeworks.convert.build.spiking`.
    :param of: ``"output"`` as there: as a neuron rounds and clips, the error becomes smaller, not zero. ``"current"``:
        what the errors of earlier sites leave in the mean of the input; as that adds up, it becomes zero.
    :returns: the network as it came, and new specs.
    :raises ValueError: for ``steps`` or ``of`` out of range, data that can be read only once, is empty or not finite, a
        threshold not above 0, or a site whose channel axis cannot be told.
    """
    if of not in ("output", "current"):
        raise ValueError(f"bias got of={of!r}, expected 'output' or 'current'; choose one.")
    data = _checked(data, steps, "bias")
    axis = axes(network, "channel")
    wanted = Means()

    def see(name: str, z: Tensor, y: Tensor) -> None:
        gain = specs[name].gain
        shown = y if of == "output" else z if gain is None else z * gain
        wanted.add(name, rows(shown, axis[name]).T)

    _source(network, specs, data, see)
    for name in (n for n in sites(network) if n in specs):
        spec, got, rank = specs[name], Means(), 0
        before = 0.0 if spec.drive is None else spec.drive
        for current, output in _spiking(network, specs, name, data, steps, pooling):
            shown, rank = output if of == "output" else current - before, current.dim()
            got.add(name, rows(shown, axis[name]).T)
        missing = spread(wanted[name] - got[name], rank, axis[name]).to(spec.threshold)
        specs = {**specs, name: replace(spec, drive=before + missing)}
    return network, specs


def potential(
    network: fx.GraphModule, specs: Specs, data: Batches, steps: int, pooling: Pooling = "delta"
) -> tuple[fx.GraphModule, Specs]:
    """To the start of each neuron is added what its output lacks: ``v(0) + T·mean(activation − Σ spikes/T)``.

    Site by site in running order, with all earlier ones corrected; the mean is over samples, so inputs must be of one
    size, and the network serves that size alone. SNN Calibration: Li et al., ICML 2021, from their code, which takes
    one batch. Departure: the start that the spec has is kept and added to; there it is 0.

    Parameters and errors as :func:`bias`; inputs of several sizes are refused, too.

    :returns: the network as it came, and specs whose ``fraction`` is a tensor of the activation's shape.
    """
    data, wanted = _checked(data, steps, "potential"), Means()
    _source(network, specs, data, lambda name, z, y: wanted.add(name, y))
    for name in (n for n in sites(network) if n in specs):
        spec, got = specs[name], Means()
        for _, output in _spiking(network, specs, name, data, steps, pooling):
            got.add(name, output)
        missing = (wanted[name] - got[name]).to(spec.threshold) * steps / spec.unit
        specs = {**specs, name: replace(spec, fraction=spec.fraction + missing)}
    return network, specs


def _checked(data: Batches, steps: int, owner: str) -> Batches:
    if steps < 1:
        raise ValueError(f"{owner} got steps={steps}, expected at least 1; pass the T that the network is to run for.")
    return reread(data, owner)


def _source(
    network: fx.GraphModule, specs: Specs, data: Batches, see: Callable[[str, Tensor, Tensor], None]
) -> None:  # fmt: skip
    """Show ``see`` the input and the output of each site that has a spec in the source network, batch by batch."""

    def at(name: str, module: nn.Module, z: Tensor) -> Tensor:
        y = module(z)
        if name in specs:
            see(name, z, finite(name, y))
        return y

    visitor = Visitor(network, at)
    with torch.no_grad():
        for x, _ in batches(data, network, "calibration"):
            visitor.run(x)


def _spiking(
    network: fx.GraphModule, specs: Specs, name: str, data: Batches, steps: int, pooling: Pooling
) -> Iterator[tuple[Tensor, Tensor]]:
    """The mean current into a site and the mean output of it over T steps, batch by batch, ``[B, ...]``."""
    graph = spiking(network, specs, pooling)
    part, layer = until(graph, name), graph.get_submodule(name)
    assert isinstance(layer, Spiking)
    for x, _ in batches(data, network, "calibration"):
        states, state, total, sent = {}, None, torch.zeros(()), torch.zeros(())
        with torch.no_grad():
            for t in range(0, steps, WINDOW):
                current_T, states = window(part, x, min(WINDOW, steps - t), states)
                output_T, state = layer.stream(current_T, state)
                total, sent = total.to(x) + current_T.sum(0), sent.to(x) + output_T.sum(0)
        yield total / steps, sent / steps
