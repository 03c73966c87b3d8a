"""Types and shapes checked at run time: while tests run, every function of the package is called through here.

Types are those of the annotations, by beartype. Shapes are those of the names: an argument ``x_TBC`` has at least three
axes, and wherever one call's arguments share a letter, they share its size; ``_1`` is an axis of size one.

A wrong argument must be refused. Either the function refuses it itself, with ``ValueError`` as users see it, or the
call fails here with :class:`AnnotationError`; so tests of refusals see the package's own message, and a wrong type that
slips through inside the package is found. ``int`` serves where ``float`` is annotated, as everywhere in Python.
"""

from __future__ import annotations

import ast
import functools
import importlib.abc
import importlib.machinery
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from types import CodeType, ModuleType
from typing import Any

import torch
from beartype import BeartypeConf, beartype
from beartype.roar import BeartypeCallHintParamViolation, BeartypeCallHintReturnViolation
from torch.fx import Proxy

CONFIGURATION = BeartypeConf(is_pep484_tower=True)


class AnnotationError(Exception):
    """A value is not what its annotation says."""


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function`` with arguments and result held to its annotations."""

    @functools.cache
    def typed() -> Callable[..., Any]:  # at the first call: by then every name in an annotation is defined
        return beartype(conf=CONFIGURATION)(function)

    signature = inspect.signature(function)
    shaped = any(map(AXES.search, signature.parameters))

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if torch.compiler.is_compiling():  # the compiler sees the function as users have it
            return function(*args, **kwargs)
        try:
            if shaped and (fault := misshapen(signature.bind(*args, **kwargs).arguments)):
                function(*args, **kwargs)
                raise AnnotationError(f"{function.__qualname__} accepted, against its name: {fault}")
            return typed()(*args, **kwargs)
        except BeartypeCallHintReturnViolation as violation:
            raise AnnotationError(str(violation)) from None
        except BeartypeCallHintParamViolation as violation:
            result = function(*args, **kwargs)  # its own refusal comes first
            if any(isinstance(value, Proxy) for value in (*args, *kwargs.values())):
                return result  # torch.fx traces with stand-ins for tensors
            raise AnnotationError(f"accepted, against its annotation: {violation}") from None

    return call


AXES = re.compile(r"_([A-Z][A-Z1]*)$")
"""The axes that end the name of a tensor: one letter each, leading axes first."""


def misshapen(arguments: Mapping[str, Any]) -> str | None:
    """The first tensor among a call's arguments whose shape is not what its name says; ``None`` if there is none."""
    sizes = {"1": 1}
    for name, value in arguments.items():
        if isinstance(value, torch.Tensor) and (axes := AXES.search(name)):
            if value.dim() < len(axes[1]):
                return f"{name} of shape {tuple(value.shape)}"
            for letter, size in zip(axes[1], value.shape, strict=False):
                if sizes.setdefault(letter, size) != size:
                    return f"{name} of shape {tuple(value.shape)} where {letter} is {sizes[letter]}"
    return None


class _Decorate(ast.NodeTransformer):
    """Put ``checked`` innermost on module-level functions and on methods; not on kernels, which are not Python."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        if not any("jit" in ast.unparse(d) or "overload" in ast.unparse(d) for d in node.decorator_list):
            check = ast.parse(f"__import__({__name__!r}).checked", mode="eval").body
            node.decorator_list.append(ast.copy_location(check, node))
        return ast.fix_missing_locations(node)  # without generic_visit: functions inside functions stay as they are


class _Loader(importlib.machinery.SourceFileLoader):
    def get_code(self, fullname: str) -> CodeType | None:
        path = self.get_filename(fullname)  # compiled anew: no byte code with checks in it is left on disk
        return self.source_to_code(self.get_data(path), path)

    def source_to_code(self, data: Any, path: Any, **_: Any) -> CodeType:  # type: ignore[override]
        return compile(_Decorate().visit(ast.parse(data)), path, "exec", dont_inherit=True)


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, package: str) -> None:
        self.package = package

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname.partition(".")[0] != self.package:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            spec.loader = _Loader(fullname, spec.loader.path)
        return spec


def check(package: str) -> None:
    """From now on, modules of ``package`` are imported with their annotations checked."""
    sys.meta_path.insert(0, _Finder(package))
