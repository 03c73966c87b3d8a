"""The one pass that makes any network convertible: traced, every activation a module of its own, nothing left unnamed.

Method independent. What comes out is a ``torch.fx.GraphModule`` that computes what the network computed, in which
every activation is a module (a *site*) named after its place in the source: ``"layer1.0.relu"``. A reused module gets
a second name, ``"layer1.0.relu_2"``; a functional ``F.relu`` is named after the module that calls it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import fx, nn

from ..layers import Temporal
from ..layers.fold import fold_norms
from .activation import Activation, Clip
from .affine import DROPOUTS, MAX_POOLS, calls, check, operation, scope
from .attention import expand_attention, write_out
from .channels import channel_axis as channel_axis
from .encoders import SITES
from .function import Function, compensable, insert_functions
from .inplace import out_of_place
from .layout import batch_first
from .pool import POOLINGS, Pooling
from .repool import average_pools, pool_before_neurons
from .trace import copied, traced


def normalise(
    model: nn.Module,
    pooling: Pooling = "delta",
    fold: bool = False,
    nonlinear: bool = False,
    example: torch.Tensor | None = None,
) -> fx.GraphModule:
    """A convertible copy of a trained network; the network itself is left as it was.

    :param model: ``[B, ...]`` in, one tensor ``[B, ...]`` out, in evaluation mode.
    :param pooling: what becomes of max pooling, see :mod:`spikeworks.convert.pool`.
    :param fold: put batch normalisation into the convolution or linear layer before it, where that has no other user.
        Exact up to rounding and not needed for accuracy; for hardware.
    :param nonlinear: whether functions that are not affine, products of activations and attention are allowed, for
        methods that compensate them; each becomes a :class:`~spikeworks.convert.function.Function` named after its
        place: ``"blocks.0.attention.softmax"``. A network of functions alone needs no activation then.
    :param example: an input ``[B, ...]``, for networks whose forward branches on shapes or goes through them, as those
        of Hugging Face do: where tracing without fails, all sizes but the batch's are then fixed to those of the
        example. What it holds is not looked at.
    :raises ValueError: if the network is in training mode, cannot be traced, has no activation, or holds an operation
        that has no spiking form; the message names the place and what to do.
    """
    if pooling not in POOLINGS:
        raise ValueError(f"convert got pooling={pooling!r}, expected one of {list(POOLINGS)}; choose one.")
    if training := [name or type(model).__name__ for name, module in model.named_modules() if module.training]:
        raise ValueError(
            f"convert got a network in training mode ({training[0]!r}), expected evaluation mode, in which batch "
            "normalisation is affine and dropout absent; call .eval() once it is trained."
        )
    network = _modular(model, nonlinear, example)
    _drop(network)
    batch_first(network)
    if pooling == "avg":
        average_pools(network)
    elif pooling == "pre-neuron":
        pool_before_neurons(network)
    if fold:
        fold_norms(network)
    if nonlinear:
        insert_functions(network, lambda name: name if not _has(network, name) else _free(network, name, set()))
    check(network, lambda node: not nonlinear and compensable(network, node))
    if not sites(_finish(network)) and not calls(network, (Function,)):
        raise ValueError(
            f"convert got {type(model).__name__} without any activation, expected ReLU-like activations, which become "
            "neurons; a linear network needs no conversion."
        )
    return network.eval()


def replace_activations(
    model: nn.Module, factory: Callable[[], nn.Module], pooling: Pooling = "pre-neuron"
) -> fx.GraphModule:
    """A trainable copy of a network with every activation (functional ones too) made anew by ``factory``.

    :param model: with ReLU-like activations; keeps its parameters' values, its mode, dropout and normalisation.
    :param factory: e.g. ``lambda: sw.convert.activation.QCFS(levels=4)``; called once per activation.
    :param pooling: ``"avg"`` replaces max pooling by average pooling, as the papers train; else it stays as it is.
    :raises ValueError: if the network cannot be traced or has no activation.
    """
    network = _modular(model)
    if pooling == "avg":
        average_pools(network)
    if not sites(network):
        raise ValueError(f"replace_activations got {type(model).__name__} without any ReLU, expected some; check it.")
    for name in sites(network):
        network.set_submodule(name, factory().train(model.training))
    return _finish(network)


def sites(network: fx.GraphModule) -> list[str]:
    """Names of the places of a normalised network where neurons will be, or are, in running order: activations, and
    encoders if they were put in."""
    return [str(node.target) for node, _ in calls(network, SITES)]


def until(network: fx.GraphModule, site: str) -> fx.GraphModule:
    """The part of a network that computes the input of ``site``; modules are shared, not copied."""
    graph = fx.Graph()
    made: dict[fx.Node, fx.Node] = {}
    for node in network.graph.nodes:
        if node.op == "call_module" and node.target == site:
            graph.output(made[node.args[0]])
            break
        made[node] = graph.node_copy(node, lambda n: made[n])
    part = fx.GraphModule(network, graph)
    part.graph.eliminate_dead_code()
    part.recompile()
    return part


def _modular(model: nn.Module, nonlinear: bool = False, example: torch.Tensor | None = None) -> fx.GraphModule:
    root = copied(model)
    root, graph = traced(write_out(root) if nonlinear else root, type(model).__name__, example)
    output = next(n for n in graph.nodes if n.op == "output").args[0]
    if not isinstance(output, fx.Node):
        raise ValueError(
            f"convert got {type(model).__name__}, which returns {type(output).__name__}, expected one tensor; wrap it "
            "in a module that returns the logits alone."
        )
    network = fx.GraphModule(root, graph, type(model).__name__)
    for node in list(network.graph.nodes):
        if node.target is torch._assert:  # of shapes: it has no result
            network.graph.erase_node(node)
    out_of_place(network)
    for node in network.graph.nodes:  # in time, memory may lie otherwise; a reshape is a view where one is possible
        if node.op == "call_method" and node.target == "view" and not isinstance(node.args[1], torch.dtype):
            node.target = "reshape"
    if nonlinear:
        expand_attention(network)
    network.graph.eliminate_dead_code()
    _insert_modules(network)
    return network


def _finish(network: fx.GraphModule) -> fx.GraphModule:
    network.graph.eliminate_dead_code()
    network.graph.lint()
    network.delete_all_unused_submodules()
    network.recompile()
    return network


def _insert_modules(network: fx.GraphModule) -> None:
    """Activations and max pooling become modules, one for each call; dropout and average pooling modules, too."""
    modules = dict(network.named_modules(remove_duplicate=False))
    taken: set[str] = set()
    for node in list(network.graph.nodes):
        if node.op == "call_module":
            module, name = _own(modules[node.target]), str(node.target)
            if module is None:
                continue
            if name in taken:
                name = _free(network, name, taken)
                network.add_submodule(name, copy.deepcopy(module))
            else:
                network.set_submodule(name, module)
            node.target = name
        elif (module := _called(node)) is not None:
            word = operation(node).rstrip("_")
            base = f"{scope(node)}.{word}".lstrip(".")
            name = base if not _has(network, base) else _free(network, base, taken)
            network.add_submodule(name, module.train(network.training))
            with network.graph.inserting_after(node):
                call = network.graph.call_module(name, (node.args[0] if node.args else node.kwargs["input"],))
            call.meta = node.meta
            node.replace_all_uses_with(call)
            network.graph.erase_node(node)
        else:
            continue
        taken.add(name)


def _has(network: nn.Module, name: str) -> bool:
    owner: Any = network
    for part in name.split("."):
        if not hasattr(owner, part):
            return False
        owner = getattr(owner, part)
    return True


def _free(network: nn.Module, base: str, taken: set[str]) -> str:
    number = 2
    while f"{base}_{number}" in taken or _has(network, f"{base}_{number}"):
        number += 1
    return f"{base}_{number}"


def _own(module: nn.Module) -> nn.Module | None:
    """The module that serves in a called module's place, or ``None`` if it is none of those that need one each."""
    if isinstance(module, nn.Hardtanh):  # ReLU6 is one
        return Clip(module.max_val, trained=False) if module.min_val == 0 and module.max_val > 0 else None
    return module if isinstance(module, (nn.ReLU, Activation, Temporal, *MAX_POOLS)) else None


