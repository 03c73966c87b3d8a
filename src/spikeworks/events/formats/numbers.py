"""Lines of decimal numbers to columns, all at once and exactly: no number goes through a float."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DIGITS = 18
"""Of a whole number, so that it fits 64 bits."""

_OTHER, _WORD, _SPACE, _COMMA = range(4)
_KIND = np.full(256, _OTHER, np.uint8)
_KIND[np.frombuffer(b"0123456789.-", np.uint8)] = _WORD
_KIND[np.frombuffer(b" \t\r\n", np.uint8)] = _SPACE
_KIND[np.frombuffer(b",;", np.uint8)] = _COMMA


@dataclass(frozen=True)
class Words:
    """Where the words of some lines begin and end.

    :param text: the bytes. :param begin: ``[lines, columns]``, first byte of each. :param end: one past its last.
    :param points: where decimal points are.
    """

    text: NDArray[np.uint8]
    begin: NDArray[np.int64]
    end: NDArray[np.int64]
    points: NDArray[np.int64]

    def pointed(self, column: int) -> NDArray[np.bool_]:
        """Which numbers of a column have a decimal point."""
        return np.searchsorted(self.points, self.end[:, column]) > np.searchsorted(self.points, self.begin[:, column])

    def whole(self, column: int) -> NDArray[np.int64]:
        """A column of whole numbers.

        :raises ValueError: for one with a point, or of more digits than 64 bits hold.
        """
        begin, negative = self._sign(column)
        if self.pointed(column).any():
            raise ValueError("a whole number has a decimal point, expected digits only.")
        value = self._digits(begin, self.end[:, column], DIGITS)
        return np.where(negative, -value, value)

    def micro(self, column: int) -> NDArray[np.int64]:
        """A column of numbers with or without a point, times a million, rounded to whole ones, halves away from zero.

        :raises ValueError: for more digits than 64 bits hold.
        """
        begin, negative = self._sign(column)
        end = self.end[:, column]
        where = np.searchsorted(self.points, begin)
        point = np.minimum(np.append(self.points, len(self.text))[where], end)
        if (np.searchsorted(self.points, end) > where + 1).any() or (point + 1 == end).any():
            raise ValueError("a number has several points or ends with one, expected digits on both sides of one.")
        value = self._digits(begin, point, DIGITS - 6)
        for place in range(1, 7):
            value = value * 10 + self._digit(point + place, point + place < end)
        value += self._digit(point + 7, point + 7 < end) >= 5
        return np.where(negative, -value, value)

    def _sign(self, column: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        begin = self.begin[:, column]
        negative = self.text[begin] == ord("-")
        return begin + negative, negative

    def _digits(self, begin: NDArray, end: NDArray, limit: int) -> NDArray[np.int64]:
        length = end - begin
        if len(length) and not 1 <= length.min() <= length.max() <= limit:
            raise ValueError(f"a number has {length.min()} to {length.max()} digits, expected 1 to {limit}.")
        value = np.zeros(len(begin), np.int64)
        for place in range(int(length.max(initial=0))):
            there = length > place
            np.multiply(value, 10, out=value, where=there)
            value += self._digit(begin + place, there)
        return value

    def _digit(self, at: NDArray, there: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """Digits at some places, 0 where there is none. That they are digits, :func:`words` has seen to."""
        return (self.text.take(at, mode="clip") - np.uint8(ord("0"))) * there


def words(data: bytes, columns: int) -> Words:
    """Split lines into so many words each, at blanks or at single commas or semicolons; blank lines are left out.

    :raises ValueError: for a line with more or fewer words, or with anything but numbers.
    """
    text = np.frombuffer(data, np.uint8)
    kind = _KIND[text]
    if (other := kind == _OTHER).any():
        raise ValueError(f"the line {_line(data, int(other.argmax()))} holds what is no plain decimal number.")
    word = np.concatenate([[False], kind == _WORD, [False]])
    edges = np.flatnonzero(word[1:] != word[:-1])
    begin, end = edges[::2], edges[1::2]
    ends = np.append(np.flatnonzero(text == ord("\n")), len(text))
    per_line = np.diff(np.searchsorted(begin, ends), prepend=0)
    if (wrong := (per_line != columns) & (per_line != 0)).any():
        line = int(wrong.argmax())
        place = int(ends[line - 1]) + 1 if line else 0
        raise ValueError(f"the line {_line(data, place)} holds {per_line[line]} numbers, expected {columns}.")
    begin, end = begin.reshape(-1, columns), end.reshape(-1, columns)
    commas = np.flatnonzero(kind == _COMMA)
    if len(commas):
        pairs = commas.reshape(-1, columns - 1) if len(commas) == len(begin) * (columns - 1) else None
        if pairs is None or (pairs < end[:, :-1]).any() or (pairs >= begin[:, 1:]).any():
            raise ValueError("commas are not one between two numbers each, expected t,x,y,p in every line.")
    minus = np.flatnonzero(text == ord("-"))
    if len(minus) and not np.isin(minus, begin).all():
        raise ValueError(f"the line {_line(data, int(minus[0]))} or one behind it has a minus inside of a number.")
    return Words(text, begin, end, np.flatnonzero(text == ord(".")))


def _line(data: bytes, place: int) -> str:
    begin = data.rfind(b"\n", 0, place) + 1
    return repr(data[begin : begin + 80].split(b"\n")[0].decode("ascii", "replace"))
