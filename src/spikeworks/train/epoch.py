"""One pass over the training set, by one process or by several that each take a share of every batch."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from .data import Augment, Data
from .evaluate import Answers, Score, ready, summed
from .objective import Loss, OfBatch
from .run import Run

Rule = Callable[[nn.Module, Tensor, Tensor, Loss], tuple[Tensor, Tensor]]
"""``rule(network, x, y_B, loss)`` → the loss and logits ``[T, B, C]``, gradients left in ``.grad``: what takes the
place of forward and backward pass, e.g. :class:`~spikeworks.train.SLTT`."""


def train_epoch(
    run: Run, train: Data, augment: Augment | None, number: int, objective: Loss | OfBatch,
    score: Score, rule: Rule | None = None,
) -> tuple[float, float]:  # fmt: skip
    """Train for one epoch: mean loss, and mean score of the batches as they came.

    The run's generator is drawn from alike in every process: the order, and a seed. From the seed and a process's
    number come what dropout draws there and, where there are several processes, augmentation.

    :param number: of the epoch, from 1. :param rule: see :data:`Rule`; default back-propagation through time.
    :raises ValueError: if the loss, or a weight, is no longer finite, or there are too few outputs for the labels.
    """
    with torch.random.fork_rng():  # dropout draws from torch's default generator: seed it, then put it back
        seed = int(torch.randint(2**62, (), generator=run.generator)) + run.team.rank
        torch.manual_seed(seed)
        order = torch.randperm(len(train.y), generator=run.generator)
        draw = run.generator if run.team.size == 1 else torch.Generator().manual_seed(2**62 + seed)
        return _epoch(run, train, order, augment, draw, number, objective, score, rule)


def _epoch(
    run: Run, train: Data, order: Tensor, augment: Augment | None, draw: torch.Generator, number: int,
    objective: Loss | OfBatch, score: Score, rule: Rule | None,
) -> tuple[float, float]:  # fmt: skip
    team, plan, optimiser, network, device = run.team, run.plan, run.optimiser, run.team.network, run.team.device
    network.train()
    parts = order.split(plan.batch)
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts = parts[:-1]  # batch normalisation has no variance over one sample
    total, scored = 0.0, 0.0
    for i, index in enumerate(parts):
        for group in optimiser.param_groups:
            group["lr"] = plan.rate_at(number - 1 + i / len(parts))
        optimiser.zero_grad(set_to_none=True)
        for j, part in enumerate(chunks := index.tensor_split(_parts(index, plan.accumulate))):
            mine, count = team.share(part)
            x, y = train.x[mine], (train.y[mine].long() if train.classes else train.y[mine]).to(device)
            x = ready(train.prepare(augment(x, draw) if augment else x), device)
            loss_of = objective.of(x) if isinstance(objective, OfBatch) else objective
            weight = team.size * count / len(index)  # a team's gradient is its members' mean
            with team.gathering(j == len(chunks) - 1):
                if rule is not None:
                    loss, logits = _by_rule(run, rule, train, x, y, loss_of, weight)
                else:
                    with torch.autocast(device.type, torch.bfloat16, enabled=plan.precision == "bfloat16"):
                        logits = team.module(x)
                    if number == 1 and i == 0 and train.classes:
                        _check_outputs(logits, train)
                    loss = loss_of(_seen(logits, train.classes), y)
                (lost,) = team.sums(float(loss.detach()) * count)  # of all processes, so that all stop as one
                if not math.isfinite(lost):
                    _stop(run, f"a loss of {lost / len(part)}", number)
                if rule is None:
                    (loss * weight).backward()
            total += lost
            scored += summed(score, logits, y, count)
        if plan.clip:
            team.clip(plan.clip)
        optimiser.step()
        team.level()
        run.average.update(network)
    if not team.finite():  # the last step's doing: no loss has told
        _stop(run, "weights that are not finite", number)
    seen = sum(map(len, parts))
    return total / seen, team.sums(scored)[0] / seen


def _seen(answers: Answers, classes: bool) -> Answers:
    """Answers in single precision, and with time where they are logits; those that are no classes stay as they are."""
    if not isinstance(answers, Tensor):
        return [answer.float() for answer in answers]
    return answers.float().unsqueeze(0) if classes and answers.dim() == 2 else answers.float()


def _parts(index: Tensor, wanted: int) -> int:
    """How many parts a batch is run in: none of them of one sample, which has no variance to be normalised by."""
    return max(1, min(wanted, len(index) // 2))


def _by_rule(
    run: Run, rule: Rule, train: Data, x: Tensor, y: Tensor, loss_of: Loss, weight: float
) -> tuple[Tensor, Tensor]:
    """The loss and the logits; gradients, times ``weight``, are in ``.grad``."""

    def scored(z_TBC: Tensor, y_B: Tensor) -> Tensor:
        _check_outputs(z_TBC, train)
        return weight * loss_of(z_TBC.float(), y_B)

    with torch.autocast(run.team.device.type, torch.bfloat16, enabled=run.plan.precision == "bfloat16"):
        loss, logits = rule(run.team.network, x, y, scored)
    return loss / weight, logits


def _stop(run: Run, what: str, number: int) -> None:
    run.team.agreed = True
    again = f"after epoch {number - 1}" if number > 1 else "that it came with"
    raise ValueError(
        f"fit got {what} in epoch {number}, expected finite numbers; the network has the weights {again} again: lower "
        f"rate={run.plan.rate:g} or set clip=1, and start a run with another checkpoint from there."
    )


def _check_outputs(logits: Tensor, train: Data) -> None:
    classes = int(train.y.max()) + 1
    if logits.dim() not in (2, 3) or logits.shape[-1] < classes:
        raise ValueError(
            f"fit got logits of shape {tuple(logits.shape)} for labels up to {classes - 1}, expected [B, {classes}] or "
            f"[T, B, {classes}], or wider; give the network as many outputs as there are classes."
        )
