"""How far everything is, from the spikes of a camera that moves: a small network of convolutions, down and up again."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .build import check_bits, check_sizes, initialise


@dataclass(frozen=True)
class SpikeDepthConfig:
    """The shape of a :class:`SpikeDepth`.

    :param frames: seen at once; the depth is that at the middle one.
    :param channels: of the features, first on the whole picture, then on one of half the size, and so on.
    :param nearest: the least depth that can be told, in metres. :param farthest: the most.
    :raises ValueError: for a size below 1, no channels, or depths that are not in order.
    """

    frames: int = 41
    channels: tuple[int, ...] = (24, 32, 48, 64)
    nearest: float = 1.0
    farthest: float = 50.0

    def __post_init__(self) -> None:
        check_sizes("SpikeDepth", 1.0, frames=self.frames, channels=self.channels)
        if not 0 < self.nearest < self.farthest or not self.channels:
            raise ValueError(
                f"SpikeDepth got nearest={self.nearest}, farthest={self.farthest}, channels={self.channels}, expected "
                "metres above 0, in order, and channels."
            )


class SpikeDepth(nn.Module):
    """Bits ``[B, frames, H, W]`` → depth at the middle frame in metres ``[B, H, W]``.

    Frames come in as channels. Convolutions halve the picture and double it again, each size joined with what it was on
    the way down (U-Net; Ronneberger et al., MICCAI 2015). The logarithm of the depth is told, between the nearest and
    the farthest. From one eye, depth is known by motion, and by what things of a kind look like: a network tells it for
    cameras that move as the one it was trained with. The shape is ours.
    """

    def __init__(self, config: SpikeDepthConfig = SpikeDepthConfig()) -> None:
        super().__init__()
        self.config = config
        channels = config.channels
        self.stem = _conv(config.frames, channels[0])
        self.down = nn.ModuleList(nn.Sequential(_conv(i, o, 2), _conv(o, o)) for i, o in pairwise(channels))
        self.up = nn.ModuleList(_conv(i + o, o) for o, i in reversed(list(pairwise(channels))))
        self.last = nn.Conv2d(channels[0], 1, 3, padding=1)

    def forward(self, bits: Tensor) -> Tensor:
        """Metres.

        :param bits: as floats.
        :raises ValueError: for another number of frames.
        """
        config = self.config
        check_bits("SpikeDepth", bits, config.frames)
        multiple = 1 << len(self.down)
        height, width = bits.shape[2:]
        x = self.stem(F.pad(bits, (0, -width % multiple, 0, -height % multiple), "replicate"))
        sizes = [x]
        for stage in self.down:
            sizes.append(stage(sizes[-1]))
        x = sizes.pop()
        for stage in self.up:
            x = stage(torch.cat([F.interpolate(x, scale_factor=2.0, mode="bilinear"), sizes.pop()], 1))
        share = self.last(x)[:, 0, :height, :width].float().sigmoid()
        return config.nearest * (config.farthest / config.nearest) ** share


def _conv(inside: int, outside: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, stride, 1, bias=False), nn.BatchNorm2d(outside), nn.ReLU(inplace=True)
    )


def spike_depth(generator: torch.Generator | None = None, **options: object) -> SpikeDepth:
    """A :class:`SpikeDepth`; options as in :class:`SpikeDepthConfig`."""
    network = SpikeDepth(SpikeDepthConfig(**options))  # type: ignore[arg-type]
    initialise(network, generator)
    return network
