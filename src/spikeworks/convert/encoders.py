"""Where a trained transformer has to spike, though it has no activation there: before every weight and every product.

ReLU networks have a site at each activation. A transformer's layers read what is normalised, added or weighted; for
their inputs to be spikes, a neuron is put right before them. An :class:`Encoder` marks such a place.
"""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor, fx, nn

from ..layers import Spiking
from .activation import Activation
from .affine import AVERAGE_POOLS, CONVOLUTIONS, DROPOUTS, Leaf, dependence, operation, scope
from .function import Function


class Encoder(Leaf):
    """The identity, at a place where values are to become spikes: a site."""

    def forward(self, x: Tensor) -> Tensor:
        """``x``."""
        return x


SITES = (nn.ReLU, Activation, Encoder, Spiking)

_MOVES = {"transpose", "permute", "movedim", "moveaxis", "swapaxes", "contiguous", "mT", "clone", "detach"}
"""Reorder all of a tensor."""
_PARTS = _MOVES | {"getitem", "chunk", "split", "unbind", "view", "reshape", "flatten", "unflatten", "squeeze",
                   "unsqueeze", "expand", "select", "narrow", "repeat_interleave", "pad", "cat", "stack"}  # fmt: skip
"""Take parts of tensors or put them side by side: of spikes they make spikes."""
_WEIGHTED = ("linear", "matmul", "bmm", "einsum", "addmm", "baddbmm", "conv1d", "conv2d", "conv3d", "conv_transpose1d",
             "conv_transpose2d", "conv_transpose3d")  # fmt: skip


def site_kind(network: fx.GraphModule, name: str) -> Literal["relu", "encoder", "neuron"]:
    """What a site is: ``"relu"`` for any ReLU-like activation, ``"encoder"``, or, once converted, ``"neuron"``."""
    module = network.get_submodule(name)
    return "encoder" if isinstance(module, Encoder) else "neuron" if isinstance(module, Spiking) else "relu"


def insert_encoders(network: fx.GraphModule, head: bool = False) -> list[str]:
    """Put an :class:`Encoder` on every activation that a linear layer, a convolution or a product of two reads.

    Not on what only affine operations separate from the input (a patch embedding multiplies pixels), nor on what is
    made of spikes already. A tensor read several times (by q, k and v) has one encoder. Element-by-element products, as
    gates and normalisations have them, are no synapses and get none.

    :param network: normalised with ``nonlinear=True``; changed in place.
    :param head: also before the last layer, whose output is the network's.
    :returns: the names of the encoders in running order: ``"blocks.0.attention.qkv_input"``, after the first reader.
        They stand beside it, not in it: it may be replaced.
    """
    values, _ = dependence(network)
    modules: dict[str, nn.Module] = dict(network.named_modules())
    still = _still(network, values, modules)
    last = None if head else _last(network, values, modules)
    spikes = {n for n in network.graph.nodes if n.op == "call_module" and isinstance(modules[n.target], SITES)}
    made: dict[fx.Node, fx.Node] = {}
    names: list[str] = []
    for node in list(network.graph.nodes):
        if node is last or node not in values or not _multiplies(node, modules):
            continue
        for place, source in enumerate(dict.fromkeys(n for n in node.all_input_nodes if n in values)):
            if source in still or _of_spikes(source, spikes, values, modules):
                continue
            reader, root = _root(node, source, values)
            if root not in made:
                name = _name(network, node, place)
                network.add_submodule(name, Encoder().train(network.training))
                with network.graph.inserting_after(root):
                    made[root] = network.graph.call_module(name, (root,))
                made[root].meta = dict(root.meta)
                values.add(made[root])
                spikes.add(made[root])
                modules[name] = network.get_submodule(name)
                names.append(name)
            reader.replace_input_with(root, made[root])
    network.graph.lint()
    network.recompile()
    order = [str(n.target) for n in network.graph.nodes if n.op == "call_module"]
    return sorted(names, key=order.index)


def _multiplies(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    if node.op == "call_module":
        module = modules[str(node.target)]
        return isinstance(module, (nn.Linear, *CONVOLUTIONS)) or (isinstance(module, Function) and module.contraction)
    return node.op in ("call_function", "call_method") and operation(node) in _WEIGHTED


def _still(network: fx.GraphModule, values: set[fx.Node], modules: dict[str, nn.Module]) -> set[fx.Node]:
    """What affine operations make of the input, and pooling and lookups of that."""
    found: set[fx.Node] = set()
    for node in network.graph.nodes:
        module = modules[node.target] if node.op == "call_module" else None
        lookup = isinstance(module, Function) and module.kind == "embedding"
        moving = isinstance(module, (*SITES, Function)) and not lookup
        if node in values and not moving and all(n in found for n in node.all_input_nodes if n in values):
            found.add(node)
    return found


def _last(network: fx.GraphModule, values: set[fx.Node], modules: dict[str, nn.Module]) -> fx.Node | None:
    """The layer whose output the network returns, shapes and constants aside."""
    node: Any = next(n for n in network.graph.nodes if n.op == "output").args[0]
    while isinstance(node, fx.Node) and not _multiplies(node, modules):
        before = [n for n in node.all_input_nodes if n in values]
        module = modules[str(node.target)] if node.op == "call_module" else None
        if len(before) != 1 or isinstance(module, (*SITES, Function)):
            return None
        node = before[0]
    return node


def _of_spikes(node: fx.Node, spikes: set[fx.Node], values: set[fx.Node], modules: dict[str, nn.Module]) -> bool:
    """Whether a tensor is made of the outputs of sites, rearranged or averaged; the largest of some is no spike."""
    if node in spikes:
        return True
    module = modules[str(node.target)] if node.op == "call_module" else None
    passes = isinstance(module, (nn.Flatten, nn.Unflatten, *AVERAGE_POOLS, *DROPOUTS))
    if not (passes or (module is None and operation(node) in _PARTS)):
        return False
    before = [n for n in node.all_input_nodes if n in values]
    return bool(before) and all(_of_spikes(n, spikes, values, modules) for n in before)


def _root(reader: fx.Node, node: fx.Node, values: set[fx.Node]) -> tuple[fx.Node, fx.Node]:
    """The tensor to encode for a reader, before it was only turned for it; and what reads that on the way."""
    while operation(node) in _MOVES and node.op != "call_module" and len(node.users) == 1:
        (before,) = (n for n in node.all_input_nodes if n in values)
        reader, node = node, before
    return reader, node


def _name(network: nn.Module, node: fx.Node, place: int) -> str:
    base = str(node.target) if node.op == "call_module" else f"{scope(node)}.{operation(node)}".lstrip(".")
    name = wished = f"{base}_input" + (f"_{place + 1}" if place else "")
    taken, number = {n for n, _ in network.named_modules()}, 2
    while name in taken:
        name, number = f"{wished}_{number}", number + 1
    return name