def _called(node: fx.Node) -> nn.Module | None:
    """The module for a functional call of an activation, dropout or pooling, or ``None``."""
    name = operation(node).removeprefix("torch.")
    given: dict[str, Any] = {**dict(zip(_ARGUMENTS.get(name, ()), node.args[1:], strict=False)), **node.kwargs}
    given.pop("input", None)
    if node.op not in ("call_function", "call_method") or name not in _ARGUMENTS:
        return None
    if any(isinstance(value, fx.Node) for value in given.values()):
        return None  # an argument that depends on the input: refused later, by name
    if name == "relu":
        return nn.ReLU()
    if name in ("relu6", "clamp", "clip", "hardtanh", "clamp_min"):
        low = 0 if name == "relu6" else given.get("min", given.get("min_val"))
        high = 6.0 if name == "relu6" else given.get("max", given.get("max_val"))
        if low != 0 or isinstance(low, bool) or not (high is None or (isinstance(high, int | float) and high > 0)):
            return None
        return nn.ReLU() if high is None else Clip(high, trained=False)
    if name.startswith("dropout"):
        kinds = {"dropout": nn.Dropout, "dropout1d": nn.Dropout1d, "dropout2d": nn.Dropout2d, "dropout3d": nn.Dropout3d}
        return kinds[name](given.get("p", 0.5))
    if given.pop("return_indices", False):
        return None
    kind = "".join(word.capitalize() for word in name[:-2].split("_")) + name[-2:]  # "avg_pool2d": AvgPool2d
    return getattr(nn, kind)(**given)


_POOL_ENDS = ("ceil_mode", "return_indices")
_AVERAGE_ENDS = {1: ("count_include_pad",), **dict.fromkeys((2, 3), ("count_include_pad", "divisor_override"))}
_ARGUMENTS: dict[str, tuple[str, ...]] = {
    "relu": (), "relu6": (), "clamp": ("min", "max"), "clip": ("min", "max"), "clamp_min": ("min",),
    "hardtanh": ("min_val", "max_val"), **{f"dropout{d}": ("p", "training") for d in ("", "1d", "2d", "3d")},
    **{f"max_pool{d}d": ("kernel_size", "stride", "padding", "dilation", *_POOL_ENDS) for d in (1, 2, 3)},
    **{f"avg_pool{d}d": ("kernel_size", "stride", "padding", "ceil_mode", *_AVERAGE_ENDS[d]) for d in (1, 2, 3)},
    **{f"adaptive_max_pool{d}d": ("output_size", "return_indices") for d in (1, 2, 3)},
    **{f"adaptive_avg_pool{d}d": ("output_size",) for d in (1, 2, 3)},
}  # fmt: skip


def _drop(network: fx.GraphModule) -> None:
    for node, _ in calls(network, DROPOUTS):
        node.replace_all_uses_with(node.args[0])  # type: ignore[arg-type]
        network.graph.erase_node(node)
