"""A training run in one safetensors file: tensors, and the rest as JSON in its header; never half of one."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..disk import whole
from .average import Average


def save_weights(network: nn.Module, path: str | Path) -> None:
    """Write a network's parameters and buffers as safetensors.

    :raises ValueError: if ``path`` is a folder.
    """
    from safetensors.torch import save_file

    with whole(path) as temporary:
        save_file({k: v.detach().contiguous().clone() for k, v in network.state_dict().items()}, temporary)


def load_weights(network: nn.Module, path: str | Path) -> None:
    """Load safetensors into a network: all of them, with equal names and shapes, or none.

    :raises ValueError: if the file is absent, a pickle, truncated, not safetensors, or of another network.
    """
    tensors, _ = read(path)
    _fits(network, tensors, str(path))
    network.load_state_dict(tensors)


def read(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Every tensor of a safetensors file, and the words in its header.

    :raises ValueError: if the file is absent, a pickle, truncated, or not safetensors.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if path.suffix in {".pt", ".pth", ".ckpt", ".bin", ".pkl"}:
        raise ValueError(
            f"{path} is a pickle, which runs code when it is read, expected safetensors; where you trust it, convert "
            "it once: safetensors.torch.save_file(torch.load(path, weights_only=True), 'weights.safetensors')."
        )
    if not path.is_file():
        raise ValueError(f"{path} is not a file, expected weights in a .safetensors file; check the path.")
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        raise ValueError(
            f"{path} ({path.stat().st_size} bytes) cannot be read as safetensors ({error}), expected a complete file; "
            "copy or export it again."
        ) from error


def save_checkpoint(
    path: str | Path, network: nn.Module, optimiser: torch.optim.Optimizer, generator: torch.Generator,
    run: dict[str, Any], history: list[dict[str, Any]], best: dict[str, Tensor], average: Average,
) -> None:  # fmt: skip
    """Write all that :func:`load_checkpoint` needs to go on as if training had not stopped.

    :param run: what tells this run from others, ready for JSON.
    """
    from safetensors.torch import save_file

    tensors = {f"network.{k}": v for k, v in network.state_dict().items()} | {f"best.{k}": v for k, v in best.items()}
    for i, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{i}.{k}": v for k, v in state.items() if isinstance(v, Tensor)}
    tensors |= {f"average.{k}": v for k, v in average.tensors().items()}
    tensors["generator"] = generator.get_state()
    words = {"run": json.dumps(run), "history": json.dumps(history)}
    with whole(path) as temporary:
        save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()}, temporary, words)


def load_checkpoint(
    path: str | Path, network: nn.Module, optimiser: torch.optim.Optimizer, generator: torch.Generator,
    run: dict[str, Any], average: Average,
) -> tuple[list[dict[str, Any]], dict[str, Tensor]]:  # fmt: skip
    """Put network, optimiser, generator and average where a run left them.

    :param run: as :func:`save_checkpoint` was given it.
    :returns: the history so far, and the best weights so far.
    :raises ValueError: if the file is unreadable, or of another network or run; then nothing was changed.
    """
    tensors, words = read(path)
    try:
        history, made_with = json.loads(words["history"]), json.loads(words["run"])
    except (KeyError, ValueError) as error:
        raise ValueError(
            f"{path} holds weights but no training run, expected a checkpoint of fit; delete it."
        ) from error
    if made_with != run:
        changed = sorted(k for k in run.keys() | made_with.keys() if run.get(k) != made_with.get(k))
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
    counted = groups["average"].pop("", None)
    for weights in (groups["network"], groups["best"], *([groups["average"]] if counted is not None else [])):
        _fits(network, weights, str(path))
    network.load_state_dict(groups["network"])
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    generator.set_state(groups["generator"][""])
    if counted is not None:
        average.restore({**groups["average"], "": counted})
    return history, groups["best"]


def fingerprint(*tensors: Tensor) -> str:
    """The same for tensors of the same type, shape and bits, and for no others."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _fits(network: nn.Module, tensors: dict[str, Tensor], source: str) -> None:
    own = {k: tuple(v.shape) for k, v in network.state_dict().items()}
    given = {k: tuple(v.shape) for k, v in tensors.items()}
    if own == given:
        return
    missing, foreign = sorted(own.keys() - given.keys()), sorted(given.keys() - own.keys())
    shaped = sorted(k for k in own.keys() & given.keys() if own[k] != given[k])
    first = (
        f"it lacks {missing[0]!r}" if missing
        else f"it also has {foreign[0]!r}" if foreign
        else f"{shaped[0]!r} is {given[shaped[0]]} instead of {own[shaped[0]]}"
    )  # fmt: skip
    raise ValueError(
        f"{source} is of another network ({first}; {len(missing)} missing, {len(foreign)} unknown, {len(shaped)} "
        f"of another shape), expected the {len(own)} tensors of {type(network).__name__}; build that network."
    )
