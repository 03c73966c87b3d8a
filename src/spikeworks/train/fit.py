"""The loop: a classifier, deep or spiking, trained on tensors; the weights best on validation are kept, or the last."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..disk import whole
from .average import Average
from .checkpoint import fingerprint, load_checkpoint, save_checkpoint
from .objective import Loss, MeanCE, OfBatch

Augment = Callable[[Tensor, torch.Generator], Tensor]
"""A training batch ``[B, ...]`` and a generator to another view of it, of the same labels."""


@dataclass(frozen=True)
class Data:
    """Samples and labels in memory.

    :param x: ``[N, ...]``, any dtype. :param y: ``[N]`` int64 class indices from 0.
    :param prepare: a batch of ``x`` → what the network takes (to float, normalised); it serves training and evaluation.
    """

    x: Tensor
    y: Tensor
    prepare: Callable[[Tensor], Tensor] = torch.Tensor.float

    def __post_init__(self) -> None:
        if self.y.dim() != 1 or len(self.x) != len(self.y) or len(self.y) == 0:
            raise ValueError(
                f"Data got samples {tuple(self.x.shape)} and labels {tuple(self.y.shape)}, expected [N, ...] and [N] "
                "with N >= 1; give one label per sample."
            )
        if self.y.is_floating_point() or int(self.y.min()) < 0:
            raise ValueError(
                f"Data got labels of {self.y.dtype} from {float(self.y.min()):g}, expected whole numbers from 0; "
                "map the classes to 0, 1, 2, ..."
            )
        if self.x.is_floating_point() and not bool(self.x.isfinite().all()):
            raise ValueError("Data got NaN or infinity among the samples, expected finite values; clean them first.")

    def take(self, index: Tensor | slice) -> Data:
        """Some of the samples, in the order of ``index``."""
        return Data(self.x[index], self.y[index], self.prepare)

    def batches(self, size: int = 256) -> list[tuple[Tensor, Tensor]]:
        """All samples, prepared, as a list of ``(x, y)`` batches: what conversion and evaluation take."""
        return [
            (self.prepare(x), y.long())
            for x, y in zip(self.x.split(size), self.y.split(size), strict=True)
        ]  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """How to train.

    :param epochs: passes over the training set. :param batch: samples per step.
    :param rate: peak learning rate; it falls to 0 along half a cosine after ``warmup`` epochs of linear rise.
    :param optimiser: ``"sgd"`` (Nesterov momentum 0.9) or ``"adamw"``.
    :param decay: weight decay on every parameter. :param smoothing: label smoothing, 0 to 1.
    :param clip: largest gradient norm, 0 for none.
    :param accumulate: parts a batch is run in, one after the other, where memory does not hold it whole; the gradient
        is that of the whole batch (but batch normalisation sees the parts).
    :param average: share of the old in a running average of weights, 0 for none; it is the average that is validated
        and kept. Early on the share is less, ``(1 + n)/(10 + n)`` after n steps.
    :param keep: which weights the network is left with: ``"best"`` on validation (the first of equals), or ``"last"``.
    :param precision: ``"float32"``, or ``"bfloat16"`` for autocast in training (evaluation is always float32).
    """

    epochs: int = 20
    batch: int = 128
    rate: float = 0.1
    optimiser: str = "sgd"
    decay: float = 5e-4
    smoothing: float = 0.0
    warmup: float = 0.0
    clip: float = 0.0
    precision: str = "float32"
    accumulate: int = 1
    average: float = 0.0
    keep: str = "best"

    def __post_init__(self) -> None:
        whole = isinstance(self.epochs, int) and isinstance(self.batch, int)
        for names, fits, expected in (
            ("epochs, batch", whole and self.epochs >= 1 and self.batch >= 1, "whole numbers from 1"),
            ("rate", 0 < self.rate < math.inf, "a finite number above 0"),
            ("decay, clip", 0 <= self.decay < math.inf and 0 <= self.clip < math.inf, "finite numbers of at least 0"),
            ("smoothing", 0 <= self.smoothing <= 1, "0 to 1"),
            ("warmup", 0 <= self.warmup <= self.epochs, "0 to the number of epochs"),
            ("accumulate", isinstance(self.accumulate, int) and self.accumulate >= 1, "a whole number from 1"),
            ("average", 0 <= self.average < 1, "0 to below 1; 0.999 is usual"),
            ("keep", self.keep in ("best", "last"), "'best' or 'last'"),
        ):
            if not fits:
                got = ", ".join(f"{name}={getattr(self, name)!r}" for name in names.split(", "))
                raise ValueError(f"Plan got {got}, expected {expected}.")
        if self.optimiser not in ("sgd", "adamw") or self.precision not in ("float32", "bfloat16"):
            raise ValueError(
                f"Plan got optimiser={self.optimiser!r}, precision={self.precision!r}, expected 'sgd' or 'adamw' and "
                "'float32' or 'bfloat16'."
            )

    def rate_at(self, progress: float) -> float:
        """The learning rate after ``progress`` epochs, 0 to ``epochs``."""
        if progress < self.warmup:
            return self.rate * progress / self.warmup
        return self.rate / 2 * (1 + math.cos(math.pi * (progress - self.warmup) / max(self.epochs - self.warmup, 1e-9)))


@dataclass(frozen=True)
class Epoch:
    """One epoch: its number from 1, mean training loss, accuracies in percent, wall time in seconds."""

    number: int
    epochs: int
    loss: float
    accuracy: float
    validation: float
    seconds: float


def fit(
    network: nn.Module, train: Data, validation: Data, plan: Plan, generator: torch.Generator,
    augment: Augment | None = None, progress: Callable[[Epoch], None] | None = None,
    checkpoint: str | Path | None = None, objective: Loss | OfBatch | None = None, log: str | Path | None = None,
) -> list[Epoch]:  # fmt: skip
    """Train in place and leave the network with the weights that did best on validation (or the last), in eval mode.

    :param network: batch → logits ``[B, classes]``, e.g. a VGG, or ``SNN(network, Repeat(4), mean)``; or logits at each
        step ``[T, B, classes]``, whose mean over time decides.
    :param train: shuffled anew each epoch. :param validation: chooses the weights; must not be the test set.
    :param generator: every random choice comes from it (order, augmentation, and dropout inside the network).
    :param augment: applied to training batches of ``train.x`` before ``train.prepare``.
    :param progress: called after every epoch.
    :param checkpoint: a ``.safetensors`` file, written after every epoch; if it is there, training goes on from it and
        ends as if it had never stopped. It knows its run by the plan, the samples and labels, and the state in which
        ``generator`` came; what ``prepare`` and ``augment`` do it cannot know.
    :param objective: what is made small, see :mod:`spikeworks.train.objective`; it sees logits ``[T, B, classes]`` in
        single precision, T = 1 where the network gives none of time. Default: ``MeanCE`` with the plan's smoothing.
    :param log: a ``.jsonl`` file with a line per epoch, whole after each.
    :returns: one :class:`Epoch` per epoch.
    :raises ValueError: for labels the network has no output for, a checkpoint of another network or run, or a loss that
        is no longer finite.
    """
    device = _device(network)
    if train.x.dim() == 4:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = _optimiser(network, plan)
    history: list[Epoch] = []
    best: dict[str, Tensor] = {}
    average = Average(network, plan.average)
    loss_of = objective or MeanCE(plan.smoothing)
    run = asdict(plan) | {"objective": repr(objective)} if objective else asdict(plan)
    if checkpoint is not None:
        data = fingerprint(train.x, train.y, validation.x, validation.y)
        run |= {"data": data, "seed": fingerprint(generator.get_state())}  # before anything is drawn
        if Path(checkpoint).exists():
            kept, best = load_checkpoint(checkpoint, network, optimiser, generator, run, average)
            history = [Epoch(**e) for e in kept]
    for number in range(len(history) + 1, plan.epochs + 1):
        begin = time.perf_counter()
        with torch.random.fork_rng():  # dropout draws from torch's default generator: seed it, then put it back
            torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))
            loss, right = _epoch(network, train, plan, optimiser, generator, augment, number, device, loss_of, average)
        with average.inside(network):
            reached = accuracy(network, validation, plan.batch)
            if plan.keep == "last" or not history or reached > max(e.validation for e in history):
                best = {k: v.detach().clone() for k, v in network.state_dict().items()}
        history.append(Epoch(number, plan.epochs, loss, right, reached, time.perf_counter() - begin))
        if checkpoint is not None:
            save_checkpoint(checkpoint, network, optimiser, generator, run, [asdict(e) for e in history], best, average)
        if log is not None:
            with whole(log) as temporary:
                temporary.write_text("".join(f"{json.dumps(asdict(e))}\n" for e in history), encoding="utf-8")
        if progress is not None:
            progress(history[-1])
    network.load_state_dict(best)
    network.eval()
    return history


@torch.no_grad()
def accuracy(network: nn.Module, data: Data, batch: int = 256) -> float:
    """Top-1 accuracy in percent, in eval mode; every module's mode is put back."""
    device = _device(network)
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    right = 0
    for x, y in zip(data.x.split(batch), data.y.split(batch), strict=True):
        logits = _decided(network(_ready(data.prepare(x), device)))
        right += int((logits.argmax(-1) == y.to(device)).sum())
    for module, mode in modes:
        module.training = mode
    return 100.0 * right / len(data.y)


