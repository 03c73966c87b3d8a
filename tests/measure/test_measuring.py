"""Accuracy over time, early exit, recording, batches, energy."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import spikeworks as sw
from spikeworks.measure import CONVENTIONS, Work, batches, correct, early_exit, energies, fan_out, record, reread


def test_correct_at_every_step() -> None:
    logits = torch.randn(5, 30, 4)
    y = torch.randint(0, 4, (30,))
    counted = correct(logits, y)
    assert counted.tolist() == [
        sum(int(row.argmax()) == int(c) for row, c in zip(step, y, strict=True)) for step in logits
    ]
    assert int(correct(logits[2], y)) == counted[2]
    with pytest.raises(ValueError, match="class numbers"):
        correct(logits, torch.randn(30, 4))


def test_early_exit_by_hand() -> None:
    sure, unsure = [9.0, 0.0], [0.2, 0.0]
    other = [0.0, 0.2]
    logits = torch.tensor([[unsure, sure, unsure], [sure, other, unsure], [other, other, other]])  # [T=3, B=3, C=2]
    prediction, steps = early_exit(logits, 0.9)
    assert steps.tolist() == [2, 1, 3]
    assert prediction.tolist() == [0, 0, 1]
    assert early_exit(logits, 0.0)[1].tolist() == [1, 1, 1]
    with pytest.raises(ValueError, match="margin"):
        early_exit(logits, 1.5)


def test_early_exit_never_later_for_a_smaller_margin() -> None:
    logits = torch.randn(12, 200, 5).cumsum(0)
    steps = [early_exit(logits, margin)[1] for margin in (0.1, 0.5, 0.9)]
    assert (steps[0] <= steps[1]).all()
    assert (steps[1] <= steps[2]).all()


def test_recording_leaves_nothing() -> None:
    network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    x = torch.randn(5, 3)
    with record(network, ["1"]) as seen, record(network, ["0"], lambda name, y: (name, y.shape)) as shapes:
        network(x)
    assert torch.equal(seen["1"], network[1](network[0](x)))
    assert shapes == {"0": ("0", (5, 4))}
    network(x * 2)
    assert torch.equal(seen["1"], network[1](network[0](x)))
    with pytest.raises(KeyError), record(network, ["0"]):
        raise KeyError
    assert not any(module._forward_hooks for module in network.modules())
    with pytest.raises(ValueError, match="spelling"), record(network, ["9"]):
        pass


def test_recording_inside_an_snn_sees_folded_time() -> None:
    network = nn.Sequential(nn.Linear(3, 4), sw.Spiking(sw.LIF()))
    with record(network, ["1"]) as seen:
        y_T = sw.SNN(network)(torch.randn(6, 5, 3))
    assert torch.equal(seen["1"].unflatten(0, (6, 5)), y_T)


def test_batches() -> None:
    model = nn.Linear(2, 2)
    x, y = torch.rand(3, 2), torch.tensor([0, 1, 1])
    assert [(len(a), b) for a, b in batches([x, x[:1]], model, "me")] == [(3, None), (1, None)]
    assert next(batches([[x, y]], model, "me"))[1] is not None
    for bad, words in (([], "no data"), ([x.long()], "int64"), ([x / 0], "batch 0"), (["x"], "str"), ([x[0]], "B")):
        with pytest.raises(ValueError, match=f"me got.*{words}"):
            list(batches(bad, model, "me"))
    data = [x]
    assert reread(data, "me") is data
    with pytest.raises(ValueError, match="several times"):
        reread(iter(data), "me")


def test_fan_out_leaves_the_layer_alone() -> None:
    layer = nn.Conv2d(2, 3, 3).double()
    before = layer.weight.clone()
    assert fan_out(layer, (2, 5, 5)).dtype == torch.float32
    assert torch.equal(layer.weight, before)
    assert layer.weight.grad is None


def test_fan_out_against_one_input_at_a_time() -> None:
    layer = nn.Conv2d(2, 4, 3, stride=2, padding=1, dilation=1, groups=2, bias=True)
    ones = nn.Conv2d(2, 4, 3, stride=2, padding=1, groups=2, bias=False)
    nn.init.ones_(ones.weight)
    wanted = torch.stack([ones(x.view(1, 2, 5, 4)).sum() for x in torch.eye(40)]).view(2, 5, 4)
    assert torch.equal(fan_out(layer, (2, 5, 4)), wanted)


def test_published_frames_per_second_per_watt() -> None:
    """ResNet-34, 3.64 GMAC, 12.5 pJ/FLOP: 45.5 mJ, 22 FPS/W, as published with QCFS."""
    convention = next(c for c in CONVENTIONS if c.mac == 12.5e-12)
    joules = convention.deep(3.64e9)
    assert joules == pytest.approx(45.5e-3)
    assert round(1 / joules) == 22


def test_conventions_by_hand() -> None:
    work = Work(still=100, analog=10, accumulates={1: 5.0, 4: 50.0}, updates={1: 7.0, 4: 30.0}, deep=1000)
    given = energies(work)
    assert given["45 nm, first layer once"] == {
        "deep": pytest.approx(4.6e-9),
        "spiking": {1: pytest.approx(4.6e-12 * 110 + 0.9e-12 * 5), 4: pytest.approx(4.6e-12 * 140 + 0.9e-12 * 50)},
    }
    assert given["45 nm, first layer every step"]["spiking"][4] == pytest.approx(4.6e-12 * 440 + 0.9e-12 * 50)  # type: ignore[index]
    with_updates = given["45 nm, first layer once, with neuron updates"]["spiking"]
    assert with_updates[4] == pytest.approx(4.6e-12 * 140 + 0.9e-12 * 80)  # type: ignore[index]
    assert given["77 fJ/SOP against 12.5 pJ/FLOP"]["spiking"][1] == pytest.approx(12.5e-12 * 110 + 77e-15 * 5)  # type: ignore[index]


def test_break_even_is_at_five_spikes_per_connection() -> None:
    """Without analog work: E/E_deep = T·rate·0.9/4.6, so 5.1 spikes per neuron and inference."""
    work = Work(still=0, analog=0, accumulates={1: 5.11e6}, updates={1: 0.0}, deep=1e6)
    entry = energies(work)["45 nm, first layer once"]
    assert entry["spiking"][1] == pytest.approx(entry["deep"], rel=1e-3)  # type: ignore[index]
