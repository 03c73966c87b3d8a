"""Inference made quick: norms folded, a repeated input seen once, and each layer dense or event-driven, as measured."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, fx, nn
from torch.nn.utils.parametrize import is_parametrized

from . import int8
from .accelerated import Accelerated
from .check import describe
from .events import EventWeights, Window, image
from .fold import fold_norms
from .still import join_still
from .time import SNN, Temporal

_MARGIN = 0.95
"""Events must take less than this share of the dense time: timings are not that exact."""
_SECONDS, _ROUNDS = 0.4, 10
"""What timing one layer may take, in rounds of all its forms."""


@dataclass(frozen=True)
class LayerChoice:
    """What the plan says of one layer, for the sample; times are in milliseconds per call, NaN where not measured,
    infinite where a form does not take the input."""

    name: str
    layer: str
    rate: float
    dense: float
    events: float
    break_even: float
    choice: str
    note: str = ""


@dataclass
class Acceleration:
    """Which form each layer takes and why; ``print(plan)`` is a table.

    ``folded``: norms put into the layer before them; ``still``: modules that see a repeated input once.
    """

    precision: str
    lines: list[LayerChoice] = field(default_factory=list)
    folded: int = 0
    still: int = 0

    def __str__(self) -> str:
        head = ("layer", "kind", "rate", "dense ms", "event ms", "events below", "choice", "note")
        rows = [
            (x.name, x.layer, _shown(x.rate, ".1%"), _shown(x.dense, ".3f"), _shown(x.events, ".3f"),
             _shown(x.break_even, ".0%"), x.choice, x.note) for x in self.lines
        ]  # fmt: skip
        wide = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
        lines = ["  ".join(c.ljust(w) for c, w in zip(row, wide, strict=True)).rstrip() for row in (head, *rows)]
        return "\n".join(
            [
                f"{self.precision}; norms folded: {self.folded}, modules that see a repeated input once: {self.still}",
                *lines,
            ]
        )


def accelerate(
    network: nn.Module, sample: Tensor, precision: Literal["float32", "int8"] = "float32", fold: bool = True
) -> tuple[Any, Acceleration]:
    """A copy of a spiking network for inference on the CPU, and the plan it follows.

    In the copy, in evaluation mode and without gradients:

    * batch normalisation is folded into the convolution or linear layer before it, ``W' = Wγ/√(σ²+ε)`` (``fold``);
    * modules before the first neuron see an input that is the same at every step once, not T times;
    * each ``nn.Linear`` and ``nn.Conv2d`` becomes :class:`~spikeworks.layers.Accelerated` if its event-driven form is
      quicker at some rate, or if int8 is asked for and quicker; it then picks the form by the rate of each input. The
      break-even rate is measured on this machine, with the sample's shapes and the threads torch has now.

    ``"float32"``: the same network up to float32 rounding: of folded weights (``fold=False``: none are), and of sums in
    another order than oneDNN and MKL have (see :mod:`.events`). A spike whose membrane is that close to its threshold
    may move. ``"int8"``: weights of layers whose input is spikes become bytes, which changes results; measure the
    accuracy before using it.

    States of the copy have the names of the original's, so that a stream can go on in the copy.

    :param network: an :class:`~spikeworks.layers.SNN`, or another module with such layers, a converted network say. In
        the latter, and where ``torch.fx`` cannot trace, nothing is folded or joined; layers are replaced in place.
    :param sample: an input of the network, of the size to be expected; its rates are those in the plan.
    :returns: the copy, of the type of ``network`` (of an SNN, the network inside is a graph; parameters may have other
        names), and an :class:`Acceleration`, which prints as a table.
    :raises ValueError: for a network that is no module, a sample that is no tensor, or another precision.
    """
    if not isinstance(network, nn.Module) or not isinstance(sample, Tensor):
        raise ValueError(
            f"accelerate got {describe(network)} and {describe(sample)}, expected an nn.Module and an input tensor of "
            "it; pass accelerate(network, sample)."
        )
    if precision not in ("float32", "int8"):
        raise ValueError(f"accelerate got precision={precision!r}, expected 'float32' or 'int8'; choose one.")
    plan = Acceleration(precision)
    with torch.inference_mode(False), torch.no_grad():
        made = copy.deepcopy(network).eval().requires_grad_(False)
        root = made
        if isinstance(made, SNN):
            root = made.network = _traced(made.network)
            if isinstance(root, fx.GraphModule):
                plan.folded = fold_norms(root) if fold else 0
                root.delete_all_unused_submodules()
                root.recompile()
                plan.still = join_still(root)
        made.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        try:
            replaced = _measured(made, root, sample, precision, plan)
        except RuntimeError:  # a view of what has to be contiguous
            plan.lines.clear()
            made.to(memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue]
            replaced = _measured(made, root, sample, precision, plan)
        _replace(root, replaced)
    return made, plan


class _Tracer(fx.Tracer):
    """Temporal layers, networks run by themselves, and the layers that are to be found are not looked into."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, (Temporal, SNN, nn.Linear, nn.Conv2d)) or super().is_leaf_module(m, module_qualified_name)


def _traced(network: nn.Module) -> nn.Module:
    tracer = _Tracer()
    if isinstance(network, fx.GraphModule) or tracer.is_leaf_module(network, ""):
        return network
    try:
        return fx.GraphModule(network, tracer.trace(network), type(network).__name__)
    except Exception:  # whatever the network's own code raises when it meets no values: it stays as it is
        return network


