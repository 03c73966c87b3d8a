"""Runs of one recipe are averaged; runs of different ones are refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from spikeworks.measure import MethodResult, Report, spread
from spikeworks.view.terminal import AS_MANY, spread_table


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


def test_what_a_method_needs_has_a_column_where_any_needs_it() -> None:
    def two(seed: int, rounded: list[float]) -> Report:
        plain = run(seed, [10.0 * seed, 80.0]).results[0]
        staged = replace(plain, label="COS", pre=4, causal=False, quantised=rounded)
        return Report("one", [plain, staged], {"seed": seed})

    found = spread([two(1, [50.0, 60.0]), two(2, [52.0, 60.0])])
    assert found[0].quantised == []
    assert found[1].quantised == [(51.0, pytest.approx(2**0.5)), (60.0, 0.0)]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in spread_table(found).splitlines()]
    assert rows[0] == ["method", "T=1", "T=2", "deep", "before", "causal"]
    assert rows[2] == ["QCFS (L=4)", "15.00 ± 7.07", "80.00 ± 0.00", "90.00 ± 0.00", "0", "yes"]
    assert rows[3][-2:] == ["4", "no"]
    assert rows[4] == [AS_MANY, "51.00 ± 1.41", "60.00 ± 0.00", "", "", ""]
    one_old = spread([two(1, [50.0, 60.0]), two(2, [])])  # an older report did not measure it
    assert one_old[1].quantised == []
    assert AS_MANY not in spread_table(one_old)


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
