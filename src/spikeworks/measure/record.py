"""Watching modules while a network runs; nothing stays on them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn


@contextmanager
def record(
    network: nn.Module, names: Iterable[str], keep: Callable[[str, Tensor], Any] | None = None
) -> Iterator[dict[str, Any]]:
    """While open, what the named modules put out lies in the dictionary given: name → output of the latest call.

    :param names: submodules as ``network.named_modules()`` calls them.
    :param keep: ``keep(name, output)`` instead of the output itself, e.g. to reduce it at once. The output of a
        temporal layer inside an :class:`~spikeworks.SNN` is folded, ``[T·B, ...]``.
    :raises ValueError: for a name that is not there.
    """
    modules = dict(network.named_modules())
    names = list(names)
    if unknown := [name for name in names if name not in modules]:
        raise ValueError(f"record got {unknown}, expected submodules of {type(network).__name__}; check the spelling.")
    seen: dict[str, Any] = {}

    def watch(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
            seen[name] = keep(name, output) if keep else output

        return modules[name].register_forward_hook(hook)

    handles = [watch(name) for name in names]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()
