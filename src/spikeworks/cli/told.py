"""What commands on recordings tell: how far they are, facts in rows, where a file lies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from .shared import console_here

Thing = TypeVar("Thing")


@contextmanager
def moving(
    word: str, things: Iterable[Thing], unit: str, total: int | None = None, size: Callable[[Thing], int] = lambda _: 1
) -> Iterator[Iterator[Thing]]:
    """The things, and while they are taken a line that says how much has been, and of how much if that is known.

    :param word: what is done. :param unit: of ``size``, which says how much a thing is.
    """
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    done = f"{{task.description}} {{task.completed:,.0f}}{'' if total is None else ' of {task.total:,.0f}'} {unit}"
    known = (SpinnerColumn(), TextColumn(done), TimeElapsedColumn())
    columns = known if total is None else (TextColumn(done), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console_here(), transient=True) as line:
        task = line.add_task(word, total=total)

        def taken() -> Iterator[Thing]:
            for thing in things:
                yield thing
                line.advance(task, size(thing))

        yield taken()


def facts(title: str, rows: Iterable[tuple[str, str]]) -> None:
    """A title, and names with what is true of them."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for name, value in rows:
        table.add_row(Text(f"  {_printable(name)}", "dim"), Text(_printable(value)))
    console = console_here()
    console.print(Text(f"\n  {_printable(title)}\n", "bold"), soft_wrap=True)
    console.print(table)


def say(sentence: str, path: Path) -> None:
    """What was done, and the file that it made."""
    from rich.text import Text

    console = console_here()
    console.print(Text(f"  {sentence}"), soft_wrap=True)
    console.print(Text(f"  {path}", "cyan"), soft_wrap=True)


def _printable(text: str) -> str:
    """What a header says is not to move the cursor."""
    return "".join(c if c.isprintable() else " " for c in text)[:400]
