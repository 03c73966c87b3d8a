"""Methods, from a trained network to the report."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import spikeworks as sw
from convert.small_nets import PreActivation, Residual, digits, trained
from spikeworks.convert import (
    METHODS,
    OPI,
    QCFS,
    TCL,
    Calibration,
    Max,
    Robust,
    ThresholdBalancing,
    activation,
    convert,
    evaluate,
    normalise,
    replace_activations,
)
from spikeworks.convert.graph import sites
from spikeworks.measure import load_report, record


@functools.cache
def relu() -> nn.Module:
    return trained(Residual)


@functools.cache
def qcfs() -> nn.Module:
    return trained(lambda: replace_activations(Residual(), lambda: activation.QCFS(levels=4, init=4.0)))


@functools.cache
def clip() -> nn.Module:
    return trained(lambda: replace_activations(Residual(), lambda: activation.Clip(init=2.0)))


def training() -> list[tuple[torch.Tensor, torch.Tensor]]:
    (x, y), _ = digits()
    return list(zip(x[:700].split(100), y[:700].split(100), strict=True))


def held_out() -> list[tuple[torch.Tensor, torch.Tensor]]:
    _, (x, y) = digits()
    return list(zip(x.split(150), y.split(150), strict=True))  # the last batch is smaller


@pytest.mark.parametrize(
    "method",
    [Max(), Robust(), Robust(scope="channel"), ThresholdBalancing(window=8), OPI(Robust()), OPI(Max(scope="channel"))],
    ids=lambda m: f"{m.name}-{getattr(m, 'scope', '')}",
)
def test_a_relu_network_is_reached_with_enough_steps(method: sw.convert.Method) -> None:
    snn, _ = convert(relu(), method, training())
    x = torch.cat([x for x, _ in held_out()])[:120]
    with torch.no_grad():
        agreement = (snn(x, 256).argmax(1) == relu()(x).argmax(1)).double().mean()
        assert agreement >= 0.98
    thresholds = {name: snn.network.get_submodule(name).neuron.parameters for name in snn.sites}
    assert {p["fraction"] for p in thresholds.values()} == {0.5 if isinstance(method, OPI) else 0.0}


def test_error_of_the_largest_threshold_falls_with_time() -> None:
    """With θ the maximum over the very data that is run, nothing is clipped, and the error falls like 1/T."""
    x = training()[0][0]
    snn, _ = convert(relu(), Max(), [x])
    with torch.no_grad():
        wanted = relu()(x)
        errors = [float((snn(x, steps) - wanted).norm() / wanted.norm()) for steps in (32, 128, 512)]
    assert errors[1] < errors[0] / 2
    assert errors[2] < errors[1] / 2
    assert errors[2] < 0.05


@pytest.mark.parametrize("steps", [1, 2, 4, 8])
def test_the_first_layer_equals_qcfs_exactly_where_steps_are_levels(steps: int) -> None:
    source = replace_activations(Residual(), lambda: activation.QCFS(levels=steps, init=2.0)).eval()
    source.load_state_dict(qcfs().state_dict())
    source = source.double()
    x = torch.cat([x for x, _ in held_out()]).double()
    snn, _ = convert(source, QCFS(steps=steps))
    first = snn.sites[0]
    reference = normalise(source)
    with torch.no_grad(), record(reference, [first]) as deep:
        reference(x)
        y_T = snn.spikes(x)[first]
    theta = snn.network.get_submodule(first).threshold
    counted = (y_T != 0).sum(0)
    assert torch.equal(counted, (deep[first] * steps / theta).round().long())
    torch.testing.assert_close(y_T.mean(0), deep[first], rtol=0, atol=1e-12)


def test_qcfs_report() -> None:
    snn, report = convert(qcfs(), QCFS(steps=4), evaluate=held_out(), steps=(32, 1, 2, 4, 8))
    (result,) = report.results
    assert result.method == "qcfs"
    assert result.label == "QCFS (L=4)"
    assert result.steps == [1, 2, 4, 8, 32]
    assert result.source_accuracy > 90
    assert result.accuracy[-1] >= result.source_accuracy - 1.5
    assert result.accuracy[0] < result.accuracy[-1]
    layers = {layer.name: layer for layer in result.layers}
    names = ["conv1", "act", "conv2", "act_2", "conv3", "relu", "fc1", "act_3", "fc2"]
    assert [layer.name for layer in result.layers] == names
    assert layers["act"].offset == {0: 1.0}  # constant current: exact
    later = layers["act_2"].offset
    assert later is not None
    assert len(later) > 1
    assert sum(later.values()) == pytest.approx(1)
    assert layers["act"].neurons == 6 * 64
    assert layers["conv1"].acs is None  # analog input
    assert layers["fc2"].macs == 120
    # by hand: accuracy, rate, error of one layer, read from the network itself
    x, y = (torch.cat(parts) for parts in zip(*held_out(), strict=True))
    with torch.no_grad():
        logits, seen = snn.over_time(x, 32), snn.spikes(x[:300], 32)  # what evaluate looks into: two batches
    assert result.accuracy == [100 * int((logits[t - 1].argmax(1) == y).sum()) / len(y) for t in result.steps]
    assert layers["act_2"].rate == pytest.approx(float((seen["act_2"] != 0).double().mean()))


def test_error_is_the_relative_distance_of_means() -> None:
    x, y = held_out()[0]
    snn, report = convert(relu(), Robust(), training(), [(x, y)], steps=(8,))
    reference = normalise(relu())
    with torch.no_grad(), record(reference, sites(reference)) as deep:
        reference(x)
        spiking = snn.spikes(x, 8)
    for layer in report.results[0].layers:
        if layer.kind == "neuron":
            mean = spiking[layer.name].mean(0)
            wanted = (mean - deep[layer.name]).norm() / deep[layer.name].norm()
            assert layer.error == pytest.approx(float(wanted), rel=1e-5)


def test_energy_of_the_report_by_hand() -> None:
    _, report = convert(relu(), Robust(), training(), held_out(), steps=(1, 8))
    (result,) = report.results
    macs = {layer.name: layer.macs or 0 for layer in result.layers}
    acs = sum(layer.acs or 0 for layer in result.layers)
    spikes = sum(8 * layer.neurons * layer.rate for layer in result.layers if layer.rate is not None)
    units = sum(layer.neurons for layer in result.layers if layer.kind == "neuron")
    for name, still, updates in (
        ("45 nm, first layer once", 1, 0),
        ("45 nm, first layer every step", 8, 0),
        ("45 nm, first layer once, with neuron updates", 1, units * 8 + spikes),
    ):
        entry = result.energy[name]
        assert entry["deep"] == pytest.approx(4.6e-12 * sum(macs.values()))
        assert entry["spiking"][8] == pytest.approx(4.6e-12 * macs["conv1"] * still + 0.9e-12 * (acs + updates))


def test_opi_beats_its_base_at_few_steps() -> None:
    base = evaluate(convert(clip(), TCL())[0], clip(), held_out(), (2,))
    half = evaluate(convert(clip(), OPI())[0], clip(), held_out(), (2,))
    assert half.label == "OPI on TCL"
    assert half.accuracy[0] > base.accuracy[0] + 4


@pytest.mark.parametrize("method", [TCL(), OPI(), QCFS()], ids=lambda m: m.name)
def test_methods_that_need_a_trained_activation_say_so(method: sw.convert.Method) -> None:
    with pytest.raises(ValueError, match=r"'act' \(ReLU\).*replace_activations"):
        convert(relu(), method)


def test_composition_reaches_calibrated_methods() -> None:
    robust, _ = convert(relu(), Robust(q=0.99), training())
    opi, _ = convert(relu(), OPI(Robust(q=0.99)), training())
    for name in robust.sites:
        a, b = robust.network.get_submodule(name), opi.network.get_submodule(name)
        assert torch.equal(a.threshold, b.threshold)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="training data"):
        convert(relu(), OPI(Robust()))


def test_a_start_for_each_neuron_can_be_reported() -> None:
    """Neurons started where a correction or a draw puts them count to no activation's levels: offsets are not asked."""
    for method in (OPI(QCFS(), initial="gaussian"), Calibration(steps=4)):
        snn, _ = convert(qcfs(), method, training())
        result = evaluate(snn, qcfs(), held_out(), (4,))
        assert result.accuracy[0] > 60
        assert all(layer.offset is None for layer in result.layers)


