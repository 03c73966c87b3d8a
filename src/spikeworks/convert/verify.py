"""Is the copy that is converted still the network it was made from? Looked at on real data, once."""

from __future__ import annotations

import torch
from torch import Tensor, nn

TOLERANCE = 0.01
"""Relative distance that rounding may make: folding can tip single steps of a quantised activation, a lost operation
makes tenths."""


def verify(network: nn.Module | None, ann: nn.Module, x: Tensor, owner: str) -> Tensor:
    """Run a network on a batch, and the copy that stands for it, if it should compute the same.

    :param network: the normalised copy; ``None`` if it is meant to differ. :param owner: what asks, for messages.
    :returns: the logits of ``ann``.
    :raises ValueError: if ``ann`` does not take the batch, or the copy computes something else: tracing does not see
        what is written in place with ``+=`` or ``x[...] =``. Or if what the copy makes of a sample depends on the
        others of the batch, which time is folded into.
    """
    with torch.no_grad():
        try:
            logits = ann(x)
        except (RuntimeError, TypeError, IndexError, ValueError) as error:
            raise ValueError(
                f"{owner} got a batch {tuple(x.shape)} of {x.dtype} that {type(ann).__name__} does not take "
                f"({(str(error).strip() or repr(error)).splitlines()[0]}); check the data and the network."
            ) from error
        if network is None or not isinstance(logits, Tensor):
            return logits
        y = network(x)
        distance = _distance(y, logits)
        if not distance <= TOLERANCE and bool(logits.isfinite().all()):
            raise ValueError(
                f"{owner} got {type(ann).__name__}, of which a traced copy computes something else (relative distance "
                f"{distance:.2g}), expected a forward that writes nothing in place; write y = y + x for y += x."
            )
        try:
            distance = _distance(network(x[:1]), y[:1])
        except (RuntimeError, IndexError):
            distance = float("inf")  # made for batches of one size
        if not distance <= TOLERANCE and bool(y[:1].isfinite().all()):
            raise ValueError(
                f"{owner} got {type(ann).__name__}, which makes something else of a sample alone than of the same "
                f"among others (relative distance {distance:.2g}), expected every sample by itself; name the axes that "
                "operations work on, from 1 up, and take the batch size from the input's shape."
            )
    return logits


def _distance(y: Tensor, of: Tensor) -> float:
    return float((y - of).double().norm() / of.double().norm().clamp(min=1e-30))
