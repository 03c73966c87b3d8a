"""What commands have in common: the console, a folder to write into, lists as they are typed."""

from __future__ import annotations

import shlex
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import rich.console


def own_the_process() -> None:
    """Nothing but this command runs here: keep its memory, so that no large tensor is mapped and faulted in anew."""
    from ..neurons import keep_heap

    keep_heap()


@contextmanager
def writable(out: Path) -> Iterator[None]:
    """Make ``--out`` and write into it before any work, lest that be lost; work that fails takes an empty one away."""
    made = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise ValueError(
            f"--out got {str(out)!r} ({error.strerror}), expected a folder that can be written into; name another."
        ) from error
    try:
        yield
    except BaseException:
        with suppress(OSError):  # where it holds a checkpoint
            if made:
                out.rmdir()
        raise


def console_here() -> rich.console.Console:
    """The terminal."""
    from rich.console import Console

    return Console()


def command_line() -> str:
    """The command as it was typed."""
    return shlex.join(["spikeworks", *sys.argv[1:]])


def steps_typed(words: list[str] | None) -> list[int]:
    """Time steps as typed, in order: ``1 2 4``, ``1,2,4``; none if none were."""
    asked = ",".join(words or ())
    found = numbers_typed(asked, "--steps")
    if not all(t.is_integer() and t >= 1 for t in found):
        raise ValueError(f"--steps got {asked!r}, expected whole numbers from 1, e.g. 1 2 4 8.")
    return sorted({int(t) for t in found})


def numbers_typed(text: str, option: str) -> list[float]:
    """Numbers with commas between; none if nothing was typed.

    :raises ValueError: for anything else.
    """
    try:
        return [float(part) for part in text.split(",")] if text else []
    except ValueError:
        raise ValueError(f"{option} got {text!r}, expected numbers with commas between, e.g. 1,2,4.") from None


def dashed(names: Iterable[str]) -> str:
    """Names of fields as options."""
    return ", ".join(f"--{name.replace('_', '-')}" for name in names)
