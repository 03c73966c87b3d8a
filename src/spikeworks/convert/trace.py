"""From a module to a graph of what it calls: torch.fx, with shapes known where it needs them."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.node import map_arg

from ..layers import Temporal
from .activation import Activation
from .affine import Leaf

BATCH = 13
"""The batch size that shapes are told by: a size that it divides is one of the batch's, any other is the network's."""


def traced(root: nn.Module, name: str, example: Tensor | None = None) -> tuple[nn.Module, fx.Graph]:
    """The graph of a network called with one input, and the module that holds what the graph calls.

    :param name: of the network, for messages. :param example: ``[B, ...]``, to tell sizes by if it cannot be traced
        without; its values are not looked at.
    :raises ValueError: if it cannot be traced, with the line and the reason.
    """
    tracer = _Tracer()
    root = nn.Sequential(root) if tracer.is_leaf_module(root, "") else root
    entry = _Entry(root)
    try:
        graph = tracer.trace(entry)
    except Exception as error:
        if example is not None:
            try:
                graph = _Shaped(example).trace(entry)
            except Exception as again:
                raise _refusal(name, again, "values") from again
        else:
            raise _refusal(name, error, "values") from error
    for node in graph.nodes:
        node.type = None  # annotations that are strings cannot be pickled with the graph
        if node.op in ("call_module", "get_attr"):
            if not node.target.startswith("network."):  # a tensor made in forward, which the tracer has put away
                root.register_buffer(node.target, getattr(entry, node.target), persistent=False)
            node.target = node.target.removeprefix("network.")
        if node.op == "call_module" and not node.args:
            node.args, node.kwargs = (node.kwargs["input"],), {}
    return root, graph


def copied(model: nn.Module) -> nn.Module:
    """The network itself, out of what torch wraps around it, as a copy.

    :raises ValueError: if it cannot be copied.
    """
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


class _Tracer(fx.Tracer):
    record_stack_traces = True
    proxy_buffer_attributes = True  # so that a mask can be cut to as many tokens as there are

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        # a class of the user's with nothing but a constructor of its own is the torch layer it derives from
        torchs_own = str(type(m).forward.__module__).startswith("torch.nn.") and not isinstance(m, nn.Sequential)
        return isinstance(m, (Activation, Temporal, Leaf)) or torchs_own


class _Proxy(fx.Proxy):
    """Knows its attributes at once, those that are no methods."""

    def __getattr__(self, k: str) -> Any:
        tracer: Any = self.tracer
        if k in ("shape", "dtype", "device", "ndim", "is_nested", "is_cuda", "layout"):
            return tracer.create_proxy("call_function", getattr, (self, k), {})
        return super().__getattr__(k)


class _Shaped(_Tracer):
    """Runs every call on tensors without values while it traces. What is no tensor is known then, and returned
    as it is instead of a stand-in; but sizes that the batch has a part in stay open."""

    def __init__(self, example: Tensor) -> None:
        super().__init__()
        from torch._subclasses.fake_tensor import FakeTensorMode

        self.mode: Any = FakeTensorMode(allow_non_fake_inputs=True)
        with self.mode:
            self.example = torch.empty((BATCH, *example.shape[1:]), dtype=example.dtype, device=example.device)
        self.known: dict[fx.Node, Any] = {}
        self.running = False  # a call itself, of which nothing is recorded

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        """A module's attribute: a stand-in for tensors, unless a call is running."""
        return attr_val if self.running else super().getattr(attr, attr_val, parameter_proxy_cache)

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        """A module's call: recorded, unless a call is running."""
        return forward(*args, **kwargs) if self.running else super().call_module(m, forward, args, kwargs)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Proxy(node, self)

    def create_proxy(self, kind: str, target: Any, args: Any, kwargs: Any, *rest: Any, **options: Any) -> Any:  # type: ignore[override]
        proxy: Any = super().create_proxy(kind, target, args, kwargs, *rest, **options)
        value = self.known[proxy.node] = self._value(proxy.node)
        if kind in ("placeholder", "get_attr", "output"):
            return proxy
        if isinstance(value, torch.Size):
            return torch.Size(value) if not any(map(_batched, value)) else tuple(
                proxy[i] if _batched(size) else size for i, size in enumerate(value)
            )  # fmt: skip
        return proxy if value is None or isinstance(value, Tensor | tuple | list) or _batched(value) else value

    def iter(self, obj: Any) -> Any:
        """Through as many parts as there are."""
        value = self.known.get(obj.node)
        if isinstance(value, tuple | list):
            return iter([obj[i] for i in range(len(value))])
        return super().iter(obj)

    def to_bool(self, obj: fx.Proxy) -> bool:
        """Of what the shapes tell."""
        value = self.known.get(obj.node)
        return super().to_bool(obj) if isinstance(value, Tensor) or value is None else bool(value)

    @torch.no_grad()
    def _value(self, node: fx.Node) -> Any:
        if node.op == "placeholder":
            return self.example
        if node.op == "output":
            return None
        args, kwargs = map_arg((node.args, node.kwargs), self._of)
        self.running = True
        try:
            return self._run(node.op, node.target, args, kwargs)
        finally:
            self.running = False

    def _of(self, node: fx.Node) -> Any:
        if node not in self.known:  # a tensor made in forward, which the tracer has put away
            self.known[node] = self._run("get_attr", node.target, (), {})
        return self.known[node]

    def _run(self, kind: str, target: Any, args: Any, kwargs: Any) -> Any:
        with self.mode:
            if kind in ("get_attr", "call_module"):
                owner: Any = self.root
                for part in target.split("."):
                    owner = getattr(owner, part)
                return owner if kind == "get_attr" else owner(*args, **kwargs)
            return getattr(args[0], target)(*args[1:], **kwargs) if kind == "call_method" else target(*args, **kwargs)


def _batched(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value != 0 and value % BATCH == 0


class _Entry(nn.Module):
    """Calls the network with its input alone, so that optional arguments take their defaults while it is traced."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.network(x)


def _refusal(name: str, error: Exception, what: str) -> ValueError:
    return ValueError(
        f"convert got {name}, which cannot be traced ({_place(error)}: {str(error).splitlines()[0]}), expected a "
        f"forward without branches on tensor {what}; move the branch out of forward, or mark the function with "
        "torch.fx.wrap."
    )


def _place(error: Exception) -> str:
    trace, found = error.__traceback__, "in torch"
    outside = str(Path(torch.__file__).parent), str(Path(__file__).parent)
    while trace is not None:
        path = trace.tb_frame.f_code.co_filename
        if not path.startswith(outside):
            found = f"{Path(path).name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return found
