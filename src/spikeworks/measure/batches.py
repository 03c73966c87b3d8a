"""Data as it comes: batches ``x`` or ``(x, y)``, from a list, a loader or a generator."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

Batches = Iterable[Any]
"""Batches ``x`` ``[B, ...]``, or ``(x, y)`` with class numbers ``y`` ``[B]``."""


def batches(data: Batches, model: nn.Module, owner: str) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Each batch as ``(x, y)`` on the device of ``model``, ``y`` being ``None`` if there are no labels.

    :param owner: what asks, for messages.
    :raises ValueError: if there is no batch, or one holds no floating-point tensor, or NaN or infinity.
    """
    tensor = next(iter((*model.parameters(), *model.buffers())), torch.empty(0))
    number = -1
    for number, batch in enumerate(data):
        x, y = batch if isinstance(batch, tuple | list) and len(batch) == 2 else (batch, None)
        if not isinstance(x, Tensor) or not x.is_floating_point() or x.dim() < 2:
            got = f"{x.dtype} {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
            raise ValueError(
                f"{owner} got a batch of {got}, expected floating-point x [B, ...] or (x, y); check the data."
            )
        if not bool(x.isfinite().all()):
            raise ValueError(f"{owner} got NaN or infinity in batch {number}, expected finite data; clean it.")
        yield x.to(tensor.device), None if y is None else y.to(tensor.device)
    if number < 0:
        raise ValueError(
            f"{owner} got no data, expected at least one batch; a generator can be read only once, so pass a list or a "
            "loader."
        )


def reread(data: Batches, owner: str) -> Batches:
    """``data``, if it can be read more than once.

    :raises ValueError: for a generator.
    """
    if iter(data) is data:
        raise ValueError(
            f"{owner} got a {type(data).__name__}, which can be read once, expected data that can be read several "
            "times; pass a list or a loader."
        )
    return data
