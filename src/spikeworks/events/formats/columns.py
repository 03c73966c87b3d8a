"""Columns as arrays and text name them: which is t, x, y and p, in what unit, and how polarity is written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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


def in_order_of_columns(owner: str, path: Path, four: Sequence[NDArray]) -> str:
    """The order of four columns without names, by what they hold: ``txyp``, ``xytp`` or ``xypt``.

    p is the only column with nothing but two values (0 and 1, or −1 and 1), t the only one of the others that grows and
    never falls, and x is in front of y, as in every published order.

    :raises ValueError: if more than one order, or none, is possible.
    """
    two = [i for i, c in enumerate(four) if any(np.isin(c, pair).all() for pair in ((0, 1), (-1, 1)))]
    grows = [i for i, c in enumerate(four) if i not in two and (c[1:] >= c[:-1]).all() and c[0] < c[-1]]
    known = {(0, 3): "txyp", (2, 3): "xytp", (3, 2): "xypt"}
    order = known.get((grows[0], two[0])) if len(grows) == len(two) == 1 else None
    if order is None:
        raise ValueError(
            f"{path} ({owner}) is an array of 4 columns, where {two} look like p and {grows} like t, expected one of "
            f"each in one of the orders {', '.join(known.values())}; save it with names, as an .npz of t, x, y, p."
        )
    return order


def _few(names: list[str]) -> str:
    shown = ", ".join(repr(n[:40]) for n in names[:8])
    return f"the columns {shown}{', …' if len(names) > 8 else ''}" if names else "no columns"
