"""Neurons in the place of activations, and of every other function what computes it over time."""

from __future__ import annotations

import copy
from collections.abc import Mapping

from torch import Tensor, fx, nn

from ..layers import Spiking
from .affine import MAX_POOLS, calls
from .coding import Coding, Rate
from .compensate import Compensated
from .execute import Folded
from .function import Function
from .pool import POOLINGS, Pooling
from .spec import ThresholdSpec


class Drive(nn.Module):
    """What a current passes before its neuron: ``x·gain + drive``.

    :param gain: factor, broadcasts against ``[B, ...]``; ``None``: 1. :param drive: added at every step; ``None``: 0.
    """

    gain: Tensor | None
    drive: Tensor | None

    def __init__(self, gain: Tensor | None, drive: Tensor | None) -> None:
        super().__init__()
        self.register_buffer("gain", gain)
        self.register_buffer("drive", drive)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, ...]`` → the same shape."""
        x = x if self.gain is None else x * self.gain
        return x if self.drive is None else x + self.drive


def spiking(
    network: fx.GraphModule, specs: Mapping[str, ThresholdSpec], pooling: Pooling = "delta", coding: Coding = Rate(),
    layer: type[Spiking] = Spiking, backend: str = "auto",
) -> fx.GraphModule:  # fmt: skip
    """A copy of a normalised network with neurons for activations.

    :param specs: site → what its neuron needs; sites not named keep their activation.
    :param pooling: what max pooling after neurons becomes under rate coding; max pooling of what does not move stays.
        Under other codings it is computed on estimates, as every other function is.
    :param coding: what messages mean.
    :param layer: what runs a neuron over time, e.g. :class:`~spikeworks.convert.parallel.ParallelIF`.
    """
    network = copy.deepcopy(network)
    nodes = {str(n.target): n for n in network.graph.nodes if n.op == "call_module"}
    for name, spec in specs.items():
        network.set_submodule(name, layer(spec.neuron(coding), backend))
        if spec.gain is not None or spec.drive is not None:
            _insert(network, nodes[name], f"{name}_drive", Drive(spec.gain, spec.drive))
    moving = Folded(network).moving
    rated = POOLINGS[pooling] if isinstance(coding, Rate) else None
    for node, pool in calls(network, MAX_POOLS):
        if node not in moving or (isinstance(coding, Rate) and rated is None):
            continue
        network.set_submodule(str(node.target), Compensated(pool, coding) if rated is None else rated(pool))  # type: ignore[arg-type]
    for node, function in calls(network, (Function,)):
        if node in moving:
            network.set_submodule(str(node.target), Compensated(function, coding))
    network.recompile()
    return network.eval()


def _insert(network: fx.GraphModule, node: fx.Node, name: str, module: nn.Module) -> None:
    network.add_submodule(name, module)
    with network.graph.inserting_before(node):
        inserted = network.graph.call_module(name, (node.args[0],))
    node.args = (inserted,)
