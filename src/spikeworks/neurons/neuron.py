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
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

Parameter = float | Tensor
"""A number, or a tensor that broadcasts against one time step ``[B, ...]`` of the input."""

State = tuple[Tensor, ...]
"""The state of a neuron: a named tuple of float32 tensors, each of the shape of one time step ``[B, ...]``."""


@lru_cache(maxsize=None)
def state_type(fields: tuple[str, ...]) -> type:
    """The named tuple class for a state with these field names; one class per tuple of names, picklable."""
    kind = namedtuple("State", fields)  # type: ignore[misc]  # noqa: PYI024  field names are data here
    kind.__reduce__ = lambda self: (_restore, (fields, tuple(self)))  # type: ignore[assignment, method-assign]
    return kind


def _restore(fields: tuple[str, ...], values: tuple[Tensor, ...]) -> State:
    return state_type(fields)(*values)


@dataclass(frozen=True, eq=False)
class NeuronType:
    """What :func:`neuron` makes of a step function; calling it binds parameters and returns a :class:`Neuron`."""

    step: Callable[..., tuple[Tensor, Any]]
    state_names: tuple[str, ...]
    defaults: Mapping[str, Any]
    initial: Mapping[str, Any] = field(default_factory=dict)
    positive: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("__name__", "__qualname__", "__module__", "__doc__"):
            object.__setattr__(self, name, getattr(self.step, name))

    def __call__(self, **values: Any) -> Neuron:
        if unknown := values.keys() - self.defaults.keys():
            raise ValueError(
                f"{self.__name__} got {sorted(unknown)}, expected names among {sorted(self.defaults)}; "
                "check the spelling."
            )
        bound = {**self.defaults, **values}
        parameters = {k: v for k, v in bound.items() if _is_number(v)}
        self.validate(parameters)
        options = {k: v for k, v in bound.items() if k not in parameters}
        return Neuron(self, parameters, options, dict(self.initial))

    def validate(self, parameters: Mapping[str, Parameter]) -> None:
        """Raise ``ValueError`` if a parameter is NaN or infinite, or not positive where it must be."""
        for name, value in parameters.items():
            if isinstance(value, Tensor):
                if not value.is_floating_point():
                    raise ValueError(
                        f"{self.__name__}.{name} got a tensor of {value.dtype}, expected floating point; convert it "
                        "with .float()."
                    )
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

    @property
    def state_names(self) -> tuple[str, ...]:
        """Names of the state variables, in order."""
        return self.kind.state_names

    def step(self, x: Tensor, *state: Tensor, **parameters: Parameter) -> tuple[Tensor, State]:
        """One time step. ``x`` and each state: ``[B, ...]``. Returns the output and the new state."""
        out, new = self.kind.step(x, *state, **{**self.parameters, **parameters}, **self.options)
        new = new if isinstance(new, tuple) else (new,)
        return out, state_type(self.state_names)(*new)

    def start(self, parameters: Mapping[str, Parameter] | None = None) -> tuple[Parameter, ...]:
        """The initial value of each state variable: a number or a tensor that broadcasts against ``[B, ...]``."""
        bound = {**self.parameters, **(parameters or {})}
        rules = (self.initial.get(name, 0.0) for name in self.state_names)
        return tuple(bound[r] if isinstance(r, str) else r(bound) if callable(r) else r for r in rules)

    def starting(self, **initial: Any) -> Neuron:
        """The same neuron with other initial values, e.g. ``IF().starting(v=0.5)``."""
        if unknown := initial.keys() - set(self.state_names):
            raise ValueError(
                f"{self.kind.__name__} got initial values for {sorted(unknown)}, expected names among "
                f"{list(self.state_names)}; check the spelling."
            )
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
    :raises ValueError: if a keyword has no default or there is no input argument.
    """
    if step is None:
        return lambda function: neuron(function, initial=initial, positive=positive)
    arguments = list(inspect.signature(step).parameters.values())
    positional = [a.name for a in arguments if a.kind is a.POSITIONAL_OR_KEYWORD and a.default is a.empty]
    keywords = {a.name: a.default for a in arguments if a.name not in positional}
    if not positional or any(default is inspect.Parameter.empty for default in keywords.values()):
        raise ValueError(
            f"neuron got a step with signature {inspect.signature(step)}, expected step(x, *state, *, name=default): "
            "name the input and each state variable, and give every keyword a default."
        )
    return NeuronType(step, tuple(positional[1:]), keywords, dict(initial or {}), positive)


def _is_number(value: Any) -> bool:
    return isinstance(value, Tensor) or (isinstance(value, int | float) and not isinstance(value, bool))


def _show(value: Any) -> str:
    if isinstance(value, Tensor):
        kind = "learned" if isinstance(value, torch.nn.Parameter) else "fixed"
        return f"{value.item():g} ({kind})" if value.numel() == 1 else f"{kind}{list(value.shape)}"
    return f"{value:g}" if isinstance(value, float) else repr(value)
