"""A neuron is one step in plain torch plus its parameters; nothing here runs a loop or holds a state.

    @sw.neuron
    def adaptive(x, v, a, *, decay=0.9, beta=0.2):
        h = decay * v + x
        s = sw.spike(h - (1 + beta * a))
        return s, (h - s * (1 + beta * a), 0.95 * a + s)

The signature says everything: the first argument is the input of this time step, the other positional arguments
are the state, the keywords are parameters (numbers or tensors) and options (all else). ``adaptive(beta=0.3)`` binds
parameters and gives a :class:`Neuron`, which every backend, layer and exporter takes.
"""

from __future__ import annotations

import inspect
import math
from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, ClassVar
from weakref import WeakValueDictionary

import torch
from torch import Tensor

Parameter = float | Tensor
"""A number, or a tensor that broadcasts against one time step ``[B, ...]`` of the input."""

State = tuple[Tensor, ...]
"""The state of a neuron: a named tuple of float32 tensors, each of the shape of one time step ``[B, ...]``."""


_STATE_TYPES: dict[tuple[str, ...], type] = {}  # not a cached function: torch.compile would trace into it


def state_type(fields: tuple[str, ...]) -> type:
    """The named tuple class for a state with these field names; one class per tuple of names, picklable."""
    if fields not in _STATE_TYPES:
        kind = namedtuple("State", fields)  # type: ignore[misc]  # field names are data here
        kind.__reduce__ = lambda self: (_restore, (fields, tuple(self)))  # type: ignore[assignment, method-assign]
        _STATE_TYPES[fields] = kind
    return _STATE_TYPES[fields]


def _restore(fields: tuple[str, ...], values: tuple[Tensor, ...]) -> State:
    return state_type(fields)(*values)


BY_HANDLE: WeakValueDictionary[str, Neuron] = WeakValueDictionary()
"""Every living neuron by its handle."""
_COUNT = count()


@dataclass(frozen=True, eq=False)
class NeuronType:
    """What :func:`neuron` makes of a step function; calling it binds parameters and returns a :class:`Neuron`."""

    step: Callable[..., tuple[Tensor, Any]]
    state_names: tuple[str, ...]
    defaults: Mapping[str, Any]
    initial: Mapping[str, Any] = field(default_factory=dict)
    positive: tuple[str, ...] = ()
    __name__: ClassVar[str]  # each its own, set from the function; ClassVar keeps it out of __init__
    __qualname__: ClassVar[str]

    def __post_init__(self) -> None:
        for name in ("__name__", "__qualname__", "__module__", "__doc__"):
            object.__setattr__(self, name, getattr(self.step, name))
        state_type(self.state_names)  # made here, never while a graph is traced

    def __call__(self, **values: Any) -> Neuron:
        if unknown := values.keys() - self.defaults.keys():
            raise ValueError(
                f"{self.__name__} got {sorted(unknown)}, expected names among {sorted(self.defaults)}; "
                "check the spelling."
            )
        bound = {**self.defaults, **values}
        for name, default in self.defaults.items():
            self._check_kind(name, default, bound[name])
        parameters = {k: v for k, v in bound.items() if _is_number(v)}
        self.validate(parameters)
        options = {k: v for k, v in bound.items() if k not in parameters}
        return Neuron(self, parameters, options, dict(self.initial))

    def _check_kind(self, name: str, default: Any, value: Any) -> None:
        if _is_number(default) and not _is_number(value):
            raise ValueError(f"{self.__name__}.{name} got {value!r}, expected a number or a tensor; pass one.")
        if isinstance(default, bool | str) and type(value) is not type(default):
            raise ValueError(
                f"{self.__name__}.{name} got {value!r}, expected a {type(default).__name__} like {default!r}; pass one."
            )

    def validate(self, parameters: Mapping[str, Parameter]) -> None:
        """Raise ``ValueError`` if a parameter is NaN or infinite, or not positive where it must be."""
        for name, value in parameters.items():
            if isinstance(value, Tensor):
                if not value.is_floating_point():
                    raise ValueError(
                        f"{self.__name__}.{name} got a tensor of {value.dtype}, expected floating point; convert it "
                        "with .float()."
                    )
                if value.is_meta or not value.numel():
                    continue  # no values to look at
                value = math.nan if not bool(value.isfinite().all()) else float(value.detach().min())
            if not math.isfinite(value):
                raise ValueError(f"{self.__name__}.{name} got NaN or infinity, expected finite numbers; check it.")
            if name in self.positive and not value > 0:
                raise ValueError(f"{self.__name__}.{name} got {value:g}, expected more than 0; pass a positive number.")

    def __reduce__(self) -> str:
        return self.__qualname__  # pickled by reference, like a function


