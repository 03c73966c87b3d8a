"""How good a network's answers are, on data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from .data import Data
from .parallel import Team

Answers = Any
"""What a network gives: a tensor; or, where answers are no classes, a sequence of them, e.g. flow on several levels."""

Score = Callable[[Answers, Tensor], Tensor]
"""``score(answers, y)`` → a number for each sample ``[B]``, the larger the better."""


def top1(answers: Tensor, y_B: Tensor) -> Tensor:
    """100 where the class of the largest logit, or of the largest mean over time, is right, else 0: ``[B]``."""
    return 100.0 * (decided(answers).argmax(-1) == y_B)


def accuracy(network: nn.Module, data: Data, batch: int = 256) -> float:
    """Top-1 accuracy in percent, in eval mode; every module's mode is put back."""
    return shared_score(Team(network), data, batch, top1)


@torch.no_grad()
def shared_score(team: Team, data: Data, batch: int, score: Score) -> float:
    """The mean score of a team's network, in eval mode; each process looks at its share of every batch."""
    network, total = team.network, 0.0
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        for index in torch.arange(len(data.y)).split(batch):
            mine, count = team.share(index)
            answers = network(ready(data.prepare(data.x[mine]), team.device))
            total += summed(score, answers, data.y[mine].to(team.device), count)
    finally:
        for module, mode in modes:
            module.training = mode
    return team.sums(total)[0] / len(data.y)


@torch.no_grad()
def summed(score: Score, answers: Answers, y: Tensor, count: int) -> float:
    """The score of the first ``count`` samples of a batch together.

    :raises ValueError: unless there is a number for each sample.
    """
    each = score(answers, y)
    if each.shape != y.shape[:1]:
        raise ValueError(
            f"score gave {tuple(each.shape)} for {len(y)} samples, expected a number for each; take means over the "
            "rest."
        )
    return float(each[:count].double().sum())


def decided(logits: Tensor) -> Tensor:
    """What decides: the mean over time, if there is time."""
    return logits.mean(0) if logits.dim() == 3 else logits


def ready(x: Tensor, device: torch.device) -> Tensor:
    """A batch on the device, images in the layout that convolutions like."""
    x = x.to(device)
    return x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x
