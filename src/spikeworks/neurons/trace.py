"""A neuron's step and its adjoint as one graph of elementwise operations, from which kernels are written.

The step is run once on meta tensors of the real per-step shape, under autograd, while a dispatch mode records the
ATen calls of the forward *and* of the backward pass. What comes out knows no torch: values are numbered, operations
have about forty canonical names, Python numbers are literals. A step that does anything else (mixes elements, draws
random numbers, looks at values, closes over tensors) raises :class:`Untraceable` with the reason.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from .neuron import Neuron, Parameter


class Untraceable(Exception):  # noqa: N818  a verdict, not an error: the eager backend takes over
    """The step cannot become a kernel; the message says why."""


def said(error: Exception) -> str:
    """An error in one line: its kind, and the first line of its message."""
    return ": ".join([type(error).__name__, *str(error).strip().splitlines()[:1]])


Operand = int | float
"""A value's number (an int; below zero that of a literal), or a literal that stays in the code (a float)."""


@dataclass(frozen=True)
class Node:
    """One elementwise operation: ``value = op(*args)``; ``boolean`` says what kind of value it makes."""

    op: str
    args: tuple[Operand, ...]
    boolean: bool = False


@dataclass(frozen=True, eq=False)
class Program:
    """A step and its adjoint in single-assignment form.

    Value numbers: ``0`` is x, then the states, the parameters, the gradient of the output and those of the new states
    (together ``inputs``); node ``i`` makes value ``inputs + i``; literal ``k`` is value ``-1 - k``. The gradients are
    those of *one* step; a backend chains them over time.

    :param parameters: names of the tensor parameters, in value order.
    :param wrt: those whose gradient is wanted; ``grad_parameters`` holds theirs in this order.
    :param literals: the numbers handed over at run time, so that one kernel serves every value of ``tau``.
    :param replay: for each node, the call that made it: how values that depend on parameters only are computed.
    :param made: what a backend made of this program, kept by that backend.
    """

    states: int
    parameters: tuple[str, ...]
    wrt: tuple[str, ...]
    nodes: tuple[Node, ...]
    output: Operand
    new_states: tuple[Operand, ...]
    grad_x: Operand
    grad_states: tuple[Operand, ...]
    grad_parameters: tuple[Operand, ...]
    literals: tuple[float, ...]
    replay: tuple[Callable[[Mapping[int, Any]], Any], ...]
    made: dict[Any, Any] = field(default_factory=dict)

    @cached_property
    def shared(self) -> dict[Any, Any]:
        """As ``made``, for all programs that differ in their literals only: compiled kernels."""
        results = (self.output, self.new_states, self.grad_x, self.grad_states, self.grad_parameters)
        # its repr, since as keys -0.0, 0.0 and value number 0 would be one
        return _shared(repr((self.states, len(self.parameters), len(self.literals), self.nodes, results)))

    @property
    def inputs(self) -> int:
        """How many values come in from outside."""
        return 2 + 2 * self.states + len(self.parameters)

    @property
    def state_values(self) -> range:
        """The value numbers of the states before the step."""
        return range(1, 1 + self.states)

    @property
    def parameter_values(self) -> range:
        """The value numbers of the tensor parameters."""
        return range(1 + self.states, 1 + self.states + len(self.parameters))

    @property
    def grad_output(self) -> int:
        """The value number of the incoming gradient of the output."""
        return 1 + self.states + len(self.parameters)

    @property
    def grad_new_states(self) -> range:
        """The value numbers of the incoming gradients of the new states."""
        return range(self.grad_output + 1, self.grad_output + 1 + self.states)

    @cached_property
    def uniform(self) -> frozenset[int]:
        """Values that depend on parameters only: the same at every step, so computed once, outside the kernel."""
        found = set(self.parameter_values)
        for value, node in enumerate(self.nodes, self.inputs):
            used = [a for a in node.args if isinstance(a, int) and a >= 0]
            if used and all(a in found for a in used):
                found.add(value)
        return frozenset(found)

    @cached_property
    def frontier(self) -> tuple[int, ...]:
        """The uniform values that varying values are made from: what the kernel is handed."""
        results = (self.output, *self.new_states, self.grad_x, *self.grad_states, *self.grad_parameters)
        used = {a for a in results if isinstance(a, int)}
        for value, node in enumerate(self.nodes, self.inputs):
            if value not in self.uniform:
                used |= {a for a in node.args if isinstance(a, int)}
        return tuple(sorted(used & self.uniform))

    def hoist(self, parameters: Iterable[Tensor]) -> list[Tensor]:
        """Compute the frontier from the tensor parameters (in order), in eager torch at their own small shapes."""
        values: dict[int, Any] = dict(zip(self.parameter_values, parameters, strict=True))
        for value, call in enumerate(self.replay, self.inputs):
            if value in self.uniform:
                values[value] = call(values)
        return [values[v] for v in self.frontier]

    def is_mask(self, value: int) -> bool:
        """Whether a value is boolean."""
        return value >= self.inputs and self.nodes[value - self.inputs].boolean

    def live(self, results: Iterable[Operand]) -> list[tuple[int, Node]]:
        """The varying nodes that ``results`` need, in order."""
        needed = {r for r in results if isinstance(r, int)}
        kept = []
        for value, node in reversed(list(enumerate(self.nodes, self.inputs))):
            if value in needed and value not in self.uniform:
                kept.append((value, node))
                needed |= {a for a in node.args if isinstance(a, int)}
        return kept[::-1]


