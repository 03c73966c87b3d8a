"""What every recipe does: train, convert by each method, measure on test, and keep how to do it again."""

from __future__ import annotations

import copy
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..convert import COS, LTB, METHODS, OPI, SRP, Group, Method, Robust, activation, convert
from ..convert.methods import Upon
from ..measure.result import MethodResult, Report
from ..train import Data, Epoch, Plan, RateInference, fit, fit_rate_inference, save_weights
from ..train.fit import Augment
from .data import Split
from .options import put, told
from .results import Results

STEPS = (1, 2, 4, 8, 16, 32)
"""The T at which accuracy is read unless told otherwise."""

CALIBRATION = 1024
"""Training samples that thresholds are chosen by."""


def _ignore(*_: Any) -> None:
    """A run nobody watches."""


LEVELS = 4
"""L of QCFS in every recipe."""

BOUND = 2.0
"""λ before training. The published 8 suits 300 epochs; λ moves too little in so few to come down from there."""

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "ReLU": nn.ReLU,
    "Clip": partial(activation.Clip, BOUND),
    "QCFS": partial(activation.QCFS, LEVELS, BOUND),
    "RNL": activation.RNL,
    "SlipReLU": partial(activation.SlipReLU, LEVELS, 0.5, BOUND),
}
"""One network is trained with each; a method converts the first that it takes."""

TUNED = "RNL + RIL"
"""The network with RNL after its second stage."""

TUNE = RateInference(epochs=2, batch=128, weight=0.1, shared=False, tolerance=3.0)
"""How that stage goes: λ as published for VGG. One p for each layer: with one for all, as published, these small,
briefly trained networks lose far more, see ``convert_fashion_rnl``."""

NAMED: dict[str, Callable[[], Method]] = {
    **METHODS,
    **{f"{kind.name}-robust": partial(kind, Robust()) for kind in (OPI, SRP, COS, Group)},
    "cos-ltb": partial(COS, LTB()),
}
"""Every method that can be asked for by name: those of :data:`METHODS` with their defaults, and what is useful for a
plain ReLU network among those that have a base."""


@dataclass(frozen=True)
class Watch:
    """Who is told what happens.

    :param say: a line of text. :param epoch: the network's name and the epoch. :param method: the name of the method at
        work, how many are done, of how many. :param sample: how many test samples that method has run so far.
    :param size: how many samples each method will run, said once, first.
    """

    say: Callable[[str], None] = _ignore
    epoch: Callable[[str, Epoch], None] = _ignore
    method: Callable[[str, int, int], None] = _ignore
    sample: Callable[[int], None] = _ignore
    size: Callable[[int], None] = _ignore


def provenance(command: str, seed: int | None = None, **more: Any) -> dict[str, Any]:
    """What a reader needs to do a run again: the command, the seed, versions, the machine and the day."""
    packages = {d.metadata["Name"]: d.version for d in metadata.distributions(name="spikeworks")}
    versions = {**packages, "python": platform.python_version(), "torch": str(torch.__version__)}
    machine = {"system": platform.system(), "processor": platform.machine(), "threads": torch.get_num_threads()}
    seeded = {} if seed is None else {"seed": seed}
    return {
        **more,
        **seeded,
        "command": command,
        "date": date.today().isoformat(),
        "versions": versions,
        "machine": machine,
    }


def choose(names: Sequence[str] | None, base: str | None = None, /, **fields: Any) -> dict[str, Method]:
    """Methods of :data:`NAMED` by name; ``None``: every method.

    :param base: the method they are put upon, by name; with ``None``, that one and all that can be put upon it.
    :param fields: values for fields of theirs, or of their bases, as words or as they are.
    :raises ValueError: for an unknown name, a field that one of the methods does not have, or a value it cannot have.
    """
    if unknown := sorted({*(names or ()), *([base] if base else [])} - NAMED.keys()):
        raise ValueError(
            f"got the methods {', '.join(unknown)}, expected some of {', '.join(NAMED)}; choose among these."
        )
    made = {name: NAMED[name]() for name in names or NAMED}
    if base is not None:
        under = NAMED[base]()
        if names is None:
            above = {f"{name}-{base}": NAMED[name]() for name, kind in METHODS.items() if issubclass(kind, Upon)}
            made = {base: under} | {name: put(method, under) for name, method in above.items()}
        else:
            made = {name: put(method, under) for name, method in made.items()}
    return {name: told(method, fields) for name, method in made.items()}


