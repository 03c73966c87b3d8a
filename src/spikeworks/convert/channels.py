"""Which axis of a site's tensor are its channels: where one threshold each makes sense."""

from __future__ import annotations

from typing import Any

from torch import fx, nn

from ..layers import Temporal
from .activation import Activation
from .affine import CONVOLUTIONS, DROPOUTS, NORMS, Leaf, operation
from .function import Function

_THROUGH = ("add", "sub", "mul", "cat", "avg_pool1d", "avg_pool2d", "avg_pool3d", "interpolate", "pad")
"""Keep every axis in its place."""
_LAST = ("getitem", "chunk", "split", "unbind", "contiguous", "truediv", "div", "mean", "to", "float")
"""Keep the last axis in its place."""
_FUNCTIONS = {"layer_norm": -1, "rms_norm": -1, "matmul": -1, "softmax": 1, "group_norm": 1, "instance_norm": 1,
              "local_response_norm": 1}  # fmt: skip


def channel_axis(network: fx.GraphModule, site: str) -> int | None:
    """The channel axis of a site: 1 after a convolution, −1 after a linear layer, layer normalisation or a product.

    Attention weights ``[B, heads, L, S]`` have one per head: 1. ``None`` if it cannot be told.
    """
    modules = dict(network.named_modules())
    node: Any = next(n for n in network.graph.nodes if n.op == "call_module" and n.target == site).args[0]
    reshaped = False  # then only an axis counted from the end is still the same
    many = False  # whether there are four axes or more, so that 1 and 2 are not the last
    while isinstance(node, fx.Node):
        module = modules[str(node.target)] if node.op == "call_module" else None
        name = operation(node) if module is None else ""
        if (axis := _made(module, name)) is not None:
            return axis if axis < 0 or not reshaped else None
        if module is not None:
            known = (*DROPOUTS, nn.ReLU, Activation, Temporal, Leaf)
            if not isinstance(module, known) or (isinstance(module, Function) and module.kind.startswith("am")):
                return None
        elif name in ("transpose", "permute", "movedim"):
            if not _last_stays(node, name, many):
                return None
            reshaped = True
        elif name in ("view", "reshape", "flatten", "unflatten"):
            axes = _axes(node, name)
            if axes < 3:
                return None
            many = many or axes > 3 or name == "flatten"
            reshaped = True
        elif name in _LAST:
            reshaped = True
        elif name not in _THROUGH:
            return None
        first = node.args[0] if node.args else None
        node = first[0] if isinstance(first, tuple | list) else first
    return None


def _made(module: nn.Module | None, name: str) -> int | None:
    if isinstance(module, nn.Linear) or name in ("linear", "addmm"):
        return -1
    if isinstance(module, Function):
        return _FUNCTIONS.get(module.kind)
    if isinstance(module, (*CONVOLUTIONS, *NORMS)) or "Pool" in type(module).__name__:
        return 1
    return None


def _axes(node: fx.Node, name: str) -> int:
    """How many axes a reshape makes, or at least has."""
    if name == "flatten":  # from axis 2 on: of what has four, as heads
        return 3 if len(node.args) == 2 and isinstance(node.args[1], int) and node.args[1] >= 2 else 0
    if name == "unflatten":
        place, sizes = node.args[1:]
        return (place if isinstance(place, int) and place > 0 else 1) + len(sizes) if isinstance(sizes, tuple) else 0  # type: ignore[arg-type]
    rest: Any = node.args[1:]
    return len(rest[0]) if len(rest) == 1 and isinstance(rest[0], tuple | list) else len(rest)


def _last_stays(node: fx.Node, name: str, many: bool) -> bool:
    rest: list[Any] = [*node.args[1:], *node.kwargs.values()]
    if name == "permute":
        dims = rest[0] if isinstance(rest[0], tuple | list) else rest
        return dims[-1] in (-1, len(dims) - 1)
    if name == "movedim":
        return False
    source = node.args[0]
    if isinstance(source, fx.Node) and operation(source) in ("view", "reshape", "unflatten"):
        many = many or _axes(source, operation(source)) > 3
    return many and all(isinstance(a, int) and 0 <= a < 3 for a in rest)
