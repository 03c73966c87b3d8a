"""Whole runs: train, convert and measure, and what several of them give together."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from .shared import command_line, console_here, own_the_process, steps_typed, writable


def demo(*, out: Path = Path("spikeworks-report"), seed: int = 0, quick: bool = False) -> None:
    """Train a small network on real digits, convert it by every method, write a report. About a minute.

    Parameters
    ----------
    out
        folder for report.html, report.json and conversion.png
    seed
        of the weights and the order of training; the split of the data is fixed
    quick
        a few epochs and few time steps: a look, not a result
    """
    from ..recipes import digits
    from ..view import terminal

    own_the_process()
    console = console_here()
    console.print(
        "\n  [bold]spikeworks demo[/]  1,197 handwritten digits to learn from, 300 to choose on, 300 to test\n",
        highlight=False,
    )
    with writable(out), terminal.watching(console) as watch:
        report = digits.run(seed, quick=quick, watch=watch, command=command_line())
    terminal.deliver(console, report, out)


def recipe(
    name: str, /, *, out: Path | None = None, seed: int = 0, method: list[str] | None = None,
    steps: list[str] | None = None, quick: bool = False,
) -> None:  # fmt: skip
    """Train, convert and measure as a published result is; without a right name it lists them.

    Parameters
    ----------
    name
        of the recipe
    out
        folder for the report, the trained weights, and the checkpoint and results that a stopped run goes on from
    seed
        of the weights, the order of training and the augmentation
    method
        the methods to compare; only the networks that these take are trained; default: all
    steps
        the T to read accuracy at; default: the recipe's
    quick
        a few batches: does it run?
    """
    from ..recipes import ALL
    from ..view import terminal

    if name not in ALL:
        raise ValueError(f"recipe got {name!r}, expected one of {', '.join(ALL)}.")
    own_the_process()
    console = console_here()
    out = out or Path(f"spikeworks-{name}-{seed}")
    chosen = replace(ALL[name], steps=tuple(steps_typed(steps) or ALL[name].steps))
    with writable(out), terminal.watching(console) as watch:
        kept = None if quick else out / "training.safetensors"
        report = chosen(seed, quick=quick, watch=watch, command=command_line(), checkpoint=kept, only=method)
    terminal.deliver(console, report, out)


def spread(*reports: Path, plot: Path | None = None, against: str | None = None) -> None:
    """Mean and standard deviation of accuracy over several runs of one recipe; prints Markdown.

    Parameters
    ----------
    reports
        the report.json, or study.json, of each run
    plot
        where to draw accuracy against mean decision time, of studies
    against
        a network, by its label, that the others of a study are compared with, run by run
    """
    from ..measure import load_report
    from ..measure import spread as over
    from ..measure.study_figures import plot_spread
    from ..measure.study_spread import study_spread
    from ..measure.trained import classifiers, load_study
    from ..view.study import leads_table, spread_tables
    from ..view.terminal import spread_table

    if any(_is_study(path) for path in reports):  # one that is none is then told of
        studies = [load_study(path) for path in reports]
        spreads = study_spread(studies)
        what = "top-1 in %, " * bool(classifiers(studies[0].results))
        title = f"{studies[0].title}: {what}mean ± standard deviation of {len(studies)} runs"
        tables = spread_tables(spreads)
        if against is not None:
            tables += (
                f"\n\n{leads_table(spreads, against)}\n\n±: 95 % interval of the mean over paired runs; *: beyond it"
            )
        console_here().print(f"{title}\n\n{tables}", markup=False, highlight=False, soft_wrap=True)
        if plot is not None:
            plot_spread(spreads, plot)
        return
    if plot is not None or against is not None:
        raise ValueError(
            "--plot and --against are for studies, what spikeworks train writes; a report of conversion has its own "
            "figures."
        )
    read = [load_report(path) for path in reports]
    table = spread_table(over(read))
    title = f"{read[0].title}: top-1 in %, mean ± standard deviation of {len(read)} runs"
    console_here().print(f"{title}\n\n{table}", markup=False, highlight=False, soft_wrap=True)


def _is_study(path: Path) -> bool:
    """Whether a file holds what a training recipe measured; one that cannot be read is told of when it is."""
    try:
        return "validation" in json.loads(path.read_text(encoding="utf-8"))["results"][0]
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return False