@lru_cache(256)
def _shared(structure: str) -> dict[Any, Any]:
    return {}


def trace(neuron: Neuron, shape: torch.Size, parameters: Mapping[str, Parameter], wrt: tuple[str, ...] = ()) -> Program:
    """Trace one step of ``neuron`` for an input of per-step ``shape`` ``[B, ...]``.

    :param parameters: all parameters of the step; tensors stay variable, numbers become literals.
    :param wrt: names of the tensor parameters whose gradients are wanted.
    :raises Untraceable: with the reason.
    """
    tensors = tuple(name for name, value in parameters.items() if isinstance(value, Tensor))

    def blank(grad: bool = False) -> Tensor:
        return torch.empty(shape, dtype=torch.float32, device="meta", requires_grad=grad)

    x, states = blank(True), [blank(True) for _ in neuron.state_names]
    # a parameter of the step's own shape: broadcasting and its reductions stay outside the graph
    held = {name: blank(name in wrt) for name in tensors}
    grad_out, grad_new = blank(), [blank() for _ in states]
    with _Recorder(shape, [x, *states, *held.values(), grad_out, *grad_new]) as recorder:
        try:
            with torch.enable_grad():
                out, new = neuron.step(x, *states, **{**parameters, **held})
                grads = _gradients([out, *new], [grad_out, *grad_new], [x, *states, *(held[n] for n in wrt)])
        except (Untraceable, ValueError):  # a ValueError is the step's own word to its user
            raise
        except Exception as error:
            raise Untraceable(f"it raised an error while traced ({said(error)})") from error
    if any(value.dtype == torch.bool for value in new):
        raise Untraceable("it returns a boolean state, and states are float32")
    count = len(states)
    made, *results = map(recorder.result, [out, *new, *grads])
    new_states, (grad_x, *grad) = results[:count], results[count:]
    return Program(
        count, tensors, wrt, tuple(recorder.nodes), made, tuple(new_states), grad_x, tuple(grad[:count]),
        tuple(grad[count:]), tuple(recorder.literals), tuple(recorder.replay),
    )  # fmt: skip


def _gradients(outs: list[Tensor], grads: list[Tensor], wrt: list[Tensor]) -> list[Tensor | None]:
    pairs = [(o, g) for o, g in zip(outs, grads, strict=True) if o.requires_grad]
    if not pairs:
        return [None] * len(wrt)
    return list(torch.autograd.grad([o for o, _ in pairs], wrt, [g for _, g in pairs], allow_unused=True))


