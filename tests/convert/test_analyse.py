"""Looking inside: the shares of what is off are those of the laws, before and after each correction."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import spikeworks as sw
from convert.small_nets import Residual, exact, exact_images, fit_curve
from convert.test_schedule import convert, images, source
from spikeworks.convert import (
    COS,
    DCGS,
    ECMT,
    OPI,
    QCFS,
    SRP,
    STA,
    TCL,
    Group,
    Max,
    Method,
    Parallel,
    SpikeZIP,
    activation,
    replace_activations,
)  # fmt: skip
from spikeworks.convert.analyse import analyse
from spikeworks.convert.control import Controller, Seen
from spikeworks.measure.analysis import CASES, EDGES, Analysis, LayerAnalysis


def looked(method: Method, x: list[Any] | None = None, **options: Any) -> Analysis:
    data = [images(32), images(32, seed=1)] if x is None else x
    return analyse(convert(method), source(), data, **options)


def off(layer: LayerAnalysis, by: str = "own") -> float:
    share = layer.exact(by)  # type: ignore[arg-type]
    assert share is not None
    return 1 - share


def close(one: Analysis, other: Analysis) -> None:
    """Counts are equal; sums of squares up to the order of adding."""
    assert one.stages.keys() == other.stages.keys()
    for stage, layers in one.stages.items():
        for a, b in zip(layers, other.stages[stage], strict=True):
            bare = {"error": None, "curve": None}
            assert replace(a, **bare) == replace(b, **bare)
            assert a.error == pytest.approx(b.error, rel=1e-12)
            if a.curve is not None and b.curve is not None:
                assert a.curve.values == pytest.approx(b.curve.values, rel=1e-12, nan_ok=True)
                assert a.curve.omega == pytest.approx(b.curve.omega, rel=1e-12, nan_ok=True)


@pytest.mark.parametrize("method", [QCFS(steps=4), COS(steps=4), SRP(steps=8), Group(levels=2, steps=3)])
def test_shares_add_up(method: Method) -> None:
    analysis = looked(method)
    assert (analysis.samples, analysis.steps) == (64, method.steps)
    for layers in analysis.stages.values():
        for layer in layers:
            for by in ("own", "source"):
                cases, offsets = layer.cases(by), layer.offsets(by)
                assert cases is not None
                assert offsets is not None
                assert list(cases) == list(CASES)
                assert sum(offsets.values()) == pytest.approx(1)
                assert sum(cases.values()) + layer.exact(by) == pytest.approx(1)  # type: ignore[operator]
                assert sum(p for psi, p in offsets.items() if psi > 0) == pytest.approx(
                    cases[CASES[0]] + cases[CASES[1]]
                )
            assert layer.residual is not None
            assert len(layer.residual) == len(EDGES) + 1
            assert sum(layer.residual) == pytest.approx(1)


@pytest.mark.parametrize("method", [QCFS(), OPI(Max()), Max(), TCL(), Group(levels=3)], ids=lambda m: m.name)
@pytest.mark.parametrize("steps", [1, 3, 8])
def test_constant_input_is_even_and_nobody_who_was_asked_is_silent(method: Method, steps: int) -> None:
    """The master identity, whatever v(0): by its own input a first layer is exact, and the third case is empty."""
    ann = source() if method.name in ("qcfs", "group") else Residual().double().eval()
    if method.name == "tcl":
        ann = replace_activations(ann, lambda: activation.Clip(1.0)).double().eval()
    (layers,) = analyse(convert(method, ann), ann, [images(32)], steps).stages.values()
    assert layers[0].offset == {0: 1.0}
    assert all(layer.own is not None and layer.own[CASES[2]] == 0 for layer in layers)
    if steps > 1:
        assert max(map(off, layers)) > 0.002


def test_at_as_many_steps_as_levels_the_first_layer_is_its_source() -> None:
    (layers,) = looked(QCFS(steps=4)).stages.values()
    assert layers[0].source_offset == {0: 1.0}
    assert layers[0].error == pytest.approx(0, abs=1e-12)
    assert layers[0].residual is not None
    assert layers[2].residual is not None
    assert off(layers[2], "source") > off(layers[2]) > 0.01  # what comes from in front is in one of the two alone


def test_a_count_is_right_where_the_residual_says_so() -> None:
    """v(T) in [0, θ) is right; so the share that is off is no larger than what lies outside."""
    (layers,) = looked(QCFS(steps=4)).stages.values()
    for layer in layers:
        assert layer.residual is not None
        inside = sum(p for p, edge in zip(layer.residual[1:], EDGES, strict=True) if 0 <= edge < 1)
        assert off(layer) <= 1 - inside + 1e-12


def test_exact_arithmetic_puts_zero_and_theta_in_their_bins() -> None:
    """Ties: multiples of 1/8 all through, with v(T) at 0 and at θ exactly."""
    ann = exact(replace_activations(Residual(), lambda: activation.QCFS(4, 1.0)))
    x = exact_images(32)
    snn, _ = sw.convert(ann, QCFS())
    (layers,) = analyse(snn, ann, [x], 4).stages.values()
    with torch.no_grad():
        v = ann.get_submodule("conv1")(x) * 4 + 0.5 - snn.spikes(x, 4)[layers[0].name].sum(0)
    assert (v == 0).any()
    assert (v == 1).any()
    assert layers[0].residual is not None
    for at in (0.0, 1.0):
        inside = ((v >= at) & (v < at + 0.25)).double().mean()
        assert layers[0].residual[1 + EDGES.index(at)] == pytest.approx(float(inside))


def test_offsets_by_the_source_are_those_of_the_report() -> None:
    snn, ann, x = convert(QCFS(steps=4)), source(), images(64)
    result = sw.convert.evaluate(snn, ann, [(x, torch.arange(64) % 10)], [4])
    reported = [layer for layer in result.layers if layer.kind == "neuron"]
    (layers,) = analyse(snn, ann, [x]).stages.values()
    for layer, told in zip(layers, reported, strict=True):
        assert (layer.name, layer.units) == (told.name, told.neurons)
        assert layer.source_offset == pytest.approx(told.offset)
        assert layer.error == pytest.approx(told.error, abs=1e-12)
    assert layers[0].offset == reported[0].offset
    assert layers[1].offset == pytest.approx(reported[1].offset)  # fed by a layer that is exact


def test_each_correction_of_cos_repairs_what_it_is_for() -> None:
    """Iteration k brings all |ψ| ≤ k to exactly 0 by the layer's own input: what is left was further away."""
    cos = looked(COS(iterations=2, steps=8, pre=8))
    before, once, twice = cos.stages.values()
    assert list(cos.stages) == ["uncorrected", "after 1 correction", "after 2 corrections"]
    for i, layers in enumerate((once, twice), 1):
        assert layers[0].offset == {0: 1.0}
        offsets, far = before[1].offset, layers[1].offset  # the first layer is exact: both were sent the same in total
        assert offsets is not None
        assert far is not None
        assert 1 - far.get(0, 0.0) == pytest.approx(sum(p for psi, p in offsets.items() if abs(psi) > i))
        assert sum(map(off, before)) > 10 * sum(map(off, layers))
    assert off(before[1]) > 0.02


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_silencing_empties_the_first_case(scope: str) -> None:
    srp = looked(SRP(scope=scope, steps=4))  # type: ignore[arg-type]
    before, after = srp.stages["uncorrected"], srp.stages["after silencing"]
    wrong = [sum(layer.own[CASES[0]] for layer in layers if layer.own) for layers in (before, after)]
    assert wrong[0] > 0.03
    assert wrong[1] == 0 if scope == "layer" else wrong[1] < wrong[0] / 2
    assert after[0].residual is not None
    assert after[0].residual[0] > before[0].residual[0]  # type: ignore[index]  # who was silenced


