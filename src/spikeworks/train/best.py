"""The weights of the epochs best on validation, a file each beside the checkpoint."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from torch import Tensor

from .checkpoint import write
from .history import Epoch, ranked


def best_files(checkpoint: str | Path) -> dict[int, Path]:
    """Epoch → the file of its weights beside a checkpoint, in ascending order: ``run.epoch0007.safetensors``."""
    path = Path(checkpoint)
    name = re.compile(re.escape(path.stem) + r"\.epoch(\d{4,})\.safetensors")
    beside = path.parent.iterdir() if path.parent.is_dir() else ()
    return dict(sorted((int(match[1]), file) for file in beside if (match := name.fullmatch(file.name))))


def keep_epoch(checkpoint: str | Path, weights: Mapping[str, Tensor], history: Sequence[Epoch], count: int) -> None:
    """Write the weights of the last epoch, if it is among the ``count`` best; its figures go into the header.

    To be called before the checkpoint is written: who is stopped in between writes the same file again.
    """
    last = history[-1]
    if last in ranked(history)[:count]:
        path = Path(checkpoint)
        place = path.with_name(f"{path.stem}.epoch{last.number:04d}.safetensors")
        write(place, weights, {"epoch": json.dumps(asdict(last))}, f"after epoch {last.number}")


def drop_others(checkpoint: str | Path, history: Sequence[Epoch], count: int) -> None:
    """Remove the files of epochs that are not among the ``count`` best (any more): after the checkpoint is written."""
    kept = {epoch.number for epoch in ranked(history)[:count]}
    for number, file in best_files(checkpoint).items():
        if number not in kept:
            file.unlink(missing_ok=True)
