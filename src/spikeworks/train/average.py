"""A running average of weights: less noise than the last of them have, for the price of a copy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Average:
    """``w̄ ← d·w̄ + (1 − d)·w`` after each step, with ``d = min(decay, (1 + n)/(10 + n))`` at step n, from 0.

    Buffers that are real numbers (statistics of normalisation) are averaged as weights are, others copied.

    :param network: whose weights now are the average to begin with. :param decay: 0 to below 1; 0: no average, and
        nothing is kept.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay, self.steps = decay, 0
        self.values = {k: v.detach().clone() for k, v in network.state_dict().items()} if decay else {}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take in the weights after a step."""
        if not self.decay:
            return
        share = min(self.decay, (1 + self.steps) / (10 + self.steps))
        self.steps += 1
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                self.values[name].lerp_(value, 1 - share)
            else:
                self.values[name].copy_(value)

    @contextmanager
    def inside(self, network: nn.Module) -> Iterator[None]:
        """The network with the averaged weights, for as long as the block lasts."""
        if not self.decay:
            yield
            return
        own = {k: v.detach().clone() for k, v in network.state_dict().items()}
        network.load_state_dict(self.values)
        try:
            yield
        finally:
            network.load_state_dict(own)

    def tensors(self) -> dict[str, Tensor]:
        """What :meth:`restore` takes: the averages, and the number of steps."""
        return {**self.values, "": torch.tensor(self.steps)} if self.decay else {}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from :meth:`tensors`."""
        if self.decay:
            self.steps = int(tensors[""])
            for name, value in self.values.items():
                value.copy_(tensors[name])
