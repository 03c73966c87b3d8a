"""Running a converted graph on an input that stays: some steps of every layer at a time, or step by step. Same numbers.

Each layer runs over a *window* of steps before the next layer does, time folded into the batch; then comes the next
window, from the states that the last one left. A window of one step is the causal reference; one of several is fast; a
feed-forward network gives the same in either. What is held in memory at a time is one window of the widest layers,
whatever T is. What no neuron precedes has the same value at every step and is computed once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx.node import map_arg
from torch.utils._pytree import tree_map_only

from ..layers import NetworkState, Spiking, Temporal
from ..layers.time import Passage, during, unfold
from .affine import dependence, operation
from .coding import Coding, Rate

At = Callable[[str, Spiking, Tensor, Any], tuple[Tensor, Any]]
"""What happens at a neuron site in place of ``layer.run``: its name, the layer, the current ``[T, B, ...]`` of this
window and the state before it → the output ``[T, B, ...]`` and the state after it."""


class Folded(fx.Interpreter):
    """Runs a graph on one ``[B, ...]`` input that stays, window by window.

    Nodes that no temporal layer precedes are *still*: computed once on ``[B, ...]``, and sent as the coding sends a
    constant where a moving node reads them. The others are *moving* and see messages ``[T·B, ...]``. Nodes that do not
    depend on the input are constants. Where a coding sends constants once, an affine operation adds its own at the
    first step alone.

    :param graph: a converted graph. :param coding: what messages mean. :param at: what happens at neuron sites.
    """

    def __init__(self, graph: fx.GraphModule, coding: Coding = Rate(), at: At | None = None) -> None:
        super().__init__(graph)
        self.extra_traceback = False  # errors stay one sentence
        self.coding, self.at, self.steps, self.elapsed = coding, at, 1, 0
        self.states: NetworkState = {}
        self.kept: dict[fx.Node, Any] = {}  # of the nodes that do not move, what moving ones read
        self.sizes: dict[fx.Node, Any] = {}
        self.modules = dict(graph.named_modules())
        self.data, self.shapes = dependence(graph)  # on the input's values, and on its shape alone
        self.moving: set[fx.Node] = set()
        for node in graph.graph.nodes:
            temporal = node.op == "call_module" and isinstance(self.modules[node.target], Temporal)
            if temporal or any(n in self.moving for n in node.all_input_nodes):
                self.moving.add(node)

    def advance(self, x: Tensor, steps: int) -> Tensor:
        """The next ``steps`` steps, from where the last call ended: outputs ``[T, B, ...]``."""
        if steps != self.steps:
            self.kept, self.sizes, self.steps = {}, {}, steps
        y = self.run(x)
        self.elapsed += steps
        return unfold(y, steps)

    def run_node(self, n: fx.Node) -> Any:
        """Run one node in its own domain, still or moving."""
        if n in self.moving:
            module = self.modules[str(n.target)] if n.op == "call_module" else None
            if isinstance(module, Temporal):
                return self._through(str(n.target), module, tuple(map(self._timed, n.args)))  # type: ignore[arg-type]
            value = self.execute(n, self.folded)
            sends = self.coding.once and n in self.data and isinstance(value, Tensor)
            return self._once(n, value) if sends else value
        if n.op == "output":
            return self.execute(n, self.folded)
        if n not in self.kept:
            value = super().run_node(n)
            if n in self.shapes:
                self.sizes[n] = self.execute(n, self.shaped)  # a batch size, say: T times as large for moving nodes
            self.kept[n] = value if any(u in self.moving or u.op == "output" for u in n.users) else None
            return value
        return self.kept[n]

    def _through(self, name: str, layer: Temporal, inputs: tuple[Tensor, ...]) -> Tensor:
        """Run a temporal layer on ``[T, B, ...]``; what it puts out, folded."""
        if self.at is not None and isinstance(layer, Spiking):
            y_T, self.states[name] = self.at(name, layer, inputs[0], self.states.get(name))
            return y_T.flatten(0, 1)
        passage = Passage(self.steps, {layer: name}, self.states, folded=False)
        y_T = during(passage, layer, *inputs)  # called, so that hooks see it
        self.states.update(passage.outgoing)
        return y_T.flatten(0, 1)

    def _timed(self, node: fx.Node) -> Any:
        """A node's value for a temporal reader, ``[T, B, ...]``: what is still is not copied T times."""
        value = self.sizes.get(node, self.env[node])
        if node not in self.data or not isinstance(value, Tensor):
            return value
        return unfold(value, self.steps) if node in self.moving else self.coding.send(value, self.steps, self.elapsed)

    def execute(self, node: fx.Node, read: Callable[[fx.Node], Any]) -> Any:
        """The node's operation on its arguments as ``read`` gives them."""
        args, kwargs = map_arg((node.args, node.kwargs), read)
        return getattr(self, node.op)(node.target, args, kwargs)

    def folded(self, node: fx.Node) -> Any:
        """A node's value for moving readers: messages, ``[T·B, ...]``."""
        value = self.sizes.get(node, self.env[node])
        if node in self.moving or node not in self.data or not isinstance(value, Tensor):
            return value
        return self.coding.send(value, self.steps, self.elapsed).flatten(0, 1)

    def shaped(self, node: fx.Node) -> Any:
        """As :meth:`folded`, but without values: a tensor of that shape that takes no memory."""
        value = self.sizes.get(node, self.env[node])
        if node not in self.data or not isinstance(value, Tensor):
            return value
        return torch.zeros((), dtype=value.dtype, device="meta").expand(self.steps * value.shape[0], *value.shape[1:])

    def _once(self, node: fx.Node, value: Tensor) -> Tensor:
        """An affine operation's messages without its constant, save at the first step of all."""
        if (constant := self._constant(node, value)) is None or (self.steps == 1 and not self.elapsed):
            return value
        y_T = unfold(value, self.steps)
        first = 0 if self.elapsed else 1
        return torch.cat((y_T[:first], y_T[first:] - constant)).flatten(0, 1)

    def _constant(self, node: fx.Node, value: Tensor) -> Tensor | None:
        """What an affine operation gives for zeros, to broadcast against ``[B, ...]``; ``None`` if that is zero."""
        if node.op == "call_module":
            x = self.folded(node.args[0])  # type: ignore[arg-type]
            made = self.modules[str(node.target)](torch.zeros_like(x[:1]))
        else:
            fixed = [n for n in node.all_input_nodes if n not in self.data and isinstance(self.env[n], Tensor)]
            if not fixed and operation(node) not in ("add", "sub", "pad"):  # which may have a number in them
                return None
            made = self.execute(node, self._zeros)[: value.shape[0] // self.steps]
        return made if bool((made != 0).any()) else None

    def _zeros(self, node: fx.Node) -> Any:
        value = self.folded(node)
        if node not in self.data:
            return value
        return tree_map_only(Tensor, torch.zeros_like, value)


class Recording(Folded):
    """Keeps what neurons put out: :attr:`outputs`, name → ``[T, B, ...]`` of all windows so far."""

    def __init__(self, graph: fx.GraphModule, coding: Coding, at: At | None, outputs: dict[str, Tensor]) -> None:
        super().__init__(graph, coding, at)
        self.outputs = outputs

    def _through(self, name: str, layer: Temporal, inputs: tuple[Tensor, ...]) -> Tensor:
        y = super()._through(name, layer, inputs)
        if isinstance(layer, Spiking):
            y_T = unfold(y, self.steps)
            self.outputs[name] = torch.cat((self.outputs[name], y_T)) if self.elapsed else y_T
        return y


Interpreter = Callable[[fx.GraphModule, Coding, At | None], Folded]

WINDOW = 8
"""Steps of a window: enough to be fast, few enough to bound memory."""


def window(
    graph: fx.GraphModule, x: Tensor, steps: int, state: NetworkState | None = None, at: At | None = None,
    coding: Coding = Rate(), interpreter: Interpreter = Folded, size: int = WINDOW,
) -> tuple[Tensor, NetworkState]:  # fmt: skip
    """Run a converted graph.

    :param graph: as :func:`~spikeworks.convert.build.spiking` makes it. :param x: ``[B, ...]``, the input of every
        step. :param steps: T.
    :param state: of some layers, to start from; those not named start fresh.
    :param at: what happens at each neuron site in place of running the layer, see :data:`At`.
    :param coding: what messages mean, as the graph was built for.
    :param interpreter: makes what runs the graph; a subclass of :class:`Folded` can watch it.
    :param size: steps of a window; 1 is the causal reference, step by step.
    :returns: outputs ``[T, B, ...]`` and the states after step T.
    """
    runner = interpreter(graph, coding, at)
    runner.states.update(state or {})
    parts = [runner.advance(x, min(size, steps - t)) for t in range(0, steps, size)]
    return torch.cat(parts), runner.states


EXECUTORS = {"window": WINDOW, "step": 1}
"""Executor → steps of a window."""