class _Recorder(TorchDispatchMode):
    """Records ATen calls as nodes. A tensor is known by its storage, so aliases and in-place updates need no care."""

    def __init__(self, shape: torch.Size, inputs: list[Tensor]) -> None:
        super().__init__()
        self.shape = shape
        self.nodes: list[Node] = []
        self.literals: list[float] = []
        self.replay: list[Callable[[Mapping[int, Any]], Any]] = []
        self.inputs = len(inputs)
        self.values: dict[int, Operand] = {_key(t): i for i, t in enumerate(inputs)}
        self.alive: list[Tensor] = list(inputs)  # a freed storage's address could be used again

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # the default wraps what follows in torch._dynamo, whose import takes over a second

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        packet = func.overloadpacket.__name__
        name = packet if packet.startswith("_") else packet.rstrip("_")
        for a in args:
            if isinstance(a, Tensor) and a.shape != self.shape:
                raise Untraceable(f"{name} got a tensor of shape {tuple(a.shape)}; pass it as a parameter")
        dtype = args[0].dtype if packet != name else _result_type(name, func, args, kwargs)
        if dtype not in (torch.float32, torch.bool):
            raise Untraceable(f"{name} makes a tensor of {dtype}, and a kernel computes in float32 and bool")
        if name in _VIEWS:
            out = func(*args, **kwargs)  # keeps the storage
            if out.shape != self.shape:
                raise Untraceable(
                    f"{name} makes shape {tuple(out.shape)} of {tuple(self.shape)}; keep the step's shape"
                )
        elif packet != name:
            out = args[0]  # in place
        else:  # not executed: every operation in the table makes the step's own shape
            out = torch.empty(self.shape, dtype=dtype, device="meta")
        self.alive.append(out)
        self.values[_key(out)] = self._operand(name, func, args, kwargs, dtype)
        return out

    def value(self, tensor: Tensor) -> Operand:
        if _key(tensor) not in self.values:
            raise Untraceable("it uses a tensor from outside; pass it as a parameter")
        return self.values[_key(tensor)]

    def result(self, tensor: Tensor | None) -> Operand:
        return 0.0 if tensor is None else self._literal(self._as(False, self.value(tensor)))

    def _operand(self, name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], dtype: Any) -> Operand:
        if name in _CONSTANTS:
            return float(_CONSTANTS[name](args))
        read = [self.value(a) if isinstance(a, Tensor) else float(a) if _is_number(a) else a for a in args]
        mask = dtype == torch.bool
        if name in _SAME and dtype == args[0].dtype:
            return read[0]
        if name == "copy":
            return self._as(mask, read[1])
        if name not in _RULES:
            raise Untraceable(f"{name} is not an elementwise operation that kernels know")
        op, operands = _RULES[name](*read, **kwargs)
        if not all(_is_number(o) for o in operands):
            raise Untraceable(f"{name} got an argument that kernels do not know: {operands}")
        masks = len(operands) if op in _LOGIC else int(op in ("where", "to_float"))
        operands = [self._literal(self._as(k < masks, o)) for k, o in enumerate(operands)]
        made = self._node(op, operands, op in _MASKS, _replayer(func, args, kwargs, self.value))
        return self._as(mask, made)  # what torch does to masks and calls boolean is done here to floats

    def _as(self, mask: bool, operand: Operand) -> Operand:
        """An operand as a mask or as a float: arithmetic takes masks for 0 and 1."""
        node = self.nodes[operand - self.inputs] if isinstance(operand, int) and operand >= self.inputs else None
        if mask == (node is not None and node.boolean):
            return operand
        dtype = torch.bool if mask else torch.float32

        def replay(values: Mapping[Any, Any]) -> Any:
            return values[operand].to(dtype)

        return self._node("to_bool" if mask else "to_float", [operand], mask, replay)

    def _literal(self, operand: Operand) -> Operand:
        """The number of a literal; zero and powers of two stay: dividing by them becomes a multiplication."""
        if isinstance(operand, int) or not math.isfinite(operand) or abs(math.frexp(operand)[0]) in (0, 0.5):
            return operand
        self.literals.append(operand)  # each its own, also equal ones: which are equal may not make another kernel
        return -len(self.literals)

    def _node(self, op: str, operands: list[Operand], mask: bool, replay: Callable[[Mapping[int, Any]], Any]) -> int:
        self.nodes.append(Node(op, tuple(operands), mask))
        self.replay.append(replay)
        return self.inputs + len(self.nodes) - 1


