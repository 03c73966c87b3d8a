"""Weights corrected by gradient descent, layer by layer, so that what T steps make of a current is what was meant."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.nn.utils.parametrize import is_parametrized

from ..layers import Spiking
from ..measure.batches import Batches, batches, reread
from .affine import CONVOLUTIONS
from .build import spiking
from .calibrate import Specs
from .execute import WINDOW, window
from .graph import sites, until
from .ideal import ideal
from .observe import Visitor, finite
from .pool import Pooling
from .spec import ThresholdSpec

_INPUT = ""
"""Stands for the network's input among names of sites."""


def weights(
    network: fx.GraphModule, specs: Specs, data: Batches, steps: int, pooling: Pooling = "delta", rate: float = 4e-5,
    iterations: int = 200, batch: int = 32, generator: torch.Generator | None = None,
) -> tuple[fx.GraphModule, Specs]:  # fmt: skip
    """Weights tuned so that each site's staircase of T steps follows the source's activation, in running order.

    For each site, the weights of the convolutions and linear layers between it and the sites before it descend on the
    mean squared error of :func:`~spikeworks.convert.ideal.ideal` against the activation: Adam, its rate falling along a
    cosine to 0. Input is what the spiking network, tuned so far, sends in the mean over T steps. Weights for which the
    error over all data did not fall are put back. Biases, normalisation, shared weights that an earlier site has tuned,
    and the layers after the last site stay.

    SNN Calibration: Li et al., ICML 2021, from their code (1,024 samples, 5,000 iterations, rates 1e-5 to 4e-5).
    Departures: the staircase is that of the spec, with its start and drive, which theirs leaves out; all layers that
    lead to a site are tuned, not the last convolution of a residual block alone; worse weights are put back.

    :param specs: of neurons with equal levels; sites without one keep their activation.
    :param data: calibration batches; what goes in and out of one site is held in memory for all samples.
    :param steps: T, at least 1.
    :param pooling: as in :func:`~spikeworks.convert.build.spiking`.
    :param rate: of Adam at the beginning, > 0.
    :param iterations: steps of Adam per site, at least 1. :param batch: samples of each, at least 1.
    :param generator: draws the samples; ``None``: the global one of torch.
    :returns: a changed copy of the network, and the specs as they came.
    :raises ValueError: for a number out of range, data that can be read only once, is empty, not finite or of several
        sizes, a threshold not above 0, or levels that are not equal.
    """
    if min(steps, iterations, batch) < 1 or not 0 < rate < float("inf"):
        raise ValueError(
            f"weights got steps={steps}, iterations={iterations}, batch={batch}, rate={rate:g}, expected at least 1 of "
            "each and a rate above 0; 200, 32 and 4e-5 are usual."
        )
    data, tuned = reread(data, "weights"), copy.deepcopy(network)
    done: set[str] = set()
    for name in (n for n in sites(network) if n in specs):
        segment, needed = _leading(tuned, name, set(specs))
        layers = {n: m for n, m in _weighted(segment) if n not in done}
        done |= layers.keys()
        inputs, wanted = _gathered(network, tuned, specs, name, needed, data, steps, pooling)
        if layers:
            leaves: list[nn.Parameter] = [layer.weight for layer in layers.values()]  # type: ignore[misc]
            _descend(segment, leaves, inputs, wanted, specs[name], steps, rate, iterations, batch, generator)
    return tuned, specs


def _leading(network: fx.GraphModule, site: str, spiking_sites: set[str]) -> tuple[fx.GraphModule, list[str]]:
    """The part that computes a site's input from the outputs of spiking sites before it and the network's input; what
    it takes, in order. Modules are shared."""
    graph, made, names = fx.Graph(), {}, {}
    for node in network.graph.nodes:
        if node.op == "placeholder" or (node.op == "call_module" and node.target in spiking_sites - {site}):
            made[node] = graph.placeholder(node.name)
            names[made[node]] = _INPUT if node.op == "placeholder" else str(node.target)
    for node in network.graph.nodes:
        if node.op == "call_module" and node.target == site:
            graph.output(made[node.args[0]])
            break
        if node not in made:
            made[node] = graph.node_copy(node, lambda n: made[n])
    part = fx.GraphModule(network, graph)
    part.graph.eliminate_dead_code()
    for node in [n for n in names if not n.users]:
        part.graph.erase_node(node)
        del names[node]
    part.recompile()
    return part, list(names.values())