def train(
    networks: Mapping[str, nn.Module], split: Split, plan: Plan, seed: int, watch: Watch,
    augment: Augment | None = None, checkpoint: str | Path | None = None,
) -> None:  # fmt: skip
    """Train each network in place, on train, with the weights best on validation; a checkpoint each, by its name."""
    for name, network in networks.items():
        place = None if checkpoint is None else Path(checkpoint).with_suffix(f".{name}.safetensors")
        fit(network, split.train, split.validation, plan, torch.Generator().manual_seed(seed), augment,
            lambda e, name=name: watch.epoch(name, e), place)  # fmt: skip


def keep(networks: Mapping[str, nn.Module], folder: Path | None) -> None:
    """Leave the weights of each in a folder, ``weights.QCFS.safetensors``; ``None``: nowhere."""
    for name, network in networks.items():
        if folder is not None:
            save_weights(network, folder / f"weights.{name.replace(' ', '')}.safetensors")


def convert_all(
    networks: Mapping[str, nn.Module], split: Split, methods: Mapping[str, Method], steps: Sequence[int], watch: Watch,
    skip: bool = True, kept: str | Path | None = None, fresh: bool = False,
) -> tuple[list[MethodResult], dict[str, str]]:  # fmt: skip
    """Convert by each method from the first of the networks that it takes, and measure on the test part.

    :param networks: what it is called → a trained network in evaluation mode. :param methods: as :func:`choose` gives.
    :param steps: T to read accuracy at.
    :param skip: leave a method out that takes none of them, and say so; else raise its refusal.
    :param kept: a folder where each result is left as soon as it is there; a run of the same goes on from it.
    :param fresh: measure what is there already anew.
    :returns: the results under the methods' names, and why methods were left out, by name.
    :raises ValueError: if a method refuses every network and is not skipped, or no method is left.
    """
    calibration = split.train.take(slice(0, CALIBRATION)).batches(128)
    test, reason = split.test.batches(32), ""  # times T: what a layer puts out should not outgrow the cache by far
    results: list[MethodResult] = []
    left_out: dict[str, str] = {}
    store, again = Results(kept, fresh), list[str]()
    watch.size(len(split.test.y))
    for done, (name, method) in enumerate(methods.items()):
        watch.method(name, done, len(methods))
        for kind, network in networks.items():
            place = store.place(name, method, network, split, steps)
            if (result := store.get(place)) is None:
                try:
                    _, report = convert(network, method, calibration, test, steps, progress=watch.sample)
                except ValueError as error:
                    reason = str(error)
                    continue
                origin = [f"source network: {kind}"] * (len(networks) > 1)
                result = replace(report.results[0], method=name, notes=origin + report.results[0].notes)
                store.put(place, result)
            else:
                again.append(name)
            results.append(result)
            break
        else:
            if not skip:
                raise ValueError(reason)
            left_out[name] = reason
    for reason in dict.fromkeys(left_out.values()):  # several methods for one reason are one line
        watch.say(f"{', '.join(name for name, why in left_out.items() if why == reason)} left out: {reason}")
    if not results:
        raise ValueError(reason)
    watch.method("done", len(methods), len(methods))
    if again:
        watch.say(f"not measured again, taken from {kept}: {', '.join(again)}")
    return results, left_out


def omitted(left_out: dict[str, str]) -> dict[str, Any]:
    """What :func:`provenance` takes to name the methods left out; nothing if none was."""
    return {"left_out": left_out} if left_out else {}


