"""What layers ask of what they are given; each answer is one sentence in the name of who asks."""

from __future__ import annotations

from typing import Any

from torch import Tensor


def at_least(owner: str, name: str, value: int, least: int) -> int:
    """``value``, if it is a whole number ≥ ``least``; else ``ValueError`` in the name of ``owner``."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{owner} got {name}={value!r}, expected a whole number of at least {least}; pass one.")
    return value


def floating(owner: str, x: Tensor) -> Tensor:
    """``x``, if it is a floating-point tensor; else ``ValueError`` in the name of ``owner``."""
    if not isinstance(x, Tensor) or not x.is_floating_point():
        got = x.dtype if isinstance(x, Tensor) else describe(x)
        raise ValueError(f"{owner} got {got}, expected a floating-point tensor; convert it (bytes: x.float() / 255).")
    return x


def in_time(owner: str, x_T: Tensor) -> Tensor:
    """``x_T``, if it is ``[T, B, ...]`` with T ≥ 1; else ``ValueError`` in the name of ``owner``."""
    if not isinstance(x_T, Tensor) or x_T.dim() < 2 or x_T.shape[0] == 0:
        raise ValueError(
            f"{owner} got {describe(x_T)} as input, expected a tensor [T, B, ...] with T >= 1; time comes first "
            "(x.unsqueeze(0) makes one step)."
        )
    return x_T


def describe(value: Any) -> str:
    """A value in a few words, for a sentence that refuses it."""
    if isinstance(value, Tensor):
        return f"a tensor of {value.dtype} {tuple(value.shape)} on {value.device}"
    if isinstance(value, tuple) and value:
        return f"a tuple of {len(value)}, first {describe(value[0])}"
    return repr(value) if value is None or isinstance(value, bool | int | float | str) else type(value).__name__
