"""Stage 2 of rate norm layers: thresholds that firing rates reach fast, learned with the weights frozen.

    fit(network, train, validation, Plan(), generator)                       # stage 1: weights, p = 1
    fit_rate_inference(network, train, validation, RateInference(), generator)   # stage 2: p
    snn, report = sw.convert(network, sw.convert.RNL())

``loss = 1 − cos(f*(x), f(x)) + λ·mean Ω``: f the network with the p being learned, f* the network of stage 1, p = 1,
and ``Ω = ‖r̂‖₁/‖r̂‖²`` of the rates of each rate norm layer and of the logits, as ``max(z, 0)/max z``. Ω bounds how far
rates are from activations after t steps (:mod:`spikeworks.measure.curves`); the cosine holds on to the answer. Batch
normalisation goes on estimating its statistics, as in the authors' code: rates grow as p falls, and weights learned for
the old scale would meet them with old means and variances.

Ding, Yu, Tian & Huang, IJCAI 2021. Departures, each from something in the authors' code that says otherwise than the
method: f* is a network of its own (there both outputs come from one network with one p, so that the cosine is 1 and
has no gradient); the running maxima are locked and dropout is off throughout; p is chosen on validation against the
accuracy of stage 1 (there on test, against the accuracy after p was set anew); no weight decay on c, which would draw p
to ½; the learning rate falls at half and at three quarters of the run, whatever its length (there at epochs 100 and
150).
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ..convert.activation import FULL, RNL
from .fit import Augment, Data


@dataclass(frozen=True)
class RateInference:
    """How to learn p.

    :param epochs: passes over the training set. :param batch: samples per step.
    :param rate: learning rate of SGD with momentum 0.9; a tenth of it from half of the epochs on, and a hundredth from
        three quarters on. Published: 0.1 (CIFAR-10), 0.01, 0.0025.
    :param weight: λ, of Ω in the loss. Published: 0.1 (VGG), 1 (CIFAR-100, PreActResNet-18 and -34), 0.5 (-50).
    :param start: c to start from; p = sigmoid(c). Published: 2.5 (VGG-16), 4 to 5 (ResNets).
    :param shared: one p for all layers, as published, or one for each.
    :param tolerance: how much accuracy on validation may be given up against stage 1, in percentage points. The
        authors' code allows 3 or 10; the losses they report are below 1.
    :raises ValueError: for values out of range.
    """

    epochs: int = 10
    batch: int = 50
    rate: float = 0.1
    weight: float = 0.1
    start: float = 2.5
    shared: bool = True
    tolerance: float = 1.0

    def __post_init__(self) -> None:
        whole = isinstance(self.epochs, int) and isinstance(self.batch, int)
        for names, fits, expected in (
            ("epochs, batch", whole and self.epochs >= 1 and self.batch >= 1, "whole numbers from 1"),
            ("rate", 0 < self.rate < math.inf, "a finite number above 0"),
            ("weight", 0 <= self.weight < math.inf, "a finite number of at least 0"),
            ("start", math.isfinite(self.start), "a finite number"),
            ("tolerance", 0 <= self.tolerance <= 100, "0 to 100 percentage points"),
        ):
            if not fits:
                got = ", ".join(f"{name}={getattr(self, name)!r}" for name in names.split(", "))
                raise ValueError(f"RateInference got {got}, expected {expected}.")

    def rate_at(self, epoch: int) -> float:
        """The learning rate in an epoch, from 1."""
        return self.rate * 0.1 ** sum(2 * share * (epoch - 1) >= self.epochs * step for share, step in ((1, 1), (2, 3)))


@dataclass(frozen=True)
class RateEpoch:
    """One epoch of stage 2; number 0 is the network of stage 1, before p was touched.

    :param number: from 0. :param epochs: how many there will be after number 0.
    :param distance: mean ``1 − cos`` over training batches; 0 for number 0.
    :param loss: mean of the whole loss over them; NaN for number 0.
    :param validation: accuracy on validation in percent.
    :param omegas: Ω over the validation set: of each rate norm layer by its name, in running order, and ``"logits"``.
    :param logits: c of each rate norm layer by its name.
    :param seconds: wall time.
    """

    number: int
    epochs: int
    distance: float
    loss: float
    validation: float
    omegas: dict[str, float]
    logits: dict[str, float]
    seconds: float

    @property
    def omega(self) -> float:
        """The mean of Ω over layers, the logits included."""
        return sum(self.omegas.values()) / len(self.omegas)

    @property
    def shares(self) -> dict[str, float]:
        """p of each rate norm layer by its name."""
        return {name: 1 / (1 + math.exp(-c)) for name, c in self.logits.items()}


def fit_rate_inference(
    network: nn.Module, train: Data, validation: Data, plan: RateInference, generator: torch.Generator,
    augment: Augment | None = None, progress: Callable[[RateEpoch], None] | None = None,
) -> list[RateEpoch]:  # fmt: skip
    """Learn p in place: the least Ω that costs no more accuracy on validation than allowed.

    Weights and running maxima stay bit for bit as they were; the statistics of batch normalisation follow p. The
    network is left in eval mode, its maxima locked and c frozen, with the p and the statistics of the chosen epoch
    (p = 1 and those of stage 1 if all others cost too much); other parameters require gradients as before. If an error
    or the keyboard stops it, c and the statistics are as before, too.

    :param network: batch → logits ``[B, classes]``, trained with :class:`~spikeworks.convert.activation.RNL`; traceable
        or not.
    :param train: shuffled anew each epoch; the labels are not looked at.
    :param validation: chooses the epoch; must not be the test set.
    :param generator: every random choice comes from it. :param augment: as in :func:`spikeworks.train.fit`.
    :param progress: called with number 0 and after every epoch.
    :returns: number 0, then one :class:`RateEpoch` per epoch.
    :raises ValueError: for a network without rate norm layers or without logits ``[B, classes]``, or a loss that is no
        longer finite.
    """
    layers = {name: module for name, module in network.named_modules() if isinstance(module, RNL)}
    if not layers:
        raise ValueError(
            f"fit_rate_inference got {type(network).__name__} without rate norm layers, expected some; train it with "
            "sw.convert.activation.RNL in the place of ReLU first."
        )
    before = {name: layer.logit for name, layer in layers.items()}
    statistics = _statistics(network)
    kept = [{name: value.clone() for name, value in statistics.items()}]
    needed = [(parameter, parameter.requires_grad) for parameter in network.parameters()]
    network.requires_grad_(False).eval()
    for layer in layers.values():
        layer.lock()
    teacher = copy.deepcopy(network)
    _set({n: m for n, m in teacher.named_modules() if isinstance(m, RNL)}, FULL, True)
    learned = _set(layers, plan.start, plan.shared)

    def keep(epoch: RateEpoch) -> None:
        if epoch.number:
            kept.append({name: value.clone() for name, value in statistics.items()})
        if progress is not None:
            progress(epoch)

    try:
        history = _learn(network, teacher, layers, learned, train, validation, plan, generator, augment, keep)
    except BaseException:
        for name, layer in layers.items():
            layer.logit = before[name]
        _restore(statistics, kept[0])
        raise
    finally:
        network.eval()
        for parameter, was in needed:
            parameter.requires_grad_(was)
    chosen = choose(history, plan.tolerance)
    for name, layer in layers.items():
        layer.logit.requires_grad_(False).fill_(chosen.logits[name])
    _restore(statistics, kept[chosen.number])
    return history


def choose(history: Sequence[RateEpoch], tolerance: float) -> RateEpoch:
    """The epoch of least Ω among those within ``tolerance`` percentage points of number 0; the first of equals."""
    return min((e for e in history if e.validation >= history[0].validation - tolerance), key=lambda e: e.omega)


def _learn(
    network: nn.Module, teacher: nn.Module, layers: Mapping[str, RNL], learned: list[nn.Parameter], train: Data,
    validation: Data, plan: RateInference, generator: torch.Generator, augment: Augment | None,
    keep: Callable[[RateEpoch], None],
) -> list[RateEpoch]:  # fmt: skip
    device = learned[0].device
    norms = _norms(network)
    optimiser = torch.optim.SGD(learned, plan.rate, momentum=0.9)
    history: list[RateEpoch] = []
    for number in range(plan.epochs + 1):
        begin, sums, batches = time.perf_counter(), torch.zeros(2, dtype=torch.float64), 0
        optimiser.param_groups[0]["lr"] = plan.rate_at(max(number, 1))
        for norm in norms.values():
            norm.train()
        for index in torch.randperm(len(train.y), generator=generator).split(plan.batch) if number else ():
            x = train.x[index]
            x = train.prepare(augment(x, generator) if augment else x).to(device)
            distance, omega = loss_terms(network, teacher, layers, x)
            loss = distance + plan.weight * omega
            if not bool(loss.isfinite()):
                raise ValueError(
                    f"fit_rate_inference got a loss of {loss.item()} in epoch {number}, expected a finite number; "
                    f"lower rate={plan.rate:g}."
                )
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            sums, batches = sums + torch.stack([distance, loss]).detach().double().cpu(), batches + 1
        network.eval()
        now = network if number else teacher
        inside = {n: m for n, m in now.named_modules() if isinstance(m, RNL)}
        reached, omegas = _measure(now, inside, validation, device)
        distance, loss = (sums / batches).tolist() if batches else (0.0, math.nan)
        logits = {name: float(layer.logit.detach()) for name, layer in inside.items()}
        seconds = time.perf_counter() - begin
        history.append(RateEpoch(number, plan.epochs, distance, loss, reached, omegas, logits, seconds))
        keep(history[-1])
    return history


def inference_loss(rate: Tensor, least: float = 1e-5) -> Tensor:
    """Ω = ‖r̂‖₁/‖r̂‖² of rates of any shape, taken as one vector: the rate inference loss, shape ``[]``.

    :param least: keeps a silent layer at Ω = 0 instead of dividing by 0.
    """
    return rate.abs().sum() / (rate.square().sum() + least)


def loss_terms(network: nn.Module, teacher: nn.Module, layers: Mapping[str, RNL], x: Tensor) -> tuple[Tensor, Tensor]:
    """The two terms of the loss: ``1 − cos(f*(x), f(x))``, mean over samples, and the mean of Ω over layers.

    :param x: ``[B, ...]``, on the device of the networks.
    :param network: f. :param teacher: f*; no gradient reaches it. :param layers: the rate norm layers of f, by name.
    :returns: both of shape ``[]``, with the gradients of every c.
    :raises ValueError: for outputs that are not ``[B, classes]``.
    """
    with torch.no_grad():
        wanted = teacher(x)
    logits, rates = _run(network, layers, x)
    distance = 1 - nn.functional.cosine_similarity(logits, wanted, dim=1, eps=1e-6).mean()
    last = logits.relu() / logits.max().clamp_min(1e-6)  # the floor: where no logit is above 0 there is no rate
    return distance, torch.stack([inference_loss(rate) for rate in (*rates.values(), last)]).mean()


@torch.no_grad()
def _measure(
    network: nn.Module, layers: Mapping[str, RNL], data: Data, device: torch.device
) -> tuple[float, dict[str, float]]:
    """Accuracy in percent, and Ω over all samples at once: from sums, so that batches do not matter."""
    sums: dict[str, Tensor] = {}
    right, largest = 0, -math.inf
    for x, y in data.batches():
        logits, rates = _run(network, layers, x.to(device))
        right += int((logits.argmax(-1).cpu() == y).sum())
        largest = max(largest, float(logits.max()))
        for name, rate in (*rates.items(), ("logits", logits.relu())):
            now = torch.stack([rate.double().sum(), rate.double().square().sum()])
            sums[name] = sums[name] + now if name in sums else now
    top = max(largest, 1e-6)
    omegas = {}
    for name, (one, two) in ((name, total.tolist()) for name, total in sums.items()):
        scale = top if name == "logits" else 1.0
        omegas[name] = one / scale / (two / scale**2 + 1e-5)
    return 100.0 * right / len(data.y), omegas


def _run(network: nn.Module, layers: Mapping[str, RNL], x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Logits, and what the layers put out on the way, by name; a layer called again has a second name, ``"act_2"``."""
    seen: dict[str, Tensor] = {}

    def keep(name: str, _: nn.Module, __: Any, rate: Tensor) -> None:
        key, number = name, 2
        while key in seen:
            key, number = f"{name}_{number}", number + 1
        seen[key] = rate

    handles = [layer.register_forward_hook(partial(keep, name)) for name, layer in layers.items()]
    try:
        logits = network(x)
    finally:
        for handle in handles:
            handle.remove()
    if logits.dim() != 2 or len(logits) != len(x):
        raise ValueError(
            f"fit_rate_inference got logits of shape {tuple(logits.shape)}, expected [{len(x)}, classes]; pass a "
            "classifier."
        )
    return logits, seen


def _norms(network: nn.Module) -> dict[str, nn.Module]:
    """The layers that estimate statistics of what passes."""
    kinds = nn.modules.batchnorm._BatchNorm
    return {name: m for name, m in network.named_modules() if isinstance(m, kinds) and m.track_running_stats}


def _statistics(network: nn.Module) -> dict[str, Tensor]:
    return {f"{name}.{key}": b for name, norm in _norms(network).items() for key, b in norm.named_buffers()}


def _restore(statistics: Mapping[str, Tensor], kept: Mapping[str, Tensor]) -> None:
    for name, value in statistics.items():
        value.copy_(kept[name])


def _set(layers: Mapping[str, RNL], c: float, shared: bool) -> list[nn.Parameter]:
    """New parameters c, one for all layers or one each, that take gradients; returns them."""
    made = [nn.Parameter(torch.full_like(layer.logit, c)) for layer in layers.values()]
    for layer, own in zip(layers.values(), made, strict=True):
        layer.logit = made[0] if shared else own
    return made[:1] if shared else made