def _measured(
    made: nn.Module, root: nn.Module, sample: Tensor, precision: str, plan: Acceleration
) -> dict[nn.Module, nn.Module]:
    """Run the sample; on the way, time each layer on what it gets. Returns what replaces what."""
    replaced: dict[nn.Module, nn.Module] = {}

    def watch(name: str) -> Callable[..., None]:
        def hook(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
            if layer not in seen and inputs and isinstance(inputs[0], Tensor):
                seen.add(layer)
                better, line = _timed(name, layer, inputs[0], precision)
                plan.lines.append(line)
                if better is not None:
                    replaced[layer] = better

        return hook

    seen: set[nn.Module] = set()
    layers = [(n, m) for n, m in root.named_modules() if n and isinstance(m, (nn.Linear, nn.Conv2d))]
    handles = [layer.register_forward_pre_hook(watch(name)) for name, layer in layers]
    try:
        made(sample)
    finally:
        for handle in handles:
            handle.remove()
    return replaced


def _replace(network: nn.Module, replaced: dict[nn.Module, nn.Module]) -> None:
    for parent in list(network.modules()):
        for name, child in list(parent._modules.items()):
            if child in replaced:
                setattr(parent, name, replaced[child])


def _timed(name: str, layer: Any, x: Tensor, precision: str) -> tuple[Accelerated | None, LayerChoice]:
    """Time one layer's forms on its input, and on inputs of other rates; its stand-in, if one is of use."""
    window, none = Window.of(layer), math.nan
    hooked = len(layer._forward_pre_hooks) > 1 or len(layer._forward_hooks) > 0  # one is this module's own
    if window is None or hooked or is_parametrized(layer):
        kind = type(layer).__name__
        return None, LayerChoice(
            name, kind, none, none, none, none, "dense", "not for events: groups, padding, hooks or a subclass"
        )
    kind = f"{window.channels}→{window.outputs}"
    kind = f"linear {kind}" if type(layer) is nn.Linear else f"conv {window.kernel[0]}×{window.kernel[1]} {kind}"
    stand_in = Accelerated(layer, 0.0)
    seen = None if stand_in.unsupported(x) else image(x, window, stand_in.linear)
    if seen is None or not x.numel() or not bool(stand_in.weight.isfinite().all()):
        why = stand_in.unsupported(x) or "rows of pixels too long to list, nothing in the input, or weights not finite"
        return None, LayerChoice(name, kind, none, none, none, none, "dense", why)
    stand_in.binary = bool(((x == 0) | (x == 1)).all())
    rate, note = stand_in.rate(seen), "" if precision == "float32" else "float32"
    taken: dict[str, float] = {}
    if precision == "int8" and (quantum := int8.quantum(seen)) is not None:
        whole = int8.ByteWeights(window, layer.weight, layer.bias, quantum, float(seen.max()) == quantum)
        found = Accelerated(layer, 0.0, quantum, whole.binary)
        forms = {"float": stand_in.dense, "dense": lambda _: whole.dense(seen, found.linear)}
        taken = race(forms, whole.driven, x, seen, quantum)
        found.break_even = break_even(taken, found.rate(seen), min(taken["float"], taken["dense"]))
        if taken["dense"] < _MARGIN * taken["float"] or found.break_even > found.rate(seen):
            stand_in, rate, note = found, found.rate(seen), "int8"
    if not taken or stand_in.quantum is None:
        weights, binary = EventWeights(window, layer.weight, layer.bias), stand_in.binary
        taken = race({"dense": stand_in.dense}, lambda x: weights(x, binary), x, seen, 1.0)
        stand_in.break_even = break_even(taken, rate, taken["dense"])
    choice = "events" if rate < stand_in.break_even else "dense"
    line = LayerChoice(name, kind, rate, taken["dense"], taken["own"], stand_in.break_even, choice, note)
    return (stand_in if stand_in.break_even > 0 or stand_in.quantum is not None else None), line


_LOW, _HIGH = 0.05, 0.4
"""Rates at which events are timed besides the sample's own."""


def race(
    forms: dict[str, Callable[[Tensor], Any]], events: Callable[[Tensor], Any], x: Tensor, x_NHWC: Tensor, value: float
) -> dict[str, float]:
    """Milliseconds, each the best of a few, in turns: of ``forms`` on ``x``, of events on the same (``own``), and on
    inputs of that size with a low and a high rate."""
    draws = torch.rand(x_NHWC.shape, generator=torch.Generator().manual_seed(0))
    works = {name: partial(form, x) for name, form in forms.items()}
    works |= {"own": partial(events, x_NHWC)}
    works |= {n: partial(events, (draws < r).to(torch.float32) * value) for n, r in (("low", _LOW), ("high", _HIGH))}
    best = dict.fromkeys(works, math.inf)
    begin, rounds = time.perf_counter(), 0
    while rounds < 4 or (rounds < _ROUNDS and time.perf_counter() - begin < _SECONDS):
        for name, work in works.items():
            start = time.perf_counter()
            # the first round makes what later ones find; a form that gives nothing takes for ever
            if work() is not None and rounds:
                best[name] = min(best[name], 1e3 * (time.perf_counter() - start))
        rounds += 1
    return best


def break_even(taken: dict[str, float], rate: float, dense: float) -> float:
    """The rate at which events take as long as the dense form."""
    slope = max(taken["high"] - taken["low"], 1e-9) / (_HIGH - _LOW)  # in milliseconds per unit of rate
    found = _LOW + (_MARGIN * dense - taken["low"]) / slope
    if taken["own"] >= _MARGIN * dense:  # the sample itself speaks against it
        found = min(found, rate)
    return min(1.0, max(0.0, found))


def _shown(value: float, form: str) -> str:
    return format(value, form) if math.isfinite(value) else "-"
