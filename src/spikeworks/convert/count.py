"""Counting, while a converted network runs, what each layer does: operations by the spikes that reach them.

Along with every value goes the number of spikes it is made of. A neuron's output is one spike where it is not 0, or as
many as it has units in a group of equal levels; a reshape moves spikes, average pooling and sums of branches gather
them (each goes on to the next weights by itself, the 1/k² folded into these), and a convolution or linear layer turns
them into a current. A current that reaches another convolution without a neuron between them is analog: multiplied,
at every step. So is what max pooling lets through of sums of spikes: which of them it was made of cannot be told. A
product of two activations is counted as hardware does it on spikes x and y with running sums A and B:
``x·y + x·B + A·y``, additions all. What is computed on estimates in floating point is listed by name and not counted as
energy, as nobody does; but it is there at every step.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.fx.node import map_arg
from torch.nn.modules import pooling

from ..layers import Spiking, Temporal
from ..layers.time import unfold
from ..measure.energy import fan_out, reach
from .affine import AVERAGE_POOLS, CONVOLUTIONS, NORMS, operation, scope
from .coding import Coding, earlier
from .compensate import Compensated
from .execute import At, Folded
from .function import Function
from .neuron import ONCE


@dataclass(frozen=True, eq=False)
class Operation:
    """A convolution, a linear layer or a functional one, over all samples so far.

    :param name: the layer's, with a number from the second call on.
    :param kind: ``"conv"``, ``"linear"`` or ``"product"``.
    :param drive: what comes in: ``"still"``, ``"analog"`` or ``"spikes"``.
    :param units: outputs per sample.
    :param macs: per sample of one dense pass.
    :param accumulates: at each step, summed over samples, ``[T]`` float64.
    """

    name: str
    kind: str
    drive: str
    units: int
    macs: int
    accumulates: Tensor


@dataclass
class Tally:
    """What was counted, by the name of its node in the graph, and the fan-outs.

    ``functions``: what is computed in floating point at every step, name → (what, values per sample).
    """

    operations: dict[str, Operation] = field(default_factory=dict)
    fans: dict[str, Tensor] = field(default_factory=dict)
    functions: dict[str, tuple[str, int]] = field(default_factory=dict)


Watch = Callable[[str, Tensor], None]
"""Called with the name of a neuron layer and its output ``[T, B, ...]``."""


class Counting(Folded):
    """Runs a graph as :class:`Folded` does, in one window, and counts.

    :param tally: where to. :param watch: is shown each neuron layer's output.
    """

    def __init__(self, graph: fx.GraphModule, coding: Coding, at: At | None, tally: Tally, watch: Watch) -> None:
        super().__init__(graph, coding, at)
        self.tally, self.watch = tally, watch
        self.spikes: dict[fx.Node, Any] = {}
        self.sums: set[fx.Node] = set()  # whose values can be made of several spikes
        self.calls: Counter[str] = Counter()

    def run_node(self, n: fx.Node) -> Any:
        """Run one node, and follow the spikes through it."""
        value = super().run_node(n)
        spikes = self._follow(n, value)
        if spikes is not None:
            self.spikes[n] = spikes
        for dead in self.user_to_last_uses.get(n, []):
            self.spikes.pop(dead, None)
        return value

    def _follow(self, node: fx.Node, value: Any) -> Any:
        if node.op == "call_module":
            return self._through_module(node, self.modules[str(node.target)], value)
        if node.op not in ("call_function", "call_method"):
            return None
        name = operation(node)
        if name in ("linear", "matmul") or name.startswith("conv"):
            self._count_call(node, name, value)
            return None
        carriers = [
            n for n in node.all_input_nodes if n in self.data and isinstance(self.env[n], Tensor | tuple | list)
        ]
        carriers = [n for n in carriers if not isinstance(self.env[n], torch.Size)]
        if not carriers or any(n not in self.spikes for n in carriers) or isinstance(value, torch.Size | int):
            return None
        if name in ("add", "sub", "mean", "sum") or any(n in self.sums for n in carriers):
            self.sums.add(node)
        first = self.spikes[carriers[0]]
        if name in ("mul", "truediv", "div", "neg"):
            return first
        if name in ("add", "sub"):
            total = first if len(carriers) == 1 else first + self.spikes[carriers[1]]
            return total.expand(value.shape)
        if name == "mean":
            return self._run(node, "sum")
        if name == "interpolate" and node.kwargs.get("mode", "nearest") != "nearest":
            return (value != 0).float()  # a weighted mixture counts as one
        return self.execute(node, self._read)

    def _read(self, node: fx.Node) -> Any:
        return self.spikes[node] if node in self.spikes else self.folded(node)

    def _run(self, node: fx.Node, method: str) -> Tensor:
        args, kwargs = map_arg((node.args, node.kwargs), self._read)
        return getattr(args[0], method)(*args[1:], **kwargs)

    def _through_module(self, node: fx.Node, module: nn.Module, value: Tensor) -> Any:
        name, source = str(node.target), node.args[0]
        assert isinstance(source, fx.Node)
        if isinstance(module, Spiking):
            self.watch(name, value.unflatten(0, (self.steps, -1)))
            return fired(module, value)
        if isinstance(module, Compensated):
            self._count_function(node, name, module, value)
            return None
        if isinstance(module, (nn.Linear, *CONVOLUTIONS)):
            kind = "linear" if isinstance(module, nn.Linear) else "conv"
            self._count(node, name, kind, source, lambda shape: fan_out(module, shape), value)
            return None
        if source not in self.spikes:
            return None
        if isinstance(module, AVERAGE_POOLS) or source in self.sums:
            self.sums.add(node)
        if isinstance(module, NORMS):
            return self.spikes[source]
        if isinstance(module, AVERAGE_POOLS):
            return gather(module, self.spikes[source])
        if isinstance(module, Temporal) or getattr(module, "mode", "nearest") != "nearest":
            return None if source in self.sums else (value != 0).float()
        return module(self.spikes[source])

    def _count_function(self, node: fx.Node, name: str, module: Compensated, value: Tensor) -> None:
        function = module.function
        self.tally.functions[name] = (
            function.kind if isinstance(function, Function) else "max pooling",
            value[0].numel(),
        )
        if not (isinstance(function, Function) and function.bilinear):
            return
        inputs: list[fx.Node] = list(node.args[:2])  # type: ignore[arg-type]
        first, second = (unfold(self.folded(n), self.steps) for n in inputs)
        macs = _products(function, torch.ones_like(first[:1]), torch.ones_like(second[:1]))
        drive = "spikes" if all(n in self.spikes for n in inputs) else "analog"
        acs_T = torch.zeros(self.steps, dtype=torch.float64)
        if drive == "spikes":
            sums = [earlier(self.coding.integrate(x, None, 0)[0]) for x in (first, second)]
            for a, b in ((first, second), (first, sums[1]), (sums[0], second)):
                acs_T = acs_T + _products(function, a, b).cpu()
        if (known := self.tally.operations.get(node.name)) is not None:
            acs_T = acs_T + known.accumulates
        per_sample = round(float(macs) / first.shape[1])
        self.tally.operations[node.name] = Operation(name, "product", drive, value[0].numel(), per_sample, acs_T)

    def _count_call(self, node: fx.Node, name: str, value: Tensor) -> None:
        """A functional product: as a layer whose weights are the operand that does not depend on the input."""
        (source,) = (n for n in node.all_input_nodes if n in self.data)
        arguments = dict(zip(("input", "weight", "bias"), node.args, strict=False)) | node.kwargs
        rest = node.args[3:] if name != "matmul" else ()

        def product(x: Tensor) -> Tensor:
            ones = {k: torch.ones_like(self.folded(v)) for k, v in arguments.items() if isinstance(v, fx.Node)}
            given: dict[str, Any] = {**arguments, **ones, "bias": None}
            given = {k: x if arguments.get(k) is source else v for k, v in given.items()}
            if name == "matmul":
                return torch.matmul(given["input"], given["weight"])
            function: Any = node.target
            return function(given.pop("input"), given.pop("weight"), given.pop("bias"), *rest, **given)

        kind = "conv" if name.startswith("conv") else "linear"
        place = f"{scope(node)}.{name}".lstrip(".")
        self._count(node, place, kind, source, lambda shape: reach(product, shape, value.device), value)

    def _count(
        self, node: fx.Node, name: str, kind: str, source: fx.Node, fans: Callable[[tuple[int, ...]], Tensor],
        value: Tensor,
    ) -> None:  # fmt: skip
        self.calls[name] += 1
        name = name if self.calls[name] == 1 else f"{name}_{self.calls[name]}"
        shape, key = tuple(self.env[source].shape[1:]), node.name
        if key not in self.tally.fans or self.tally.fans[key].shape != shape:
            self.tally.fans[key] = fans(shape)
        fan = self.tally.fans[key]
        drive = "spikes" if source in self.spikes else "analog" if source in self.moving else "still"
        acs_T = torch.zeros(self.steps, dtype=torch.float64)
        if drive == "spikes":
            spikes_T = self.spikes[source].unflatten(0, (self.steps, -1)).double()
            acs_T = (spikes_T * fan).flatten(1).sum(1).cpu()
        if (known := self.tally.operations.get(key)) is not None:
            acs_T = acs_T + known.accumulates
        macs = round(float(fan.double().sum()))
        self.tally.operations[key] = Operation(name, kind, drive, value[0].numel(), macs, acs_T)


def fired(layer: Spiking, y: Tensor) -> Tensor:
    """How many spikes an output is made of: one where it is not 0, or as many as there are units of equal levels."""
    if not layer.neuron.options.get("rule", ONCE).additive:
        return (y != 0).float()
    return (y / layer.value("threshold")).round()


def _products(function: nn.Module, a_T: Tensor, b_T: Tensor) -> Tensor:
    """Pairs of values that meet in a product and are both not 0, at each step: the product of the indicators."""
    a, b = ((x != 0).float().flatten(0, 1) for x in (a_T, b_T))
    return function(a, b).double().unflatten(0, (a_T.shape[0], -1)).flatten(1).sum(1)


def gather(module: nn.Module, spikes: Tensor) -> Tensor:
    """The spikes in each window of an average pooling: its sum in place of its mean."""
    if isinstance(module, nn.AvgPool1d):
        size, stride, padding = (int(v[0]) for v in (module.kernel_size, module.stride, module.padding))  # type: ignore[index]
        whole = spikes.unsqueeze(-1)
        return F.avg_pool2d(whole, (size, 1), (stride, 1), (padding, 0), module.ceil_mode, True, 1).squeeze(-1)
    if isinstance(module, nn.AvgPool2d | nn.AvgPool3d):
        pool = F.avg_pool2d if isinstance(module, nn.AvgPool2d) else F.avg_pool3d
        return pool(spikes, module.kernel_size, module.stride, module.padding, module.ceil_mode, True, 1)
    assert isinstance(module, pooling._AdaptiveAvgPoolNd)
    mean = module(spikes)
    for axis in range(2, mean.dim()):
        inside, outside = spikes.shape[axis], mean.shape[axis]
        lengths = [-(-(i + 1) * inside // outside) - i * inside // outside for i in range(outside)]
        mean = mean * torch.tensor(lengths, device=mean.device).view(-1, *(1,) * (mean.dim() - 1 - axis))
    return mean.round()
