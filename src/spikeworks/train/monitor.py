"""Spiking layers that have died or saturated, seen while a network is trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import torch
from torch import Tensor, nn

from ..layers import Spiking
from ..layers.time import ambient
from ..measure.record import record


class Activity(TypedDict):
    """What the units of one spiking layer did over a batch: plain numbers, ready for JSON.

    ``silent``: the share of units that never fired. ``saturated``: the share that fired at nearly every step.
    ``rate``: the share of steps at which a unit fired, mean over units.
    """

    silent: float
    saturated: float
    rate: float


def spiking(network: nn.Module) -> list[str]:
    """The names of a network's :class:`~spikeworks.Spiking` layers, in the order they were made.

    :raises ValueError: if it has none.
    """
    names = [name for name, module in network.named_modules() if isinstance(module, Spiking)]
    if not names:
        raise ValueError(
            f"Monitor got {type(network).__name__} without a spiking layer, expected one at least; train it without a "
            "monitor."
        )
    return names


@torch.no_grad()
def activity(network: nn.Module, x: Tensor, often: float = 0.95) -> dict[str, Activity]:
    """Run a batch in eval mode and tell what each spiking layer did; every module's mode is put back.

    A unit is a place in a layer's output, whatever the sample and the step; it fires where its output is not 0. Of a
    layer that is called several times, all calls count.

    :param x: a batch as the network takes it. :param often: the share of steps, 0 to 1, from which a unit is saturated.
    :returns: layer → :class:`Activity`; a layer that was not called, or of different shapes, has none.
    :raises ValueError: if there is no spiking layer.
    """
    modules, fired = dict(network.named_modules()), dict[str, list[Tensor]]()

    def keep(name: str, output: Tensor) -> None:
        passage = ambient(modules[name])
        axes = 1 if passage is not None and passage.folded else 2  # [T·B, ...] or [T, B, ...]
        fired.setdefault(name, []).append((output != 0).flatten(0, axes - 1).float().mean(0).flatten())

    modes = [(module, module.training) for module in modules.values()]
    network.eval()
    try:
        with record(network, spiking(network), keep):
            network(x)
    finally:
        for module, mode in modes:
            module.training = mode
    seen: dict[str, Activity] = {}
    for name, calls in fired.items():
        if len({len(call) for call in calls}) == 1:
            rate = torch.stack(calls).mean(0)
            silent, saturated = (rate == 0).float().mean(), (rate >= often).float().mean()
            seen[name] = Activity(silent=float(silent), saturated=float(saturated), rate=float(rate.mean()))
    return seen


def _nobody(line: str) -> None:
    """Nobody is told."""


@dataclass(frozen=True)
class Monitor:
    """What ``fit`` looks for after an epoch, on one batch of validation.

    :param tell: is given a line, once for each layer and complaint. :param every: look after every so many epochs.
    :param silent: complain from this share of silent units on, 0 to 1. :param saturated: the same for saturated ones.
    :param often: the share of steps from which a unit is saturated, above 0 to 1.
    :param samples: of the batch, the first of validation.
    :raises ValueError: for a value out of its range.
    """

    tell: Callable[[str], None] = _nobody
    every: int = 1
    silent: float = 0.5
    saturated: float = 0.5
    often: float = 0.95
    samples: int = 128

    def __post_init__(self) -> None:
        shares = 0 <= self.silent <= 1 and 0 <= self.saturated <= 1 and 0 < self.often <= 1
        if not shares or self.every < 1 or self.samples < 1:
            raise ValueError(
                f"Monitor got every={self.every}, samples={self.samples}, silent={self.silent}, saturated="
                f"{self.saturated}, often={self.often}, expected whole numbers from 1, and shares of 0 to 1 (often "
                "above 0); choose such."
            )

    def complaints(self, seen: Mapping[str, Activity], before: Sequence[Mapping[str, Activity]]) -> list[str]:
        """A line for what is wrong now and was not in any of the looks ``before``."""
        lines = []
        for name, now in seen.items():
            for what, limit, advice in (
                ("silent", self.silent, "lower its threshold, or let more come in"),
                ("saturated", self.saturated, "raise its threshold, or let less come in"),
            ):
                earlier: list[Any] = [look[name] for look in before if name in look]
                share: float = now[what]  # type: ignore[literal-required]
                if share >= limit and not any(look[what] >= limit for look in earlier):
                    lines.append(
                        f"{name}: {100 * share:.0f} % of units are {what}, the mean rate is {now['rate']:.3f} spikes "
                        f"per step; {advice}, or lower the learning rate."
                    )
        return lines