def _epoch(
    network: nn.Module, train: Data, plan: Plan, optimiser: Any, generator: torch.Generator, augment: Augment | None,
    number: int, device: torch.device, objective: Loss | OfBatch, average: Average,
) -> tuple[float, float]:  # fmt: skip
    network.train()
    order = torch.randperm(len(train.y), generator=generator)
    parts = order.split(plan.batch)
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts = parts[:-1]  # batch normalisation has no variance over one sample
    total, right = 0.0, 0
    for i, index in enumerate(parts):
        for group in optimiser.param_groups:
            group["lr"] = plan.rate_at(number - 1 + i / len(parts))
        optimiser.zero_grad(set_to_none=True)
        for part in index.chunk(plan.accumulate):
            x, y = train.x[part], train.y[part].long().to(device)
            x = _ready(train.prepare(augment(x, generator) if augment else x), device)
            with torch.autocast(device.type, torch.bfloat16, enabled=plan.precision == "bfloat16"):
                logits = network(x)
            if number == 1 and i == 0:
                _check_outputs(logits, train)
            loss_of = objective.of(x) if isinstance(objective, OfBatch) else objective
            loss = loss_of(logits.float() if logits.dim() == 3 else logits.float().unsqueeze(0), y)
            if not bool(loss.isfinite()):
                raise ValueError(
                    f"fit got a loss of {loss.item()} in epoch {number}, expected a finite number; lower "
                    f"rate={plan.rate:g} or set clip=1."
                )
            (loss * (len(part) / len(index))).backward()
            total += float(loss.detach()) * len(y)
            right += int((_decided(logits.detach()).argmax(-1) == y).sum())
        if plan.clip:
            nn.utils.clip_grad_norm_(network.parameters(), plan.clip)
        optimiser.step()
        average.update(network)
    seen = sum(map(len, parts))
    return total / seen, 100.0 * right / seen


