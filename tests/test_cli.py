"""The command line: what it writes is what was measured, and bad input is one sentence and status 2."""

from __future__ import annotations

import builtins
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from spikeworks import cli
from spikeworks.convert import COS, LTB, METHODS, OPI, Robust
from spikeworks.measure import Report, load_report, save_report
from spikeworks.recipes import run
from spikeworks.recipes.options import names_of, told
from spikeworks.recipes.sources import open_data, open_network
from spikeworks.train import accuracy
from typed import place as place
from typed import refused, typed
from view.hand_made import method


def test_convert_writes_what_it_measured(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = "convert mine.py:net --data data.npz --weights weights.safetensors --steps 1,4,8 --out here"
    cli.main(line.split())
    report = load_report("here/report.json")
    split = open_data("data.npz")
    deep = accuracy(open_network("mine.py:net", "weights.safetensors"), split.test)
    assert deep > 90
    by_name = {r.method: r for r in report.results}
    assert {"qcfs", "max", "robust"} <= set(by_name)
    assert all(r.source_accuracy == pytest.approx(deep) for r in report.results)
    assert by_name["qcfs"].steps == [1, 4, 8]
    assert by_name["qcfs"].accuracy[1] == pytest.approx(deep, abs=100 / 80 + 1e-6)  # at T = L one image may differ
    assert (place / "here" / "conversion.png").read_bytes()[:4] == b"\x89PNG"
    said = capsys.readouterr().out
    assert f"{by_name['max'].accuracy[0]:.1f}" in said
    assert "left out" in said  # TCL wants a network trained with Clip
    page = (place / "here" / "report.html").read_text()
    assert f"{by_name['qcfs'].accuracy[0]:.2f}" in page
    assert "Clip" in report.meta["left_out"]["tcl"]

    cli.main([*line.split(), "--method", "max", "--method", "robust"])
    assert [r.method for r in load_report("here/report.json").results] == ["max", "robust"]
    cli.main([*line.replace("--steps 1,4,8", "--steps 1 2").split(), "--method", "srp", "--pre", "3"])
    (srp,) = load_report("here/report.json").results
    assert (srp.pre, srp.steps, srp.label) == (3, [1, 2], "SRP (3 before, global) on QCFS (L=4)")
    cli.main([*line.split(), "--method", "cos", "--base", "robust", "--scope", "global", "--iterations", "2"])
    (cos,) = load_report("here/report.json").results
    assert (cos.pre, cos.causal) == (8, True)
    assert cos.label == "COS (4 before, global, 2 iterations) on Robust (q=0.999)"
    assert len(cos.quantised) == 3


def test_analyse_says_where_neurons_are_off(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--data", "data.npz", "--weights", "weights.safetensors"]
    cli.main(["analyse", "mine.py:net", *given, "--method", "cos", "--steps", "4", "--out", "in"])
    said = " ".join(capsys.readouterr().out.split())
    assert "uncorrected" in said
    assert "after 1 correction" in said
    found = json.loads((place / "in" / "analysis.json").read_text())
    assert list(found["stages"]) == ["uncorrected", "after 1 correction"]
    assert "uncorrected" in (place / "in" / "analysis.html").read_text()
    assert (place / "in" / "analysis.png").read_bytes()[:4] == b"\x89PNG"
    assert found["meta"]["data"] == "data.npz"
    typed("analyse mine.py:relu --data data.npz --method srp --base robust --q 0.9 --look 7 --out in")
    found = json.loads((place / "in" / "analysis.json").read_text())
    assert (found["title"], found["samples"]) == ("SRP (4 before, global) on Robust (q=0.9)", 7)


def test_fields_of_a_method_are_options(place: Path) -> None:
    line = "convert mine.py:relu --data data.npz --steps 1 2 --out here"
    cli.main(f"{line} --method srp --base robust --pre 2 --q 0.9 --scope layer --fold yes".split())
    (srp,) = load_report("here/report.json").results
    assert (srp.pre, srp.causal, srp.label) == (2, False, "SRP (2 before, layer) on Robust (q=0.9)")
    cli.main(f"{line} --method ecmt dcgs --levels 3".split())
    assert [r.levels for r in load_report("here/report.json").results] == [6, 6]
    cli.main(f"{line} --method calibration --correction none".split())
    (calibrated,) = load_report("here/report.json").results
    assert calibrated.label == "SNN Calibration (none, T=2)"  # tuned for the largest T that is read


def test_words_become_what_the_field_is() -> None:
    words: dict[str, Any]
    for name, words, expected in (
        ("opi", {"initial": "zero"}, OPI(initial="zero")),
        ("opi", {"initial": "0.25"}, OPI(initial=0.25)),
        ("opi-robust", {"q": "0.9", "scope": "channel"}, OPI(Robust(q=0.9, scope="channel"))),
        ("cos", {"pooling": "none", "pre": 3}, COS(pre=3)),  # words and values alike
        (
            "cos-robust",
            {"scope": "global", "fold": "yes", "steps": "4"},
            COS(Robust(), scope="global", fold=True, steps=4),
        ),
    ):
        assert run.choose([name], None, **words) == {name: expected}
    assert run.choose(["cos"], "cos-ltb")["cos"] == COS(COS(LTB()))
    with pytest.raises(ValueError, match="robust got fold='maybe', expected yes or no"):
        run.choose(["robust"], None, fold="maybe")


def test_every_field_of_every_method_can_be_said() -> None:
    for name, make in run.NAMED.items():
        for option in names_of(make()):
            with pytest.raises(ValueError, match=rf"^\S+ got {option}='\?', expected "):  # no field takes any word
                told(make(), {option: "?"})
        assert told(make(), {}) == make(), name


def test_every_method_upon_one_base(place: Path) -> None:
    chosen = run.choose(None, "robust")
    assert list(chosen) == ["robust", *(f"{name}-robust" for name in ("rts", "opi", "srp", "cos", "parallel", "group"))]
    assert all(made == METHODS[name.removesuffix("-robust")](Robust()) for name, made in list(chosen.items())[1:])
    typed("convert mine.py:relu --data data.npz --compare --base robust --steps 1 2 --out here")
    assert [r.method for r in load_report("here/report.json").results] == list(chosen)


def test_a_recipe_reads_accuracy_where_asked(place: Path) -> None:
    typed("recipe digits --quick --method max --steps 4 2 --out here")
    assert load_report("here/report.json").results[0].steps == [2, 4]


def test_bad_input_is_refused_in_a_sentence(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    held = dict(np.load("data.npz"))
    np.savez("nan.npz", **{**held, "x_train": held["x_train"] * np.nan})
    np.savez("far.npz", **{**held, "y_test": held["y_test"] + 2})
    Path("cut.safetensors").write_bytes(Path("weights.safetensors").read_bytes()[:-7])
    Path("weights.pth").write_bytes(b"\x80\x02}q\x00.")
    Path("odd.json").write_text('{"title": "", "results": [{"layers": [], "energy": []}], "meta": {}}')
    good = ["convert", "mine.py:net", "--data", "data.npz"]
    for arguments, words in (
        ([*good, "--weights", "cut.safetensors"], "complete file"),
        ([*good, "--weights", "weights.pth"], "safetensors.torch.save_file"),
        ([*good, "--weights", "none.safetensors"], "not a file"),
        ([*good, "--method", "magic"], "magic, expected some of"),
        ([*good, "--method", "tcl"], "Clip"),
        ([*good, "--method", "max", "--pre", "4"], "max got pre, expected some of its fields: fold, pooling, scope"),
        ([*good, "--method", "srp", "--q", "0.9"], "srp got q, expected some of its fields: fold, pooling, pre, scope"),
        ([*good, "--method", "srp", "--pre", "few"], "srp got pre='few', expected a whole number"),
        ([*good, "--method", "srp", "--scope", "site"], "srp got scope='site', expected global or layer"),
        ([*good, "--method", "robust", "--q", "inf"], "robust got q='inf', expected a number"),
        ([*good, "--method", "max", "--base", "robust"], "max got a base, expected none"),
        ([*good, "--method", "srp", "--pre", "-1"], "expected pre >= 0"),
        ([*good, "--pre", "4"], "convert got --pre and no --method"),
        ([*good, "--no-such-thing", "4"], "convert got --no-such-thing and no --method"),
        ([*good, "--method", "max", "--compare"], "choose one"),
        ([*good, "--method", "cos", "--base", "magic"], "magic, expected some of"),
        (["analyse", "mine.py:net", "--data", "data.npz", "--method", "magic"], "magic, expected some of"),
        ([*good, "--steps", "1,x"], "--steps got '1,x'"),
        ([*good, "--steps", "0"], "whole numbers from 1"),
        ([*good, "--steps", "1,inf"], "--steps got '1,inf', expected whole numbers from 1"),
        ([*good, "--steps", "nan"], "--steps got 'nan', expected whole numbers from 1"),
        ([*good, "--mean", "0.5"], "as many of both"),
        (["convert", "mine.py:nothing", "--data", "data.npz"], "no function 'nothing'"),
        (["convert", "mine:", "--data", "data.npz"], "package.module:factory"),
        (["convert", "mine.py:net", "--data", "mnist"], "digits, fashion_mnist, cifar10"),
        (["convert", "mine.py:net", "--data", "nan.npz"], "NaN"),
        (["convert", "mine.py:net", "--data", "far.npz"], "labels go up to 4"),
        (["convert", "mine.py:net"], "--data"),
        (["recipe", "nothing"], "expected one of digits"),
        (["frob"], "frob"),
        (["bench", "--seed", "x"], "x"),
        (["spread", "odd.json", "odd.json"], "load_report got odd.json, expected a report"),
    ):
        assert words in refused(arguments, capsys), arguments
    assert not (place / "spikeworks-report").exists()


def test_a_place_that_takes_no_report_is_refused_before_any_work(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    worked: list[Any] = []
    monkeypatch.setattr(run, "fit", lambda *a: worked.append(a))
    monkeypatch.setattr(run, "convert", lambda *a: worked.append(a))
    before = sorted(place.iterdir())
    for command in ("demo", "recipe digits", "convert mine.py:net --data data.npz"):
        for out in ("data.npz", "data.npz/inside", "/proc"):  # even root makes no file in the last
            assert f"--out got {out!r}" in refused([*command.split(), "--out", out], capsys)
    assert not worked
    assert sorted(place.iterdir()) == before


def test_a_path_is_no_markup(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for out in ("r[/]x", "rep[old]/x", "a:cat:"):
        cli.main(["convert", "mine.py:net", "--data", "data.npz", "--method", "max", "--steps", "1", "--out", out])
        assert f"  {out}/report.html\n" in capsys.readouterr().out
        assert (place / out / "report.html").is_file()


def test_a_plain_relu_network_is_converted_by_the_method_that_suits_it(place: Path) -> None:
    line = "convert mine.py:relu --data data.npz --steps 1,2 --method opi-robust --out here"
    cli.main(line.split())
    (result,) = load_report("here/report.json").results
    assert (result.method, result.label) == ("opi-robust", "OPI on Robust (q=0.999)")


def test_an_absent_library_is_named_with_its_extra(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(missing: str) -> Any:
        def load(name: str, *rest: Any) -> Any:
            if name.partition(".")[0] == missing:
                raise ModuleNotFoundError(f"No module named {missing!r}", name=missing)
            return real(name, *rest)

        return load

    for missing, extra in (("rich", "cli"), ("cyclopts", "cli"), ("sklearn", "demo")):
        monkeypatch.setattr(builtins, "__import__", without(missing))
        said = refused(["demo", "--quick"], capsys)
        assert missing in said
        assert f"pip install 'spikeworks[{extra}]'" in said


def test_the_quick_demo_tries_every_method(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["demo", "--quick"])
    report = json.loads((place / "spikeworks-report" / "report.json").read_text())
    assert [r["method"] for r in report["results"]] == [*run.NAMED, "rnl-ril"]
    assert all(
        r["source_accuracy"] > (70 if r["method"].startswith("rnl") else 90) for r in report["results"]
    )  # slower
    assert report["meta"]["seed"] == 0
    assert "torch" in report["meta"]["versions"]
    said = capsys.readouterr().out
    assert all(r["label"] in said for r in report["results"])
    assert "left out" not in said


def test_runs_that_differ_in_their_seed_are_summed_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(tmp_path / f"{seed}.json") for seed in range(2)]
    results = [method(i, f"method {i}", 40.0) for i in range(3)]
    for seed, file in enumerate(files):
        save_report(Report("made by hand", results, {"seed": seed}), file)
    cli.main(["spread", *files])
    said = capsys.readouterr().out
    assert all(f"| {r.label}" in said for r in results)  # whole rows, however narrow the terminal
    assert "93.27 ± 0.00 |" in said
    assert "2 runs" in said
    assert "expected at least two" in refused(["spread", files[0]], capsys)


def test_info_says_what_is_here(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["info"])
    said = " ".join(capsys.readouterr().out.split())
    for name in (
        torch.__version__,
        "LIF",
        "atan",
        "qcfs",
        "fused_cpu",
        "cos-robust --fold --iterations --pooling --pre",
    ):
        assert name in said
    if not torch.cuda.is_available():
        assert "fused_gpu not here" in said


def test_a_module_is_never_taken_for_a_network(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert issubclass(nn.Sequential, nn.Module)
    assert "without arguments" in refused(["convert", "torch.nn:Linear", "--data", "data.npz"], capsys)
