"""The page is well-formed, holds the numbers, fetches nothing and lets nothing through unescaped."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from spikeworks.measure.looks import FAMILIES
from spikeworks.measure.result import LayerResult, Report
from spikeworks.view.report import page, write_page

VOID = {"meta", "br", "hr", "img", "input", "link", "path", "use", "rect", "circle", "line", "stop"}


class Nested(HTMLParser):
    """Checks that tags nest and collects the text and the attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(k, v or "") for k, v in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(k, v or "") for k, v in attrs]

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def parsed(text: str) -> Nested:
    parser = Nested()
    parser.feed(text)
    parser.close()
    assert parser.open == []
    return parser


def test_the_page_nests_and_holds_the_numbers(report: Report) -> None:
    seen = parsed(page(report))
    text = " ".join(seen.text)
    for result in report.results:
        assert result.label in text
        for accuracy in result.accuracy:
            assert f"{accuracy:.2f}" in text
        assert result.notes[0] in text
    assert "93.27" in text
    assert "features.23" in text
    assert "Horowitz 2014" in text
    assert "spikeworks recipe fashion_mnist_vgg --seed 0" in text
    assert "2.13.0" in text
    assert "svg" in seen.tags
    assert "script" not in seen.tags


def test_the_rounded_deep_network_stands_in_small_below(report: Report) -> None:
    measured = [replace(r, quantised=[11.11, 22.22, 33.33, 44.44, 55.55, 66.66]) for r in report.results]
    text = page(Report("five", measured))
    assert text.count('<small class="beside">22.22</small>') == 5
    assert '<input type="checkbox" id="beside" checked>' in text
    assert 'id="beside"' not in page(report)  # nothing measured, nothing to show


def test_many_methods_stand_in_families(report: Report) -> None:
    many = [replace(r, label=f"{r.label} {i}", quantised=r.accuracy) for r in report.results for i in range(2)]
    text = page(Report("many", many))
    parsed(text)
    rows = re.findall(r'<tr class="family"><th colspan="\d+">([^<]*)', text)
    assert rows == list(FAMILIES) * 3  # accuracy, and two conventions of energy
    assert '<input type="checkbox" id="beside">' in text  # on demand
    for result in many:
        assert text.count(f"</i>{result.label}</td>") == 1


def test_float_work_is_told_and_not_counted(report: Report) -> None:
    layer = LayerResult("blocks.0.softmax", "softmax", 1156)
    text = page(Report("one", [replace(report.results[0], layers=[layer, *report.results[0].layers])]))
    row = text[text.index("blocks.0.softmax") :]
    cells = [re.sub("<.*?>", "", cell) for cell in row[: row.index("</tr>")].split("</td>")[1:]]
    assert cells == ["softmax", "1,156", "computed in floating point, at every step", ""]


def test_every_method_stands_beside_its_own_deep_network(report: Report) -> None:
    weak = replace(
        report.results[0], label="weak", source_accuracy=50.0, accuracy=[50.0] * 6,
        energy={"45 nm": {"deep": 1e-8, "spiking": {1: 5e-9}}},
    )  # fmt: skip
    text = " ".join(parsed(page(Report("two", [report.results[0], weak]))).text)
    assert "within 1 point: weak" not in text  # of the best deep network, which the first tile names
    assert "10.0 nJ" in text
    assert "36.8 µJ" in text


def test_the_page_refers_to_nothing_outside_itself(report: Report) -> None:
    text = page(report)
    assert "http" not in text
    assert "@import" not in text
    for name, value in parsed(text).attributes:
        if name in {"src", "href", "xlink:href"}:
            assert value.startswith("#")
    assert re.findall(r"url\((?!#)", text) == []
    ids = re.findall(r'<clipPath id="([^"]+)"', text)
    assert set(re.findall(r"url\(#([^)]+)\)", text)) <= set(ids)


def test_what_a_report_says_is_shown_and_never_run(report: Report) -> None:
    evil = '<script>alert("1")</script><img src=x onerror=alert(2)>&'
    result = report.results[0]
    layers = [replace(x, name=evil + x.name) for x in result.layers]
    bad = replace(
        result, label=evil, layers=layers, notes=[evil], energy={evil: dict(result.energy["45 nm"], source=evil)}
    )
    text = page(Report(evil, [bad], {"command": evil, evil: {evil: [evil]}, "data": evil}))
    seen = parsed(text)
    assert seen.tags.isdisjoint({"script", "img"})
    assert not any(name.startswith("on") for name, _ in seen.attributes)
    assert evil in "".join(seen.text)


def test_headline_names_the_first_method_within_a_point(report: Report) -> None:
    text = " ".join(parsed(page(report)).text)
    assert "T = 2" in text
    assert "within 1 point: M-HT (4 levels)" in text
    far = Report("far", [replace(r, source_accuracy=99.9) for r in report.results])
    assert "no method at any T measured" in page(far)


def test_writing_is_whole_and_the_same_report_gives_the_same_page(report: Report, tmp_path: Path) -> None:
    write_page(report, tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == page(report)
    with pytest.raises(ValueError, match="no results"):
        write_page(Report("empty", []), tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size > 10_000
