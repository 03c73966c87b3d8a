"""A network that trains in less memory, with the same outputs, states and gradients."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from .check import describe
from .keep import keeping_less
from .state import NetworkState
from .time import SNN


class Lean(SNN):
    """An :class:`~spikeworks.SNN` that keeps less for the backward pass; made by :func:`lean`.

    :param network: as for :class:`~spikeworks.SNN`. :param encode: the same. :param decode: the same.
    """

    def forward(self, x: Tensor) -> Tensor:
        """As :meth:`spikeworks.SNN.forward`."""
        with keeping_less(x):
            return super().forward(x)

    def stream(self, x_T: Tensor, state: NetworkState | None = None) -> tuple[Tensor, NetworkState]:
        """As :meth:`spikeworks.SNN.stream`."""
        with keeping_less(x_T):
            return super().stream(x_T, state)


def lean(network: nn.Module) -> Lean:
    """The same network, trained in less memory: outputs, states and gradients are equal in every bit.

    What autograd keeps of its run for the backward pass is made smaller:

    * a tensor of spikes, whatever layer keeps it, is kept in one bit per value, and one of whole numbers up to 15 (sums
      of spikes) in two or four; whether a tensor is one is found out from its values, at each call; the places that
      a max pool has found are kept in two bytes in place of eight;
    * the current that batch normalisation hands to a neuron is not kept but computed again. Of convolution,
      normalisation and neuron, what remains is the output of the convolution;
    * of a block in a :class:`~spikeworks.layers.Checkpoint` only its input remains, as bits if it is spikes.

    The modules are shared, not copied: to train the one is to train the other, and the names of parameters and states
    are the same. It costs the packing, the unpacking and the normalisation again, together less than a tenth of a step.

    Neurons on the eager backend keep what their step makes, of which only spikes and masks get smaller. On a GPU
    nothing is computed again, and each look at values waits for the device.

    :param network: an :class:`~spikeworks.SNN`, such as every spiking network of ``sw.models``.
    :raises ValueError: if it is no :class:`~spikeworks.SNN`.
    """
    if not isinstance(network, SNN):
        raise ValueError(
            f"lean got {describe(network)}, expected an SNN; put what runs over time into sw.SNN(...) first."
        )
    made: Any = Lean(network.network, network.encode, network.decode)
    made.training = network.training
    return made