def _weighted(segment: fx.GraphModule) -> Iterator[tuple[str, nn.Module]]:
    modules = dict(segment.named_modules())
    for name in dict.fromkeys(str(n.target) for n in segment.graph.nodes if n.op == "call_module"):
        module = modules[name]
        if isinstance(module, (nn.Linear, *CONVOLUTIONS)) and not is_parametrized(module):
            yield name, module


def _gathered(
    network: fx.GraphModule, tuned: fx.GraphModule, specs: Specs, name: str, needed: list[str], data: Batches,
    steps: int, pooling: Pooling,
) -> tuple[list[Tensor], Tensor]:  # fmt: skip
    """Of all samples: what the segment takes, as means over T steps, and the source's activation."""
    part = until(spiking(tuned, specs, pooling), name)
    taken: dict[str, list[Tensor]] = {n: [] for n in needed}
    wanted: list[Tensor] = []

    def at(site: str, module: nn.Module, z: Tensor) -> Tensor:
        y = module(z)
        if site == name:
            wanted.append(finite(name, y))
        return y

    visitor = Visitor(network, at)
    with torch.no_grad():
        for x, _ in batches(data, network, "weights"):
            visitor.run(x)
            if wanted[-1].shape[1:] != wanted[0].shape[1:]:
                raise ValueError(
                    f"weights got activations of {tuple(wanted[-1].shape[1:])} after {tuple(wanted[0].shape[1:])} at "
                    f"{name!r}, expected one size; calibrate on inputs of one size."
                )
            sums = _sums(part, x, steps)
            for n, values in taken.items():
                values.append(x if n == _INPUT else sums[n] / steps)
    return [torch.cat(values) for values in taken.values()], torch.cat(wanted)


def _sums(part: fx.GraphModule, x: Tensor, steps: int) -> dict[str, Tensor]:
    """What the sites of a spiking graph put out in all."""
    sums: dict[str, Tensor] = {}

    def at(site: str, layer: Spiking, x_T: Tensor, state: Any) -> tuple[Tensor, Any]:
        y_T, state = layer.run(x_T, state)
        sums[site] = sums[site] + y_T.sum(0) if site in sums else y_T.sum(0)
        return y_T, state

    states = {}
    for t in range(0, steps, WINDOW):
        _, states = window(part, x, min(WINDOW, steps - t), states, at)
    return sums


def _descend(
    segment: fx.GraphModule, leaves: list[nn.Parameter], inputs: list[Tensor], wanted: Tensor, spec: ThresholdSpec,
    steps: int, rate: float, iterations: int, batch: int, generator: torch.Generator | None,
) -> None:  # fmt: skip
    def loss(chosen: Tensor) -> Tensor:
        return F.mse_loss(ideal(spec, segment(*(x[chosen] for x in inputs)), steps), wanted[chosen])

    def over_all() -> float:
        with torch.no_grad():
            parts = torch.arange(len(wanted), device=wanted.device).split(batch)
            return sum(float(loss(part)) * len(part) for part in parts) / len(wanted)

    flags, before = [p.requires_grad for p in leaves], [p.detach().clone() for p in leaves]
    optimiser = torch.optim.Adam(leaves, lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, iterations)
    was = over_all()
    with torch.enable_grad():
        for p in leaves:
            p.requires_grad_(True)
        for _ in range(iterations):
            chosen = torch.randperm(len(wanted), generator=generator)[:batch].to(wanted.device)
            for p, gradient in zip(leaves, torch.autograd.grad(loss(chosen), leaves), strict=True):
                p.grad = gradient
            optimiser.step()
            schedule.step()
    worse = not over_all() < was
    for p, flag, value in zip(leaves, flags, before, strict=True):
        p.grad = None
        p.requires_grad_(flag)
        if worse:
            p.data.copy_(value)
