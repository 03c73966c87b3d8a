"""Analyses survive JSON, and their figures show the numbers they hold."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from measure.hand_made_analysis import bare, hand_made, layer
from spikeworks.measure.analysis import CASES, EDGES, Analysis, LayerAnalysis, load_analysis, pooled_offsets
from spikeworks.measure.analysis_figures import CASE_COLOURS, analysis_figures
from spikeworks.measure.curves import FitCurve


def drawable(kind: str) -> Analysis:
    analysis = hand_made()
    if kind == "no counts":
        return replace(analysis, stages={"as it runs": [bare("blocks.0"), bare("blocks.1")]})
    if kind == "mixed":
        return replace(analysis, stages={"as it runs": [layer(0, 0.1), bare("blocks.0"), layer(1, 0.2)]})
    if kind == "exact, silent":
        silent = FitCurve("features.2", [math.nan] * 4, math.nan)
        return replace(
            analysis, stages={"as it runs": [replace(layer(0, 0.0), error=None, residual=None, curve=silent)]}
        )
    if kind == "nothing but errors":
        return replace(analysis, stages={"as it runs": [LayerAnalysis("act", 10, 0.5), LayerAnalysis("b", 10, None)]})
    if kind == "deep":
        return hand_made(layers=24, corrections=4)
    return analysis


KINDS = ["two corrections", "no counts", "mixed", "exact, silent", "nothing but errors", "deep"]


def test_what_is_not_off_is_exact() -> None:
    one = layer(3, 0.08)
    assert one.exact("own") == pytest.approx(0.92)
    assert one.exact("source") == pytest.approx(0.88)
    for by in ("own", "source"):
        assert sum((one.cases(by) or {}).values()) + (one.exact(by) or 0) == pytest.approx(1)
    assert bare("x").exact("own") is None
    assert replace(one, offset={1: 1.0}).exact("own") == 0


def test_layers_are_pooled_by_their_units() -> None:
    one, other = (
        replace(layer(0, 0.0), units=1, offset={0: 1.0}),
        replace(layer(1, 0.0), units=3, offset={0: 0.5, 2: 0.5}),
    )
    assert pooled_offsets([one, bare("x"), other], "own") == {0: pytest.approx(0.625), 2: pytest.approx(0.375)}
    assert Analysis("", 4, 1, {"a": [one, other]}).off("a", "own") == pytest.approx(0.375)
    assert Analysis("", 4, 1, {"a": [bare("x")]}).off("a", "own") is None


@pytest.mark.parametrize("kind", KINDS)
def test_an_analysis_survives_json(kind: str, tmp_path: Path) -> None:
    analysis = drawable(kind)
    analysis.save(tmp_path / "analysis.json")
    text = (tmp_path / "analysis.json").read_text()

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    json.loads(text, parse_constant=refuse)
    back = load_analysis(tmp_path / "analysis.json")
    assert repr(back) == repr(analysis)  # NaN does not equal itself
    assert [c.name for c in back.curves] == [c.name for c in analysis.curves]


def test_what_is_no_analysis_is_refused(tmp_path: Path) -> None:
    for text in ("{}", "[]", "no", '{"title": "", "steps": 4, "samples": 1, "stages": {"a": [{}]}, "meta": {}}'):
        (tmp_path / "analysis.json").write_text(text)
        with pytest.raises(ValueError, match="expected an analysis"):
            load_analysis(tmp_path / "analysis.json")
    with pytest.raises(ValueError, match="expected an analysis"):
        load_analysis(tmp_path / "none.json")


def test_the_bars_are_the_shares() -> None:
    analysis = hand_made()
    panels = analysis_figures(analysis)["cases"].axes
    assert len(panels) == 6
    for panel, (by, stage) in zip(panels, [(b, s) for b in ("own", "source") for s in analysis.stages], strict=True):
        widths = {colour: [] for colour in CASE_COLOURS}
        for container in panel.containers:
            for bar in container:
                from matplotlib.colors import to_hex

                widths[to_hex(bar.get_facecolor())].append(bar.get_width())
        for case, colour in zip(CASES, CASE_COLOURS, strict=True):
            assert widths[colour] == pytest.approx([x.cases(by)[case] for x in analysis.stages[stage]])  # type: ignore[index]
    assert [t.get_text() for t in panels[0].get_yticklabels()] == [x.name for x in analysis.stages["uncorrected"]]
    assert panels[0].get_ylim()[0] > panels[0].get_ylim()[1]  # the first layer on top


def test_the_offsets_are_those_of_all_layers_with_open_ends() -> None:
    analysis = hand_made()
    own, source = analysis_figures(analysis)["offset"].axes
    for axes, by in ((own, "own"), (source, "source")):
        for container, layers in zip(axes.containers, analysis.stages.values(), strict=True):
            heights = sorted(bar.get_height() for bar in container)
            assert heights == pytest.approx(sorted(pooled_offsets(layers, by).values()))  # type: ignore[arg-type]
        assert axes.get_yscale() == "log"
    assert [t.get_text() for t in own.get_xticklabels()] == ["≤ −3", "−2", "−1", "0", "+1", "+2", "≥ +3"]
    assert "8 % off" in own.get_legend().get_texts()[0].get_text()
    placed = [bar.get_x() + bar.get_width() / 2 for bar in own.containers[1]]
    assert placed == pytest.approx([-1, 0, 1, 3])  # ψ = 4 is in the last column


def test_the_table_of_layers_says_them_all() -> None:
    panels = analysis_figures(hand_made())["layers"].axes
    said = [text.get_text() for text in panels[0].texts]
    assert said.count("92.0") == 5  # four layers, and all of them
    assert said.count("4.0") == 5
    assert "99.2" in [text.get_text() for text in panels[1].texts]
    assert panels[0].get_yticklabels()[-1].get_text() == "all layers"


def test_the_ridges_are_the_residuals() -> None:
    analysis = hand_made()
    (axes,) = analysis_figures(analysis)["residual"].axes
    steps = [patch for patch in axes.patches if patch.get_fill()]
    for row, (patch, one) in enumerate(zip(steps, analysis.stages["uncorrected"], strict=True)):
        values, edges, baseline = patch.get_data()  # type: ignore[attr-defined]
        high = [(row + 0.4 - v) ** 2 for v in values]
        assert baseline == row + 0.4
        assert [h / sum(high) for h in high] == pytest.approx(one.residual, abs=1e-12)
        assert list(edges[1:-1]) == list(EDGES)


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_there_is_is_drawn(kind: str, tmp_path: Path) -> None:
    """Warnings are errors here."""
    analysis = drawable(kind)
    drawn = analysis_figures(analysis)
    for figure in drawn.values():
        figure.canvas.draw()
    counted, cut = {"cases", "offset", "layers"}, {"exact, silent": {"residual", "fit"}, "no counts": set[str]()}
    if kind == "nothing but errors":
        assert drawn == {}
    elif kind == "no counts":
        assert set(drawn) == {"residual", "fit"}
    else:
        assert set(drawn) == counted | {"residual", "fit"} - cut.get(kind, set())
    analysis.plot(tmp_path / "analysis.png")
    assert (tmp_path / "analysis.png").read_bytes()[:4] == b"\x89PNG"


def test_what_cannot_be_drawn_is_refused(tmp_path: Path) -> None:
    empty = Analysis("", 4, 1, {})
    with pytest.raises(ValueError, match="without layers"):
        analysis_figures(empty)
    with pytest.raises(ValueError, match="without layers"):
        replace(empty, stages={"a": []}).plot(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"\.xyz.*png"):
        hand_made().plot(tmp_path / "a.xyz")
    assert list(tmp_path.iterdir()) == []
