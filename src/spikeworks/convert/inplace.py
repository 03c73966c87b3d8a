"""In-place operations of a traced network as ordinary ones, where that means the same; else they are refused."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from .affine import DROPOUTS, operation, refusal

_IN_PLACE: dict[Any, Any] = {
    "add_": "add", "sub_": "sub", "mul_": "mul", "div_": "div",
    "relu_": "relu", "clamp_": "clamp", "clip_": "clip", torch.relu_: torch.relu, F.relu_: F.relu,
}  # fmt: skip

_VIEWS = {
    "view", "view_as", "reshape", "flatten", "unflatten", "permute", "transpose", "squeeze", "unsqueeze", "expand",
    "chunk", "split", "getitem", "narrow", "select", "contiguous", "detach", "to", "float", "double", "type_as", "t",
    "getattr",
}  # fmt: skip
"""What may share memory with its argument."""


def out_of_place(network: fx.GraphModule) -> None:
    """Rewrite in-place operations; what reads the overwritten tensor later is given the new one.

    :raises ValueError: if the overwritten memory is read later under another name (a view of it, or what it is a view
        of): these readers would have to see the change, too.
    """
    _drop_identities(network)
    modules = dict(network.named_modules())
    order = {node: i for i, node in enumerate(network.graph.nodes)}
    memory: dict[fx.Node, fx.Node] = {}  # node → the node that made the memory it looks at
    for node in network.graph.nodes:
        first = node.args[0] if node.args and isinstance(node.args[0], fx.Node) else None
        module = modules[node.target] if node.op == "call_module" else None
        inside = getattr(module, "inplace", False)
        writes = node.target in _IN_PLACE or bool(node.kwargs.get("inplace")) or inside
        shares = first is not None and (writes or _is_view(node, module, network.training))
        memory[node] = memory[first] if shares and first is not None else node
        if not writes or first is None:
            continue
        others = [n for n, m in memory.items() if m is memory[first] and n not in (first, node)]
        if any(order[user] > order[node] for other in others for user in other.users):
            raise refusal(node, "an in-place operation on memory that is read again under another name",
                          "write it out of place (inplace=False, or y = y + x for y += x)")  # fmt: skip
        node.target = _IN_PLACE.get(node.target, node.target)
        node.kwargs = {k: v for k, v in node.kwargs.items() if k != "inplace"}
        if inside:
            module.inplace = False  # type: ignore[union-attr, assignment]
        for user in [u for u in first.users if order[u] > order[node]]:
            user.replace_input_with(first, node)


def _drop_identities(network: fx.GraphModule) -> None:
    modules = dict(network.named_modules())
    for node in network.graph.nodes:
        if node.op == "call_module" and type(modules[node.target]) is nn.Identity:
            node.replace_all_uses_with(node.args[0])
            network.graph.erase_node(node)


def _is_view(node: fx.Node, module: nn.Module | None, training: bool) -> bool:
    if module is not None:
        return isinstance(module, (nn.Flatten, nn.Unflatten)) or (isinstance(module, DROPOUTS) and not training)
    name = operation(node)
    return name in _VIEWS or (name.startswith("dropout") and not training)
