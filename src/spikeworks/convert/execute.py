"""Running a converted graph on a constant input: the whole window at once, or step by step. Same numbers.

``window`` runs each layer over all steps before the next, time folded into the batch; what no neuron precedes has the
same value at every step and is computed once. ``step`` is the causal reference: one step of the whole network at a
time, carrying the state. A feed-forward network gives the same in either order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.node import map_arg

from ..layers import SNN, NetworkState, Repeat, Temporal

_PREFIX = "graph."


class Folded(fx.Interpreter):
    """Runs a graph on one ``[B, ...]`` input that stays for ``steps`` steps, within a window of an SNN.

    Nodes that no temporal layer precedes are *still*: computed on ``[B, ...]`` and repeated where a moving node reads
    them. The others see ``[T·B, ...]``. Nodes that do not depend on the input are constants and are not repeated.
    """

    def __init__(self, graph: fx.GraphModule, steps: int) -> None:
        super().__init__(graph)
        self.extra_traceback = False  # errors stay one sentence
        self.steps = steps
        modules = dict(graph.named_modules())
        self.data: set[fx.Node] = set()
        self.moving: set[fx.Node] = set()
        for node in graph.graph.nodes:
            before = node.all_input_nodes
            if node.op == "placeholder" or any(n in self.data for n in before):
                self.data.add(node)
            temporal = node.op == "call_module" and isinstance(modules[node.target], Temporal)
            if temporal or any(n in self.moving for n in before):
                self.moving.add(node)
        self.sizes: dict[fx.Node, Any] = {}

    def run_node(self, n: fx.Node) -> Any:
        """Run one node in its own domain, still or moving."""
        if n in self.moving or n.op == "output":
            return self.execute(n, self.folded)
        value = super().run_node(n)
        if n in self.data and not isinstance(value, Tensor):
            self.sizes[n] = self.execute(n, self.shaped)  # a batch size, say: T times as large for moving nodes
        return value

    def execute(self, node: fx.Node, read: Callable[[fx.Node], Any]) -> Any:
        """The node's operation on its arguments as ``read`` gives them."""
        args, kwargs = map_arg((node.args, node.kwargs), read)
        return getattr(self, node.op)(node.target, args, kwargs)

    def folded(self, node: fx.Node) -> Any:
        """A node's value for moving readers, ``[T·B, ...]``."""
        value = self.sizes.get(node, self.env[node])
        if node in self.moving or node not in self.data or not isinstance(value, Tensor):
            return value
        return value.expand(self.steps, *value.shape).flatten(0, 1)

    def shaped(self, node: fx.Node) -> Any:
        """As :meth:`folded`, but without values: a tensor of that shape that takes no memory."""
        value = self.sizes.get(node, self.env[node])
        if node not in self.data or not isinstance(value, Tensor):
            return value
        return torch.zeros((), dtype=value.dtype, device="meta").expand(self.steps * value.shape[0], *value.shape[1:])


class _Still(nn.Module):
    """Makes a network of an interpreter, for an SNN to run: of the repeated input it takes the first step."""

    def __init__(self, interpreter: Folded) -> None:
        super().__init__()
        self.graph, self.interpreter = interpreter.module, interpreter

    def forward(self, x: Tensor) -> Tensor:
        return self.interpreter.run(x[: x.shape[0] // self.interpreter.steps])


def window(
    graph: fx.GraphModule, x: Tensor, steps: int, state: NetworkState | None = None,
    interpreter: Callable[[fx.GraphModule, int], Folded] = Folded,
) -> tuple[Tensor, NetworkState]:  # fmt: skip
    """Layer by layer over the whole window.

    :param graph: a converted graph. :param x: ``[B, ...]``, the input of every step. :param steps: T.
    :param state: to carry on from; ``None`` starts fresh.
    :param interpreter: makes what runs the graph; a subclass of :class:`Folded` can watch it.
    :returns: outputs ``[T, B, ...]`` and the state after step T.
    """
    incoming = {_PREFIX + name: value for name, value in (state or {}).items()}
    y_T, outgoing = SNN(_Still(interpreter(graph, steps))).stream(Repeat(steps)(x), incoming)
    return y_T, {name.removeprefix(_PREFIX): value for name, value in outgoing.items()}


def step(
    graph: fx.GraphModule, x: Tensor, steps: int, state: NetworkState | None = None
) -> tuple[Tensor, NetworkState]:
    """Step by step through the whole network, each layer at each step: slow, causal, memory of one step."""
    network, outputs = SNN(graph), []
    for _ in range(steps):
        y, state = network.step(x, state)
        outputs.append(y)
    return torch.stack(outputs), state or {}


EXECUTORS = {"window": window, "step": step}
"""Executor by name."""
