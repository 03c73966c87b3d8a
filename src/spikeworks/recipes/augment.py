"""Augmentations of image batches in plain torch: every sample draws its own, from the generator that is passed."""

from __future__ import annotations

import torch
from torch import Tensor


def crop(x: Tensor, generator: torch.Generator, pad: int = 4) -> Tensor:
    """Shift each image by up to ``pad`` pixels both ways, zeros (of ``x``'s own dtype) coming in: ``[B, C, H, W]``."""
    size_b, channels, height, width = x.shape
    padded = torch.nn.functional.pad(x, (pad, pad, pad, pad))
    top, left = torch.randint(0, 2 * pad + 1, (2, size_b, 1), generator=generator)
    rows, columns = top + torch.arange(height), left + torch.arange(width)
    b, c = torch.arange(size_b).reshape(-1, 1, 1, 1), torch.arange(channels).reshape(1, -1, 1, 1)
    return padded[b, c, rows.reshape(size_b, 1, height, 1), columns.reshape(size_b, 1, 1, width)]


def flip(x: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror each image left to right with probability ½: ``[B, C, H, W]``."""
    mirrored = torch.rand((len(x), 1, 1, 1), generator=generator) < 0.5
    return torch.where(mirrored, x.flip(-1), x)


def cutout(x: Tensor, generator: torch.Generator, size: int = 16) -> Tensor:
    """Zero one square of ``size`` pixels in each image, centred anywhere, cut off at the border: ``[B, C, H, W]``.

    DeVries and Taylor, arXiv 1708.04552.
    """
    height, width = x.shape[-2:]
    row = torch.randint(0, height, (len(x), 1, 1, 1), generator=generator) - size // 2
    column = torch.randint(0, width, (len(x), 1, 1, 1), generator=generator) - size // 2
    rows, columns = torch.arange(height).reshape(1, 1, -1, 1), torch.arange(width)
    inside = (rows >= row) & (rows < row + size) & (columns >= column) & (columns < column + size)
    return x.masked_fill(inside, 0)
