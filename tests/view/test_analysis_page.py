"""The page of an analysis nests, holds the numbers, fetches nothing and lets nothing through unescaped."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from measure.hand_made_analysis import bare, hand_made, layer
from spikeworks.measure.analysis import CASES, Analysis, LayerAnalysis
from spikeworks.view.analysis import analysis_page, write_analysis_page
from view.test_report import parsed


def test_the_page_nests_and_holds_the_numbers() -> None:
    analysis = hand_made()
    seen = parsed(analysis_page(analysis))
    text = " ".join(seen.text)
    for word in (
        analysis.title,
        "VGG · digits · T = 8 · 256 samples",
        *analysis.stages,
        *CASES,
        "features.11",
        "1,024",
    ):
        assert word in text
    for share in ("8.0 %", "0.8 %", "12.0 %", "1.2 %"):  # by own input and by the source, before and after
        assert share in text
    assert "8.0 % → <0.1 %" not in text  # 0.08 % is 0.1 %
    assert "8.0 % → 0.1 %" in text
    assert "features.11" in text
    assert "0.130" in text
    assert text.count("What is left in the membranes") >= 2  # heading and figure
    assert "svg" in seen.tags
    assert "script" not in seen.tags


def test_the_page_refers_to_nothing_outside_itself() -> None:
    text = analysis_page(hand_made(layers=12, corrections=1))
    assert "http" not in text
    assert "@import" not in text
    for name, value in parsed(text).attributes:
        if name in {"src", "href", "xlink:href"}:
            assert value.startswith("#")
    ids = set(re.findall(r'id="([^"]+)"', text))
    assert set(re.findall(r"url\(#([^)]+)\)", text)) <= ids


def test_what_was_not_counted_is_left_out() -> None:
    analysis = replace(hand_made(), stages={"as it runs": [bare("blocks.0.attn"), bare("blocks.0.mlp")]})
    text = " ".join(parsed(analysis_page(analysis)).text)
    assert "Neurons that are off" not in text
    assert "most uneven" not in text
    assert "How fast rates arrive" in text
    assert "largest error" in text
    errors = replace(analysis, stages={"as it runs": [LayerAnalysis("act", 4, None)]})
    assert "act" in analysis_page(errors)
    mixed = replace(analysis, stages={"as it runs": [bare("blocks.0"), layer(0, 0.5)]})
    assert "50.0 % off by own input" in analysis_page(mixed)


def test_what_an_analysis_says_is_shown_and_never_run() -> None:
    evil = '<script>alert("1")</script><img src=x onerror=alert(2)>&'
    stages = {evil: [layer(0, 0.1, evil), layer(1, 0.1, evil + "2")]}
    seen = parsed(analysis_page(Analysis(evil, 4, 8, stages, {"data": evil, evil: [evil], "command": evil})))
    assert seen.tags.isdisjoint({"script", "img"})
    assert not any(name.startswith("on") for name, _ in seen.attributes)
    assert evil in "".join(seen.text)


def test_writing_is_whole_and_the_same_analysis_gives_the_same_page(tmp_path: Path) -> None:
    write_analysis_page(hand_made(), tmp_path / "analysis.html")
    assert (tmp_path / "analysis.html").read_text(encoding="utf-8") == analysis_page(hand_made())
    with pytest.raises(ValueError, match="without layers"):
        write_analysis_page(Analysis("", 4, 1, {}), tmp_path / "analysis.html")
    assert (tmp_path / "analysis.html").stat().st_size > 10_000
