"""The state of a network in one safetensors file: a stream that stops here goes on elsewhere. Nothing is executed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import Tensor

from ..disk import whole
from ..layers import RecurrentState
from ..layers.parallel import MaskedState
from ..neurons.neuron import state_type
from .checkpoint import read

_TREE = "state"
_LAYERS: dict[str, Any] = {"masked": MaskedState, "recurrent": RecurrentState}


def save_state(state: Any, path: str | Path) -> None:
    """Write a state as ``stream``, ``step`` or :func:`spikeworks.scan` returned it, on any device, whole or not at all.

    :raises ValueError: if ``path`` is a folder, or the state holds something else than tensors, numbers and tuples.
    """
    from safetensors.torch import save_file

    tensors: dict[str, Tensor] = {}
    tree = _describe(state, tensors)
    with whole(path) as temporary:
        save_file(tensors, temporary, {_TREE: json.dumps(tree)})


def load_state(path: str | Path) -> Any:
    """Read what :func:`save_state` wrote, on the CPU; :func:`spikeworks.layers.move` takes it elsewhere.

    :raises ValueError: if the file is absent, a pickle, truncated, or no state.
    """
    tensors, words = read(path)
    try:
        return _restore(json.loads(words[_TREE]), tensors)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} holds no state, expected a file written by save_state; check the path.") from error


def _describe(value: Any, tensors: dict[str, Tensor]) -> Any:
    """A tree that JSON can hold, each tensor in it replaced by its name; an object has one key, its kind."""
    if isinstance(value, Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().cpu().contiguous().clone()
        return {"tensor": name}
    if isinstance(value, dict):
        return {"dict": {key: _describe(item, tensors) for key, item in value.items()}}
    if isinstance(value, tuple):
        items = [_describe(item, tensors) for item in value]
        if type(value) is tuple:
            return {"tuple": items}
        if kind := next((name for name, layer in _LAYERS.items() if type(value) is layer), None):
            return {kind: items}
        if type(value) is state_type(names := getattr(value, "_fields", ())):
            return {"neuron": [list(names), items]}
    if value is None or isinstance(value, int | float):
        return value
    raise ValueError(f"save_state got {type(value).__name__} in a state, expected what a network's stream returned.")


def _restore(tree: Any, tensors: dict[str, Tensor]) -> Any:
    if not isinstance(tree, dict):
        return tree
    ((kind, content),) = tree.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {key: _restore(item, tensors) for key, item in content.items()}
    if kind == "neuron":
        names, items = content
        return state_type(tuple(names))(*(_restore(item, tensors) for item in items))
    items = [_restore(item, tensors) for item in content]
    return tuple(items) if kind == "tuple" else _LAYERS[kind](*items)
