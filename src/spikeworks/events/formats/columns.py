"""Columns as arrays and text name them: which is t, x, y and p, in what unit, and how polarity is written."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..stream import EventStream

SPELLINGS = {
    "t": ("t", "ts", "time", "times", "timestamp", "timestamps"),
    "x": ("x", "xs", "x_position"),
    "y": ("y", "ys", "y_position"),
    "p": ("p", "ps", "pol", "polarity", "polarities", "on"),
}
"""Names of each column, as published files have them."""

SECOND = 1_000_000


def roles(owner: str, path: Path, names: Iterable[str]) -> dict[str, str]:
    """Which of some names are those of t, x, y and p; other names are left aside.

    :raises ValueError: if one of the four is not there or is there twice.
    """
    names = list(names)
    found = {role: [n for n in names if n.strip().lower() in spelled] for role, spelled in SPELLINGS.items()}
    if wrong := [role for role, those in found.items() if len(those) != 1]:
        said = ", ".join(f"{r} {'is not there' if not found[r] else 'is there as ' + str(found[r])}" for r in wrong)
        raise ValueError(
            f"{path} ({owner}) has {_few(names)}, where {said}; expected one column each of t, x, y, p; rename them."
        )
    return {role: those[0] for role, those in found.items()}


def whole_numbers(name: str, values: NDArray) -> NDArray[np.int64]:
    """Numbers that are whole, whatever type they are kept in, as they are.

    :param name: of the column, for messages. :raises ValueError: for fractions, or more than 2⁵³ on either side.
    """
    if values.dtype.kind not in "iuf":
        raise ValueError(f"{name} is of {values.dtype}, expected whole numbers.")
    with np.errstate(invalid="ignore"):
        small = values.dtype.kind in "iu" and values.dtype.itemsize < 8
        fits = small or bool((np.abs(values) <= 2.0**53).all())
        if not fits or ((made := values.astype(np.int64)) != values).any():
            raise ValueError(f"{name} holds {values.dtype} that are no whole numbers, expected some up to 2**53.")
    return made


class Decoder:
    """Turns raw columns into streams, block after block of one file.

    Whole numbers of t are microseconds, real numbers are seconds and are rounded to whole microseconds. Real numbers
    without any fraction could be either and are refused: size alone never decides. Polarity is 0 and 1, or −1 and 1.

    :param owner: the format's name, for messages.
    """

    def __init__(self, owner: str, path: Path, width: int, height: int) -> None:
        self._where = f"{path} ({owner})"
        self._size = width, height
        self._fraction = False
        self._below: set[int] = set()  # what is written for darker: 0 or −1, not both

    def stream(self, t: NDArray, x: NDArray, y: NDArray, p: NDArray, offset: int = 0) -> EventStream:
        """A block of events.

        :param offset: microseconds that are added to t.
        :raises ValueError: for what no event can be.
        """
        try:
            return EventStream(self._time(t, offset), x, y, self._polarity(p), *self._size)
        except ValueError as error:
            raise ValueError(f"{self._where}: {error}") from None

    def _time(self, t: NDArray, offset: int) -> NDArray:
        if t.dtype.kind == "f":
            seconds = t.astype(np.float64)
            if not (np.abs(seconds) < 2**62 / SECOND).all():
                raise ValueError(f"t holds {seconds[~(np.abs(seconds) < 2**62 / SECOND)][0]} s, expected finite times.")
            self._fraction = self._fraction or bool((seconds % 1 != 0).any())
            if not self._fraction and seconds.any():
                raise ValueError(
                    f"t is of {t.dtype} without fractions, seconds or microseconds; save microseconds as integers."
                )
            t = np.rint(seconds * SECOND).astype(np.int64)
        if offset and t.dtype.kind in "iu":
            if len(t) and not -(2**63) <= int(t.min()) + offset <= int(t.max()) + offset < 2**63:
                raise ValueError(f"t and its offset of {offset} do not fit 64 bits, expected microseconds.")
            t = t.astype(np.int64) + np.int64(offset)
        return t

    def _polarity(self, p: NDArray) -> NDArray:
        if p.dtype.kind in "iu" and len(p):
            self._below |= {int(p.min())} & {0, -1}
            if len(self._below) > 1 or (-1 in self._below and (p == 0).any()):
                raise ValueError("p holds -1 and 0, expected 0 and 1 or -1 and 1.")
            if p.dtype.kind == "i" and p.min() == -1 and p.max() <= 1:
                return (p > 0).astype(np.uint8)
        return p


def _few(names: list[str]) -> str:
    shown = ", ".join(repr(n[:40]) for n in names[:8])
    return f"the columns {shown}{', …' if len(names) > 8 else ''}" if names else "no columns"
