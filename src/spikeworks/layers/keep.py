"""What autograd keeps for the backward pass, kept in less memory: the tensors it gets back are the same in every bit.

A tensor whose values are small whole numbers is kept in few bits (see :mod:`.bits`). What a neuron is given, if batch
normalisation made it, is not kept at all: it is made again from what the normalisation itself keeps (see
:mod:`.renew`). Everything else is kept as it is, and checked for writes in the meantime as autograd does.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from weakref import ref

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.multiprocessing.reductions import StorageWeakRef

from ..neurons.eager import is_concrete
from .bits import Bits, Narrow, pack
from .renew import Renewal, renewal

_LEAST = 1024
"""Tensors of fewer values are not worth the look."""


@dataclass(frozen=True)
class _AsItIs:
    tensor: Tensor
    version: int | None

    def unpack(self) -> Tensor:
        if self.version is not None and self.tensor._version != self.version:
            raise RuntimeError(
                f"a {tuple(self.tensor.shape)} tensor that the gradient needs was modified by an inplace operation: it "
                f"is at version {self.tensor._version}, expected {self.version}; write into a copy."
            )
        return self.tensor


class _Thread(threading.local):
    keeper: _Keeper | None = None


_THREAD = _Thread()


class _Keeper:
    """The keeping of one run of a network."""

    def __init__(self) -> None:
        self.known: dict[Any, tuple[StorageWeakRef, ref[Bits | Narrow]]] = {}
        self.given: Tensor | None = None  # what the running neuron was given

    def pack(self, tensor: Tensor) -> Bits | Narrow | Renewal | _AsItIs:
        if type(tensor) in (Tensor, torch.nn.Parameter) and tensor.layout == torch.strided and is_concrete(tensor):
            if self.given is not None and _same(tensor, self.given) and (made := renewal(self.given, self.pack)):
                return made
            if tensor.numel() >= _LEAST and (bits := self._bits(tensor)):
                return bits
        return _AsItIs(tensor, None if tensor.is_inference() else tensor._version)

    def _bits(self, tensor: Tensor) -> Bits | Narrow | None:
        """Two operations that keep the same tensor share its bits."""
        storage = StorageWeakRef(tensor.untyped_storage())  # while it is held, nothing else can have its identity
        key = (storage.cdata, tensor.storage_offset(), tensor.shape, tensor.stride(), tensor.dtype, tensor._version)
        if (found := self.known.get(key)) is not None and not found[0].expired() and (bits := found[1]()) is not None:
            return bits
        if (bits := pack(tensor)) is not None:
            self.known[key] = storage, ref(bits)
        return bits


def _same(a: Tensor, b: Tensor) -> bool:
    return a.data_ptr() == b.data_ptr() and a.shape == b.shape and a.stride() == b.stride() and a.dtype == b.dtype


@contextmanager
def keeping_less(x: Any) -> Iterator[None]:
    """What is computed of ``x`` in the block keeps less. Nothing changes where no gradient is wanted, under a
    ``torch.func`` transform, and for a compiler, which decides by itself what it keeps."""
    if torch.compiler.is_compiling() or not torch.is_grad_enabled() or not is_concrete(x):
        yield
        return
    outer, keeper = _THREAD.keeper, _Keeper()
    _THREAD.keeper = keeper
    try:
        with saved_tensors_hooks(keeper.pack, lambda kept: kept.unpack()):
            yield
    finally:
        _THREAD.keeper = outer


def given(x_T: Tensor, run: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """``run(*arguments, **named)``, in which a neuron may keep its input ``x_T``."""
    keeper = None if torch.compiler.is_compiling() else _THREAD.keeper
    if keeper is None:
        return run(*arguments, **named)
    keeper.given = x_T
    try:
        return run(*arguments, **named)
    finally:
        keeper.given = None
