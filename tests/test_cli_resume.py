"""A comparison that was stopped or killed goes on, and takes only what is a result of the same."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from spikeworks import cli
from spikeworks.measure import load_report
from spikeworks.recipes import run
from spikeworks.recipes.sources import open_network
from spikeworks.train import save_weights
from typed import MODEL, typed
from typed import place as place

STOPPED = """
import sys, time
from spikeworks import cli
from spikeworks.recipes import run

def slow(*arguments, real=run.convert, **more):
    time.sleep(1)
    return real(*arguments, **more)

run.convert = slow
cli.main(sys.argv[1:])
"""


def test_a_killed_comparison_goes_on(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = "mine.py:net --data data.npz --weights weights.safetensors --method max robust opi-robust ltb"
    line = f"convert {given} --steps 1 2 --out here"
    kept = place / "here" / "results"
    threads = {**os.environ, "OMP_NUM_THREADS": "1"}  # as in this process, lest sums be rounded otherwise
    process = subprocess.Popen([sys.executable, "-c", STOPPED, *line.split()], env=threads, stdout=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while len(list(kept.glob("[!.]*.json"))) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    process.kill()  # no chance to tidy up
    process.wait()
    before = {path: path.read_bytes() for path in kept.glob("[!.]*.json")}
    assert 2 <= len(before) < 4
    assert not (place / "here" / "report.json").exists()
    converted: list[str] = []
    real = run.convert

    def counted(network: nn.Module, method: Any, *rest: Any, **more: Any) -> Any:
        converted.append(method.name)
        return real(network, method, *rest, **more)

    monkeypatch.setattr(run, "convert", counted)
    (kept / "max-0000000000000000.json").write_text("{")  # of something else
    typed(line)
    assert converted == ["max", "robust", "opi", "ltb"][len(before) :]
    assert "not measured again, taken from here/results: max, robust" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in before} == before
    resumed = load_report("here/report.json").results
    converted.clear()
    typed(f"{line} --fresh")
    assert converted == ["max", "robust", "opi", "ltb"]
    fresh = load_report("here/report.json").results
    assert [replace(r, seconds=0.0) for r in fresh] == [replace(r, seconds=0.0) for r in resumed]


LOUD = """
class Loud(nn.Sequential):
    def forward(self, x):
        return super().forward(x) * 2

def relu():
    return Loud(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(216, 3))
"""


def test_what_a_result_is_of_decides_whether_it_is_taken(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_weights(open_network("mine.py:relu"), "relu.safetensors")
    held = dict(np.load("data.npz"))
    np.savez("other.npz", **{**held, "x_test": held["x_test"][::-1]})
    converted: list[Any] = []
    real = run.convert
    monkeypatch.setattr(run, "convert", lambda *a, **k: converted.append(a) or real(*a, **k))

    def measured(changed: str = "", data: str = "data.npz", steps: str = "1 2", code: str = MODEL) -> bool:
        converted.clear()
        Path("mine.py").write_text(code)
        line = (
            f"convert mine.py:relu --data {data} --weights relu.safetensors --method robust --steps {steps} --out here"
        )
        cli.main([*line.split(), *changed.split()])
        return bool(converted)

    assert measured()
    assert not measured()
    for changed in ("--q 0.9", "--mean 0.1 --std 0.5"):
        assert measured(changed), changed
    assert measured(data="other.npz")
    assert measured(steps="1 3")
    assert measured(code=MODEL.replace("nn.ReLU()", "nn.ReLU6()"))
    assert measured(code=MODEL + LOUD)
    assert measured(code=MODEL + LOUD.replace("* 2", "* 3"))  # the same modules, the same weights, other code
    assert not measured()


def test_an_interrupted_comparison_says_that_it_goes_on(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "convert", stop)
    for line, words in (
        ("convert mine.py:net --data data.npz --method max", "interrupted; the same command goes on where it was"),
        ("demo --quick", "interrupted\n"),
    ):
        with pytest.raises(SystemExit) as left:
            cli.main(line.split())
        assert left.value.code == 130
        assert words in capsys.readouterr().err