def _decided(logits: Tensor) -> Tensor:
    """What decides: the mean over time, if there is time."""
    return logits.mean(0) if logits.dim() == 3 else logits


def _device(network: nn.Module) -> torch.device:
    for parameter in network.parameters():
        return parameter.device
    raise ValueError(
        f"{type(network).__name__} has no parameters, expected some to train; pass a network with weights."
    )


def _ready(x: Tensor, device: torch.device) -> Tensor:
    x = x.to(device)
    return x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x


def _optimiser(network: nn.Module, plan: Plan) -> torch.optim.Optimizer:
    parameters = [p for p in network.parameters() if p.requires_grad]
    if plan.optimiser == "sgd":
        return torch.optim.SGD(parameters, plan.rate, momentum=0.9, nesterov=True, weight_decay=plan.decay)
    return torch.optim.AdamW(parameters, plan.rate, weight_decay=plan.decay)


def _check_outputs(logits: Tensor, train: Data) -> None:
    classes = int(train.y.max()) + 1
    if logits.dim() not in (2, 3) or logits.shape[-1] < classes:
        raise ValueError(
            f"fit got logits of shape {tuple(logits.shape)} for labels up to {classes - 1}, expected [B, {classes}] or "
            f"[T, B, {classes}], or wider; give the network as many outputs as there are classes."
        )
