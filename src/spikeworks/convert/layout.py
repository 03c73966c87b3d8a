"""The batch axis, followed through a graph and kept first.

Sequence-first attention (``[S, B, E]``) and ``permute(2, 0, 3, 1, 4).unbind(0)`` move the batch away from axis 0 for a
while; what mixes samples never brings it back. Here the first are rewritten, so that every tensor of the graph is
``[B, ...]``, and the second are refused by name.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import fx, nn

from .affine import dependence, operation, refusal

_ADVICE = "name the axes it works on, from 1 up"

_POINTWISE = {
    "add", "sub", "mul", "truediv", "div", "neg", "contiguous", "clone", "detach", "to", "float", "double", "type_as",
    "linear", "gelu", "relu", "silu", "tanh", "sigmoid", "elu", "leaky_relu", "dropout", "pow", "sqrt", "rsqrt", "exp",
    "abs", "square", "layer_norm", "rms_norm", "getattr",
}  # fmt: skip
"""Work on each element, or along the last axes: wherever the batch is."""

_LAST_AXIS = (
    nn.Linear, nn.LayerNorm, nn.RMSNorm, nn.Identity, nn.GELU, nn.ReLU, nn.SiLU, nn.Tanh, nn.Sigmoid,
    nn.modules.dropout._DropoutNd,
)  # fmt: skip

Effect = Literal["keep", "drop", "new", "sizes"]
_ALONG: dict[str, tuple[int, int | None, Effect]] = {
    **dict.fromkeys(("softmax", "log_softmax", "softmin", "cumsum", "flip", "index_select"), (1, None, "keep")),
    **dict.fromkeys(("mean", "sum", "amax", "amin", "var", "std", "logsumexp"), (1, None, "drop")),
    **dict.fromkeys(("norm", "vector_norm"), (2, None, "drop")), **dict.fromkeys(("unbind", "select"), (1, 0, "drop")),
    **dict.fromkeys(("cat", "concat", "flatten", "unflatten", "narrow"), (1, 0, "keep")),
    **dict.fromkeys(("stack", "unsqueeze"), (1, 0, "new")), **dict.fromkeys(("chunk", "split"), (2, 0, "keep")),
    **dict.fromkeys(("roll", "repeat_interleave"), (2, None, "keep")), "normalize": (2, 1, "keep"),
    "glu": (1, -1, "keep"), "squeeze": (1, -1, "drop"),
    **dict.fromkeys(("view", "reshape", "expand", "repeat", "tile", "view_as"), (1, None, "sizes")),
}  # fmt: skip
"""Operation → the place of the axes among its arguments, the default (``None``: all axes), what becomes of them."""


def batch_first(network: fx.GraphModule) -> None:
    """Rewrite what moves the batch axis; afterwards axis 0 is the batch in every tensor that depends on the input.

    Axes counted from the end are taken for others than the batch's: how many a tensor has cannot be told here.

    :raises ValueError: for an operation over the batch axis, naming it and its line.
    """
    values, _ = dependence(network)
    modules: dict[str, nn.Module] = dict(network.named_modules())
    axes: dict[fx.Node, int] = {}  # where the network has the batch, if not in front; in the graph it is in front
    for node in list(network.graph.nodes):
        operands = [n for n in node.all_input_nodes if n in values]
        if node not in values or not operands:
            continue
        axis, *others = {axes.get(n, 0) for n in operands}
        if others:
            raise refusal(node, f"{operation(node)} of tensors that have the batch on different axes", _ADVICE)
        if node.op == "output":
            if axis:
                raise refusal(operands[0], f"an output with the batch axis at {axis}, not 0", "put it in front")
        elif node.op == "call_module":
            module = modules[str(node.target)]
            if axis in (getattr(module, "dim", None), getattr(module, "start_dim", None)):
                raise refusal(node, f"{type(module).__name__} over the batch axis", _ADVICE)
            if axis and not isinstance(module, _LAST_AXIS):
                node = _between_moves(network, node, axis)
            axes[node] = axis
        else:
            if operation(node) == "getitem" and _makes_several(modules, node.args[0]):
                continue  # a part of what is refused by name later
            after = _call(network, node, axis, values)
            if after is None:
                raise refusal(node, f"{operation(node)} over the batch axis", _ADVICE)
            axes[node] = after
    for node in network.graph.nodes:
        if node.meta.pop("moves_nothing", False):
            node.replace_all_uses_with(node.args[0])
            network.graph.erase_node(node)


def _makes_several(modules: dict[str, nn.Module], node: object) -> bool:
    if isinstance(node, fx.Node) and node.op != "call_module":
        return operation(node) in ("sort", "topk", "max", "min", "median", "mode", "kthvalue", "var_mean", "std_mean")
    module = modules[str(node.target)] if isinstance(node, fx.Node) else None
    return isinstance(module, (nn.RNNBase, nn.MultiheadAttention)) or getattr(module, "return_indices", False)


def _between_moves(network: fx.GraphModule, node: fx.Node, axis: int) -> fx.Node:
    with network.graph.inserting_before(node):
        node.args = (network.graph.call_function(torch.movedim, (node.args[0], 0, axis)), *node.args[1:])
    with network.graph.inserting_after(node):
        moved = network.graph.call_function(torch.movedim, (node, axis, 0))
    moved.meta = dict(node.meta)
    node.replace_all_uses_with(moved, delete_user_cb=lambda user: user is not moved)
    return moved


def _call(network: fx.GraphModule, node: fx.Node, axis: int, values: set[fx.Node]) -> int | None:
    """Rewrite a call whose operands had the batch on ``axis``; where its result has it, ``None`` if it mixes it."""
    name = operation(node).rstrip("_")
    constants = [n for n in node.all_input_nodes if n not in values]
    if name in ("permute", "transpose", "swapaxes", "swapdims", "movedim", "moveaxis"):
        return _move(node, name, axis)
    if name == "getitem":
        return _index(node, axis)
    if name in ("t", "T") or (name == "getattr" and node.args[1] == "T"):
        return None
    if name == "einsum":
        return _einsum(node, axis, values)
    if name in _ALONG and not (axis and constants and name in ("cat", "concat", "stack")):
        return _along(node, name, axis)
    if axis and name not in _POINTWISE:
        advice = "keep the batch axis in front, e.g. with batch_first=True"
        raise refusal(node, f"{operation(node)} of a tensor with the batch on axis {axis}", advice)
    for constant in constants if axis else ():
        if _rank(network, constant) > axis + 1:  # it has a place for the batch
            with network.graph.inserting_before(node):
                node.replace_input_with(constant, network.graph.call_function(torch.movedim, (constant, axis, 0)))
    return axis


def _rank(network: nn.Module, node: object) -> int:
    """The axes of a constant tensor, or of a part of one; 0 if it cannot be told."""
    if isinstance(node, fx.Node) and node.op == "get_attr":
        owner: Any = network
        for part in str(node.target).split("."):
            owner = getattr(owner, part)
        return owner.dim() if isinstance(owner, torch.Tensor) else 0
    if isinstance(node, fx.Node) and operation(node) == "getitem" and (rank := _rank(network, node.args[0])):
        index = node.args[1] if isinstance(node.args[1], tuple) else (node.args[1],)
        return rank + sum(i is None for i in index) - sum(isinstance(i, int | fx.Node) for i in index)
    return 0


def _move(node: fx.Node, name: str, axis: int) -> int | None:
    order = _order([*node.args[1:], *node.kwargs.values()], name, axis)
    if not order:
        return axis if order is not None else None
    after = order.index(axis)
    if axis or after:
        inside = [axis, *(a for a in range(len(order)) if a != axis)]  # axis of the graph's tensor → the network's
        dims = tuple(inside.index(order[a]) for a in (after, *(a for a in range(len(order)) if a != after)))
        node.op, node.target = "call_function", torch.permute if name == "permute" else torch.movedim
        node.args = (node.args[0], dims) if name == "permute" else (node.args[0], dims, tuple(range(len(dims))))
        node.kwargs = {}
        node.meta["moves_nothing"] = list(dims) == sorted(dims)
    return after


def _order(rest: list[Any], name: str, axis: int) -> list[int] | None:
    """For each axis of the result the axis of the argument, as far as they are named; empty if the batch is none of
    these, ``None`` if it cannot be told."""
    if name == "permute":
        dims = rest[0] if isinstance(rest[0], tuple | list) else rest
        return [a % len(dims) for a in dims] if all(isinstance(a, int) for a in dims) else None
    first, second = ([*a] if isinstance(a, tuple | list) else [a] for a in rest)
    if any(not isinstance(a, int) for a in (*first, *second)):
        return None
    if min(*first, *second) < 0:
        return None if axis in (*first, *second) else []
    if name in ("transpose", "swapaxes", "swapdims"):
        first, second = [*first, *second], [*second, *first]
    count = max(*first, *second, axis) + 1
    others = iter(a for a in range(count) if a not in first)
    return [first[second.index(a)] if a in second else next(others) for a in range(count)]


def _index(node: fx.Node, axis: int) -> int | None:
    """Indexing: of the batch everything has to be taken."""
    source, index = node.args
    if isinstance(source, fx.Node) and operation(source) in ("chunk", "split", "unbind"):
        return axis
    given = list(index) if isinstance(index, tuple | list) else [index]
    ahead: list[Any] = []
    while given and len(ahead) < axis and given[0] is not Ellipsis:
        ahead.append(given.pop(0))
    if any(item is None or isinstance(item, fx.Node) for item in ahead):
        return None
    if given and given[0] is not Ellipsis:
        first = given.pop(0)
        if not (isinstance(first, slice) and first == slice(None)):
            return None
    if axis and ahead:
        node.args = (source, (slice(None), *ahead, *given))
    elif axis and given and given[0] is not Ellipsis:
        return None
    return axis - sum(isinstance(item, int) for item in ahead)


def _einsum(node: fx.Node, axis: int, values: set[fx.Node]) -> int | None:
    if axis or not isinstance(node.args[0], str):
        return None
    operands = node.args[1] if isinstance(node.args[1], tuple | list) else node.args[1:]
    left, _, right = node.args[0].replace(" ", "").partition("->")
    parts = zip(left.split(","), operands, strict=True)
    first, *others = {part[:3] if part.startswith("...") else part[:1] for part, n in parts if n in values}
    return 0 if not others and right.startswith(first) else None


def _along(node: fx.Node, name: str, axis: int) -> int | None:
    """An operation along named axes: none may be the batch's; those before it come after it now."""
    place, default, effect = _ALONG[name]
    if effect == "sizes":
        return None if axis else 0
    key = next((k for k in ("dim", "axis", "dims", "start_dim") if k in node.kwargs), None)
    given: Any = node.kwargs[key] if key else node.args[place] if len(node.args) > place else default
    several = isinstance(given, tuple | list)
    dims: list[Any] = list(given) if several else [given]
    if any(not isinstance(d, int) for d in dims) or (axis in dims and effect != "new"):
        return None
    moved = [d + 1 if 0 <= d < axis or (effect == "new" and d == axis) else d for d in dims]
    if moved == dims:
        return axis
    if name in ("flatten", "unflatten"):
        return None
    value = tuple(moved) if several else moved[0]
    if not key and len(node.args) > place:
        node.args = (*node.args[:place], value, *node.args[place + 1 :])
    else:
        node.kwargs = {**node.kwargs, key or "dim": value}
    keeps = node.kwargs.get("keepdim", True in node.args[place + 1 :])
    change = {"keep": 0, "new": 1, "drop": 0 if keeps else -len(dims)}[effect]
    return axis + change
