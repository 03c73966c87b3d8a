"""Pictures from the spikes of a camera, by a spiking network that goes through them in time."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..layers import SNN, Slices, Spiking
from ..neurons import LIF
from .build import check_bits, check_sizes, initialise


@dataclass(frozen=True)
class SpikingReconstructionConfig:
    """The shape of :class:`SpikingReconstruction`.

    :param steps: of the network. :param per_step: frames of the camera in one of them.
    :param channels: of the spiking layers. :param read: channels that the spikes of all steps are joined to.
    :param tau: time constant of the neurons, in steps.
    :raises ValueError: for sizes below 1, no channels, or a time constant of 0 or less.
    """

    steps: int = 8
    per_step: int = 5
    channels: tuple[int, ...] = (32, 32, 32)
    read: int = 32
    tau: float = 2.0

    def __post_init__(self) -> None:
        check_sizes(
            "SpikingReconstruction", self.tau, steps=self.steps, per_step=self.per_step, channels=self.channels,
            read=self.read,
        )  # fmt: skip
        if not self.channels:
            raise ValueError("SpikingReconstruction got no channels, expected those of at least one spiking layer.")

    @property
    def frames(self) -> int:
        """That are seen; the picture is that of the middle one, of an even number the one behind the middle."""
        return self.steps * self.per_step


class SpikingReconstruction(nn.Module):
    """Spiking convolutions over time, 29,000 weights: bits ``[B, frames, H, W]`` → light ``[B, H, W]``.

    Each step sees a few frames of the camera as channels. Layers are convolutions and leaky neurons. The last layer's
    spikes of all steps are joined by a convolution of 1×1, and what one of 3×3 makes of that is added to the mean of
    the bits. Like SSIR (Zhao et al., IEEE TCSVT 2023) it is a network of spikes over spikes; its shape is ours.
    """

    def __init__(self, config: SpikingReconstructionConfig = SpikingReconstructionConfig()) -> None:
        super().__init__()
        self.config = config
        layers: list[nn.Module] = []
        inside = config.per_step
        for outside in config.channels:
            fires = Spiking(LIF(tau=config.tau, decay_input=False))
            layers += [nn.Conv2d(inside, outside, 3, padding=1, bias=False), nn.BatchNorm2d(outside), fires]
            inside = outside
        self.network = SNN(nn.Sequential(*layers))
        read, last = nn.Conv2d(config.steps * inside, config.read, 1), nn.Conv2d(config.read, 1, 3, padding=1)
        self.read = nn.Sequential(read, nn.ReLU(), last)
        self.begin()

    @property
    def around(self) -> int:
        """Pixels on each side that are seen."""
        return len(self.config.channels) + 1

    @torch.no_grad()
    def begin(self) -> None:
        """Show nearly the mean of the bits: learning starts from there."""
        self.read.get_parameter("2.weight").mul_(0.02)

    def forward(self, bits: Tensor) -> Tensor:
        """The light of the middle frame, in spikes per frame.

        :param bits: as floats.
        :raises ValueError: for another number of frames.
        """
        check_bits("SpikingReconstruction", bits, self.config.frames)
        spikes_TBCHW = self.network(Slices(self.config.steps)(bits))
        return self.read(spikes_TBCHW.transpose(0, 1).flatten(1, 2)).squeeze(1) + bits.mean(1)


def spiking_reconstruction(generator: torch.Generator | None = None) -> SpikingReconstruction:
    """A fresh one; :func:`spikeworks.models.reconstruction` gives one that is trained."""
    network = SpikingReconstruction()
    initialise(network, generator)
    network.begin()
    return network