@dataclass(frozen=True, eq=False)
class Neuron:
    """A step with its parameters: all a backend needs to run it. Immutable; holds no state.

    :param kind: the :class:`NeuronType` it was made from.
    :param parameters: name → number (a constant), tensor (fixed, broadcasts against ``[B, ...]``) or
        ``nn.Parameter`` (learned).
    :param options: name → what is neither: reset mode, surrogate, flags.
    :param initial: state name → its value before the first step: a number, a parameter's name, or a function of the
        parameters; what is not named starts at 0.
    """

    kind: NeuronType
    parameters: dict[str, Parameter]
    options: dict[str, Any]
    initial: dict[str, Any]
    handle: str = field(default="", init=False)
    """A name for this object in this process, by which a registered operator finds it."""
    own: dict[str, Tensor] = field(default_factory=dict, init=False)
    """The parameters that are tensors."""
    programs: dict[Any, Any] = field(default_factory=dict, init=False)
    """What the step was traced to, kept by those who trace it, who bound it too."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "handle", f"{self.kind.__name__}-{next(_COUNT)}")
        BY_HANDLE[self.handle] = self
        self.own.update((k, v) for k, v in self.parameters.items() if isinstance(v, Tensor))

    def __reduce__(self) -> tuple[Any, ...]:
        return Neuron, (self.kind, self.parameters, self.options, self.initial)  # a copy gets a handle of its own

    @property
    def state_names(self) -> tuple[str, ...]:
        """Names of the state variables, in order."""
        return self.kind.state_names

    def tensors(self, given: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Every parameter that is a tensor, its own or ``given`` in its place, in the order of the parameters."""
        if not given:
            return self.own
        return {k: given.get(k, v) for k, v in self.parameters.items() if k in given or k in self.own}  # type: ignore[misc]

    def step(self, x: Tensor, *state: Tensor, **parameters: Parameter) -> tuple[Tensor, State]:
        """One time step. ``x`` and each state: ``[B, ...]``. Returns the output and the new state."""
        result = self.kind.step(x, *state, **{**self.parameters, **parameters}, **self.options)
        pair = result if isinstance(result, tuple) and len(result) == 2 else (result, None)
        out, new = pair[0], pair[1] if isinstance(pair[1], tuple) else (pair[1],)
        if len(new) != len(self.state_names) or not all(isinstance(value, Tensor) for value in (out, *new)):
            raise ValueError(
                f"{self.kind.__name__} got {_kinds(result)} from its step, expected (output, state) with one tensor "
                f"for each of {list(self.state_names)}; return these."
            )
        return out, state_type(self.state_names)(*new)

    def start(self, parameters: Mapping[str, Parameter] | None = None) -> tuple[Parameter, ...]:
        """The initial value of each state variable: a number or a tensor that broadcasts against ``[B, ...]``."""
        bound = {**self.parameters, **(parameters or {})}
        rules = (self.initial.get(name, 0.0) for name in self.state_names)
        return tuple(bound[rule] if isinstance(rule, str) else _value(rule, bound) for rule in rules)

    def starting(self, **initial: Any) -> Neuron:
        """The same neuron with other initial values, e.g. ``IF().starting(v=0.5)``."""
        _check_initial(self.kind.__name__, initial, self.state_names, self.parameters)
        return replace(self, initial={**self.initial, **initial})

    def replace(self, **values: Any) -> Neuron:
        """The same neuron with some parameters or options replaced (checked as at construction)."""
        return replace(self.kind(**{**self.parameters, **self.options, **values}), initial=self.initial)

    def __repr__(self) -> str:
        shown = {**self.parameters, **self.options}
        return f"{self.kind.__name__}({', '.join(f'{k}={_show(v)}' for k, v in shown.items())})"


