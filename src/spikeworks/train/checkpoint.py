"""Weights in safetensors files: whole ones, or none; nothing is executed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from ..disk import whole


def save_weights(network: nn.Module, path: str | Path) -> None:
    """Write a network's parameters and buffers as safetensors.

    :raises ValueError: if ``path`` is a folder. :raises OSError: if the disk does not take it; then what was there is.
    """
    write(path, network.state_dict())


def load_weights(network: nn.Module, path: str | Path, part: Literal["best", "last"] = "best") -> None:
    """Load safetensors into a network: all of them, with equal names and shapes, or none.

    :param path: what :func:`save_weights` wrote, or a checkpoint of ``fit``.
    :param part: of a checkpoint, the weights best on validation so far, or those of the last epoch, to train on from.
    :raises ValueError: if the file is absent, a pickle, truncated, not safetensors, or of another network.
    """
    if part not in ("best", "last"):
        raise ValueError(f"load_weights got part={part!r}, expected 'best' or 'last'; choose one of them.")
    tensors, words = read(path)
    if "history" in words:  # a checkpoint
        prefix = {"best": "best.", "last": "network."}[part]
        tensors = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    fits(network, tensors, str(path))
    network.load_state_dict(tensors)


def write(
    path: str | Path, tensors: Mapping[str, Tensor], words: dict[str, str] | None = None, after: str = ""
) -> None:
    """Write tensors, and words into the header, as safetensors: the whole file, or nothing.

    :param after: when this is, for the message. :raises OSError: if the disk does not take it.
    """
    from safetensors.torch import save_file

    with taken(path, after), whole(path) as temporary:
        save_file({k: v.detach().contiguous().clone() for k, v in tensors.items()}, temporary, words)


@contextmanager
def taken(path: str | Path, after: str = "") -> Iterator[None]:
    """Around the writing of a file: one sentence of what a full disk, or one that cannot be written, leaves behind.

    :raises OSError: with that sentence.
    """
    try:
        yield
    except Exception as error:
        if not isinstance(error, OSError) and not type(error).__module__.startswith("safetensors"):
            raise
        left = "what was there before is whole" if Path(path).exists() else "nothing was left there"
        raise OSError(
            f"{path} could not be written{after and f' {after}'} ({error}); {left}: make room, or choose another "
            "place, and start the same again."
        ) from error


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


def fingerprint(*tensors: Tensor) -> str:
    """The same for tensors of the same type, shape and bits, and for no others."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def fits(network: nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Nothing, if a network has tensors of these names and shapes and no others.

    :param source: where they are from, for the message. :raises ValueError: if not.
    """
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