def test_folded_networks_spike_alike() -> None:
    source = trained(PreActivation, 2)
    x = held_out()[0][0]
    plain, _ = convert(source, Robust(), training())
    folded, _ = convert(source, Robust(fold=True), training())
    assert not [m for m in folded.network.modules() if isinstance(m, nn.BatchNorm2d)]
    with torch.no_grad():
        assert (plain(x, 64) - folded(x, 64)).abs().max() < 0.2
        torch.testing.assert_close(plain(x, 1024), folded(x, 1024), rtol=0, atol=0.05)


def test_calling_the_room(tmp_path: Path) -> None:
    snn, report = sw.convert(relu(), sw.convert.OPI(sw.convert.Robust()), calibration=training())
    assert isinstance(snn, sw.convert.Converted)
    assert "optimistic" in report.results[0].notes[0]
    report.save(tmp_path / "report.json")
    assert load_report(tmp_path / "report.json") == report
    json.loads((tmp_path / "report.json").read_text())
    report.plot(tmp_path / "report.png")
    assert (tmp_path / "report.png").stat().st_size > 1000


def test_unlabelled_data_gives_no_results() -> None:
    (x, _), *_ = held_out()
    snn, report = convert(relu(), Max(), [x])
    assert report.results == []
    with pytest.raises(ValueError, match="without labels"):
        evaluate(snn, relu(), [x])
    with pytest.raises(ValueError, match="no data"):
        evaluate(snn, relu(), [])
    with pytest.raises(ValueError, match="at least one"):
        evaluate(snn, relu(), held_out(), ())


