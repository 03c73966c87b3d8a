"""Corruptions of images at severities 1 to 5, for tables of robustness: plain torch, repeated by their generator.

    shaken = CORRUPTIONS["noise"](x, 3, generator)

``x`` is ``[B, C, H, W]`` in [0, 1], so is the result. Strengths of noise, blur, contrast and brightness are those of
the small-image benchmark (CIFAR-10-C; Hendrycks & Dietterich, ICLR 2019), those of occlusion our own. Departures: blur
mirrors at the border; brightness is added to every channel, not to the value of HSV.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

Corruption = Callable[[Tensor, int, torch.Generator], Tensor]
"""``corrupt(x, severity, generator)``; each sample draws its own, if anything is drawn."""


def noise(x: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    """Gaussian noise of deviation 0.04, 0.06, 0.08, 0.09, 0.10 in every value, then clipped."""
    deviation = _strength("noise", x, severity, (0.04, 0.06, 0.08, 0.09, 0.10))
    return (x + deviation * torch.randn(x.shape, generator=generator, dtype=x.dtype)).clamp(0, 1)


def blur(x: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    """A Gaussian of deviation 0.4, 0.6, 0.7, 0.8, 1.0 pixels, cut off at 4 deviations; nothing is drawn."""
    sigma = _strength("blur", x, severity, (0.4, 0.6, 0.7, 0.8, 1.0))
    reach = int(4 * sigma + 0.5)
    bump = torch.exp(-((torch.arange(-reach, reach + 1, dtype=x.dtype) / sigma) ** 2) / 2)
    for axis in (-2, -1):  # a Gaussian is a product of two
        x = _along(x, bump / bump.sum(), axis)
    return x.clamp(0, 1)


def contrast(x: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    """Distances from the mean of each channel of each image times 0.75, 0.5, 0.4, 0.3, 0.15; nothing is drawn."""
    factor = _strength("contrast", x, severity, (0.75, 0.5, 0.4, 0.3, 0.15))
    mean = x.mean((-2, -1), keepdim=True)
    return ((x - mean) * factor + mean).clamp(0, 1)


def brightness(x: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    """0.05, 0.1, 0.15, 0.2, 0.3 added to every value, then clipped; nothing is drawn."""
    return (x + _strength("brightness", x, severity, (0.05, 0.1, 0.15, 0.2, 0.3))).clamp(0, 1)


def occlusion(x: Tensor, severity: int, generator: torch.Generator) -> Tensor:
    """One rectangle in each image, wholly inside, set to 0: 1 to 5 eighths of either side, rounded."""
    part = _strength("occlusion", x, severity, (0.125, 0.25, 0.375, 0.5, 0.625))
    inside = torch.ones(len(x), 1, 1, 1, dtype=torch.bool)
    for axis in (-2, -1):
        side = x.shape[axis]
        length = max(1, round(part * side))
        start = torch.randint(0, side - length + 1, (len(x), 1), generator=generator)
        line = torch.arange(side)
        hit = (line >= start) & (line < start + length)
        inside = inside & (hit[:, None, :, None] if axis == -2 else hit[:, None, None, :])
    return x.masked_fill(inside, 0)


CORRUPTIONS: dict[str, Corruption] = {f.__name__: f for f in (noise, blur, contrast, brightness, occlusion)}
"""Every corruption by name."""


def _along(x: Tensor, kernel: Tensor, axis: int) -> Tensor:
    """Each row or column convolved with an even kernel, mirrored at the border as often as it takes."""
    reach, side = len(kernel) // 2, x.shape[axis]
    place = torch.arange(-reach, side + reach) % (2 * side)
    rows = x.index_select(axis, torch.minimum(place, 2 * side - 1 - place)).movedim(axis, -1)
    smooth = F.conv1d(rows.reshape(-1, 1, rows.shape[-1]), kernel.view(1, 1, -1))
    return smooth.view(*rows.shape[:-1], side).movedim(-1, axis)


def _strength(name: str, x: Tensor, severity: int, strengths: tuple[float, ...]) -> float:
    if x.dim() != 4 or not x.is_floating_point() or not bool(((x >= 0) & (x <= 1)).all()):
        raise ValueError(
            f"{name} got {x.dtype} {tuple(x.shape)}, expected images [B, C, H, W] of floats in [0, 1]; corrupt them "
            "before they are normalised (bytes: x.float() / 255)."
        )
    if severity not in range(1, 6):
        raise ValueError(f"{name} got severity={severity!r}, expected 1, 2, 3, 4 or 5; pass one.")
    return strengths[severity - 1]
