"""Looking inside: the shares of what is off are those of the laws, before and after each correction."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from convert.test_schedule import convert, images, source
from spikeworks.convert import COS, DCGS, QCFS, SRP, Parallel
from spikeworks.convert.analyse import analyse
from spikeworks.measure.analysis import CASES, EDGES, Analysis


def looked(method: object, **options: object) -> Analysis:
    return analyse(convert(method), source(), [images(32), images(32, seed=1)], **options)  # type: ignore[arg-type]


def test_shares_add_up_and_the_first_layer_is_exact() -> None:
    analysis = looked(QCFS(steps=4))
    (layers,) = analysis.stages.values()
    assert analysis.samples == 64
    assert analysis.steps == 4
    assert list(analysis.stages) == ["as it runs"]
    for layer in layers:
        assert layer.own is not None
        assert layer.offset is not None
        assert layer.residual is not None
        assert sum(layer.offset.values()) == pytest.approx(1)
        assert sum(layer.residual) == pytest.approx(1)
        assert len(layer.residual) == len(EDGES) + 1
        assert sum(layer.own.values()) == pytest.approx(1 - layer.offset.get(0, 0.0))
        assert layer.own[CASES[2]] == 0  # a layer that is asked to fire by its own input never stays silent
    assert layers[0].offset == {0: 1.0}  # constant input
    assert layers[0].source is not None
    assert sum(layers[0].source.values()) == 0  # T = L: the deep network's activation, exactly
    assert sum(layers[1].own.values()) > 0.01  # type: ignore[union-attr]
    assert len(analysis.curves) == len(layers)


def test_corrections_do_what_they_are_for() -> None:
    cos = looked(COS(iterations=2, steps=4))
    assert list(cos.stages) == ["uncorrected", "after 1 correction", "after 2 corrections"]
    wrong = [sum(sum(layer.own.values()) * layer.units for layer in layers) for layers in cos.stages.values()]  # type: ignore[union-attr]
    assert wrong[0] > 10 * wrong[1] >= 10 * wrong[2]
    srp = looked(SRP(scope="layer", steps=4))
    before, after = srp.stages["uncorrected"], srp.stages["after silencing"]
    assert before[1].own[CASES[0]] > 0.01  # type: ignore[index]
    assert all(layer.own[CASES[0]] == 0 for layer in after)  # type: ignore[index]


def test_batches_do_not_change_it_and_a_part_is_a_part() -> None:
    snn, ann = convert(COS(steps=4)), source()
    x = images(32)
    whole, cut = analyse(snn, ann, [x]), analyse(snn, ann, [x[:5], x[5:]])
    assert whole.stages == cut.stages
    assert analyse(snn, ann, [x[:8], x[8:]], look=8).samples == 8


def test_neurons_that_count_no_units_have_their_error() -> None:
    (layers,) = looked(DCGS(steps=4)).stages.values()
    assert all(layer.own is None and layer.error is not None for layer in layers)
    (layers,) = looked(Parallel(steps=4)).stages.values()
    assert all(sum(layer.own.values()) == 0 and layer.residual is None for layer in layers)  # type: ignore[union-attr]


@pytest.mark.parametrize("method", [COS(steps=4), DCGS(steps=2)], ids=["cos", "dcgs"])
def test_it_is_drawn_and_kept(method: object, tmp_path: Path) -> None:
    analysis = looked(method)
    analysis.plot(tmp_path / "analysis.png")
    analysis.save(tmp_path / "analysis.json")
    assert (tmp_path / "analysis.png").stat().st_size > 10_000
    kept = json.loads((tmp_path / "analysis.json").read_text())
    assert list(kept["stages"]) == list(analysis.stages)


def test_another_network_is_refused() -> None:
    with pytest.raises(ValueError, match="expected the network that was converted"):
        analyse(convert(QCFS()), torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU()).eval(), [images(2)])