def test_average_pooling_is_measured_against_the_network_as_it_was() -> None:
    layers = nn.Conv2d(1, 6, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(54, 10)
    source = trained(lambda: nn.Sequential(*layers), 4)
    right = {}
    for pooling in ("delta", "gated", "pre-neuron", "avg"):
        _, report = convert(source, Max(pooling=pooling), training(), held_out(), steps=(64,))  # type: ignore[arg-type]
        right[pooling] = report.results[0]
        assert any("max pooling" in note for note in report.results[0].notes)
    assert len({result.source_accuracy for result in right.values()}) == 1
    assert abs(right["delta"].accuracy[0] - right["delta"].source_accuracy) < 1
    assert right["gated"].accuracy[0] > right["gated"].source_accuracy - 2
    assert right["pre-neuron"].accuracy[0] > right["pre-neuron"].source_accuracy - 2


def test_the_network_is_left_as_it_was() -> None:
    before = {key: value.clone() for key, value in relu().state_dict().items()}
    convert(relu(), Max(), training(), held_out(), steps=(2,))
    assert all(torch.equal(value, before[key]) for key, value in relu().state_dict().items())
    assert not any(module._forward_hooks for module in relu().modules())


def test_every_method_is_listed() -> None:
    assert list(METHODS) == [
        "max", "robust", "spike-norm", "rmp", "calibration", "ltb", "gaussian", "tcl", "rts", "opi", "rnl", "sliprelu",
        "qcfs", "srp", "cos", "parallel", "group", "ecmt", "dcgs", "sta", "spikezip",
    ]  # fmt: skip
    assert all(kind.__doc__ for kind in METHODS.values())


def test_looking_at_a_part_measures_that_part() -> None:
    """Accuracy is that of all samples, the rest that of the first, and the report says so."""
    data = held_out()
    snn, _ = convert(clip(), OPI())
    whole, first = evaluate(snn, clip(), data, (1, 4)), evaluate(snn, clip(), data[:1], (1, 4))
    part = evaluate(snn, clip(), data, (1, 4), look=1)
    assert (part.accuracy, part.source_accuracy) == (whole.accuracy, whole.source_accuracy)
    assert (part.layers, part.energy) == (first.layers, first.energy)
    assert part.layers != whole.layers
    assert part.notes[-1].startswith("errors, rates, operations and energy are those of the first 150 of 397")


class Hidden(nn.Module):
    """Overwrites what it reads again, in a way that tracing cannot see."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = z = torch.relu(self.first(x))
        z += self.second(y)
        return y


def test_a_copy_that_computes_something_else_is_found_out() -> None:
    data = [(torch.rand(8, 4), torch.randint(0, 4, (8,)))]
    for given in ({"calibration": data}, {"evaluate": data}):
        with pytest.raises(ValueError, match=r"a traced copy computes something else.*write y = y \+ x"):
            sw.convert(Hidden().eval(), sw.convert.Max(), **given)


def test_offsets_are_those_of_neurons_that_count_to_the_levels() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 8), activation.QCFS(4, 2.0), nn.Linear(8, 3)).eval()
    data = [(torch.rand(16, 4), torch.randint(0, 3, (16,)))]
    for method, known in ((sw.convert.QCFS(), True), (sw.convert.Max(), False), (sw.convert.Robust(), False)):
        _, report = sw.convert(net, method, [data[0][0].clone()], data, [4])
        assert [layer.offset is not None for layer in report.results[0].layers if layer.kind == "neuron"] == [known]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda net, x, y: sw.convert(net, sw.convert.Max(), x), r"one tensor \(8, 4\) as data.*pass \[x\]"),
        (lambda net, x, y: sw.convert(net, sw.convert.Max(), [x.double()]), "float64 that Sequential does not take"),
        (lambda net, x, y: sw.convert(net, sw.convert.Max(), [x[:, :2]]), r"\(8, 2\) of torch.float32 that Sequential"),
        (lambda net, x, y: sw.convert(net, "max", [x]), "method='max', expected one such as"),
        (
            lambda net, x, y: sw.convert(net, sw.convert.Max(), [x.clone()], [(x, y + 1)]),
            "labels from 1 to 3, expected .* to 2",
        ),
        (lambda net, x, y: sw.convert(net, sw.convert.Max(), [x.clone()], [(x, y.tolist())]), "labels as list"),
        (lambda net, x, y: sw.convert(net, sw.convert.Max(), [x.clone()], [(x, y.float())]), "labels as torch.float32"),
        (lambda net, x, y: sw.convert(net, sw.convert.Max(), [x])[0](x[0]), r"got torch.float32 \(4,\), expected"),
        (lambda net, x, y: sw.convert(net, sw.convert.Max(), [x])[0](x.long()), "got torch.int64"),
        (
            lambda net, x, y: sw.convert.evaluate(
                sw.convert(net, sw.convert.Max(), [x])[0], nn.Sequential(nn.ReLU(), nn.Linear(4, 3)).eval(), [(x, y)]
            ),
            r"with the activations \['0'\], expected the network that was converted",
        ),
    ],
)
def test_what_does_not_fit_is_one_sentence(call: Any, words: str) -> None:
    net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 3)).eval()
    with pytest.raises(ValueError, match=words) as refusal:
        call(net, torch.rand(8, 4), torch.arange(8) % 3)
    assert "\n" not in str(refusal.value)


def test_errors_from_inside_a_converted_network_are_one_sentence() -> None:
    net = nn.Sequential(nn.Linear(2, 2), activation.Clip(1.0), nn.Linear(2, 2)).eval()
    snn, _ = sw.convert(net, sw.convert.TCL())
    with pytest.raises(ValueError, match="NaN or infinity") as refusal:
        snn(torch.full((1, 2), float("nan")))
    assert "\n" not in str(refusal.value)
