"""Where a training recipe works: networks are trained one after the other, each measured once on test, all kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from ..layers import Spiking, running_mean
from ..measure.trained import Scored, Trained, trained
from ..train import Data, Epoch, Monitor, Plan, Score, activity, fit, load_weights, save_weights, top1
from ..train.fit import Augment
from ..train.objective import Loss, OfBatch
from .data import Split
from .run import Watch, few

Read = Callable[[Tensor], Tensor]
"""Logits of each step to what a decision after each step is read from."""


class Bench:
    """One run of a recipe.

    :param seed: of weights, order and augmentation.
    :param folder: where weights, checkpoints and logs lie; ``None``: nothing is kept.
    :param quick: one epoch on a few samples: does it run?
    :param learning: False: nothing is trained, weights are read from the folder.
    :param watch: who is told what happens.
    """

    def __init__(
        self, seed: int = 0, folder: Path | None = None, quick: bool = False, learning: bool = True,
        watch: Watch = Watch(),
    ) -> None:  # fmt: skip
        if folder is None and not learning:
            raise ValueError("Bench got no folder to read weights from, expected one; pass it, or train.")
        self.seed, self.folder, self.quick, self.learning, self.watch = seed, folder, quick, learning, watch
        self.results: list[Scored] = []

    def generator(self) -> torch.Generator:
        """A fresh generator of this run's seed."""
        return torch.Generator().manual_seed(self.seed)

    def split(self, split: Split) -> Split:
        """The data, or a few of them where only a quick look is wanted."""
        return few(split, 32, 20) if self.quick else split

    def train(
        self, name: str, network: nn.Module, split: Split, plan: Plan, objective: Loss | OfBatch | None = None,
        augment: Augment | None = None, score: Score = top1, kept: nn.Module | None = None,
    ) -> list[Epoch]:  # fmt: skip
        """Train in place, or put in the weights that were trained.

        :param name: of the network in this run. :param kept: the part of it whose weights are left; default: all. The
            rest as :func:`spikeworks.train.fit` takes it.
        :returns: one for each epoch; none if nothing was trained.
        """
        if not self.learning:
            load_weights(kept or network, self._place(f"weights.{name}.safetensors") or "")
            network.eval()
            return []
        plan = replace(plan, epochs=1, warmup=min(plan.warmup, 1)) if self.quick else plan
        monitor = Monitor(tell=lambda line: self.watch.say(f"{name}, {line}")) if _spikes(network) else None
        history = fit(
            network, split.train, split.validation, plan, self.generator(), augment,
            lambda epoch: self.watch.epoch(name, epoch), self._place(f"training.{name}.safetensors"), objective,
            self._place(f"training.{name}.jsonl"), monitor=monitor, score=score,
        )  # fmt: skip
        self.keep(name, kept or network)
        return history

    def measure(
        self, name: str, network: nn.Module, test: Data, label: str = "", read: Read = running_mean,
        history: Sequence[Epoch] = (), values: Mapping[str, float] | None = None,
    ) -> Trained:  # fmt: skip
        """Measure on test, and keep the result.

        :param label: for people. :param read: see :data:`Read`. :param history: of its training.
        :param values: further numbers.
        """
        z_TBC, y_B = logits(network, test)
        validation, seconds = [epoch.validation for epoch in history], sum(epoch.seconds for epoch in history)
        found = trained(name, z_TBC, y_B, read, label, validation, seconds, values)
        result = replace(found, rates=_rates(network, test))
        self.results.append(result)
        self.watch.say(f"{result.label}: {result.accuracy:.2f} % on test")
        return result

    def score(
        self, name: str, values: Mapping[str, float], label: str = "", history: Sequence[Epoch] = (),
        network: nn.Module | None = None, test: Data | None = None,
    ) -> Scored:  # fmt: skip
        """Keep what was measured on test of an answer that is no class, by a network or another way.

        :param values: numbers by name with unit. :param label: for people. :param history: of its training.
        :param network: whose spikes are counted, on ``test``.
        """
        rates = {} if network is None or test is None else _rates(network, test)
        validation, seconds = [epoch.validation for epoch in history], sum(epoch.seconds for epoch in history)
        found = Scored(
            name=name, label=label or name, values=dict(values), validation=validation, seconds=seconds, rates=rates
        )
        self.results.append(found)
        self.watch.say(f"{found.label}: {', '.join(f'{n} {v:.4g}' for n, v in values.items())} on test")
        return found

    def run(
        self, name: str, network: nn.Module, split: Split, plan: Plan, objective: Loss | OfBatch | None = None,
        augment: Augment | None = None, label: str = "", read: Read = running_mean,
        values: Callable[[nn.Module], Mapping[str, float]] | None = None,
    ) -> Trained:  # fmt: skip
        """Train, then measure. ``values``: further numbers of the trained network."""
        history = self.train(name, network, split, plan, objective, augment)
        more = values(network) if values else None
        return self.measure(name, network, split.test, label, read, history, more)

    def keep(self, name: str, network: nn.Module) -> None:
        """Leave weights in the folder."""
        if (place := self._place(f"weights.{name}.safetensors")) is not None:
            save_weights(network, place)

    def _place(self, name: str) -> Path | None:
        """A file of this run; a quick look is not one to go on from, but its weights can be looked at."""
        if self.folder is None or (self.quick and name.startswith("training.")):
            return None
        return self.folder / name


def _spikes(network: nn.Module) -> bool:
    return any(isinstance(module, Spiking) for module in network.modules())


def _rates(network: nn.Module, test: Data) -> dict[str, float]:
    x = test.prepare(test.x[:256]).to(next(network.parameters()).device)
    return {name: seen["rate"] for name, seen in activity(network, x).items()} if _spikes(network) else {}


@torch.no_grad()
def logits(network: nn.Module, data: Data, batch: int = 256) -> tuple[Tensor, Tensor]:
    """The answers of a network at each step ``[T, N, C]`` and the labels, in eval mode; ``[N, C]`` is one step."""
    device = next(network.parameters()).device
    network.eval()
    answers = []
    for x in data.x.split(batch):
        z = network(data.prepare(x).to(device)).float().cpu()
        answers.append(z if z.dim() == 3 else z.unsqueeze(0))
    return torch.cat(answers, 1), data.y.long()