def _key(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _replayer(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], value: Callable[[Tensor], Operand]) -> Any:
    # in-place calls are replayed out of place: a frontier value must not change under the kernel's hands
    packet = func.overloadpacket
    base = getattr(torch.ops.aten, packet.__name__.rstrip("_"), packet) if packet.__name__.endswith("_") else packet
    operands = [value(a) if isinstance(a, Tensor) else None for a in args]
    plain = [None if isinstance(a, Tensor) else a for a in args]  # the tensors' graphs are not kept
    kwargs = {k: v for k, v in kwargs.items() if k != "device"}

    def call(values: Mapping[int, Any]) -> Any:
        known = [values[o] if isinstance(o, int) else o for o in operands]
        like = next(k for k in known if isinstance(k, Tensor))
        full = [like.new_full((), k, dtype=torch.float32) if isinstance(k, float) else k for k in known]
        return base(*(p if k is None else k for k, p in zip(full, plain, strict=True)), **kwargs)

    return call


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _result_type(name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.dtype:
    if kwargs.get("dtype"):
        return kwargs["dtype"]  # type: ignore[no-any-return]
    operands = [a.dtype for a in args if isinstance(a, Tensor)][int(name == "where") :]
    if name in _SAME:
        return operands[0]
    if torch.float32 in operands or not (name in _RULES or name in _CONSTANTS):  # what is not known is not called
        return torch.bool if name in _MASKS else torch.float32
    return func(*args, **kwargs).dtype  # type: ignore[no-any-return]  # of masks and numbers alone torch itself decides


_VIEWS = {"alias", "detach", "expand", "lift_fresh", "view", "_unsafe_view"}
_SAME = _VIEWS | {"clone", "contiguous", "_to_copy"}
_CONSTANTS: dict[str, Callable[[tuple[Any, ...]], float]] = {
    "zeros_like": lambda a: 0.0, "ones_like": lambda a: 1.0, "full_like": lambda a: a[1], "zeros": lambda a: 0.0,
    "ones": lambda a: 1.0, "full": lambda a: a[1], "scalar_tensor": lambda a: a[0], "new_zeros": lambda a: 0.0,
    "new_ones": lambda a: 1.0, "new_full": lambda a: a[2], "fill": lambda a: a[1], "zero": lambda a: 0.0,
    "_efficientzerotensor": lambda a: 0.0,
}  # fmt: skip


_LOGIC = ("logical_and", "logical_or", "logical_not")
_MASKS = ("ge", "gt", "le", "lt", "eq", "ne", "to_bool", *_LOGIC)


def _scaled(op: str, a: Any, b: Any, alpha: Any) -> tuple[str, tuple[Any, ...]]:
    return (op, (a, b)) if alpha == 1 else (f"{op}_scaled", (a, b, float(alpha)))


def _plain(op: str) -> Callable[..., tuple[str, tuple[Any, ...]]]:
    return lambda *args: (op, args)


_RULES: dict[str, Callable[..., tuple[str, tuple[Any, ...]]]] = {
    **{name: _plain(name) for name in (
        "mul", "maximum", "minimum", "ge", "gt", "le", "lt", "eq", "ne", "logical_and", "logical_or",
        "logical_not", "where", "neg", "abs", "sgn", "sqrt", "rsqrt", "reciprocal", "exp", "expm1", "log", "log1p",
        "sin", "cos", "tanh", "sigmoid", "erf", "relu", "floor", "ceil", "round", "trunc", "sigmoid_backward",
        "tanh_backward", "threshold_backward", "hardtanh_backward", "clamp_min", "clamp_max",
    )},
    "add": lambda a, b, alpha=1: _scaled("add", a, b, alpha),
    "sub": lambda a, b, alpha=1: _scaled("sub", a, b, alpha),
    "rsub": lambda a, b, alpha=1: _scaled("sub", b, a, alpha) if alpha == 1 else ("unknown", (None,)),
    "div": lambda a, b, rounding_mode=None: ("div", (a, b)) if rounding_mode is None else ("unknown", (None,)),
    "sign": _plain("sgn"),
    "pow": lambda a, b: _power(a, b),
    "bitwise_and": _plain("logical_and"),
    "bitwise_or": _plain("logical_or"),
    "bitwise_not": _plain("logical_not"),
    "masked_fill": lambda a, mask, value: ("where", (mask, value, a)),
    "clamp": lambda a, low=None, high=None: ("clamp", (a, _bound(low, -1), _bound(high, 1))),
    "hardtanh": lambda a, low=-1.0, high=1.0: ("clamp", (a, low, high)),
    "_to_copy": lambda a, dtype=None, **_: ("to_float" if dtype == torch.float32 else "to_bool", (a,)),
    "addcmul": lambda a, b, c, value=1: ("addcmul", (a, b, c, float(value))),
}  # fmt: skip
"""ATen name → canonical operation and its operands; literals and value numbers pass through."""


def _power(a: Any, b: Any) -> tuple[str, tuple[Any, ...]]:
    if b == 1.0 and isinstance(b, float):
        return "mul", (a, 1.0)
    return (_POWERS[b], (a,)) if isinstance(b, float) and b in _POWERS else ("pow", (a, b))


_POWERS = {2.0: "square", 3.0: "cube", 0.5: "sqrt", -0.5: "rsqrt", -1.0: "reciprocal", -2.0: "inverse_square"}


def _bound(value: Any, sign: int) -> Any:
    return sign * float("inf") if value is None else value
