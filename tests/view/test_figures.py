"""Figures show the report's own numbers, every method looks its own way, files appear whole or not at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from spikeworks.measure import figures
from spikeworks.measure.result import Report
from spikeworks.measure.store import load_report, save_report, whole
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
    looks = set()
    for name in ("accuracy", "error"):
        for line in figures.report_figures(many)[name].axes[0].lines:
            if line.get_label() != "deep network" and str(line.get_label()).startswith("method"):
                looks.add((line.get_label(), line.get_color(), line.get_marker(), line.get_markerfacecolor()))
    assert len(looks) == 14  # the same look in both figures
    assert len({look[1:] for look in looks}) == 14


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
    (tmp_path / "report.json").write_text("{}")
    with pytest.raises(ValueError, match="expected a report"):
        load_report(tmp_path / "report.json")
