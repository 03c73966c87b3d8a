"""Pictures from the spikes of a camera, by five convolutions over a stretch of frames."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from .build import check_bits, check_sizes, initialise


@dataclass(frozen=True)
class FiveConvolutionsConfig:
    """The shape of :class:`FiveConvolutions`.

    :param frames: seen at once, odd: the picture is that of the middle one.
    :param channels: of the convolutions but the last.
    :param intervals: how many intervals around the middle frame the light is told from beside the bits, odd numbers; 0:
        from all there are. ``()``: bits alone, as published.
    :raises ValueError: for sizes below 1, no channels, an even number of frames or less than 3, or an even number of
        intervals other than 0.
    """

    frames: int = 41
    channels: tuple[int, ...] = (64, 128, 64, 16)
    intervals: tuple[int, ...] = (1, 3, 5, 7, 0)

    def __post_init__(self) -> None:
        check_sizes("FiveConvolutions", 1.0, frames=self.frames, channels=self.channels)
        if (
            self.frames < 3
            or self.frames % 2 == 0
            or not self.channels
            or any(k < 0 or (k and k % 2 == 0) for k in self.intervals)
        ):
            raise ValueError(
                f"FiveConvolutions got frames={self.frames}, channels={self.channels}, intervals={self.intervals}, "
                "expected channels, and odd numbers from 3 (or 0 intervals, for all), which have a middle."
            )


class FiveConvolutions(nn.Module):
    """Convolutions of 3×3 over frames as channels, 0.18 M weights: bits ``[B, frames, H, W]`` → light ``[B, H, W]``.

    The shape is that of the smallest network of Spike-Zoo (``base``: 41-64-128-64-16-1). Ours are that the last
    convolution adds to the mean of the bits, so that only what the mean gets wrong is learned; and that light told from
    intervals is seen beside the bits, since a network that sums cannot divide. Beyond the border is the border.
    """

    def __init__(self, config: FiveConvolutionsConfig = FiveConvolutionsConfig()) -> None:
        super().__init__()
        self.config = config
        layers: list[nn.Module] = []
        for inside, outside in pairwise((config.frames + len(config.intervals), *config.channels)):
            layers += [_conv(inside, outside), nn.ReLU()]
        self.layers = nn.Sequential(*layers, _conv(config.channels[-1], 1))
        self.begin()

    @property
    def around(self) -> int:
        """Pixels on each side that are seen."""
        return len(self.config.channels) + 1

    def begin(self) -> None:
        """Show the mean of the bits: learning starts from there, as much larger sums would kill the units."""
        for value in self.layers[-1].parameters():
            nn.init.zeros_(value)

    def forward(self, bits: Tensor) -> Tensor:
        """The light of the middle frame, in spikes per frame.

        :param bits: as floats.
        :raises ValueError: for another number of frames.
        """
        check_bits("FiveConvolutions", bits, self.config.frames)
        x = bits
        if self.config.intervals:
            x = torch.cat([bits, interval_rates(bits, self.config.intervals)], 1)
        return self.layers(x).squeeze(1) + bits.mean(1)


def _conv(inside: int, outside: int) -> nn.Conv2d:
    return nn.Conv2d(inside, outside, 3, padding=1, padding_mode="replicate")


@torch.no_grad()
def interval_rates(bits: Tensor, intervals: tuple[int, ...]) -> Tensor:
    """So many intervals around the middle frame over the frames they take: bits ``[B, T, H, W]`` → ``[B, N, H, W]``.

    Of ``k = 2 j + 1`` intervals, one holds the middle frame and j lie on each side; of 0, all between the first spike
    and the last. Where fewer are in sight, it is those, none: 0; where a side shows no spike at all, its end is the
    middle, so that waiting for a spike makes it darker.
    """
    middle = bits.shape[1] // 2
    back, forth = bits[:, : middle + 1].flip(1), bits[:, middle + 1 :]
    sides = [_distances(side, 1 + max(intervals) // 2) for side in (back, forth)]
    found = []
    for k in intervals:
        places, frames = torch.zeros_like(bits[:, 0]), -torch.ones_like(bits[:, 0])  # the frame -1 is the one before 0
        for side, part in zip(sides, (back, forth), strict=True):
            count, far = side[k // 2] if k else (part.sum(1), _farthest(part))
            places, frames = places + count, frames + far
        found.append((places - 1).clamp(min=0) / frames.clamp(min=1))
    return torch.stack(found, 1)


def _distances(side: Tensor, most: int) -> list[tuple[Tensor, Tensor]]:
    """For j up to ``most``: how many of the j nearest spikes there are, and the place of the farthest, from 1."""
    rank = side.cumsum(1) * side
    place = torch.arange(1, side.shape[1] + 1, dtype=side.dtype, device=side.device).view(-1, 1, 1)
    count, far, found = torch.zeros_like(side[:, 0]), torch.zeros_like(side[:, 0]), []
    for j in range(1, most + 1):
        at = ((rank == j) * place).amax(1)
        count, far = count + (at > 0), torch.maximum(far, at)
        found.append((count, far))
    return found


def _farthest(side: Tensor) -> Tensor:
    place = torch.arange(1, side.shape[1] + 1, dtype=side.dtype, device=side.device).view(-1, 1, 1)
    return (side * place).amax(1)


def five_convolutions(generator: torch.Generator | None = None) -> FiveConvolutions:
    """A fresh one; :func:`spikeworks.models.reconstruction` gives one that is trained."""
    network = FiveConvolutions()
    initialise(network, generator)
    network.begin()
    return network
