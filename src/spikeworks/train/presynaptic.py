"""Traces of what came into layers with weights: what the weights are learned from, in place of the input of one step.

A trace decays with the leak of the neuron that the layer feeds. Which neuron that is the graph of the first step tells;
what its leak is, its own step function.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from ..layers import Dropout, Spiking, Temporal
from ..layers.checkpoint import Checkpoint
from ..layers.norm import PerStepBatchNorm, TemporalEffectiveBatchNorm, ThresholdDependentBatchNorm

WEIGHTED = (nn.Linear, _ConvNd)
"""Linear in their input, so that a trace may take its place."""
_KNOWN = (Spiking, Dropout, PerStepBatchNorm, TemporalEffectiveBatchNorm, ThresholdDependentBatchNorm)
_LEARN = (Spiking, _BatchNorm, nn.GroupNorm, nn.LayerNorm, TemporalEffectiveBatchNorm)
"""What has parameters of its own that are learned from this step alone."""


@contextmanager
def traced(owner: str, network: nn.Module, leak: float | None = None) -> Iterator[Callable[[Tensor], None]]:
    """While open, weights of a network that is run step by step get their gradients from traces.

    :param leak: λ of every neuron, in place of its own.
    :returns: what has to be called with the network's output after each step, before the backward pass.
    :raises ValueError: for a network with layers that traces do not serve.
    """
    _check(owner, network)
    traces = _Traces(owner, network, leak)
    layers = [module for module in network.modules() if isinstance(module, WEIGHTED)]
    handles = [m.register_forward_hook(traces.fired) for m in network.modules() if isinstance(m, Spiking)]
    try:
        for layer in layers:
            layer.forward = traces.around(layer)  # type: ignore[method-assign]
        yield traces.settle
    finally:
        for layer in layers:
            del layer.forward  # the class's own shows again
        for handle in handles:
            handle.remove()


class _Traces:
    def __init__(self, owner: str, network: nn.Module, leak: float | None) -> None:
        self.owner, self.leak = owner, leak
        self.names = {module: name for name, module in network.named_modules()}
        self.calls: Counter[nn.Module] = Counter()  # in this step: a layer called twice has two traces
        self.kept: dict[Any, tuple[Tensor, float]] = {}  # the traces of the input, and of an input of 1
        self.leaks: dict[Any, float] | None = None  # known after the first step
        self.outputs: dict[Any, Any] = {}  # nodes of the first step's graph: what layers gave, ...
        self.inputs: list[tuple[Spiking, Any]] = []  # ... what neurons took,
        self.ends: set[Any] = set()  # ... and what they gave

    def around(self, layer: nn.Module) -> Callable[[Tensor], Tensor]:
        plain = layer.forward

        def forward(x: Tensor) -> Tensor:
            key = layer, self.calls[layer]
            self.calls[layer] += 1
            parameters = {name: p for name, p in layer.named_parameters() if p.requires_grad}
            if not parameters:
                return plain(x)
            if self.leaks is None:  # the trace of one step is that step
                y = plain(x)
                self.outputs[y.grad_fn] = key
                self.kept[key] = x.detach().clone(), 1.0
                return y
            decay = self.leaks.get(key, 0.0)
            if decay == 0:
                return plain(x)
            past, ones = self.kept[key]
            trace, ones = self.kept[key] = decay * past + x.detach(), decay * ones + 1
            factors = [ones if name == "bias" else 1.0 for name in parameters]
            return _ByTrace.apply(plain, factors, trace, x, *parameters.values())  # type: ignore[no-any-return]

        return forward

    def fired(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if self.leaks is None and isinstance(module, Spiking):
            self.inputs.append((module, inputs[0].grad_fn))
            self.ends.add(output.grad_fn)

    def settle(self, z: Tensor) -> None:
        """A step is over, with this output."""
        self.calls.clear()
        if self.leaks is not None:
            return
        found: dict[Any, set[float]] = {}
        for key in self._feeding(z.grad_fn):
            found.setdefault(key, set()).add(0.0)
        for neuron, node in self.inputs:
            for key in self._feeding(node):
                found.setdefault(key, set()).add(leak_of(self.owner, neuron) if self.leak is None else self.leak)
        for (layer, _), leaks in found.items():
            if len(leaks) > 1:
                raise ValueError(
                    f"{self.owner} got {self.names[layer]}, which feeds neurons of leaks {sorted(leaks)} (0 is the "
                    "output), expected one; give them one time constant, or train by BPTT."
                )
        self.leaks = {key: leaks.pop() for key, leaks in found.items()}
        self.kept = {key: trace for key, trace in self.kept.items() if self.leaks.get(key)}
        self.outputs, self.inputs, self.ends = {}, [], set()  # the graph of this step may go

    def _feeding(self, node: Any) -> Iterable[Any]:
        """The layers whose output reaches this node of the graph without passing through a neuron."""
        waiting, seen = [node], {None}
        while waiting:
            node = waiting.pop()
            if node in seen or node in self.ends:
                continue
            seen.add(node)
            if node in self.outputs:
                yield self.outputs[node]
            waiting.extend(before for before, _ in node.next_functions)


class _ByTrace(torch.autograd.Function):
    """A layer whose parameters see a trace in the backward pass, where its input gets the gradient it always gets."""

    @staticmethod
    def forward(ctx: Any, plain: Any, factors: list[float], trace: Tensor, x: Tensor, *parameters: Tensor) -> Tensor:  # type: ignore[override]
        ctx.plain, ctx.factors, ctx.parameters = plain, factors, parameters
        ctx.save_for_backward(trace)
        return plain(x)  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        (trace,) = ctx.saved_tensors
        passed = ctx.needs_input_grad[3]
        with torch.enable_grad():  # the layer is linear in its input: that one's gradient is the same at the trace
            at = trace.detach().requires_grad_(passed)
            y = ctx.plain(at)
        wanted = (at, *ctx.parameters) if passed else ctx.parameters
        found = torch.autograd.grad(y, wanted, grads[0].to(y.dtype))
        own = (grad * factor for grad, factor in zip(found[passed:], ctx.factors, strict=True))
        return None, None, None, found[0] if passed else None, *own


def leak_of(owner: str, layer: Spiking) -> float:
    """λ of a neuron whose membrane is ``λv`` plus what comes in, as long as it does not reset; asked from its step.

    :raises ValueError: for a neuron with several states, whose membrane is not of that form, or with several leaks.
    """
    neuron = layer.neuron
    slopes: list[Tensor] = []
    if len(neuron.state_names) == 1:
        calm = neuron.replace(reset="none") if "reset" in neuron.options else neuron
        tensors = {name: value.detach().double() for name, value in layer.tensors().items()}
        (rest,) = (torch.as_tensor(value, dtype=torch.float64) for value in calm.start(tensors))
        small = 2.0**-10  # below threshold, for neurons whose reset is no option
        for x in (0.0, small):
            after = [
                calm.step(torch.full_like(rest, x), rest + v, **tensors)[1][0].double() for v in (-small, 0.0, small)
            ]
            slopes += [(after[1] - after[0]) / small, (after[2] - after[1]) / small]
    every = torch.cat([slope.flatten() for slope in slopes]) if slopes else torch.tensor([torch.nan])
    if not bool((every - every.mean()).abs().max() < 1e-9):  # written so that NaN fails
        raise ValueError(
            f"{owner} got {neuron!r}, expected a neuron with one state v <- leak*v + input and one leak, such as "
            "sw.LIF; pass leak=, or train by SLTT or BPTT."
        )
    return float(every[0])


def _check(owner: str, network: nn.Module) -> None:
    inside = {part for module in network.modules() if isinstance(module, WEIGHTED) for part in module.modules()}
    for name, module in network.named_modules():
        other = isinstance(module, Temporal | Checkpoint) and type(module) not in _KNOWN
        learns = any(p is not None for p in module._parameters.values())
        # a layer whose forward somebody has replaced would lose it
        if other or "forward" in vars(module) or (learns and module not in inside and not isinstance(module, _LEARN)):
            raise ValueError(
                f"{owner} got {type(module).__name__} as {name}, expected linear, convolution, normalisation and "
                "Spiking layers as their classes run them, and stateless ones without parameters; train this network "
                "by TruncatedBPTT."
            )