@dataclass(frozen=True)
class Comparison:
    """A data set and a network: train it with each activation, convert it by every method, measure on test.

    The network with RNL is converted as the first stage leaves it (``rnl``) and after the second (``rnl-ril``).

    :param name: the recipe's. :param title: for people. :param split: loads the data.
    :param network: an activation factory and a generator of weights → the network.
    :param plan: how to train. :param augment: of training batches.
    :param about: what a reader must know, for the report.
    :param activations: what a network is called → its activation; one network is trained with each.
    :param methods: what is compared. :param tune: how RNL's second stage goes. :param steps: the T that are read.
    :param taste: what ``quick`` makes of it: the split, the plan, and how many of ``steps`` are read.
    """

    name: str
    title: str
    split: Callable[[], Split]
    network: Callable[[Callable[[], nn.Module], torch.Generator], nn.Module]
    plan: Plan
    augment: Augment | None
    about: dict[str, str]
    taste: Callable[[Split, Plan], tuple[Split, Plan, int]]
    activations: Mapping[str, Callable[[], nn.Module]] = field(default_factory=lambda: ACTIVATIONS)
    methods: Callable[[], dict[str, Method]] = partial(choose, None)
    tune: RateInference = TUNE
    steps: tuple[int, ...] = STEPS

    def __call__(
        self, seed: int = 0, quick: bool = False, watch: Watch = Watch(), command: str = "",
        checkpoint: str | Path | None = None, only: Sequence[str] | None = None,
    ) -> Report:  # fmt: skip
        """Run it.

        :param seed: of weights, order and augmentation; the split is fixed. :param quick: only to see whether it runs.
        :param watch: who is told what happens. :param command: what was typed, for the report.
        :param checkpoint: where training leaves what it needs to go on, ``.safetensors``; the weights, when trained,
            lie beside it, for :func:`~spikeworks.recipes.sources.open_network`, and so do results.
        :param only: the methods to compare, by name, and the networks they need to train; ``None``: all.
        :raises ValueError: if the data are not there, a method is unknown, or the checkpoint is of another run.
        """
        methods = self._chosen(only)
        split, plan, read = self.split(), self.plan, len(self.steps)
        if quick:
            split, plan, read = self.taste(split, plan)
        networks = {
            kind: self.untrained(kind, seed)
            for kind in self.activations
            if only is None or kind in {self._network(method) for method in methods.values()}
        }
        train(networks, split, plan, seed, watch, self.augment, checkpoint)
        folder = None if checkpoint is None else Path(checkpoint).parent
        kept = None if folder is None else folder / "results"
        keep(networks, folder)
        results, left_out = convert_all(networks, split, methods, self.steps[:read], watch, kept=kept)
        if "RNL" in networks:
            tuned = self._second_stage(networks["RNL"], split, seed, quick, watch)
            keep({TUNED: tuned}, folder)
            last = {"rnl-ril": METHODS["rnl"]()}
            (found,), _ = convert_all({TUNED: tuned}, split, last, self.steps[:read], watch, kept=kept)
            results.append(replace(found, label=TUNED))
        about = provenance(
            command or f"spikeworks recipe {self.name} --seed {seed}", seed, **self.about,
            training=f"{plan.epochs} epochs of SGD, {plan.precision}, one network each with {', '.join(networks)}",
            **omitted(left_out),
        )  # fmt: skip
        return Report(self.title, results, about)

    def untrained(self, kind: str, seed: int = 0) -> nn.Module:
        """The network with one of its activations, by name, as training starts from it.

        :raises ValueError: if it is not trained with that activation.
        """
        if kind not in self.activations:
            raise ValueError(f"{self.name} got the activation {kind!r}, expected one of {', '.join(self.activations)}.")
        return self.network(self.activations[kind], torch.Generator().manual_seed(seed))

    def _chosen(self, only: Sequence[str] | None) -> dict[str, Method]:
        known = self.methods()
        if unknown := sorted(set(only or ()) - known.keys()):
            raise ValueError(f"{self.name} got the methods {', '.join(unknown)}, expected some of {', '.join(known)}.")
        return known if only is None else {name: known[name] for name in only}

    def _network(self, method: Method) -> str:
        return method.takes or next(iter(self.activations))

    def _second_stage(self, network: nn.Module, split: Split, seed: int, quick: bool, watch: Watch) -> nn.Module:
        tuned = copy.deepcopy(network)
        plan = replace(self.tune, epochs=1) if quick else self.tune
        watch.say(f"{TUNED}: second stage, {plan.epochs} epochs")
        fit_rate_inference(
            tuned, split.train, split.validation, plan, torch.Generator().manual_seed(seed), self.augment
        )
        return tuned


def a_few_batches(split: Split, plan: Plan) -> tuple[Split, Plan, int]:
    """Nothing is learned, everything is run."""
    return few(split, 32, 20), replace(plan, epochs=1), 3


def few(split: Split, train: int, held: int) -> Split:
    """The first ``train`` training samples and the first ``held`` of validation and test: to see whether a run runs."""
    cut: list[Data] = [split.train.take(slice(0, train))]
    cut += [part.take(slice(0, held)) for part in (split.validation, split.test)]
    return replace(split, train=cut[0], validation=cut[1], test=cut[2])


def precision() -> str:
    """``"bfloat16"`` where the processor multiplies it natively (training is faster by half), else ``"float32"``."""
    return "bfloat16" if torch.ops.mkldnn._is_mkldnn_bf16_supported() else "float32"
