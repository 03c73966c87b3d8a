"""What is kept of a trained network: the curve's ends are known, and a study survives the disk and other seeds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spikeworks.layers import running_mean, running_sum
from spikeworks.measure.study_figures import plot_spread, study_figure
from spikeworks.measure.study_spread import leads, study_spread
from spikeworks.measure.trained import PER_STEP, Scored, Study, Trained, load_study, trained


def made(seed: int, steps: int = 4, name: str = "snn") -> Trained:
    draw = torch.Generator().manual_seed(seed)
    z_TBC, y_B = torch.randn(steps, 50, 5, generator=draw), torch.randint(0, 5, (50,), generator=draw)
    z_TBC[:, torch.arange(50), y_B] += 1.0
    return trained(name, z_TBC, y_B, running_sum, f"the {name}", [10.0, 20.0 + seed], 1.5, {"noise": 3.0 * seed})


@given(st.integers(0, 10_000), st.integers(1, 6))
def test_the_curve_begins_with_the_first_step_and_ends_with_the_last(seed: int, steps: int) -> None:
    one = made(seed, steps)
    assert len(one.curve) == PER_STEP * (steps - 1) + 1
    assert one.curve[-1] == one.accuracy == one.running[-1]
    assert one.times[0] == 1
    assert one.times[-1] == steps
    assert one.time_for(one.accuracy) <= steps
    assert one.time_for(100.1) == float("inf")
    if steps > 1:  # nobody waits: the time of the first step is reached by deciding at once
        assert one.curve[0] == pytest.approx(one.running[0])


def test_every_number_against_counting_by_hand() -> None:
    y_B = torch.tensor([0, 1, 1])
    z_TBC = torch.tensor([[[1.0, 0], [3, 0], [0, 2]], [[0, 5], [0, 1], [0, 2]]])
    one = trained("x", z_TBC, y_B, running_mean)
    third = 100 / 3
    assert one.each == pytest.approx([2 * third, 2 * third])
    assert one.running == pytest.approx([2 * third, third])  # the means are (.5, 2.5), (1.5, .5), (0, 2)
    assert one.spread == 0
    assert one.label == "x"


def test_a_study_is_what_was_written(tmp_path: Path) -> None:
    study = Study("digits", [made(0), made(1, 1, "deep")], {"seed": 3})
    study.save(tmp_path / "study.json")
    assert load_study(tmp_path / "study.json") == study
    study.plot(tmp_path / "study.png")
    assert (tmp_path / "study.png").stat().st_size > 1000
    (tmp_path / "odd.json").write_text('{"title": "x"}')
    with pytest.raises(ValueError, match=r"load_study got .*odd\.json, expected a study"):
        load_study(tmp_path / "odd.json")
    with pytest.raises(ValueError, match="without results"):
        study_figure(Study("none", []))


def test_means_and_deviations_over_seeds(tmp_path: Path) -> None:
    studies = [Study("digits", [made(s), made(s, 1, "deep")], {"seed": s}) for s in (0, 1, 2)]
    snn, deep = study_spread(studies)
    accuracies = [s.results[0].accuracy for s in studies]
    assert snn.runs == accuracies
    assert snn.running[-1][0] == pytest.approx(sum(accuracies) / 3)
    assert snn.running[-1][1] == pytest.approx(float(torch.tensor(accuracies).double().std()))
    assert snn.values["noise"] == pytest.approx((3.0, 3.0))
    least = min(accuracies)
    assert snn.time_for(least)[0] == pytest.approx(sum(s.results[0].time_for(least) for s in studies) / 3)
    assert snn.time_for(100.1)[0] == float("inf")
    assert len(deep.curve) == 1
    plot_spread([snn, deep], tmp_path / "curves.svg")
    assert "the snn" in (tmp_path / "curves.svg").read_text()
    with pytest.raises(ValueError, match="no classifiers of more than one step"):
        plot_spread([deep], tmp_path / "none.svg")


def test_a_lead_is_paired_and_its_interval_is_that_of_a_t_test() -> None:
    scipy = pytest.importorskip("scipy.stats")
    studies = [Study("digits", [made(s), made(s + 10, 1, "deep")], {"seed": s}) for s in range(4)]
    (lead,) = leads(study_spread(studies), "the snn")
    assert lead.label == "the deep"
    for name, of in (("after all steps", lambda r: r.accuracy), ("after one", lambda r: r.running[0])):
        test = scipy.ttest_rel(*([of(s.results[k]) for s in studies] for k in (1, 0)))
        low, high = test.confidence_interval(0.95)
        assert lead.by[name] == pytest.approx(((low + high) / 2, (high - low) / 2), rel=1e-3)
    with pytest.raises(ValueError, match="expected one of 'the snn', 'the deep'"):
        leads(study_spread(studies), "snn")


def test_what_does_not_belong_together_is_refused() -> None:
    one, two = (Study("digits", [made(s)], {"seed": s, "settings": "a"}) for s in (0, 1))
    with pytest.raises(ValueError, match="got 1 studies"):
        study_spread([one])
    with pytest.raises(ValueError, match="each once"):
        study_spread([one, one])
    with pytest.raises(ValueError, match="other networks, steps or settings"):
        study_spread([one, replace(two, meta={"seed": 1, "settings": "b"})])


def scored(seed: int, name: str) -> Scored:
    return Scored(
        name=name, label=f"the {name}", values={"PSNR, dB": 30.0 + seed**2 + len(name)}, validation=[1.0, 2.0]
    )


def test_a_study_of_answers_that_are_no_classes(tmp_path: Path) -> None:
    studies = [Study("light", [scored(s, "mean"), scored(2 * s, "network")], {"seed": s}) for s in range(3)]
    studies[0].save(tmp_path / "study.json")
    assert load_study(tmp_path / "study.json") == studies[0]
    studies[0].plot(tmp_path / "study.svg")
    drawn = (tmp_path / "study.svg").read_text()
    assert "PSNR, dB" in drawn
    assert "the network" in drawn
    spreads = study_spread(studies)
    assert spreads[0].values["PSNR, dB"] == pytest.approx((34 + 5 / 3, float(torch.tensor([0.0, 1.0, 4.0]).std())))
    assert not spreads[0].runs
    (lead,) = leads(spreads, "the mean")
    assert lead.by["PSNR, dB"][0] == pytest.approx(3 + 5)  # 3 (0 + 1 + 4) / 3
    with pytest.raises(ValueError, match="no classifiers of more than one step"):
        plot_spread(spreads, tmp_path / "none.svg")
    endless = [Study("x", [Scored(name="a", label="a", values={"error": v})], {"seed": k}) for k, v in
               enumerate((1.0, float("inf")))]  # fmt: skip
    assert study_spread(endless)[0].values["error"][0] == float("inf")
