"""What is the same at every step, computed once: the layers in front of the first neuron, on a repeated input."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx, nn

from .time import Temporal


class Still(Temporal):
    """Layers without state, then one temporal layer. Where the input is the same at every step, the layers see it once.

    Its state is the temporal layer's.

    :param before: the stateless layers, written for ``[B, ...]``.
    :param temporal: what follows, a neuron say.
    """

    def __init__(self, before: nn.Module, temporal: Temporal) -> None:
        super().__init__()
        self.before, self.temporal = before, temporal

    def run(self, x_T: Tensor, state: Any) -> tuple[Tensor, Any]:
        """``[T, B, ...]`` → the temporal layer's output and state."""
        steps = x_T.shape[0]
        # in training mode a layer may draw, or count, at every step
        fixed = not self.before.training and not torch.compiler.is_compiling()
        if fixed and steps > 1 and all(torch.equal(x_T[0], x) for x in x_T[1:].unbind(0)):
            y = self.before(x_T[0])
            return self.temporal.run(y.expand(steps, *y.shape), state)
        return self.temporal.run(self.before(x_T.flatten(0, 1)).unflatten(0, x_T.shape[:2]), state)


def join_still(network: fx.GraphModule) -> int:
    """Put the chain of modules from the input to the first temporal layer into one :class:`Still`, in place, under that
    layer's name. Returns how many modules it joined; 0 if the graph does not begin with such a chain."""
    modules = dict(network.named_modules())
    nodes = [n for n in network.graph.nodes if n.op == "placeholder"]
    if len(nodes) != 1:
        return 0
    chain: list[fx.Node] = []
    at = nodes[0]
    while len(at.users) == 1:
        at = next(iter(at.users))
        if at.op != "call_module" or len(at.args) != 1 or at.kwargs:
            return 0
        if isinstance(temporal := modules[str(at.target)], Temporal):
            break
        chain.append(at)
    else:
        return 0
    called = [n.target for n in network.graph.nodes if n.op == "call_module"]
    if not chain or any(called.count(n.target) > 1 for n in (*chain, at)):
        return 0
    before = nn.Sequential(*(modules[str(n.target)] for n in chain))
    owner, _, name = str(at.target).rpartition(".")
    setattr(network.get_submodule(owner), name, Still(before, temporal).train(temporal.training))
    at.args = (nodes[0],)
    for node in reversed(chain):
        network.graph.erase_node(node)
        network.delete_submodule(str(node.target))
    network.recompile()
    return len(chain)