def neuron(
    step: Callable[..., Any] | None = None, *, initial: Mapping[str, Any] | None = None, positive: tuple[str, ...] = ()
) -> Any:
    """Make a first-class neuron of a step ``step(x, *state, **parameters) -> (output, state)``.

    :param step: plain elementwise torch. ``x`` and every state have the shape of one time step ``[B, ...]``, float32.
        Keywords need defaults: a number or tensor is a parameter, anything else an option.
    :param initial: state name → initial value (number, parameter name, or function of the parameters); default 0.
    :param positive: names of parameters that must be > 0.
    :returns: a :class:`NeuronType`. Define it at module level if modules that use it shall be pickled.
    :raises ValueError: if a keyword has no default, there is no input argument, or ``initial`` or ``positive`` name
        what the step does not have.
    """
    if step is None:
        return lambda function: neuron(function, initial=initial, positive=positive)
    arguments = list(inspect.signature(step).parameters.values())
    plain = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    positional = [a.name for a in arguments if a.kind in plain and a.default is a.empty]
    keywords = {a.name: a.default for a in arguments if a.name not in positional}
    if not positional or any(default is inspect.Parameter.empty for default in keywords.values()):
        raise ValueError(
            f"neuron got a step with signature {inspect.signature(step)}, expected step(x, *state, *, name=default): "
            "name the input and each state variable, and give every keyword a default."
        )
    _check_initial(step.__name__, initial or {}, positional[1:], keywords)
    if unknown := set(positive) - keywords.keys():
        raise ValueError(
            f"{step.__name__} got positive={sorted(unknown)}, expected names among {sorted(keywords)}; check the "
            "spelling."
        )
    return NeuronType(step, tuple(positional[1:]), keywords, dict(initial or {}), positive)


def _check_initial(kind: str, initial: Mapping[str, Any], states: Iterable[str], parameters: Iterable[str]) -> None:
    if unknown := initial.keys() - set(states):
        raise ValueError(
            f"{kind} got initial values for {sorted(unknown)}, expected names among {list(states)}; check the spelling."
        )
    if unknown := {rule for rule in initial.values() if isinstance(rule, str)} - set(parameters):
        raise ValueError(
            f"{kind} got initial values from {sorted(unknown)}, expected parameters among {sorted(parameters)}; "
            "check the spelling."
        )


def _kinds(result: Any) -> str:
    if isinstance(result, tuple):
        return f"({', '.join(map(_kinds, result))})"
    return "a tensor" if isinstance(result, Tensor) else type(result).__name__


def _value(rule: Any, parameters: Mapping[str, Parameter]) -> Any:
    return rule(parameters) if callable(rule) else rule


def _is_number(value: Any) -> bool:
    return isinstance(value, Tensor) or (isinstance(value, int | float) and not isinstance(value, bool))


def _show(value: Any) -> str:
    if isinstance(value, Tensor):
        kind = "learned" if isinstance(value, torch.nn.Parameter) else "fixed"
        return (
            f"{value.item():g} ({kind})" if value.numel() == 1 and not value.is_meta else f"{kind}{list(value.shape)}"
        )
    return f"{value:g}" if isinstance(value, float) else repr(value)
