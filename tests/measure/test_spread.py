"""Runs of one recipe are averaged; runs of different ones are refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from spikeworks.measure import MethodResult, Report, spread
from spikeworks.view.terminal import spread_table


def run(seed: int, accuracy: list[float], deep: float = 90.0) -> Report:
    return Report("one", [MethodResult("qcfs", "QCFS (L=4)", [1, 2], accuracy, deep)], {"seed": seed})


def test_mean_and_sample_deviation() -> None:
    (found,) = spread([run(0, [10.0, 80.0], 90), run(1, [20.0, 80.0], 92), run(2, [30.0, 80.0], 94)])
    assert found.mean == [20.0, 80.0]
    assert found.deviation == [10.0, 0.0]  # Σ(x − mean)²/(n − 1) = 200/2
    assert found.source == (92.0, 2.0)
    head, rule, row = spread_table([found]).splitlines()
    assert head.split() == ["|", "method", "|", "T=1", "|", "T=2", "|", "deep", "|"]
    assert len(head) == len(rule) == len(row)
    assert "20.00 ± 10.00" in row


def test_what_is_no_second_run_is_refused() -> None:
    first = run(0, [1.0, 2.0])
    for others, words in (
        ([], "1 reports"),
        ([first], "each once"),
        ([replace(run(1, [1.0, 2.0]), title="other")], "'other' besides 'one'"),
        ([Report("one", [replace(first.results[0], steps=[1, 4])], {"seed": 1})], "read the same T"),
    ):
        with pytest.raises(ValueError, match=words):
            spread([first, *others])
