"""Neurons in the place of activations."""

from __future__ import annotations

import copy
from collections.abc import Mapping

from torch import fx

from ..layers import Spiking
from ..neurons import Neuron
from .affine import MAX_POOLS, calls
from .execute import Folded
from .pool import POOLINGS, Pooling


def spiking(
    network: fx.GraphModule, neurons: Mapping[str, Neuron], pooling: Pooling, backend: str = "auto"
) -> fx.GraphModule:
    """A copy of a normalised network with neurons for activations.

    :param neurons: site → its neuron; sites not named keep their activation.
    :param pooling: what max pooling after neurons becomes; max pooling of what does not move stays.
    """
    network = copy.deepcopy(network)
    for name, neuron in neurons.items():
        network.set_submodule(name, Spiking(neuron, backend))
    if (layer := POOLINGS[pooling]) is not None:
        moving = Folded(network, 1).moving
        for node, pool in calls(network, MAX_POOLS):
            if node in moving:
                network.set_submodule(str(node.target), layer(pool))  # type: ignore[arg-type]
    return network.eval()
