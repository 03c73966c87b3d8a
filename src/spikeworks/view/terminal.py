"""What a person sees in the terminal while a run goes on, and the table at its end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..measure import figures, store
from ..measure.analysis import CASES, Analysis
from ..measure.looks import groups
from ..measure.result import MethodResult, Report
from ..measure.spread import Spread
from ..recipes.run import Watch
from ..train import Epoch
from .analysis import write_analysis_page
from .report import write_page

if TYPE_CHECKING:
    import rich.console
    import rich.table

CLOSE, BEST = "green", "bold green"


@contextmanager
def watching(console: rich.console.Console) -> Iterator[Watch]:
    """A :class:`~spikeworks.recipes.run.Watch` that draws two progress bars: epochs of training, then methods.

    The second moves with the samples that a method has run, so that it also moves where one method takes an hour.
    """
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
    from rich.text import Text

    columns = (TextColumn("  {task.description:<12}"), BarColumn(32, "grey30", "cyan", "green"),
               TextColumn("{task.fields[done]:>3.0f}/{task.total:.0f}"), TimeElapsedColumn(),
               TextColumn("{task.fields[now]}"))  # fmt: skip
    with Progress(*columns, console=console) as bars:
        tasks: dict[str, int] = {}

        def move(name: str, done: float, total: int, now: str) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=total, now="", done=0)
            bars.update(tasks[name], completed=done, total=total, now=now, done=int(done))  # type: ignore[arg-type]

        def epoch(name: str, e: Epoch) -> None:
            move(f"train {name}", e.number, e.epochs, f"loss {e.loss:.3f}  validation {e.validation:.2f}")

        label, before, methods, samples = "", 0, 0, 0

        def method(name: str, done: int, total: int) -> None:
            nonlocal label, before, methods
            label, before, methods = name, done, total
            move("convert", done, total, name if done == total else f"{name}  calibrating")

        def size(count: int) -> None:
            nonlocal samples
            samples = count

        def sample(count: int) -> None:
            share = count / samples if samples else 0.0
            move("convert", before + share, methods, f"{label}  {count:,} of {samples:,} samples")

        yield Watch(lambda line: bars.console.print(Text(f"  {line}", "dim")), epoch, method, sample, size)


def report_table(report: Report) -> rich.table.Table:
    """Accuracy against T, a row per method: green within a point of the deep network, bold the best of its column.

    Below each, dim, that of the deep network with activations rounded to as many values as T steps tell apart. Many
    methods stand in families, as in the figures.

    :raises ValueError: if the report has no results.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    if not report.results:
        raise ValueError("report_table got a report with no results, expected at least one method; evaluate one first.")
    steps = sorted({t for r in report.results for t in r.steps})
    read = [dict(zip(r.steps, r.accuracy, strict=True)) for r in report.results]
    best = {t: max(a[t] for a in read if t in a) for t in steps}
    table = Table(box=SIMPLE_HEAD, header_style="dim", pad_edge=False, padding=(0, 1))
    table.add_column("method")
    for name in (*(f"T={t}" for t in steps), "deep", "energy"):
        table.add_column(name, justify="right", no_wrap=True)
    for family, places in groups(report.results):
        if family:
            table.add_section()
            table.add_row(f"[dim italic]{family}[/]")
        for result, at in ((report.results[i], read[i]) for i in places):
            table.add_row(*_row(result, at, steps, best))
    return table


def _row(result: MethodResult, at: dict[int, float], steps: list[int], best: dict[int, float]) -> Iterator[str]:
    from rich.markup import escape

    beside = dict(zip(result.steps, result.quantised, strict=False))
    yield escape(result.label) + (f"\n[dim]{remarks}[/]" if (remarks := ", ".join(_remarks(result))) else "")
    for t in steps:
        close = t in at and at[t] >= result.source_accuracy - 1
        style = (BEST if at[t] == best[t] else CLOSE) if close else "bold" if at.get(t) == best[t] else "default"
        rounded = f"\n[dim]{beside[t]:.1f}[/]" if t in beside else ""
        yield f"[{style}]{at[t]:.1f}[/]{rounded}" if t in at else ""
    yield f"{result.source_accuracy:.1f}"
    yield _energy(result)


