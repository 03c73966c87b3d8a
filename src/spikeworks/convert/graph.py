"""The one pass that makes any network convertible: traced, every activation a module of its own, nothing left unnamed.

Method independent. What comes out is a ``torch.fx.GraphModule`` that computes what the network computed, in which
every activation is a module (a *site*) named after its place in the source: ``"layer1.0.relu"``. A reused module gets
a second name, ``"layer1.0.relu_2"``; a functional ``F.relu`` is named after the module that calls it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import fx, nn

from ..layers import Spiking, Temporal
from .activation import Activation, Clip
from .affine import CONVOLUTIONS, DROPOUTS, MAX_POOLS, NORMS, calls, check, operation, scope
from .fold import fold_norms
from .inplace import out_of_place
from .pool import POOLINGS, Pooling
from .repool import average_pools, pool_before_neurons


def normalise(model: nn.Module, pooling: Pooling = "delta", fold: bool = False) -> fx.GraphModule:
    """A convertible copy of a trained network; the network itself is left as it was.

    :param model: ``[B, ...]`` in, one tensor ``[B, ...]`` out, in evaluation mode.
    :param pooling: what becomes of max pooling, see :mod:`spikeworks.convert.pool`.
    :param fold: put batch normalisation into the convolution or linear layer before it, where that has no other user.
        Exact up to rounding and not needed for accuracy; for hardware.
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
    network = _modular(model)
    _drop(network)
    if pooling == "avg":
        average_pools(network)
    elif pooling == "pre-neuron":
        pool_before_neurons(network)
    if fold:
        fold_norms(network)
    check(network)
    if not sites(_finish(network)):
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
    """Names of the activations of a normalised network (after conversion: of its neurons), in running order."""
    return [str(node.target) for node, _ in calls(network, (nn.ReLU, Activation, Spiking))]


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


def channel_axis(network: fx.GraphModule, site: str) -> int | None:
    """The channel axis of a site, 1 after a convolution and −1 after a linear layer; ``None`` if it cannot be told."""
    modules = dict(network.named_modules())
    node = next(n for n in network.graph.nodes if n.op == "call_module" and n.target == site).args[0]
    through = ("add", "sub", "mul", "cat", "avg_pool1d", "avg_pool2d", "avg_pool3d", "interpolate", "pad")
    while isinstance(node, fx.Node):
        if node.op == "call_module":
            module = modules[str(node.target)]
            if isinstance(module, nn.Linear):
                return -1
            if isinstance(module, (*CONVOLUTIONS, *NORMS)) or "Pool" in type(module).__name__:
                return 1
            if not isinstance(module, (*DROPOUTS, nn.ReLU, Activation, Temporal)):
                return None
        elif operation(node) not in through:
            return None
        first = node.args[0] if node.args else None
        node = first[0] if isinstance(first, tuple | list) else first
    return None


class _Tracer(fx.Tracer):
    record_stack_traces = True

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        # a class of the user's with nothing but a constructor of its own is the torch layer it derives from
        torchs_own = str(type(m).forward.__module__).startswith("torch.nn.") and not isinstance(m, nn.Sequential)
        return isinstance(m, (Activation, Temporal)) or torchs_own


class _Entry(nn.Module):
    """Calls the network with its input alone, so that optional arguments take their defaults while it is traced."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.network(x)


def _modular(model: nn.Module) -> fx.GraphModule:
    tracer, root = _Tracer(), _copy(model)
    root = nn.Sequential(root) if tracer.is_leaf_module(root, "") else root
    entry = _Entry(root)
    try:
        graph = tracer.trace(entry)
    except Exception as error:
        raise ValueError(
            f"convert got {type(model).__name__}, which cannot be traced ({_place(error)}: {str(error).splitlines()[0]}"
            "), expected a forward without branches on tensor values; move the branch out of forward, or mark the "
            "function with torch.fx.wrap."
        ) from error
    for node in graph.nodes:
        node.type = None  # annotations that are strings cannot be pickled with the graph
        if node.op in ("call_module", "get_attr"):
            if not node.target.startswith("network."):  # a tensor made in forward, which the tracer has put away
                root.register_buffer(node.target, getattr(entry, node.target), persistent=False)
            node.target = node.target.removeprefix("network.")
        if node.op == "call_module" and not node.args:
            node.args, node.kwargs = (node.kwargs["input"],), {}
    output = next(n for n in graph.nodes if n.op == "output").args[0]
    if not isinstance(output, fx.Node):
        raise ValueError(
            f"convert got {type(model).__name__}, which returns {type(output).__name__}, expected one tensor; wrap it "
            "in a module that returns the logits alone."
        )
    network = fx.GraphModule(root, graph, type(model).__name__)
    out_of_place(network)
    _insert_modules(network)
    return network


def _copy(model: nn.Module) -> nn.Module:
    """The network itself, out of what torch wraps around it, as a copy."""
    wrappers = (nn.DataParallel, nn.parallel.DistributedDataParallel)
    while True:
        inside = model.module if isinstance(model, wrappers) else getattr(model, "_orig_mod", None)  # torch.compile's
        if not isinstance(inside, nn.Module):
            break
        model = inside
    try:
        return copy.deepcopy(model)
    except RuntimeError as error:
        raise ValueError(
            f"convert got {type(model).__name__}, which cannot be copied ({str(error).splitlines()[0]}), expected "
            "parameters as plain tensors; remove what recomputes them, e.g. with torch.nn.utils.remove_weight_norm."
        ) from error


def _place(error: Exception) -> str:
    trace, found = error.__traceback__, "in torch"
    outside = str(Path(torch.__file__).parent), str(Path(__file__).parent)
    while trace is not None:
        path = trace.tb_frame.f_code.co_filename
        if not path.startswith(outside):
            found = f"{Path(path).name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return found


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
