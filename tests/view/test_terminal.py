"""The table in the terminal fits 80 columns and says what is good and what is unusual."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import rich.progress
from rich.console import Console

from spikeworks.measure.looks import FAMILIES
from spikeworks.measure.result import Report
from spikeworks.view.terminal import show, watching


def printed(report: Report, width: int = 80) -> str:
    stream = io.StringIO()
    show(Console(file=stream, width=width, force_terminal=True, color_system="standard"), report, [])
    return stream.getvalue()


def test_the_table_holds_every_number_in_80_columns(report: Report) -> None:
    said = Console(file=io.StringIO(), width=80)
    show(said, report, [])
    text = said.file.getvalue()  # type: ignore[attr-defined]
    assert max(map(len, text.splitlines())) <= 80
    for result in report.results:
        row = next(line for line in text.splitlines() if result.label in line)
        assert row.split()[-8:-2] == [f"{a:.1f}" for a in result.accuracy]
        assert row.split()[-2] == "93.3"
    assert text.count("4 steps before") == 2
    assert text.count("not causal") == 1
    assert text.count("4 levels") == 2  # in the label, and as a remark


def test_many_methods_stand_in_families_with_the_rounded_deep_network_below(report: Report) -> None:
    many = [replace(r, label=f"{r.label} {i}", quantised=[1.1] * 6) for r in report.results for i in range(2)]
    said = Console(file=io.StringIO(), width=80)
    show(said, Report("many", many), [])
    lines = said.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert max(map(len, lines)) <= 80
    text = " ".join(" ".join(lines).split())
    assert all(text.count(family) == 1 for family in FAMILIES)
    assert sum(line.split()[-6:] == ["1.1"] * 6 for line in lines) == len(many)
    assert "rounded to as many values" in text
    assert "rounded" not in printed(report)  # which has none


def test_progress_says_how_many_samples_of_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, Any]] = []
    real = rich.progress.Progress.update

    def update(self: rich.progress.Progress, task: rich.progress.TaskID, **now: Any) -> None:
        seen.append(now)
        real(self, task, **now)

    monkeypatch.setattr(rich.progress.Progress, "update", update)
    with watching(Console(file=io.StringIO())) as watch:
        watch.size(2000)
        watch.method("ltb", 3, 8)
        watch.sample(500)
    assert [(x["completed"], x["done"], x["total"], x["now"]) for x in seen] == [
        (3, 3, 8, "ltb  calibrating"),
        (3.25, 3, 8, "ltb  500 of 2,000 samples"),
    ]


def test_green_is_within_a_point(report: Report) -> None:
    def coloured(text: str) -> int:
        return text.count("\x1b[32m") + text.count("\x1b[1;32m")

    far = Report("far", [replace(r, source_accuracy=99.9) for r in report.results])
    near = sum(a >= 92.27 for r in report.results for a in r.accuracy)
    assert coloured(printed(report)) - coloured(printed(far)) == near


def test_what_a_label_says_is_not_markup(report: Report) -> None:
    odd = Report("[red]odd[/]", [replace(report.results[0], label="[bold]QCFS[/] [/nothing]")])
    assert "[bold]QCFS[/]" in printed(odd, 160)
    assert "[red]odd[/]" in printed(odd, 160)


def test_what_a_path_or_a_line_says_is_not_markup(report: Report) -> None:
    said = Console(file=io.StringIO(), width=80)
    show(said, report, [Path("r[/]x"), Path("rep[old]/x")])
    with watching(said) as watch:
        watch.say("max left out: got [b, c] and [/]")
    lines = said.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert {"  r[/]x", "  rep[old]/x", "  max left out: got [b, c] and [/]"} <= set(map(str.rstrip, lines))
