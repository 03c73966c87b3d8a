"""Recipes run end to end on a few samples, repeat exactly, and go on from a checkpoint of theirs only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from spikeworks.convert.activation import QCFS
from spikeworks.measure import Report
from spikeworks.recipes import ALL, run
from spikeworks.recipes.data import digits
from spikeworks.recipes.digits import network
from spikeworks.recipes.sources import open_network
from spikeworks.train import accuracy


def made(kind: str, seed: int) -> nn.Module:
    return network(run.ACTIVATIONS[kind], torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", ["convert_fashion_vgg"])
def test_a_recipe_runs_and_repeats(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPIKEWORKS_DATA", str(tmp_path))
    draw = np.random.default_rng(0)
    (tmp_path / "fashion_mnist").mkdir()
    x, y = draw.integers(0, 256, (80, 28, 28), dtype=np.uint8), np.arange(80, dtype=np.uint8) % 10
    np.savez(tmp_path / "fashion_mnist" / "fashion_mnist.npz", x_train=x, y_train=y, x_test=x[:20], y_test=y[:20])

    def done(folder: str, seed: int = 1, only: list[str] | None = None) -> tuple[Report, list[str]]:
        trained: list[str] = []
        watch = run.Watch(epoch=lambda kind, _: trained.append(kind))
        place = tmp_path / folder / "training.safetensors"
        return ALL[name](seed, True, watch, checkpoint=place, only=only), trained

    def numbers(report: Report) -> dict[str, Any]:
        return {r.method: (r.label, r.accuracy, r.source_accuracy, r.layers, r.energy) for r in report.results}

    first, trained = done("first")
    assert first.meta["seed"] == 1
    assert trained == list(run.ACTIVATIONS)
    assert sorted(p.name for p in (tmp_path / "first").iterdir()) == sorted(
        ["results", "weights.RNL+RIL.safetensors"]
        + [f"{what}.{kind}.safetensors" for kind in run.ACTIVATIONS for what in ("training", "weights")]
    )
    split = run.few(ALL[name].split(), 32, 20)
    deep = open_network(f"{name}:QCFS", tmp_path / "first" / "weights.QCFS.safetensors")
    assert accuracy(deep, split.test) == next(r for r in first.results if r.method == "qcfs").source_accuracy
    with pytest.raises(ValueError, match=r"got the activation 'GELU', expected one of ReLU, Clip"):
        open_network(f"{name}:GELU")
    assert [r.method for r in first.results] == [*run.NAMED, "rnl-ril"]
    only = ["max", "tcl", "qcfs"]  # each takes another network; the others would say nothing more
    expected = {name: numbers(first)[name] for name in only}
    second, trained = done("second", only=only)
    assert trained == ["ReLU", "Clip", "QCFS"]
    assert numbers(second) == expected
    (tmp_path / "first" / "training.QCFS.safetensors").unlink()  # as if stopped after two of three networks
    resumed, trained = done("first", only=only)
    assert trained == ["QCFS"]
    assert numbers(resumed) == expected
    with pytest.raises(ValueError, match=r"ReLU.*is of a run with another seed"):
        done("first", seed=2, only=only)
    with pytest.raises(ValueError, match=r"got the methods maximum, expected some of max, "):
        done("third", only=["maximum"])


def test_a_recipe_goes_by_one_name() -> None:
    assert [getattr(recipe, "name", None) for recipe in ALL.values()] == list(
        ALL
    )  # its report says how to run it again


def test_a_method_takes_the_first_network_that_suits_it() -> None:
    split = run.few(digits(), 64, 20)
    networks = {kind: made(kind, 0).eval() for kind in ("ReLU", "QCFS")}
    said: list[str] = []
    results, left_out = run.convert_all(
        networks, split, run.choose(["max", "tcl", "qcfs"]), [1, 2], run.Watch(said.append)
    )
    assert [(r.method, r.notes[0]) for r in results] == [
        ("max", "source network: ReLU"),
        ("qcfs", "source network: QCFS"),
    ]
    assert list(left_out) == ["tcl"]
    assert len(said) == 1
    assert said[0].startswith("tcl left out")
    with pytest.raises(ValueError, match="Clip"):
        run.convert_all(networks, split, run.choose(["tcl"]), [1], run.Watch(), skip=False)
    with pytest.raises(ValueError, match="expected some of"):
        run.choose(["nothing"])


def test_a_plain_relu_network_gets_opi_on_robust() -> None:
    split, watch = run.few(digits(), 64, 20), run.Watch()
    results, left_out = run.convert_all({"mine": made("ReLU", 0).eval()}, split, run.choose(None), [1, 2], watch)
    labels = {r.method: r.label for r in results}
    assert labels["opi-robust"] == "OPI on Robust (q=0.999)"
    assert sorted(left_out) == sorted(name for name, method in run.choose(None).items() if method.takes)
    assert {"tcl", "opi", "qcfs", "cos", "rnl"} <= left_out.keys()
    assert labels.keys() | left_out.keys() == run.NAMED.keys()


def test_seeds_make_the_network_and_nothing_else_does() -> None:
    torch.manual_seed(0)
    one = made("QCFS", 5)
    torch.manual_seed(1)
    two = made("QCFS", 5)
    other = made("QCFS", 6)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    weights = [next(m for m in n.modules() if isinstance(m, nn.Conv2d)).weight for n in (one, other)]
    assert not torch.equal(*weights)
    assert [m.levels for m in one.modules() if isinstance(m, QCFS)] == [4, 4, 4]


def test_a_stopped_comparison_goes_on_with_what_it_has_not_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split, networks = run.few(digits(), 64, 20), {"mine": made("ReLU", 0).eval()}
    methods, counted = run.choose(["max", "robust", "ltb"]), []

    def done(names: list[str], steps: list[int]) -> list[Any]:
        chosen = {name: methods[name] for name in names}
        return run.convert_all(networks, split, chosen, steps, run.Watch(sample=counted.append), kept=tmp_path)[0]

    first = done(["max", "robust"], [1, 2])
    assert counted == [20, 20]
    assert len(list(tmp_path.iterdir())) == 2
    again = done(["max", "robust", "ltb"], [1, 2])
    assert again[:2] == first
    assert len(counted) == 3  # ltb alone was run
    done(["max"], [1, 3])  # other steps are another result
    assert len(counted) == 4
    with torch.no_grad():
        next(networks["mine"].parameters()).mul_(2)  # and so is another network
    done(["max"], [1, 2])
    assert len(counted) == 5
    kept = next(p for p in tmp_path.iterdir() if p.name.startswith("robust"))
    kept.write_text("{")  # cut off: measured again
    done(["robust"], [1, 2])
    assert len(counted) == 6
