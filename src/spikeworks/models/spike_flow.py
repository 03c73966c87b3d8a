"""Optical flow from two clips of spikes: a pyramid of features, correlated, and a flow corrected from coarse to fine.

After SCFlow (Hu et al., Optical flow estimation for spiking camera, CVPR 2022): slices of a clip are shifted by a flow
that is already known, so that what moves is not smeared.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..layers.check import at_least
from .build import check_sizes, initialise


@dataclass(frozen=True)
class SpikeFlowConfig:
    """The shape of a :class:`SpikeFlow`.

    :param frames: of a clip. :param channels: of the features, first on the whole picture, then on one of half the
        size, and so on; at least two numbers.
    :param radius: pixels of a level that features are correlated over, either way.
    :param reduced: channels of a level's features where the flow is corrected.
    :param hidden: channels inside the correction, which all levels share.
    :raises ValueError: for a size below 1, or fewer than two channels.
    """

    frames: int = 25
    channels: tuple[int, ...] = (32, 32, 64, 96, 128)
    radius: int = 4
    reduced: int = 32
    hidden: tuple[int, ...] = (96, 64, 32)

    def __post_init__(self) -> None:
        check_sizes(
            "SpikeFlow", 1.0, frames=self.frames, channels=self.channels, radius=self.radius, reduced=self.reduced,
            hidden=self.hidden,
        )  # fmt: skip
        if len(self.channels) < 2:
            raise ValueError(
                f"SpikeFlow got channels={self.channels}, expected those of the picture and of its halves."
            )

    @property
    def levels(self) -> int:
        """How often the picture is halved."""
        return len(self.channels) - 1


class SpikeFlow(nn.Module):
    """Two clips ``[T, B, H, W]`` → flow from the middle of one to that of the other, at each level.

    On each level, from coarse to fine: twice the flow of the level before; the second features warped by it; their
    correlation with the first; and a correction, from this, the first features and the flow. With the default numbers
    there are 0.79 million parameters, 3.2 MB as in SCFlow. Reconstructed: the flow begins at 0 on the coarsest level,
    and both clips are shifted by the one initial flow. Departing from it, features are normalised before they are
    correlated (Jonschkowski et al., What matters in unsupervised optical flow, ECCV 2020).

    :param config: the shape.
    """

    def __init__(self, config: SpikeFlowConfig = SpikeFlowConfig()) -> None:
        super().__init__()
        self.config = config
        first = config.channels[0]
        self.stem = nn.Sequential(*_conv(config.frames, first), *_conv(first, first))
        self.encoder = nn.ModuleList(
            nn.Sequential(*_conv(i, o, stride=2), *_conv(o, o)) for i, o in pairwise(config.channels)
        )
        self.reduce = nn.ModuleList(nn.Conv2d(channels, config.reduced, 1) for channels in config.channels[1:])
        self.correct = _Correct((2 * config.radius + 1) ** 2 + config.reduced + 2, config.hidden)

    def forward(self, first: Tensor, second: Tensor, flow: Tensor | None = None) -> list[Tensor]:
        """Flows ``[B, 2, h, w]``, each in pixels of its own size, the coarsest first and the last that of the picture.

        :param first: bits as floats, ``[T, B, H, W]``; its frame ``T // 2`` is where the flow begins.
        :param second: as many; where it ends.
        :param flow: what is known of it, in pixels per frame, ``[B, 2, H, W]``. Default: nothing.
        :returns: for sizes that are no multiples of ``2**levels``, all but the last are of a picture whose last row and
            column are repeated up to the next multiple.
        :raises ValueError: for other shapes.
        """
        frames, size = self.config.frames, first.shape[1:]
        whole = flow is None or flow.shape == (size[0], 2, *size[1:])
        if first.dim() != 4 or len(first) != frames or second.shape != first.shape or not whole:
            raise ValueError(
                f"SpikeFlow got clips {list(first.shape)} and {list(second.shape)} and a flow "
                f"{None if flow is None else list(flow.shape)}, expected [{frames}, B, H, W] twice, and [B, 2, H, W]."
            )
        height, width = size[1:]
        one, two = _alike(self._features(first, flow), self._features(second, flow))
        found = torch.zeros(size[0], 2, *one[-1].shape[2:], dtype=first.dtype, device=first.device)
        flows: list[Tensor] = []
        for level in reversed(range(self.config.levels)):
            if flows:
                found = _twice(found)
            cost = F.leaky_relu(correlate(one[level], warp(two[level], found), self.config.radius), 0.1)
            found = found + self.correct(torch.cat([cost, self.reduce[level](one[level]), found], 1))
            flows.append(found)
        return [*flows, _twice(found)[..., :height, :width]]

    def _features(self, clip: Tensor, flow: Tensor | None) -> list[Tensor]:
        multiple = 1 << self.config.levels
        if flow is not None:
            clip = shift_slices(clip, flow)
        padding = (0, -clip.shape[3] % multiple, 0, -clip.shape[2] % multiple)
        x = self.stem(F.pad(clip.transpose(0, 1), padding, "replicate"))
        features = []
        for stage in self.encoder:
            x = stage(x)
            features.append(x)
        return features


class _Correct(nn.Module):
    """Convolutions that each see what all before them have made, and what came in."""

    def __init__(self, inside: int, hidden: tuple[int, ...]) -> None:
        super().__init__()
        ins = [inside + sum(hidden[:i]) for i in range(len(hidden) + 1)]
        self.layers = nn.ModuleList(nn.Sequential(*_conv(i, o)) for i, o in zip(ins[:-1], hidden, strict=True))
        self.last = nn.Conv2d(ins[-1], 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.cat([x, layer(x)], 1)
        return self.last(x)


def _alike(first: list[Tensor], second: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Features of both clips, of mean 0 and variance 1 over the first clip's picture, channel by channel."""
    middles = [x.mean((2, 3), keepdim=True) for x in first]
    widths = [x.std((2, 3), keepdim=True, correction=0) + 1e-3 for x in first]
    one, two = (
        [(x - m) / w for x, m, w in zip(features, middles, widths, strict=True)] for features in (first, second)
    )
    return one, two


