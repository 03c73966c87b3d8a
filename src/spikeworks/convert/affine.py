"""Which operations of a network a mean passes through: what is affine in the activations, and what is not, by name.

A rate-coded spiking network computes with means over time. An operation that is affine in the activations gives the
mean of its outputs from the mean of its inputs; any other does not, and has to be refused unless it becomes a neuron.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn
from torch.fx.node import map_arg
from torch.nn.modules import batchnorm, conv, padding, pooling

from ..layers import Temporal
from .activation import Activation


class Leaf(nn.Module):
    """A module that conversion has put into a graph, or will replace: it is called whole, and taken as it is."""


CONVOLUTIONS = (conv._ConvNd,)  # all of Conv1d ... ConvTranspose3d
NORMS = (batchnorm._BatchNorm,)
DROPOUTS = (nn.modules.dropout._DropoutNd, nn.Identity)
MAX_POOLS = (pooling._MaxPoolNd, pooling._AdaptiveMaxPoolNd)
AVERAGE_POOLS = (pooling._AvgPoolNd, pooling._AdaptiveAvgPoolNd)

AFFINE_MODULES: tuple[type[nn.Module], ...] = (
    nn.Linear, *CONVOLUTIONS, *NORMS, *DROPOUTS, *AVERAGE_POOLS, nn.Flatten, nn.Unflatten, nn.Upsample,
    nn.PixelShuffle, nn.PixelUnshuffle, nn.ChannelShuffle, nn.Fold, nn.Unfold, padding._ConstantPadNd,
    padding._ReflectionPadNd, padding._ReplicationPadNd, padding._CircularPadNd,
)  # fmt: skip
"""Modules that are affine in their one input (batch normalisation in evaluation mode)."""

_ADD: set[Any] = {
    operator.add, operator.sub, operator.neg, operator.getitem, torch.add, torch.sub, torch.neg, torch.cat,
    torch.concat, torch.stack, torch.flatten, torch.reshape, torch.permute, torch.transpose, torch.squeeze,
    torch.unsqueeze, torch.mean, torch.sum, torch.chunk, torch.split, torch.clone, F.pad, F.interpolate,
    F.pixel_shuffle, F.pixel_unshuffle, F.unfold, F.fold, "add", "sub", "neg", "view", "reshape", "flatten", "permute",
    "transpose", "squeeze", "unsqueeze", "mean", "sum", "contiguous", "clone", "detach", "chunk", "split", "expand",
    "to", "float", "double", "type_as", "unflatten", "view_as", torch.unbind, torch.select, torch.narrow, torch.roll,
    torch.flip, torch.movedim, torch.moveaxis, torch.swapaxes, torch.swapdims, torch.tile, torch.repeat_interleave,
    torch.cumsum, torch.tril, torch.triu, torch.unflatten, "unbind", "select", "narrow", "roll", "flip", "movedim",
    "moveaxis", "swapaxes", "swapdims", "repeat", "tile", "repeat_interleave", "cumsum", "tril", "triu",
}  # fmt: skip
"""Affine in all their arguments together."""

_SCALE: set[Any] = {
    operator.mul, operator.truediv, operator.matmul, torch.mul, torch.div, torch.matmul, F.linear, F.conv1d, F.conv2d,
    F.conv3d, F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d, "mul", "div", "matmul", torch.bmm, "bmm",
    torch.einsum, torch.addmm, torch.baddbmm, "addmm", "baddbmm",
}  # fmt: skip
"""Linear in one argument, if the others do not depend on the input."""

_CHOICES: dict[Any, int] = {"masked_fill": 1, torch.masked_fill: 1, torch.where: 0, "where": 1, "index_select": 2}
"""Affine if what chooses, the argument of that number, does not depend on the input."""

_SHAPES: set[Any] = {
    "size", "dim", "numel", "ndim", len, "new_zeros", "new_ones", torch.zeros_like, torch.ones_like, torch.numel,
}  # fmt: skip
_ATTRIBUTES = ("shape", "ndim", "dtype", "device")
"""Depend on the shape of their argument, not on its values."""

_ADVICE: tuple[tuple[tuple[str, ...], str], ...] = (
    (("lstm", "gru", "rnn"), "convert feed-forward networks only, or train a spiking recurrent one directly"),
    (("softmax", "attention", "transformer"), "replace attention by convolution or linear layers before training"),
    (("norm",), "replace it by batch normalisation, which is affine in evaluation mode, and train again"),
    (("bilinear", "einsum", "prod"), "a product of two activations is not a mean of products; restructure the network"),
    (("avg_pool",), "give its size as a number, or use nn.AdaptiveAvgPool2d"),
    (("pool", "amax", "max"), "use nn.MaxPool2d or average pooling"),
    (("attribute",), "use the tensor itself"),
)
_RETRAIN = "replace it by nn.ReLU (or sw.convert.activation.QCFS) and train again"


def dependence(network: fx.GraphModule) -> tuple[set[fx.Node], set[fx.Node]]:
    """What depends on the input: the nodes that do on its values, and those that do on its shape alone.

    A batch size is among the second, and so is a class token expanded to it, or as many positions as there are tokens.
    """
    values: set[fx.Node] = set()
    shapes: set[fx.Node] = set()
    for node in network.graph.nodes:
        before = node.all_input_nodes
        if node.target in _SHAPES or (node.target is getattr and node.args[1] in _ATTRIBUTES):
            shapes |= {node} if any(n in values or n in shapes for n in before) else set()
        elif node.op == "placeholder" or any(n in values for n in before):
            values.add(node)
        elif any(n in shapes for n in before):
            shapes.add(node)
    return values, shapes


def check(network: fx.GraphModule, compensable: Callable[[fx.Node], bool] = lambda node: False) -> None:
    """Raise ``ValueError``, naming the first operation that has no spiking form and its line, with advice.

    :param compensable: whether a method that compensates functions takes an operation; said in the message.
    """
    modules = dict(network.named_modules())
    values, _ = dependence(network)
    for node in network.graph.nodes:
        if node not in values or node.op in ("placeholder", "output"):
            continue
        try:
            if node.op == "call_module":
                _check_module(node, modules[node.target])
            else:
                _check_call(node, values)
        except ValueError as error:
            if not compensable(node):
                raise
            raise ValueError(f"{str(error)[:-1]}, or choose a method that takes it, such as ECMT or DCGS.") from None


def _is_view(node: fx.Node) -> bool:
    return node.target is getattr and node.args[1] in ("T", "mT")


def _check_module(node: fx.Node, module: nn.Module) -> None:
    if isinstance(module, (Activation, nn.ReLU, *MAX_POOLS, Temporal, Leaf)):
        if getattr(module, "return_indices", False):
            raise refusal(node, "max pooling that returns indices", "pool without return_indices")
        return
    if not isinstance(module, AFFINE_MODULES):
        raise refusal(node, type(module).__name__)
    if isinstance(module, NORMS) and module.running_mean is None:
        raise refusal(node, "batch normalisation without running statistics", "train with track_running_stats=True")


def _check_call(node: fx.Node, values: set[fx.Node]) -> None:
    carried: list[fx.Node] = []
    map_arg((node.args, node.kwargs), lambda n: carried.append(n) if n in values else None)
    if node.target in _SCALE:
        if len(carried) > 1:
            raise refusal(node, "a product of two activations", _advice("bilinear"))
        if node.target in (operator.truediv, torch.div, "div") and carried[0] is not node.args[0]:
            raise refusal(node, "a division by an activation")
    elif node.target in _CHOICES:
        place = _CHOICES[node.target]
        chooses = node.args[place] if len(node.args) > place else None
        if not isinstance(chooses, fx.Node) or chooses in values:
            raise refusal(node, f"{operation(node)} by an activation", "choose by what does not depend on the input")
    elif node.target not in _ADD and not _is_view(node):
        raise refusal(node, f"the attribute {node.args[1]!r}" if node.target is getattr else operation(node))
    elif _rounds(node):
        raise refusal(node, "a conversion to whole numbers or booleans", "keep activations in floating point")


def _rounds(node: fx.Node) -> bool:
    kinds = [a for a in (*node.args, *node.kwargs.values()) if isinstance(a, torch.dtype)]
    return any(not kind.is_floating_point for kind in kinds)


def calls(network: fx.GraphModule, kinds: tuple[type, ...]) -> list[tuple[fx.Node, nn.Module]]:
    """The calls of modules of these kinds, in running order, with the module."""
    modules = dict(network.named_modules())
    calls = [(n, modules[n.target]) for n in network.graph.nodes if n.op == "call_module"]
    return [(node, module) for node, module in calls if isinstance(module, kinds)]


def operation(node: fx.Node) -> str:
    """The plain name of what a node calls: ``"relu"``, ``"max_pool2d"``, ``"add"``."""
    if isinstance(node.target, str):
        return node.target
    name = getattr(node.target, "__name__", str(node.target))
    # functions that torch picks by a flag are all called `fn`; fx names their nodes after the function
    return node.name.rstrip("0123456789").rstrip("_") if name == "fn" else name


def refusal(node: fx.Node, what: str, advice: str | None = None) -> ValueError:
    """The error for an operation that cannot be converted: its place, what it is, and what to do."""
    place = f"{node.target!r}" if node.op == "call_module" else f"{scope(node) or 'the network'!r}"
    line = source_line(node)
    return ValueError(
        f"convert got {what} in {place}{f' ({line})' if line else ''}, expected operations that are affine in the "
        f"activations, or ReLU; {advice or _at_the_end(node, what) or _advice(what)}."
    )


def _at_the_end(node: fx.Node, what: str) -> str | None:
    last = all(user.op == "output" for user in node.users)
    order_kept = any(word in what.lower() for word in ("softmax", "sigmoid", "tanh"))
    return "return the logits themselves, whose order is the same" if last and order_kept else None


def _advice(what: str) -> str:
    return next((a for words, a in _ADVICE if any(w in what.lower() for w in words)), _RETRAIN)


def scope(node: fx.Node) -> str:
    """The module whose code calls this node: ``"layer1.0"``; empty for the network itself."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    path = stack[-1][0] if stack else ""
    return path.removeprefix("network").removeprefix(".")


def source_line(node: fx.Node) -> str | None:
    """``file.py:line`` of the user's code that made this node, if fx knows it."""
    others = str(Path(torch.__file__).parent), str(Path(__file__).parent)
    frames = [line.split('"') for line in (node.stack_trace or "").splitlines() if line.strip().startswith("File ")]
    own = [f for f in frames if not f[1].startswith(others)]
    return f"{Path(own[-1][1]).name}:{own[-1][2].split('line ')[1].split(',')[0]}" if own else None
