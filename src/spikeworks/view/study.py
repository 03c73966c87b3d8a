"""A study of trained networks: what the terminal shows of it, and its page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..measure.study_spread import StudySpread, leads
from ..measure.trained import Study, classifiers
from ..recipes.training import STUDY
from .study_page import write_study_page
from .study_rows import legend, shown_steps, study_rows
from .terminal import markdown, plus_minus

if TYPE_CHECKING:
    import rich.console
    import rich.table


def deliver(console: rich.console.Console, study: Study, out: Path) -> None:
    """Write the page and the figure of a study into the folder where it lies, then show its table."""
    files = [out / name for name in ("study.html", STUDY, "study.png")]
    write_study_page(study, files[0])
    study.plot(files[2])
    show(console, study, files)


def show(console: rich.console.Console, study: Study, files: Sequence[Path] = ()) -> None:
    """Print the tables of a study, how to read them, and where the files are."""
    from rich.markup import escape
    from rich.padding import Padding
    from rich.text import Text

    decided = bool(classifiers(study.results))
    console.print(
        f"\n  [bold]{escape(study.title)}[/]: {'top-1 in % on test' if decided else 'on test'}", highlight=False
    )
    console.print(Padding(study_table(study), (0, 0, 0, 1)), highlight=False)
    console.print(Padding(f"{legend(study.results)}\n", (0, 2, 0, 2)), style="dim", highlight=False)
    for file in files:
        console.print(Text(f"  {file}", "cyan"), soft_wrap=True)


def study_table(study: Study) -> rich.table.Table:
    """A row per network: accuracy after each step, and what else was measured.

    :raises ValueError: if nothing was measured.
    """
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    if not study.results:
        raise ValueError("study_table got a study without results, expected at least one network.")
    headings, rows = study_rows(study.results, 1)
    table = Table(box=SIMPLE_HEAD, header_style="dim", pad_edge=False, padding=(0, 1))
    table.add_column("network")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for r, row in zip(study.results, rows, strict=True):
        table.add_row(escape(r.label), *row)
    return table


LEVELS = 6
"""Accuracies, a point apart, at which the time that networks take to them is told."""


def spread_tables(spreads: Sequence[StudySpread]) -> str:
    """Markdown: what was measured, of classifiers accuracy after each step and all runs one by one; then the time to
    reach an accuracy, where T > 1."""
    read = shown_steps([r for s in spreads for r in classifiers(s.results)])
    more = list(dict.fromkeys(name for s in spreads for name in s.values))
    if not read:
        rows = [["network", *more]]
        rows += [[s.label, *(plus_minus(s.values[n], 3) if n in s.values else "" for n in more)] for s in spreads]
        return markdown(rows)
    rows = [["network", *(f"T={t}" for t in read), "spread", *more, "each run"]]
    for s in spreads:
        after = [plus_minus(s.running[t - 1]) if t <= len(s.running) else "" for t in read]
        values = [plus_minus(s.values[name]) if name in s.values else "" for name in more]
        rows.append([s.label, *after, plus_minus(s.spread), *values, ", ".join(f"{a:.1f}" for a in s.runs)])
    timed = [s for s in spreads if len(s.running) > 1]
    if not timed:
        return markdown(rows)
    most = math.floor(max(min(s.runs) for s in timed))  # every run of one network gets there
    levels = range(most - LEVELS + 1, most + 1)
    times = [["mean decision time to", *(f"{level} %" for level in levels)]]
    for s in timed:
        reached = [s.time_for(level) for level in levels]
        times.append([s.label, *(plus_minus(t) if math.isfinite(t[0]) else "–" for t in reached)])
    return f"{markdown(rows)}\n\n{markdown(times)}"


def leads_table(spreads: Sequence[StudySpread], label: str) -> str:
    """Markdown: how far each network is ahead of one, and whether runs of other seeds would say so."""
    ahead = leads(spreads, label)
    names = list(dict.fromkeys(name for one in ahead for name in one.by))
    decided = any(classifiers(s.results) for s in spreads)  # of other numbers, less may be better
    rows = [[f"ahead of “{label}” by" if decided else f"less “{label}”", *names]]
    rows += [[one.label, *(_lead(*one.by[name]) if name in one.by else "" for name in names)] for one in ahead]
    return markdown(rows)


def _lead(mean: float, half: float) -> str:
    return f"{mean:+.2f} ± {half:.2f}" + (" *" if abs(mean) > half else "")
