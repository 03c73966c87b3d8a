"""What the viewer's page asks for: the words of an address, held to what they may be."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import TypeVar
from urllib.parse import parse_qsl

T = TypeVar("T")


@dataclass(frozen=True)
class Ask:
    """Parameters of an address, each taken once, by name; :meth:`done` refuses what nobody took."""

    words: Mapping[str, str]
    taken: set[str] = field(default_factory=set)

    @staticmethod
    def of(query: str) -> Ask:
        """What is behind the question mark.

        :raises ValueError: for a name that is there twice, or more than 32 of them.
        """
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=32)
        if len({name for name, _ in pairs}) < len(pairs):
            raise ValueError(f"the address got {query[:80]!r}, expected each name once.")
        return Ask(dict(pairs))

    def word(self, name: str, known: Iterable[str], default: str | None = None) -> str:
        """One of the known words."""
        known = list(known)
        return self._read(name, default, lambda w: w if w in known else None, f"one of {', '.join(known)}")

    def whole(self, name: str, least: int, most: int, default: int | None = None) -> int:
        """A whole number from ``least`` to ``most``."""

        def read(word: str) -> int | None:
            plain = word.isascii() and word.isdigit() and len(word) < 19
            return int(word) if plain and least <= int(word) <= most else None

        return self._read(name, default, read, f"a whole number from {least} to {most}")

    def number(self, name: str, least: float, most: float, default: float | None = None) -> float:
        """A number from ``least`` to ``most``."""

        def read(word: str) -> float | None:
            try:
                value = float(word)
            except ValueError:
                return None
            return value if isfinite(value) and least <= value <= most else None

        return self._read(name, default, read, f"a number from {least:g} to {most:g}")

    def yes(self, name: str) -> bool:
        """1 or 0; default: 0."""
        return self.word(name, ("0", "1"), "0") == "1"

    def has(self, name: str) -> bool:
        """Whether it is there, and not empty or ``auto``."""
        self.taken.add(name)
        return self.words.get(name, "") not in ("", "auto")

    def done(self) -> None:
        """Refuse names that nobody asked for."""
        if left := sorted(set(self.words) - self.taken):
            raise ValueError(f"the address got {left[0][:40]!r}, which is no parameter here.")

    def _read(self, name: str, default: T | None, read: Callable[[str], T | None], expected: str) -> T:
        self.taken.add(name)
        word = self.words.get(name)
        if word is None and default is not None:
            return default
        value = None if word is None else read(word)
        if value is None:
            raise ValueError(f"{name} got {'nothing' if word is None else repr(word[:40])}, expected {expected}.")
        return value
