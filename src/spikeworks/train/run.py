"""A training run: what it is, and where it stands. This is what a checkpoint holds."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .average import Average
from .checkpoint import fingerprint
from .data import Data
from .history import Epoch, ranked
from .parallel import Team, copied
from .plan import Plan


class Run:
    """Where a run stands; after each epoch it moves on by :meth:`take`.

    :param team: with the network as training starts from it. :param generator: as training starts from it.
    """

    def __init__(self, team: Team, plan: Plan, generator: torch.Generator) -> None:
        self.team, self.plan, self.generator = team, plan, generator
        self.optimiser = _optimiser(team.network, plan)
        self.average = Average(team.network, plan.average)
        self.identity: dict[str, Any] = {}
        """What tells this run from others, ready for JSON."""
        self.history: list[Epoch] = []
        self.best: dict[str, Tensor] = {}
        """The weights that the network shall be left with."""
        self.kept = copied(team.network)
        """The weights after the last whole epoch, as training goes on with them."""

    def identify(
        self, objective: Any, train: Data, validation: Data, thoroughly: bool, rule: Any = None,
        score: Any = None,
    ) -> None:  # fmt: skip
        """Set :attr:`identity`, before anything is drawn, and see that it is the same in every process.

        :param thoroughly: by data and seed, too, which takes a moment.
        :raises ValueError: if another process has another plan, seed or other data.
        """
        chosen = {"objective": objective, "rule": rule, "score": score}
        self.identity = dict(vars(self.plan)) | {k: _words(v) for k, v in chosen.items() if v is not None}
        if thoroughly or self.team.size > 1:
            data = fingerprint(train.x, train.y, validation.x, validation.y)
            self.identity |= {"data": data, "seed": fingerprint(self.generator.get_state())}
        for what in sorted(self.identity):
            self.team.alike(what, repr(self.identity[what]))

    def name(self, checkpoint: str | Path | None) -> str:
        """The same for the run of one checkpoint whenever it goes on."""
        place = "" if checkpoint is None else str(Path(checkpoint).resolve())
        return hashlib.sha256(f"{json.dumps(self.identity)}{place}".encode()).hexdigest()[:32]

    def take(self, epoch: Epoch, trained: dict[str, Tensor], judged: dict[str, Tensor]) -> None:
        """One epoch more, whole.

        :param trained: the weights after it. :param judged: those that validation saw: they, or their average.
        """
        self.history, self.kept = [*self.history, epoch], trained
        if self.plan.keep == "last" or ranked(self.history)[0] is epoch:
            self.best = judged


def _words(value: Any) -> str:
    """What a value is, the same in every process: addresses, as of functions, are left out."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


def _optimiser(network: nn.Module, plan: Plan) -> torch.optim.Optimizer:
    parameters = [p for p in network.parameters() if p.requires_grad]
    if plan.optimiser == "sgd":
        return torch.optim.SGD(parameters, plan.rate, momentum=0.9, nesterov=True, weight_decay=plan.decay)
    return torch.optim.AdamW(parameters, plan.rate, weight_decay=plan.decay)
