"""Functions that a mean does not pass through, as modules of the graph: softmax, GELU, layer normalisation, products.

A rate-coded network of neurons alone cannot compute them; a method that compensates expectations (ECMT, DCGS) can: it
applies the function to what its inputs amount to so far. For that each has to be one module, which takes activations
and gives one, every sample by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.fx.node import map_arg
from torch.nn.modules import instancenorm

from .activation import Activation
from .affine import Leaf, dependence, operation, refusal, scope

SOFTMAX = "softmax"

_NAMES = (
    "softmax", "log_softmax", "softmin", "gelu", "silu", "mish", "elu", "selu", "celu", "leaky_relu", "prelu", "relu",
    "softplus", "softsign", "hardswish", "hardsigmoid", "sigmoid", "logsigmoid", "tanh", "hardtanh", "relu6", "clamp",
    "clip", "clamp_min", "clamp_max", "hardshrink", "softshrink", "tanhshrink", "threshold", "glu", "layer_norm",
    "rms_norm", "group_norm", "instance_norm", "local_response_norm", "normalize", "exp", "expm1", "log", "log1p",
    "sqrt", "rsqrt", "pow", "square", "abs", "reciprocal", "sin", "cos", "erf", "var", "std", "amax", "amin", "norm",
    "vector_norm", "logsumexp", "maximum", "minimum", "cosine_similarity", "masked_softmax", "embedding",
)  # fmt: skip
_KINDS: dict[str, str] = {
    **{name: name for name in _NAMES}, "masked_softmax": SOFTMAX, "rpow": "pow", "clip": "clamp",
    "clamp_min": "clamp", "clamp_max": "clamp", "relu6": "hardtanh", "truediv": "division", "div": "division",
}  # fmt: skip
"""Operation → kind. A division is one only if it is by an activation."""

_MODULES: dict[type[nn.Module], str] = {
    nn.Softmax: SOFTMAX, nn.LogSoftmax: "log_softmax", nn.Softmin: "softmin", nn.GELU: "gelu", nn.SiLU: "silu",
    nn.Mish: "mish", nn.ELU: "elu", nn.SELU: "selu", nn.CELU: "celu", nn.LeakyReLU: "leaky_relu", nn.PReLU: "prelu",
    nn.Softplus: "softplus", nn.Softsign: "softsign", nn.Hardswish: "hardswish", nn.Hardsigmoid: "hardsigmoid",
    nn.Sigmoid: "sigmoid", nn.LogSigmoid: "logsigmoid", nn.Tanh: "tanh", nn.Hardtanh: "hardtanh",
    nn.Hardshrink: "hardshrink", nn.Softshrink: "softshrink", nn.Tanhshrink: "tanhshrink", nn.Threshold: "threshold",
    nn.GLU: "glu", nn.LayerNorm: "layer_norm", nn.RMSNorm: "rms_norm", nn.GroupNorm: "group_norm",
    instancenorm._InstanceNorm: "instance_norm", nn.LocalResponseNorm: "local_response_norm",
    nn.CosineSimilarity: "cosine_similarity", nn.Embedding: "embedding", nn.Bilinear: "matmul",
}  # fmt: skip

_ATTENTION = (nn.MultiheadAttention, nn.TransformerEncoderLayer, nn.TransformerDecoderLayer, nn.TransformerEncoder,
              nn.TransformerDecoder)  # fmt: skip

_CONTRACTIONS = ("matmul", "bmm", "einsum", "linear", "baddbmm", "addmm")
_PRODUCTS = ("mul", *_CONTRACTIONS)


@dataclass(frozen=True)
class Slot:
    """Stands for a tensor in the arguments of a step: the ``index``-th input of the call, −1 for the step before."""

    index: int


@dataclass(frozen=True)
class Held:
    """Stands for a tensor that the function itself has, by name."""

    name: str


@dataclass(frozen=True)
class Step:
    """One call: a function, or the name of a tensor method, and its arguments, with :class:`Slot` and :class:`Held`."""

    target: Callable[..., Any] | str
    args: tuple[Any, ...] = (Slot(0),)
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, fill: Callable[[Any], Any], kinds: tuple[type, ...] = (Slot, Held)) -> Any:
        """The result with what ``fill`` gives for arguments of these kinds."""
        args, kwargs = _mapped(self.args, kinds, fill), _mapped(dict(self.kwargs), kinds, fill)
        if isinstance(self.target, str):
            return getattr(args[0], self.target)(*args[1:], **kwargs)
        return self.target(*args, **kwargs)


class Function(Leaf):
    """``y = f(a, b, ..., constants)``: activations ``[B, ...]`` → one ``[B, ...]``, every sample by itself.

    :param kind: ``"softmax"``, ``"gelu"``, ``"layer_norm"``, ``"matmul"`` (a contraction), ``"product"`` (element by
        element) and so on.
    :param steps: what is computed, one call after the other.
    :param arity: how many of the inputs, the first, are activations. Those after them are constants: they depend on
        shapes at most and are the same at every step.
    :param bilinear: whether it is linear in each of two activations.
    :param module: computed in place of ``steps``, with its parameters.
    :param held: tensors that steps have as arguments; parameters stay parameters.
    """

    def __init__(
        self, kind: str, steps: tuple[Step, ...] = (), arity: int = 1, bilinear: bool = False,
        module: nn.Module | None = None, held: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.kind, self.steps, self.arity, self.bilinear, self.module = kind, steps, arity, bilinear, module
        for name, value in (held or {}).items():
            if isinstance(value, Tensor) and not isinstance(value, nn.Parameter):
                self.register_buffer(name, value, persistent=False)
            else:
                setattr(self, name, value)

    @property
    def contraction(self) -> bool:
        """Whether it multiplies and sums two activations, as weights are: ``q @ kᵀ``."""
        return self.bilinear and self.kind == "matmul"

    def forward(self, *x: Any) -> Tensor:
        """``arity`` activations ``[B, ...]``, then the constants → ``[B, ...]``."""
        if self.module is not None:
            return self.module(*x)
        made: Any = None
        for step in self.steps:
            known = (*x, made)
            made = step(lambda s, known=known: getattr(self, s.name) if isinstance(s, Held) else known[s.index])
        return made

    def extra_repr(self) -> str:
        """The kind, and the arity if it is not 1."""
        return self.kind + (f", arity={self.arity}" if self.arity != 1 else "")


def compensable(network: fx.GraphModule, node: fx.Node) -> bool:
    """Whether :func:`insert_functions` makes a function of a node, or several of attention."""
    if node.op == "call_module":
        module = network.get_submodule(str(node.target))
        return isinstance(module, _ATTENTION) or _module_kind(module) is not None
    return node.target is F.scaled_dot_product_attention or _function(node, dependence(network)[0]) is not None


def insert_functions(network: fx.GraphModule, free: Callable[[str], str]) -> None:
    """Every operation of the graph that is not affine and that has a :class:`Function` becomes a call of one.

    What is not in the tables stays, for :func:`spikeworks.convert.affine.check` to refuse by name. A mask before a
    softmax becomes a part of it: differences of estimates that are −∞ are not numbers.

    :param free: gives a module name that is not taken, for the one that is wished for.
    :raises ValueError: for a mask of −∞ that no softmax follows.
    """
    values, _ = dependence(network)
    modules = dict(network.named_modules())
    called: set[str] = set()
    for node in list(network.graph.nodes):
        if node not in values or node.op in ("placeholder", "output", "get_attr"):
            continue
        if node.op == "call_module":
            _wrap_module(network, node, modules[str(node.target)], called, free)
        elif (function := _function(node, values)) is not None:
            chain = _masks(node, values) if function[0] == SOFTMAX else [node]
            _replace(network, chain, *function, values, free)
    for node in network.graph.nodes:
        if node in values and operation(node) in ("masked_fill", "where") and _infinite(node):
            raise refusal(node, "a mask of infinite values without softmax after it", "mask with a finite value")


def _module_kind(module: nn.Module) -> str | None:
    if isinstance(module, Activation):
        return None
    return next((kind for base, kind in _MODULES.items() if isinstance(module, base)), None)


def _wrap_module(
    network: fx.GraphModule, node: fx.Node, module: nn.Module, called: set[str], free: Callable[[str], str]
) -> None:
    kind = _module_kind(module)
    if kind is None:
        return
    name = str(node.target)
    if getattr(module, "inplace", False):
        module.inplace = False  # type: ignore[assignment]
    arguments = (*node.args, *node.kwargs.values())
    function = Function(kind, arity=len(arguments), bilinear=isinstance(module, nn.Bilinear), module=module)
    if name in called:
        name = free(name)
        network.add_submodule(name, function)
    else:
        network.set_submodule(name, function)
    called.add(name)
    node.target, node.args, node.kwargs = name, arguments, {}


def _function(node: fx.Node, values: set[fx.Node]) -> tuple[str, bool] | None:
    """Kind of a call, and whether it is bilinear; ``None`` if it is affine or not known."""
    name = operation(node).removeprefix("torch.").rstrip("_")
    operands = _operands(node, values)
    if name in _PRODUCTS and len(operands) > 1:
        return ("product" if name == "mul" else "matmul"), len(operands) == 2 and _two_factors(name, node, values)
    if name in ("truediv", "div"):
        numerator = node.args[0] if node.args else node.kwargs.get("input")
        alone = len(operands) == 1 and operands[0] is numerator
        return None if alone else ("division", False)
    if name in ("max", "min") and len(operands) == 2:
        return f"{name}imum", False
    return (_KINDS[name], False) if name in _KINDS else None


def _two_factors(name: str, node: fx.Node, values: set[fx.Node]) -> bool:
    return name not in ("baddbmm", "addmm") or not (isinstance(node.args[0], fx.Node) and node.args[0] in values)


def _operands(node: fx.Node, values: set[fx.Node]) -> list[fx.Node]:
    found: list[fx.Node] = []
    map_arg((node.args, node.kwargs), lambda n: found.append(n) if n in values else None)
    return found


_BETWEEN = ("masked_fill", "where", "add", "sub", "to", "float", "double", "type_as", "contiguous", "mul", "truediv",
            "div")  # fmt: skip


def _masks(node: fx.Node, values: set[fx.Node]) -> list[fx.Node]:
    """The softmax and what masks its input, in running order: up to the first constant tensor that is added or put
    in."""
    chain, masked = [node], 0
    while True:
        before = next(iter(_operands(chain[0], values)), None)
        name = "" if before is None else operation(before)
        if before is None or len(before.users) > 1 or name not in _BETWEEN or len(_operands(before, values)) != 1:
            break
        if before.op not in ("call_function", "call_method"):
            break
        chain.insert(0, before)
        tensors = [a for a in (*before.args, *before.kwargs.values()) if isinstance(a, fx.Node) and a not in values]
        if name in ("masked_fill", "where") or (name in ("add", "sub") and tensors):
            masked = len(chain)
    return chain[len(chain) - masked :] if masked else [node]


def _infinite(node: fx.Node) -> bool:
    numbers = [a for a in (*node.args, *node.kwargs.values()) if isinstance(a, float)]
    return any(abs(number) > 1e30 for number in numbers)


def _replace(
    network: fx.GraphModule, chain: list[fx.Node], kind: str, bilinear: bool, values: set[fx.Node],
    free: Callable[[str], str],
) -> None:  # fmt: skip
    """Call one module in the place of a chain of nodes, each of which alone reads the one before."""
    inputs: list[fx.Node] = [*_operands(chain[0], values)]
    arity, shapes = len(inputs), dependence(network)[1]
    held: dict[str, Any] = {}
    steps: list[Step] = []
    for position, node in enumerate(chain):
        taken = iter(range(arity))

        def slot(n: fx.Node, position: int = position, taken: Any = taken) -> Any:
            if position and n is chain[position - 1]:
                return Slot(-1)
            if n in values:
                return Slot(next(taken))
            if n not in shapes:
                name = f"constant{len(held)}"
                held[name] = _constant(network, n)
                return Held(name)
            inputs.append(n)
            return Slot(len(inputs) - 1)

        args, kwargs = _mapped(node.args, (fx.Node,), slot), _mapped(dict(node.kwargs), (fx.Node,), slot)
        if "inplace" in kwargs:
            kwargs["inplace"] = False
        target: Any = node.target
        steps.append(Step(target, args, kwargs))
    last = chain[-1]
    name = free(f"{scope(last)}.{_word(last)}".lstrip("."))
    network.add_submodule(name, Function(kind, tuple(steps), arity, bilinear, held=held))
    with network.graph.inserting_after(last):
        call = network.graph.call_module(name, tuple(inputs))
    call.meta = last.meta
    values.add(call)
    last.replace_all_uses_with(call)
    for node in reversed(chain):
        network.graph.erase_node(node)


def _word(node: fx.Node) -> str:
    word = operation(node).rstrip("_")
    return {"masked_softmax": SOFTMAX, "truediv": "div", "bmm": "matmul"}.get(word, word)


@torch.no_grad()
def _constant(network: nn.Module, node: fx.Node) -> Any:
    """The value of a node that does not depend on the input."""
    if node.op == "get_attr":
        owner: Any = network
        for part in str(node.target).split("."):
            owner = getattr(owner, part)
        return owner
    target: Any = network.get_submodule(str(node.target)) if node.op == "call_module" else node.target
    return Step(target, node.args, node.kwargs)(lambda n: _constant(network, n), (fx.Node,))


def _mapped(value: Any, kinds: tuple[type, ...], replaced: Callable[[Any], Any]) -> Any:
    """As :func:`torch.fx.node.map_arg` for values of these kinds, in plain containers, first to last."""
    if isinstance(value, kinds):
        return replaced(value)
    if isinstance(value, tuple | list):
        return tuple(_mapped(v, kinds, replaced) for v in value)
    if isinstance(value, dict):
        return {k: _mapped(v, kinds, replaced) for k, v in value.items()}
    if isinstance(value, slice):
        return slice(*(_mapped(v, kinds, replaced) for v in (value.start, value.stop, value.step)))
    return value
