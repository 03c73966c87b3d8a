"""Memory for time: a part of a network that is computed again in the backward pass instead of being kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint

from .time import ambient, during


class Checkpoint(nn.Module):
    """``module``, of whose inner values none is kept for the backward pass, which computes them again.

    Outputs, states and gradients are those without it, inside an :class:`~spikeworks.SNN` as alone. The second run is
    given what the first one had: the running window and the states that came into it, the buffers, and the draws of
    torch's own generators and of any that a layer holds as ``generator``. What it leaves behind (states, statistics of
    batch normalisation) is dropped, as the first run has left it already.

    Plain ``torch.utils.checkpoint`` around temporal layers is not right: when it calls them again the network no longer
    runs, so that they would take the folded ``[T·B, ...]`` for ``[T, B, ...]``. They refuse this. It would also let
    batch normalisation count every batch twice.

    :param module: any part of a network, stateless and temporal layers alike.
    :raises ValueError: if it is no ``nn.Module``.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        if not isinstance(module, nn.Module):
            raise ValueError(f"Checkpoint got {type(module).__name__}, expected an nn.Module; pass part of a network.")
        self.module = module

    def forward(self, *inputs: Any) -> Any:
        """As the module."""
        if not torch.is_grad_enabled():
            return self.module(*inputs)
        passage = ambient(self)
        left = dict(passage.outgoing) if passage else {}
        buffers = _copies(dict(self.module.named_buffers()))
        held = (getattr(module, "generator", None) for module in self.module.modules())
        generators = [generator for generator in held if isinstance(generator, torch.Generator)]
        drawn = [generator.get_state() for generator in generators]
        first = True

        def run(*inputs: Any) -> Any:
            nonlocal first
            if first:
                first = False
                return self.module(*inputs)
            again = replace(passage, outgoing=dict(left)) if passage else None
            now = [generator.get_state() for generator in generators]
            try:
                _rewind(generators, drawn)
                return during(again, functional_call, self.module, _copies(buffers), inputs)
            finally:  # also when torch stops the second run early, as soon as it has all it needs
                _rewind(generators, now)

        return checkpoint(run, *inputs, use_reentrant=False)


def _copies(buffers: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: buffer.clone() for name, buffer in buffers.items()}


def _rewind(generators: list[torch.Generator], states: list[torch.Tensor]) -> None:
    for generator, state in zip(generators, states, strict=True):
        generator.set_state(state)
