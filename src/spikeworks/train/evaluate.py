"""How often a network is right, on data."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .data import Data
from .parallel import Team


def accuracy(network: nn.Module, data: Data, batch: int = 256) -> float:
    """Top-1 accuracy in percent, in eval mode; every module's mode is put back."""
    return shared_accuracy(Team(network), data, batch)


@torch.no_grad()
def shared_accuracy(team: Team, data: Data, batch: int) -> float:
    """:func:`accuracy` of a team's network; each process looks at its share of every batch."""
    network, right = team.network, 0
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        for index in torch.arange(len(data.y)).split(batch):
            mine, count = team.share(index)
            logits = decided(network(ready(data.prepare(data.x[mine]), team.device)))[:count]
            right += int((logits.argmax(-1) == data.y[mine[:count]].to(team.device)).sum())
    finally:
        for module, mode in modes:
            module.training = mode
    return 100.0 * team.sums(right)[0] / len(data.y)


def decided(logits: Tensor) -> Tensor:
    """What decides: the mean over time, if there is time."""
    return logits.mean(0) if logits.dim() == 3 else logits


def ready(x: Tensor, device: torch.device) -> Tensor:
    """A batch on the device, images in the layout that convolutions like."""
    x = x.to(device)
    return x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x
