"""A report as a table for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .result import MethodResult, Report

if TYPE_CHECKING:
    from rich.table import Table


def table(report: Report) -> Table:
    """Top-1 accuracy in percent against T, one row per method, with the energy ratio at the largest T.

    :returns: a ``rich.table.Table``; ``rich.print`` shows it.
    :raises ValueError: if the report has no results.
    """
    from rich.table import Table

    if not report.results:
        raise ValueError("table got a report with no results, expected at least one method; evaluate one first.")
    steps = sorted({t for result in report.results for t in result.steps})
    shown = Table(title=report.title)
    for heading in ("method", "deep", *(f"T={t}" for t in steps), "energy"):
        shown.add_column(heading, justify="left" if heading == "method" else "right")
    for result in report.results:
        at = dict(zip(result.steps, result.accuracy, strict=True))
        cells = [f"{at[t]:.2f}" if t in at else "" for t in steps]
        shown.add_row(result.label, f"{result.source_accuracy:.2f}", *cells, _ratio(result))
    return shown


def _ratio(result: MethodResult) -> str:
    for entry in result.energy.values():  # the first convention
        last = max(entry["spiking"])
        return f"{entry['spiking'][last] / entry['deep']:.2f}× at T={last}"
    return ""
