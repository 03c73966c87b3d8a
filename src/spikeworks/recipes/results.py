"""Results kept as they come, so that a comparison that was stopped goes on with the methods it has not done."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from ..convert import Method
from ..measure.result import MethodResult, Report
from ..measure.store import load_report, save_report
from ..train.checkpoint import fingerprint
from .data import Split


class Results:
    """One file per method in a folder, known by what it is the result of: network, data, method and steps.

    :param folder: where; ``None``: nothing is kept.
    """

    def __init__(self, folder: str | Path | None) -> None:
        self.folder = None if folder is None else Path(folder)

    def place(
        self, name: str, method: Method, network: nn.Module, split: Split, steps: Sequence[int]
    ) -> Path | None:  # fmt: skip
        """The file of a result; another network, other data, another method or other steps have another."""
        if self.folder is None:
            return None
        seen = split.test.prepare(split.test.x[:8])  # as normalised; and what the network's own code makes of it
        with torch.no_grad():
            answers = network(seen)
        weights = network.state_dict().values()
        bits = fingerprint(*weights, split.train.x, split.test.x, split.test.y, seen, answers)
        whole = f"{bits}{type(network).__name__}{method!r}{list(steps)}"
        return self.folder / f"{name}-{hashlib.sha256(whole.encode()).hexdigest()[:16]}.json"

    def get(self, place: Path | None) -> MethodResult | None:
        """The result, if it is there and whole."""
        if place is None or not place.exists():
            return None
        try:
            return load_report(place).results[0]
        except (ValueError, IndexError):  # of another version, or no report: measured again
            return None

    def put(self, place: Path | None, result: MethodResult) -> None:
        """Keep it."""
        if place is not None:
            save_report(Report(result.label, [result]), place)
