"""A training run in one safetensors file: tensors, and the rest as JSON in its header; never half of one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from .checkpoint import fits, read, write
from .history import Epoch
from .parallel import Team, copied
from .run import Run


def save_checkpoint(path: str | Path, run: Run) -> None:
    """Write all that :func:`load_checkpoint` needs to go on as if training had not stopped.

    Every process of the run's team has to call this; the first one writes.

    :raises OSError: if the disk does not take it; the checkpoint before is whole then.
    """
    own = run.team.network.state_dict()
    tensors = {f"network.{k}": v for k, v in own.items()} | {f"best.{k}": v for k, v in run.best.items()}
    for i, state in run.optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{i}.{k}": v for k, v in state.items() if isinstance(v, Tensor)}
    tensors |= {f"average.{k}": v for k, v in run.average.tensors().items()}
    tensors["generator"] = run.generator.get_state()
    tensors = {name: run.team.whole(tensor) for name, tensor in tensors.items()}
    if run.team.rank == 0:
        words = {"run": json.dumps(run.identity), "history": json.dumps([asdict(epoch) for epoch in run.history])}
        write(path, tensors, words, f"after epoch {len(run.history)}")


def load_checkpoint(path: str | Path, run: Run) -> None:
    """Put a run that has just begun where it was left. Every process of its team has to call this, and reads.

    :raises ValueError: if the file is unreadable, or of another network or run; then nothing was changed.
    """
    tensors, words = read(path)
    try:
        history, made_with = json.loads(words["history"]), json.loads(words["run"])
    except (KeyError, ValueError) as error:
        raise ValueError(
            f"{path} holds weights but no training run, expected a checkpoint of fit; delete it."
        ) from error
    if made_with != run.identity:
        mine = run.identity
        changed = sorted(k for k in mine.keys() | made_with.keys() if mine.get(k) != made_with.get(k))
        raise ValueError(
            f"{path} is of a run with another {', '.join(changed)}, expected a checkpoint of this run; give the same "
            "again, or another place."
        )
    groups: dict[str, dict[str, Tensor]] = {k: {} for k in ("network", "best", "optimiser", "generator", "average")}
    state: dict[int, dict[str, Tensor]] = {}
    try:
        for name, tensor in tensors.items():
            group, _, rest = name.partition(".")
            groups[group][rest] = tensor
        for name, tensor in groups["optimiser"].items():
            number, _, what = name.partition(".")
            state.setdefault(int(number), {})[what] = tensor
        torch.Generator().set_state(groups["generator"][""])
    except (KeyError, ValueError, RuntimeError) as error:
        raise ValueError(f"{path} is no whole checkpoint ({error!r}), expected what fit wrote; delete it.") from error
    team, network, counted = run.team, run.team.network, groups["average"].pop("", None)
    for weights in (groups["network"], groups["best"], *([groups["average"]] if counted is not None else [])):
        fits(network, weights, str(path))
    own = network.state_dict()
    network.load_state_dict(_like(team, groups["network"], own))
    for i, parameter in enumerate(p for group in run.optimiser.param_groups for p in group["params"]):
        if i in state:
            state[i] = {name: team.like(value, parameter) for name, value in state[i].items()}
    run.optimiser.load_state_dict({"state": state, "param_groups": run.optimiser.state_dict()["param_groups"]})
    run.generator.set_state(groups["generator"][""])
    if counted is not None:
        run.average.restore({**_like(team, groups["average"], own), "": counted})
    run.history, run.best = [Epoch(**epoch) for epoch in history], _like(team, groups["best"], own)
    run.kept = copied(network)


def _like(team: Team, weights: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: team.like(value, own[name]) for name, value in weights.items()}