def warp(x: Tensor, flow: Tensor) -> Tensor:
    """``x(p + flow(p))``, bilinear; beyond the border is the border.

    :param x: ``[B, C, H, W]``. :param flow: pixels to the right and downwards, ``[B, 2, H, W]``.
    """
    height, width = x.shape[2:]
    column = torch.arange(width, dtype=x.dtype, device=x.device) + flow[:, 0]
    row = torch.arange(height, dtype=x.dtype, device=x.device)[:, None] + flow[:, 1]
    grid = torch.stack([2 * column / max(width - 1, 1) - 1, 2 * row / max(height - 1, 1) - 1], -1)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=True)


def shift_slices(clip: Tensor, flow: Tensor) -> Tensor:
    """Slice ``k`` of a clip, counted from its middle, at ``p + k·flow(p)``: what moves with the flow stands still.

    :param clip: ``[T, B, H, W]``. :param flow: pixels per frame, ``[B, 2, H, W]``.
    """
    frames = len(clip)
    k = torch.arange(frames, dtype=clip.dtype, device=clip.device) - frames // 2
    far = (k.view(-1, 1, 1, 1, 1) * flow).flatten(0, 1)
    return warp(clip.flatten(0, 1)[:, None], far).view_as(clip)


def correlate(first: Tensor, second: Tensor, radius: int) -> Tensor:
    """``1/C Σ_c first(c, p) · second(c, p + d)`` for all shifts d up to ``radius``, x fastest; 0 beyond the border.

    :param first: ``[B, C, H, W]``. :param second: as many.
    :returns: ``[B, (2·radius + 1)², H, W]``.
    :raises ValueError: for a radius below 0.
    """
    at_least("correlate", "radius", radius, 0)
    height, width = first.shape[2:]
    wide = F.pad(second, (radius,) * 4)
    span = range(2 * radius + 1)
    return torch.stack([(first * wide[..., y : y + height, x : x + width]).mean(1) for y in span for x in span], 1)


def _twice(flow: Tensor) -> Tensor:
    return 2 * F.interpolate(flow, scale_factor=2.0, mode="bilinear", align_corners=False)


def _conv(inside: int, out: int, stride: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(inside, out, 3, stride, 1), nn.LeakyReLU(0.1, inplace=True)]


def spike_flow(generator: torch.Generator | None = None, **options: Any) -> SpikeFlow:
    """A :class:`SpikeFlow` as large as SCFlow; options as in :class:`SpikeFlowConfig`.

    :param generator: of the weights. To begin with, the first convolution sees the mean of a clip's slices, so that
        there are features to correlate at once, and the last one's weights are a hundredth, so that flow is small.
        Without both of it, 120 steps of the recipe ``camera_flow`` lead no further than telling that all stands still.
    """
    network = SpikeFlow(SpikeFlowConfig(**options))
    initialise(network, generator)
    with torch.no_grad():
        network.correct.last.weight.mul_(0.01)
        weight = network.stem.get_parameter("0.weight")
        weight.copy_(weight[:, :1].expand_as(weight) / len(weight[0]) ** 0.5)
    return network


def spike_flow_small(generator: torch.Generator | None = None, **options: Any) -> SpikeFlow:
    """One that trains on a CPU: three levels, 0.15 million parameters; options as in :class:`SpikeFlowConfig`."""
    small: dict[str, Any] = {"channels": (16, 16, 24, 32), "reduced": 16, "hidden": (48, 32, 16)}
    return spike_flow(generator, **small | options)
