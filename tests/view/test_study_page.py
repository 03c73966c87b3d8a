"""The page and the tables of a study hold its numbers, fetch nothing and let nothing through unescaped."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from measure.test_trained import made, scored
from spikeworks.measure.study_figures import study_figure
from spikeworks.measure.study_spread import study_spread
from spikeworks.measure.trained import Scored, Study
from spikeworks.view.study import leads_table, spread_tables
from spikeworks.view.study_page import study_page, write_study_page
from spikeworks.view.study_rows import legend, shown_steps, study_rows
from view.test_report import parsed


def hand_made(seed: int = 0) -> Study:
    """Two networks, one of which has spikes and one a name that is markup."""
    deep = replace(made(seed, 1), label="<b>deep</b> & plain", validation=[], values={})
    return Study("Study <of> two", [replace(made(seed), rates={"a": 0.1, "b": 0.3}), deep], {"seed": seed})


def test_the_page_holds_the_numbers_and_nothing_unescaped(tmp_path: Path) -> None:
    study = hand_made()
    text = study_page(study)
    seen = parsed(text)
    words = " ".join(seen.text)
    for word in (
        "Study <of> two",
        "the snn",
        "<b>deep</b> & plain",
        f"{study.results[0].accuracy:.2f}",
        "0.200",
        "noise",
    ):
        assert word in words
    assert "http" not in text
    assert "script" not in seen.tags
    ids = set(re.findall(r'id="([^"]+)"', text))
    assert set(re.findall(r"url\(#([^)]+)\)", text)) <= ids
    write_study_page(study, tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == text
    with pytest.raises(ValueError, match="without results"):
        study_page(Study("none", []))


def test_tables_over_seeds_are_whole() -> None:
    spreads = study_spread([hand_made(0), hand_made(1)])
    accuracy, times = spread_tables(spreads).split("\n\n")
    for table in (accuracy, times):
        assert len({line.count("|") for line in table.splitlines()}) == 1
    assert "<b>deep</b>" in accuracy
    assert "<b>deep</b>" not in times  # one step takes no time to decide in
    assert ", ".join(f"{a:.1f}" for a in spreads[0].runs) in accuracy
    one = leads_table(spreads, spreads[0].label)
    assert len({line.count("|") for line in one.splitlines()}) == 1
    assert one.count(" * ") <= 3
    assert spread_tables(spreads[1:]) == spread_tables(spreads[1:]).split("\n\n")[0]


def test_answers_that_are_no_classes_are_shown_by_their_numbers() -> None:
    studies = [Study("light", [scored(s, "mean"), scored(2 * s, "network")], {"seed": s}) for s in range(3)]
    headings, rows = study_rows(studies[1].results, 1)
    assert headings == ["best", "last", "PSNR, dB"]
    assert rows == [["2", "2", "35"], ["2", "2", "41"]]
    words = " ".join(parsed(study_page(studies[0])).text)
    assert "the highest score on validation" in words
    assert "Top-1" not in words
    table = spread_tables(study_spread(studies))
    assert [cell.strip() for cell in table.splitlines()[0].split("|")[1:3]] == ["network", "PSNR, dB"]
    assert "35.667 ± 2.082" in table


def test_steps_that_are_shown() -> None:
    assert shown_steps([made(0, 6), made(0, 1)]) == [1, 2, 4, 6]


def test_many_numbers_make_rows_of_panels_and_none_is_refused() -> None:
    values = {f"number {k}": float(k) for k in range(5)}
    study = Study("x", [Scored(name="a", label="a", values=values), Scored(name="b", label="b", values=values)])
    figure = study_figure(study)
    assert sum(axis.get_visible() for axis in figure.axes) == 5
    assert figure.get_figwidth() <= 3 * 5.2
    assert legend(study.results) == ""
    assert "of 0 networks" in study_page(study)
    with pytest.raises(ValueError, match="a study of no numbers"):
        study_figure(Study("x", [Scored(name="a", label="a")]))


def test_differences_of_errors_are_not_called_leads() -> None:
    studies = [Study("light", [scored(s, "mean"), scored(2 * s, "network")], {"seed": s}) for s in range(3)]
    table = leads_table(study_spread(studies), "the mean")
    assert "less “the mean”" in table
    assert "ahead" not in table
