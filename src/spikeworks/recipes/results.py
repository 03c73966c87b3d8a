"""Results kept as they come, so that a comparison that was stopped goes on with the methods it has not done."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import torch
from torch import Tensor, nn

from ..convert import Method
from ..measure.batches import batches
from ..measure.result import MethodResult, Report
from ..measure.store import load_report, save_report
from ..train.checkpoint import fingerprint
from .data import Split


class Results:
    """One file per method in a folder, known by what it is the result of: network, data, method and steps.

    :param folder: where; ``None``: nothing is kept. :param fresh: what is there already is not taken.
    """

    def __init__(self, folder: str | Path | None, fresh: bool = False) -> None:
        self.folder, self.fresh = None if folder is None else Path(folder), fresh
        self._known: dict[tuple[int, int], str] = {}

    def place(
        self, name: str, method: Method, network: nn.Module, split: Split, steps: Sequence[int]
    ) -> Path | None:  # fmt: skip
        """The file of a result; another network, other data, another method or other steps have another."""
        if self.folder is None:
            return None
        key = id(network), id(split)  # the same things for as long as this comparison runs
        if key not in self._known:
            self._known[key] = _inputs(network, split)
        whole = f"{self._known[key]}{method!r}{list(steps)}"
        return self.folder / f"{name}-{hashlib.sha256(whole.encode()).hexdigest()[:16]}.json"

    def get(self, place: Path | None) -> MethodResult | None:
        """The result, if it is there and whole."""
        if place is None or self.fresh or not place.exists():
            return None
        try:
            return load_report(place).results[0]
        except (ValueError, IndexError):  # of another version, or no report: measured again
            return None

    def put(self, place: Path | None, result: MethodResult) -> None:
        """Keep it."""
        if place is not None:
            save_report(Report(result.label, [result]), place)


def _inputs(network: nn.Module, split: Split) -> str:
    """What a network and data are: weights, samples, labels, the modules, and what the network answers to some samples,
    in which the code of its ``forward`` and the preparation of the data show; and this package's version."""
    x, _ = next(batches(split.test.take(slice(0, 8)).batches(8), network, "Results"))
    answers = []
    if not any(module.training for module in network.modules()):  # which a run would change; convert refuses it
        with torch.no_grad():
            answers = [y for y in [network(x)] if isinstance(y, Tensor)]  # all else convert refuses
    bits = fingerprint(*network.state_dict().values(), split.train.x, split.test.x, split.test.y, x, *answers)
    return f"{bits}{network!r}{[d.version for d in metadata.distributions(name='spikeworks')]}"
