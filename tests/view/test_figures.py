"""Figures show the report's own numbers, every method looks its own way, files appear whole or not at all."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from spikeworks.disk import whole
from spikeworks.measure import figures
from spikeworks.measure.looks import FAMILIES, PALETTE, groups, looks
from spikeworks.measure.result import Report
from spikeworks.measure.store import load_report, save_report
from view.hand_made import STEPS, method


def test_the_accuracy_figure_draws_exactly_the_reports_numbers(report: Report) -> None:
    axes = figures.report_figures(report)["accuracy"].axes[0]
    lines = {line.get_label(): line for line in axes.lines}
    assert set(lines) == {r.label for r in report.results} | {"deep network"}
    for result in report.results:
        assert list(lines[result.label].get_xdata()) == STEPS
        assert list(lines[result.label].get_ydata()) == result.accuracy
    assert set(lines["deep network"].get_ydata()) == {93.27}
    assert axes.get_xscale() == "log"
    low, high = axes.get_ylim()
    assert low < 41.0
    assert high > 93.27


def test_energy_is_in_one_unit_and_pairs_with_accuracy(report: Report) -> None:
    axes = figures.report_figures(report)["energy"].axes[0]
    line = next(x for x in axes.lines if x.get_label() == "QCFS (L=4)")
    expected = [1e6 * report.results[0].energy["45 nm"]["spiking"][t] for t in STEPS]  # the deep network needs 36.8 µJ
    assert list(line.get_xdata()) == pytest.approx(expected)
    assert list(line.get_ydata()) == report.results[0].accuracy
    assert "µJ" in axes.get_xlabel()
    assert "45 nm" in axes.get_xlabel()


def test_layer_profiles_and_pooled_offset(report: Report) -> None:
    drawn = figures.report_figures(report)
    first = report.results[0]
    for name in ("error", "rate"):
        line = next(x for x in drawn[name].axes[0].lines if x.get_label() == first.label)
        assert list(line.get_xdata()) == [getattr(x, name) for x in first.layers if x.kind == "neuron"]
        assert list(line.get_ydata()) == list(range(8))
    layers = [x for x in first.layers if x.offset]
    few = replace(first, layers=[replace(layers[0], neurons=1, offset={0: 1.0}),
                                 replace(layers[0], neurons=3, offset={0: 0.5, 1: 0.5})])  # fmt: skip
    assert figures.pooled_offset(few) == {0: pytest.approx(0.625), 1: pytest.approx(0.375)}


def test_no_two_of_fourteen_methods_look_alike_and_colours_are_consistent(report: Report) -> None:
    many = Report("many", [method(i, f"method {i}", 30.0 + i) for i in range(14)])
    seen = set()
    for name in ("accuracy", "error"):
        panels = figures.report_figures(many)[name].axes
        assert len(panels) == 2
        for line in (line for axes in panels for line in axes.lines):
            if str(line.get_label()).startswith("method"):
                seen.add((line.get_label(), line.get_color(), line.get_marker(), line.get_markerfacecolor()))
    assert len(seen) == 14  # the same look in both figures
    assert len({look[1:] for look in seen}) == 14


def test_many_methods_are_told_apart_by_family(tmp_path: Path) -> None:
    results = [method(i, f"plain {i}", 30.0 + i) for i in range(9)]
    results += [method(9, "two stages", 40.0, pre=4), method(10, "waits", 40.0, causal=False)]
    results += [method(11, "levels", 40.0, levels=4), method(12, "levels and stages", 40.0, levels=4, pre=4)]
    parts = groups(results)
    assert [places for _, places in parts] == [[0, 1, 2, 3, 4], [5, 6, 7, 8], [9, 10], [11, 12]]
    assert [name for name, _ in parts][:2] == [f"{FAMILIES[0]} (1 of 2)", f"{FAMILIES[0]} (2 of 2)"]
    drawn = figures.report_figures(Report("many", results))
    for axes, (_, places) in zip(drawn["accuracy"].axes, parts, strict=True):
        shown = [line.get_label() for line in axes.lines if not str(line.get_label()).startswith("_")]
        assert shown == ["deep network", *(results[i].label for i in places)]
        assert len(axes.lines) == 1 + len(results)  # the others are grey
        assert axes.get_ylim() == drawn["accuracy"].axes[0].get_ylim()
    assert [len(axes.lines) for axes in drawn["energy"].axes] == [2 + len(results)] * 4
    few = [replace(r, layers=[]) for r in results[:9]] + results[9:]
    assert len(figures.report_figures(Report("few", few))["error"].axes) == 2  # nothing to draw, no panel
    figures.plot(Report("many", results), tmp_path / "many.png")
    assert (tmp_path / "many.png").read_bytes()[:4] == b"\x89PNG"


def test_thirty_methods_have_thirty_looks() -> None:
    results = [method(i, f"method {i}", 30.0, levels=1 + i % 3) for i in range(30)]
    seen = {(x["color"], x["marker"], x["markerfacecolor"], str(x["linestyle"])) for x in looks(results)}
    assert len(seen) == 30


def test_few_methods_stand_beside_the_rounded_deep_network(report: Report) -> None:
    one = replace(report.results[0], quantised=[50.0, 60.0, 70.0, 80.0, 90.0, 92.0])
    axes = figures.report_figures(Report("one", [one, report.results[1]]))["accuracy"].axes[0]
    (beside,) = [line for line in axes.lines if line.get_label() == "deep network, as many values"]
    assert list(beside.get_ydata()) == one.quantised
    assert beside.get_color() == PALETTE[0]


def test_a_report_without_layers_or_energy_still_draws(report: Report) -> None:
    bare = Report("bare", [replace(r, layers=[], energy={}) for r in report.results])
    assert set(figures.report_figures(bare)) == {"accuracy"}
    with pytest.raises(ValueError, match="no results"):
        figures.report_figures(Report("empty", []))


def test_plot_writes_the_picture_or_nothing(report: Report, tmp_path: Path) -> None:
    figures.plot(report, tmp_path / "deep" / "conversion.png")
    assert (tmp_path / "deep" / "conversion.png").read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(ValueError, match=r"\.xyz.*png"):
        figures.plot(report, tmp_path / "conversion.xyz")
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["conversion.png", "deep"]


def test_an_error_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "kept.txt"
    target.write_text("old")

    def fail() -> None:
        with whole(target) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]
    with pytest.raises(ValueError, match="folder"), whole(tmp_path):
        pass
    with pytest.raises(ValueError, match="not a folder"), whole(target / "inside.txt"):
        pass


def test_a_report_survives_json(report: Report, tmp_path: Path) -> None:
    save_report(report, tmp_path / "report.json")
    assert load_report(tmp_path / "report.json") == report
    data = report.to_dict()
    for result in data["results"]:  # as an older version wrote it
        for name in ("quantised", "pre", "levels", "causal"):
            del result[name]
    (tmp_path / "report.json").write_text(json.dumps(data))
    old = [replace(r, pre=0, levels=1, causal=True) for r in report.results]
    assert load_report(tmp_path / "report.json") == replace(report, results=old)
    (tmp_path / "report.json").write_text("{}")
    with pytest.raises(ValueError, match="expected a report"):
        load_report(tmp_path / "report.json")