def test_the_stages_are_what_the_methods_run() -> None:
    """Uncorrected is the method underneath, and the last stage is the method."""
    cos, plain = looked(COS(iterations=2, scope="global", steps=5)), looked(QCFS(steps=5))
    close(
        replace(cos, stages={"a": cos.stages["uncorrected"]}), replace(plain, stages={"a": plain.stages["as it runs"]})
    )
    one = looked(COS(scope="global", steps=5))
    assert one.stages["after 1 correction"] == cos.stages["after 1 correction"]
    assert list(looked(COS(pre=0, steps=4)).stages) == ["as it runs"]
    x, snn, ann = images(64), convert(COS(steps=4)), source()
    result = sw.convert.evaluate(snn, ann, [(x, torch.arange(64) % 10)], [4])
    for layer, told in zip(
        analyse(snn, ann, [x]).stages["after 1 correction"],
        (layer for layer in result.layers if layer.kind == "neuron"),
        strict=True,
    ):
        assert layer.error == pytest.approx(told.error, abs=1e-12)
        assert layer.source_offset == pytest.approx(told.offset)


def test_half_units_are_nobodys_fault() -> None:
    """L = 4 and T = 2: an activation of θ/4 asks for half a spike, and none or one are as right."""
    (layers,) = looked(QCFS(steps=2)).stages.values()
    assert layers[0].source_offset == {0: 1.0}
    (layers,) = looked(QCFS(steps=8)).stages.values()
    assert off(layers[0], "source") > 0.05  # eight steps tell apart what four levels do not


def test_fewer_steps_than_the_run_before() -> None:
    """T = 1 after ρ = 4, layer by layer: the first step of the corrected run; residuals by conservation of charge."""
    snn, ann, x = convert(COS(pre=4)), source(), images(64)
    last = analyse(snn, ann, [x], 1).stages["after 1 correction"]
    emitted = snn.spikes(x, 1)
    for layer in last:
        rate = float(emitted[layer.name].count_nonzero()) / emitted[layer.name].numel()
        silent = layer.source[CASES[2]]  # type: ignore[index]
        assert 0 <= silent <= 1 - rate + 1e-9
    # the first layer's start is v(0) = θ/2 where it was not shifted, and its input constant: nobody is shifted there
    v = nn.Module.get_submodule(sw.convert.normalise(ann), "conv1")(x) + 0.5 - emitted[last[0].name][0]
    below = float((v < 0).double().mean())
    assert last[0].residual is not None
    assert sum(last[0].residual[: 1 + EDGES.index(0.0)]) == pytest.approx(below)


