"""Memory layout, shared by the fused backends: they read any tensor whose steps are dense, in its own order of axes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def dense(x: Tensor) -> Tensor:
    """``x`` ``[T, B, ...]`` itself if each step is dense in some order of its axes, else a contiguous copy."""
    if x.is_contiguous():
        return x
    expected = 1
    for stride, size in sorted((x.stride(d), x.shape[d]) for d in range(1, x.dim()) if x.shape[d] > 1):
        if stride != expected:
            return x.contiguous()
        expected *= size
    return x


def packed(x: Tensor) -> tuple[int | torch.SymInt, ...]:
    """The strides of what kernels make for ``x`` (dense): T outermost, each step in the memory order of its own."""
    return (math.prod(x.shape[1:]), *x.stride()[1:])


def like(g: Tensor, x: Tensor) -> Tensor:
    """``g`` in the dtype and per-step memory order of ``x``, both ``[T, B, ...]``."""
    if g.dtype == x.dtype and g.stride()[1:] == x.stride()[1:] and (g.stride(0) or g.shape[0] == 1):
        return g
    return torch.empty_strided(x.shape, packed(x), dtype=x.dtype, device=x.device).copy_(g)


def like_a_step(value: Tensor, order: Sequence[int]) -> tuple[Tensor, int]:
    """A state ``[B, ...]`` in float32 and the memory order of a step, and its stride: 0 if it is one number for all."""
    if not any(value.stride()) and value.dtype == torch.float32:
        return value, 0
    value = value.detach()
    if value.stride() != tuple(order) or value.dtype != torch.float32:
        value = torch.empty_strided(value.shape, order, dtype=torch.float32, device=value.device).copy_(value)
    return value, 1


def periodic(x: Tensor, values: Sequence[Tensor], lanes: int) -> tuple[int, list[Tensor]]:
    """Lay out values that broadcast against a step of ``x``, in its memory order, once per period.

    The period is the part of a step, innermost in memory, over which any of them varies, repeated until it is a
    multiple of ``lanes`` and not too short to loop over.

    :returns: the period, and each value as float32: one number, or as many as the period.
    """
    step, strides = x.shape[1:], x.stride()[1:]
    count = math.prod(step)
    axes = sorted(range(len(step)), key=lambda d: -strides[d])  # outermost first
    wide = [v.expand(step) for v in values]
    varying = [d for d in axes if step[d] > 1 and any(w.stride(d) for w in wide)]
    if not varying or not count:
        return count, [v.to(torch.float32).reshape(-1)[:1] for v in values]
    inner = axes[axes.index(varying[0]) :]
    period = math.prod(step[d] for d in inner)
    copies = 1
    while copies * period < count and (copies * period % lanes or copies * period < 1024):
        copies *= 2
    first = tuple(slice(None) if d in inner else 0 for d in range(len(step)))
    kept = sorted(inner)
    order = [kept.index(d) for d in inner]
    laid = []
    for value, w in zip(values, wide, strict=True):
        one = w[first].permute(order).reshape(-1) if value.numel() > 1 else value.reshape(1)
        laid.append(one.to(torch.float32).repeat(copies if value.numel() > 1 else 1))
    return min(copies * period, count), laid
