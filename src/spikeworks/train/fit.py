"""The loop: a network, deep or spiking, trained on tensors; the weights best on validation are kept, or the last."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor, nn

from .best import drop_others, keep_epoch
from .data import Augment, Data
from .epoch import Rule, train_epoch
from .evaluate import Score, ready, shared_score, top1
from .history import Epoch
from .log import Log, logs_of
from .monitor import Activity, Monitor, activity, spiking
from .objective import Loss, MeanCE, OfBatch
from .parallel import Parallel, Team, copied, put
from .plan import Plan
from .resume import load_checkpoint, save_checkpoint
from .run import Run


def fit(
    network: nn.Module, train: Data, validation: Data, plan: Plan, generator: torch.Generator,
    augment: Augment | None = None, progress: Callable[[Epoch], None] | None = None,
    checkpoint: str | Path | None = None, objective: Loss | OfBatch | None = None,
    log: str | Path | Log | Sequence[str | Path | Log] | None = None,
    *, keep_best: int = 0, monitor: Monitor | None = None, parallel: Parallel | None = None, rule: Rule | None = None,
    score: Score = top1,
) -> list[Epoch]:  # fmt: skip
    """Train in place and leave the network with the weights that did best on validation (or the last), in eval mode.

    Whatever stops it (a loss that is no longer finite, Ctrl-C, a full disk) leaves the network with the weights of the
    last whole epoch (those it came with if there is none, or with FSDP), in eval mode, and the generator as it came;
    the checkpoint is that of an epoch, whole. So the same call goes on, and a new run can start from there.

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
    :param log: a ``.jsonl`` file with a line per epoch, whole after each; or a :class:`~spikeworks.train.Log`; or
        several of these in a list.
    :param keep_best: the weights of so many best epochs stay as files beside the checkpoint, see
        :func:`~spikeworks.train.best_files`.
    :param monitor: what looks for silent and saturated layers; what it saw is in the history and in logs.
    :param parallel: train by several processes, each of which calls this with the same arguments; default: by this
        one. Each takes its share of every batch, and the gradient is that of the whole batch. The order is the same as
        in one process; augmentation and dropout draw in each process for itself, so they differ from those in one.
        Batch normalisation sees shares (``nn.SyncBatchNorm`` sees the whole, on GPUs), its running statistics are their
        mean over processes. Process 0 writes checkpoint and logs and calls ``progress`` and the monitor's ``tell``.
    :param rule: what gradients come from in place of back-propagation through time, e.g.
        :class:`~spikeworks.train.OTTT`; in one process.
    :param score: how good answers are, see :data:`~spikeworks.train.Score`; default: top-1 in percent. Needed, with an
        objective, where ``train.y`` are no class numbers: both then see answers as the network gives them,
        be it one tensor or a list of them.
    :returns: one :class:`Epoch` per epoch; :func:`~spikeworks.train.summary` reads best and last from it.
    :raises ValueError: for labels the network has no output for, a checkpoint of another network or run, or a loss that
        is no longer finite. :raises OSError: if a file cannot be written.
    """
    if keep_best < 0 or (keep_best and checkpoint is None):
        raise ValueError(
            f"fit got keep_best={keep_best} and checkpoint={checkpoint}, expected a number from 0, and a checkpoint to "
            "keep files beside; pass both."
        )
    if not train.classes and (objective is None or score is top1 or rule is not None):
        raise ValueError(
            f"fit got answers {tuple(train.y.shape)} of {train.y.dtype}, expected an objective and a score that take "
            "such, and no rule; pass objective= and score=, or class numbers as y."
        )
    if rule is not None and parallel is not None:
        raise ValueError(
            "fit got both rule and parallel, expected one: processes exchange gradients of BPTT; drop one."
        )
    if monitor is not None:
        spiking(network)  # refuses a network that it cannot watch
    if train.x.dim() == 4:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    team = Team(network) if parallel is None else parallel.team(network)
    logs, opened = logs_of(log) if team.rank == 0 else [], list[Log]()
    came = generator.get_state()
    run = Run(team, plan, generator)
    try:
        generator.set_state(team.lead(came))
        run.identify(objective, train, validation, checkpoint is not None, rule, None if score is top1 else score)
        _resume(checkpoint, run, keep_best)
        for each in logs:
            each.open(run.name(checkpoint), run.identity, run.history)
            opened.append(each)
        loss_of = objective or MeanCE(plan.smoothing)
        for number in range(len(run.history) + 1, plan.epochs + 1):
            begin = time.perf_counter()
            loss, right = train_epoch(run, train, augment, number, loss_of, score, rule)
            trained = copied(team.network)
            with run.average.inside(team.network):
                reached = shared_score(team, validation, plan.batch, score)
                judged = copied(team.network) if plan.average else trained
                seen = _look(monitor, team, validation, number)
            epoch = Epoch(number, plan.epochs, loss, right, reached, time.perf_counter() - begin, seen)
            run.take(epoch, trained, judged)
            _save(checkpoint, run, judged, keep_best)
            for each in logs:
                each.write(epoch)
            if team.rank == 0:
                _tell(monitor, run.history)
                if progress is not None:
                    progress(epoch)
        put(team, run.best, network)
    except BaseException:
        if team.network is network:
            network.load_state_dict(run.kept)
        generator.set_state(came)
        for each in opened:
            with suppress(Exception):  # what stopped training is what must be told
                each.close(False)
        team.leave()
        raise
    finally:
        network.eval()
    for each in logs:
        each.close(True)
    return run.history


def _resume(checkpoint: str | Path | None, run: Run, keep_best: int) -> None:
    there = checkpoint is not None and Path(checkpoint).exists()
    run.team.alike("checkpoint", str(there))
    if checkpoint is not None and there:
        load_checkpoint(checkpoint, run)
        run.team.alike("checkpoint", str(len(run.history)))
        if keep_best and run.team.rank == 0:
            drop_others(checkpoint, run.history, keep_best)


def _save(checkpoint: str | Path | None, run: Run, judged: dict[str, Tensor], keep_best: int) -> None:
    if checkpoint is None:
        return
    if keep_best:
        weights = {name: run.team.whole(value) for name, value in judged.items()}
        if run.team.rank == 0:
            keep_epoch(checkpoint, weights, run.history, keep_best)
    save_checkpoint(checkpoint, run)
    if keep_best and run.team.rank == 0:
        drop_others(checkpoint, run.history, keep_best)


def _look(monitor: Monitor | None, team: Team, validation: Data, number: int) -> dict[str, Activity]:
    if monitor is None or number % monitor.every:
        return {}
    x = ready(validation.prepare(validation.x[: monitor.samples]), team.device)
    return activity(team.network, x, monitor.often)


def _tell(monitor: Monitor | None, history: list[Epoch]) -> None:
    if monitor is not None:
        for line in monitor.complaints(history[-1].activity, [e.activity for e in history[:-1]]):
            monitor.tell(f"epoch {history[-1].number}: {line}")