def test_batches_do_not_change_it_and_a_part_is_a_part() -> None:
    snn, ann, x = convert(COS(steps=4)), source(), images(32)
    close(analyse(snn, ann, [x]), analyse(snn, ann, [x[:5], x[5:6], x[6:]]))
    cut = analyse(snn, ann, [x[:5], x[5:]], look=8)
    assert cut.samples == 8
    close(cut, analyse(snn, ann, [(x[:8], torch.zeros(8, dtype=torch.int64))]))


@pytest.mark.parametrize(
    "method", [DCGS(steps=4), ECMT(steps=4), STA(steps=4), SpikeZIP(steps=4)], ids=lambda m: m.name
)
def test_neurons_that_count_no_units_have_what_makes_sense(method: Method) -> None:
    ann = Residual().double().eval()
    snn = convert(method, ann)
    analysis = analyse(snn, ann, [images(16)])
    (layers,) = analysis.stages.values()
    result = sw.convert.evaluate(snn, ann, [(images(16), torch.arange(16) % 10)], [4])
    errors = {layer.name: layer.error for layer in result.layers if layer.kind == "neuron"}
    for layer in layers:
        assert (layer.own, layer.source, layer.offset, layer.source_offset) == (None, None, None, None)
        assert layer.error == pytest.approx(errors[layer.name])
        assert layer.curve is not None
        assert layer.curve.values[-1] == pytest.approx(layer.error**2)  # type: ignore[operator]
        assert layer.curve.omega != layer.curve.omega  # no bound is known
        assert layer.residual is not None
        assert sum(layer.residual) == pytest.approx(1)
    assert analysis.off("as it runs", "own") is None


def test_a_transformer_is_looked_into() -> None:
    ann = sw.models.vit_tiny(classes=4, image=8, in_channels=1, depth=1, width=16).eval()
    x = images(8).float()
    snn, _ = sw.convert(ann, DCGS(steps=2), [x])
    (layers,) = analyse(snn, ann, [x]).stages.values()
    assert len(layers) == len(snn.sites) > 4


def test_parallel_neurons_count_and_keep_nothing() -> None:
    (layers,) = looked(Parallel(steps=4)).stages.values()
    for layer in layers:
        assert (layer.offset, layer.source_offset) == ({0: 1.0}, {0: 1.0})
        assert (layer.residual, layer.curve) == (None, None)


def test_curves_are_the_optimal_fit_curves() -> None:
    snn, ann, x = convert(QCFS(steps=8)), source(), images(16)
    analysis = analyse(snn, ann, [x])
    deep_network = sw.convert.normalise(ann)
    with torch.no_grad(), sw.measure.record(deep_network, snn.sites) as deep:
        deep_network(x)
    units = {name: torch.as_tensor(snn.network.get_submodule(name).threshold) for name in snn.sites}
    wanted = [fit_curve(name, y_T / units[name], deep[name] / units[name]) for name, y_T in snn.spikes(x).items()]
    for curve, other in zip(analysis.curves, wanted, strict=True):
        assert curve.name == other.name
        assert curve.values == pytest.approx(other.values)
        assert curve.omega == pytest.approx(other.omega)


@dataclass(frozen=True)
class Nobody(Controller):
    """A controller of somebody else's: two iterations that change nothing."""

    iterations: int = 2

    def adjust(self, first: Seen, last: Seen, iteration: int) -> Tensor:
        return last.start


@dataclass(frozen=True)
class Mine(COS):
    @property
    def controller(self) -> Controller:
        return Nobody()


def test_any_controller_is_looked_at_correction_by_correction() -> None:
    stages = list(looked(Mine(steps=4)).stages.items())
    assert [name for name, _ in stages] == ["uncorrected", "after 1 correction", "after 2 corrections"]
    assert all(layers == stages[0][1] for _, layers in stages)


def test_what_cannot_be_looked_at_is_refused() -> None:
    other = nn.Sequential(nn.Linear(4, 4), nn.ReLU()).eval()
    with pytest.raises(ValueError, match="expected the network that was converted"):
        analyse(convert(QCFS()), other, [images(2)])
    for options, words in (({"look": 0}, "look=0"), ({"steps": 0}, "steps=0")):
        with pytest.raises(ValueError, match=words):
            looked(QCFS(), **options)
    with pytest.raises(ValueError, match="no data"):
        looked(QCFS(), [])
    with pytest.raises(ValueError, match="NaN"):
        looked(QCFS(), [images(2) * float("nan")])
