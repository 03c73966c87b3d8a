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
    :raises ValueError: if there is no batch, or one holds no floating-point tensor, NaN or infinity, or labels that are
        no class numbers ``[B]``.
    """
    if isinstance(data, Tensor):
        raise ValueError(f"{owner} got one tensor {tuple(data.shape)} as data, expected batches of it; pass [x].")
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
        if y is not None and (not isinstance(y, Tensor) or y.is_floating_point() or y.shape != x.shape[:1]):
            got = f"{y.dtype} {tuple(y.shape)}" if isinstance(y, Tensor) else type(y).__name__
            raise ValueError(f"{owner} got labels as {got} in batch {number}, expected class numbers [{len(x)}].")
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


def shared(first: Batches | None, second: Batches | None) -> bool:
    """Whether two data are one object, or lists with a batch or a tensor of samples in common."""
    if first is None or second is None:
        return False
    return first is second or not _objects(first).isdisjoint(_objects(second))


def _objects(data: Batches) -> set[int]:
    if not isinstance(data, list | tuple):
        return {id(data)}  # what a loader makes is made anew
    firsts = (batch[0] if isinstance(batch, tuple | list) and len(batch) else batch for batch in data)
    return {id(batch) for batch in data} | {id(x) for x in firsts}
