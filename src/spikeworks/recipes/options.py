"""What is said of a method in words, by the names of the fields it has: a new method needs no new option anywhere."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, replace
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from ..convert import Method
from ..convert.methods import Upon

WORDS = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}
"""How a truth value can be said."""


def names_of(method: Method) -> list[str]:
    """The fields that can be said, those of its bases included; T and the base itself are chosen otherwise."""
    own = {f.name for f in fields(method)} - {"base", "steps"}
    return sorted(own.union(names_of(method.base) if isinstance(method, Upon) else ()))


def put(method: Method, base: Method) -> Method:
    """The method upon another base, with the pooling and the folding of that.

    :raises ValueError: for a method that is put upon none.
    """
    if not isinstance(method, Upon):
        raise ValueError(f"{method.name} got a base, expected none: it stands alone; leave the base out.")
    return replace(method, base=base, pooling=None, fold=None)


def told(method: Method, given: Mapping[str, Any]) -> Method:
    """The method with other values in its fields. What it does not have itself is its base's.

    :param given: name → a value, or a word that is read as the field's annotation says.
    :raises ValueError: for a field that neither has, or a word that cannot be read.
    """
    if foreign := sorted(given.keys() - {*names_of(method), "steps"}):
        raise ValueError(
            f"{method.name} got {', '.join(foreign)}, expected some of its fields: {', '.join(names_of(method))}; "
            "leave out what it does not have."
        )
    hints = get_type_hints(type(method))
    own = {f.name for f in fields(method)}
    mine = {k: read_word(f"{method.name} got {k}={v!r}", v, hints[k]) for k, v in given.items() if k in own}
    rest = {k: v for k, v in given.items() if k not in own}
    if rest and isinstance(method, Upon):
        mine["base"] = told(method.base, rest)
    return replace(method, **mine) if mine else method


def read_word(said: str, value: Any, hint: Any) -> Any:
    """A word as a value of an annotation: the first that fits of literals, truth, numbers, nothing and any word.

    Of a tuple there are several, with commas between.
    """
    if not isinstance(value, str):
        return value
    if get_origin(hint) is tuple:
        return tuple(read_word(said, part.strip(), get_args(hint)[0]) for part in value.split(","))
    kinds = [hint] if get_origin(hint) is Literal else get_args(hint) or [hint]
    literals = [word for kind in kinds if get_origin(kind) is Literal for word in get_args(kind)]
    if value in literals:
        return value
    if bool in kinds and value.lower() in WORDS:
        return WORDS[value.lower()]
    for kind in (int, float):
        if kind in kinds and (number := _number(kind, value)) is not None:
            return number
    if NoneType in kinds and value == "none":
        return None
    if str in kinds:
        return value
    wanted = literals + ["yes", "no"] * (bool in kinds) + ["a number"] * (float in kinds)
    wanted += ["a whole number"] * (int in kinds and float not in kinds)
    raise ValueError(f"{said}, expected {' or '.join(map(str, wanted))}; choose one.")


def _number(kind: type[int] | type[float], word: str) -> float | None:
    try:
        number = kind(word)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
