"""The small convolutional network that several recipes train."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn

from ..models import VGG, VGGConfig, initialise


def convolutions(
    plan: Sequence[int], inside: int, classes: int, image: Sequence[int], activation: Callable[[], nn.Module],
    generator: torch.Generator,
) -> VGG:  # fmt: skip
    """Convolutions of 3×3, each normalised and activated, and a linear layer; channels-last.

    :param plan: channels of each; 0 is a mean over 2×2. :param inside: channels that come in. :param image: (H, W).
    :param activation: makes one for each site. :param generator: of the weights.
    """
    height, width = image
    shape = VGGConfig(tuple(item or "pool" for item in plan), (), classes, inside, (height, width))
    made = VGG(shape, activation)
    initialise(made, generator)
    return made.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def pooled(channels: Sequence[int]) -> list[int]:
    """A plan with a pooling after each convolution."""
    return [item for size in channels for item in (size, 0)]
