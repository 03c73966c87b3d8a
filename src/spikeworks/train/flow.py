"""What a network that tells flow is trained for."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def flow_loss(flows: Sequence[Tensor], truth: Tensor, valid: Tensor | None = None) -> Tensor:
    """The sum over levels of ``mean |uv − uv*|``, the truth made as small as the level, in its pixels.

    Hu et al., CVPR 2022: L1 on every level with equal weight, the truth scaled linearly and multiplied by ``h/H``.

    :param flows: ``[B, 2, h, w]`` of each level, each in its own pixels. :param truth: ``[B, 2, H, W]`` in pixels.
    :param valid: 1 where the truth is known and counts, ``[B, H, W]``. On a smaller level pixels count by their share.
    :raises ValueError: for no level, or shapes that do not fit.
    """
    full = truth.shape[-2:]
    weight = torch.ones_like(truth[:, :1]) if valid is None else valid[:, None].to(truth.dtype)
    if not flows or truth.dim() != 4 or truth.shape[1] != 2 or weight.shape[-2:] != full:
        raise ValueError(
            f"flow_loss got {len(flows)} levels, a truth {list(truth.shape)} and a validity {list(weight.shape)}, "
            "expected at least one level, [B, 2, H, W] and [B, H, W]."
        )
    loss = truth.new_zeros(())
    for found in flows:
        size = found.shape[-2:]
        scale = truth.new_tensor([size[1] / full[1], size[0] / full[0]]).view(1, 2, 1, 1)
        less = size != full
        share = F.interpolate(weight, size, mode="area") if less else weight
        known = F.interpolate(truth * weight, size, mode="area") if less else truth * weight
        aim = scale * known / share.clamp(min=1e-6)
        loss = loss + ((found - aim).abs() * share).sum() / (2 * share.sum()).clamp(min=1e-6)
    return loss