def spread_table(spreads: Sequence[Spread]) -> str:
    """Mean ± standard deviation against T, a row per method, as a Markdown table.

    Below each, where it was measured, a row of the deep network rounded to as many values. Steps before step 1, levels
    of a spike and what is not causal have a column where any method has other than 0, 1 and yes.
    """
    told = {
        heading: values
        for heading, usual, values in (
            ("before", "0", [str(s.pre) for s in spreads]),
            ("levels", "1", [str(s.levels) for s in spreads]),
            ("causal", "yes", ["yes" if s.causal else "no" for s in spreads]),
        )
        if set(values) != {usual}
    }
    rows = [["method", *(f"T={t}" for t in spreads[0].steps), "deep", *told]]
    for i, s in enumerate(spreads):
        numbers = [*zip(s.mean, s.deviation, strict=True), s.source]
        rows.append([s.label, *map(plus_minus, numbers), *(column[i] for column in told.values())])
        if s.quantised:
            rows.append([AS_MANY, *map(plus_minus, s.quantised), "", *[""] * len(told)])
    return markdown(rows)


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table, the first row its headings; all columns but the first are numbers."""
    wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [[cell.ljust(w) for cell, w in zip(row, wide, strict=True)] for row in rows]
    lines.insert(1, ["-" * wide[0], *("-" * (w - 1) + ":" for w in wide[1:])])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


AS_MANY = "– deep, as many values"
"""The row below a method: its deep network with activations rounded to as many values as T steps tell apart."""


def plus_minus(value: tuple[float, float], digits: int = 2) -> str:
    """Mean and deviation."""
    return f"{value[0]:.{digits}f} ± {value[1]:.{digits}f}"


def deliver(console: rich.console.Console, report: Report, out: Path) -> None:
    """Write ``report.html``, ``report.json`` and ``conversion.png`` into a folder, then show the table.

    :raises ValueError: if the report has no results or ``out`` is a file.
    """
    files = [out / name for name in ("report.html", "report.json", "conversion.png")]
    for file, write in zip(files, (write_page, store.save_report, figures.plot), strict=True):
        write(report, file)
    show(console, report, files)


def show(console: rich.console.Console, report: Report, files: list[Path]) -> None:
    """Print the table of a report, how to read it, and where the files are."""
    from rich.markup import escape
    from rich.padding import Padding
    from rich.text import Text

    console.print(f"\n  [bold]{escape(report.title)}[/]: top-1 in %, T time steps", highlight=False)
    console.print(Padding(report_table(report), (0, 0, 0, 1)), highlight=False)
    legend = (
        "[green]green[/]: within 1 point of the deep network. [bold]bold[/]: best at this T. "
        + "dim numbers: the deep network with activations rounded to as many values as T steps tell apart. "
        * any(r.quantised for r in report.results)
        + "energy: ratio to the deep network at the first T within 1 point"
    )
    legend += escape(_convention(report)) + ", steps before step 1 included" * any(r.pre for r in report.results)
    console.print(Padding(f"{legend}.\n", (0, 2, 0, 2)), style="dim", highlight=False)
    for file in files:
        console.print(Text(f"  {file}", "cyan"), soft_wrap=True)  # what a path says is not markup


def deliver_analysis(console: rich.console.Console, analysis: Analysis, out: Path) -> None:
    """Write ``analysis.html``, ``analysis.json`` and ``analysis.png`` into a folder, then print where neurons are off.

    A row per layer and stage, against the deep network.
    """
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    files = [out / f"analysis.{kind}" for kind in ("html", "json", "png")]
    writers = (partial(write_analysis_page, analysis), analysis.save, analysis.plot)
    for file, write in zip(files, writers, strict=True):
        write(file)
    narrow = console.width < 100
    table = Table(box=SIMPLE_HEAD, header_style="dim", pad_edge=False, padding=(0, 1))
    for heading in ("layer", "stage", *CASES, "off by own input", "error"):
        left = heading in ("layer", "stage")
        table.add_column(heading, justify="left" if left else "right", no_wrap=heading == "stage")
    for name in (layer.name for layer in next(iter(analysis.stages.values()))):
        for i, (stage, layers) in enumerate(analysis.stages.items()):
            layer = next(x for x in layers if x.name == name)
            cases = [f"{layer.source[c]:.1%}" if layer.source else "–" for c in CASES]
            own = f"{sum(layer.own.values()):.1%}" if layer.own else "–"
            error = "–" if layer.error is None else f"{layer.error:.3f}"
            shown = stage.removeprefix("after ") if narrow else stage
            table.add_row("" if i else escape(name), shown, *cases, own, error)
    console.print(f"\n  [bold]{escape(analysis.title)}[/]: neurons that are off at T = {analysis.steps}, against the "
                  f"deep network, {analysis.samples} samples", highlight=False)  # fmt: skip
    console.print(table, highlight=False)
    for file in files:
        console.print(Text(f"  {file}", "cyan"), soft_wrap=True)


def _remarks(result: MethodResult) -> list[str]:
    parts = [f"{result.pre} steps before"] * (result.pre > 0) + [f"{result.levels} levels"] * (result.levels > 1)
    return parts + ["not causal"] * (not result.causal)


def _energy(result: MethodResult) -> str:
    close = [t for t, a in zip(result.steps, result.accuracy, strict=True) if a >= result.source_accuracy - 1]
    for entry in result.energy.values():  # the first convention
        if close and close[0] in entry["spiking"] and entry["deep"]:
            return f"{entry['spiking'][close[0]] / entry['deep']:.2f}×"
    return "–"


def _convention(report: Report) -> str:
    for result in report.results:
        for name in result.energy:
            return f" ({name})"
    return ""
