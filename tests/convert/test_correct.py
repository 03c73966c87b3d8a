"""Corrections: what each is defined on becomes less, exactly nothing where it can; nothing else changes."""

from __future__ import annotations

import copy
import functools
from dataclasses import replace

import pytest
import torch
from torch import Tensor, fx, nn

from convert.small_nets import Branches, PreActivation, Residual, digits, exact, exact_images, trained
from spikeworks.convert import ThresholdSpec, normalise
from spikeworks.convert.build import spiking
from spikeworks.convert.calibrate import Specs, maximum, quantile
from spikeworks.convert.correct import bias, potential, scaled, shifted
from spikeworks.convert.execute import window
from spikeworks.convert.graph import sites, until
from spikeworks.convert.ideal import ideal
from spikeworks.convert.neuron import equal, powers
from spikeworks.convert.observe import Visitor
from spikeworks.convert.offset import offsets
from spikeworks.convert.parallel import ParallelIF
from spikeworks.convert.tune import weights
from spikeworks.measure import record

STEPS = 6


@functools.cache
def network() -> fx.GraphModule:
    return normalise(trained(Residual))


def images(count: int = 120) -> Tensor:
    return digits()[0][0][:count]


@functools.cache
def found() -> Specs:
    return quantile(network(), images().split(40), 0.999)


def activation(graph: nn.Module, name: str, x: Tensor) -> Tensor:
    with torch.no_grad(), record(graph, [name]) as seen:
        graph(x)
    return seen[name]


def sent(graph: fx.GraphModule, specs: Specs, name: str, x: Tensor, steps: int = STEPS) -> tuple[Tensor, Tensor]:
    """Mean current and mean output of a site."""
    snn = spiking(graph, specs)
    with torch.no_grad():
        current_T, _ = window(until(snn, name), x, steps)
        output_T, _ = snn.get_submodule(name).stream(current_T)  # type: ignore[operator]
    return current_T.mean(0), output_T.mean(0)


def logit_error(graph: fx.GraphModule, specs: Specs, x: Tensor, source: nn.Module) -> float:
    with torch.no_grad():
        y_T, _ = window(spiking(graph, specs), x, STEPS)
        return float((y_T.mean(0) - source(x)).square().mean())


def test_scaled_and_shifted() -> None:
    one = ThresholdSpec(torch.tensor(2.0), negative=torch.tensor(3.0), rule=equal(4), drive=torch.tensor(1.0))
    specs = {"a": one, "b": ThresholdSpec(torch.tensor([1.0, 2.0]))}
    half = scaled(specs, 0.5)
    assert (float(half["a"].threshold), float(half["a"].negative)) == (1, 1.5)  # type: ignore[arg-type]
    assert half["b"].threshold.tolist() == [0.5, 1]
    moved = shifted(specs, 5)
    assert float(moved["a"].drive) == pytest.approx(1 + 0.5 / 10)  # type: ignore[arg-type]
    assert torch.allclose(moved["b"].drive, torch.tensor([0.1, 0.2]))  # type: ignore[arg-type]
    assert specs["b"].drive is None
    z = torch.linspace(-1, 3, 1003)[:, None]
    for name, spec in specs.items():
        half = replace(spec, fraction=0.5)
        torch.testing.assert_close(ideal(moved[name], z, 5), ideal(half, z, 5), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("levels", [1, 3])
def test_the_ideal_is_what_constant_current_gives(levels: int) -> None:
    graph, x = normalise(exact(Residual())), exact_images(9)
    theta = maximum(graph, [x], "channel")["act"].threshold * 0.75
    spec = ThresholdSpec(theta, 0.5, equal(levels), gain=torch.tensor(0.5), drive=torch.tensor(0.25))
    _, output = sent(graph, {"act": spec}, "act", x, 7)
    torch.testing.assert_close(output, ideal(spec, until(graph, "act")(x), 7).detach())


def test_the_ideal_passes_gradients_through_the_floor() -> None:
    z = torch.tensor([-1.0, 0.3, 0.6, 5.0], requires_grad=True)
    y = ideal(ThresholdSpec(torch.tensor(1.0)), z, 4)
    assert y.tolist() == [0, 0.25, 0.5, 1]
    (gradient,) = torch.autograd.grad(y.sum(), z)
    assert gradient.tolist() == [0, 1, 1, 0]


def test_mean_currents_become_those_of_the_source_exactly() -> None:
    graph, x = network(), images()
    specs = {n: replace(s, gain=torch.tensor(1.0), drive=torch.tensor(0.01)) for n, s in found().items()}
    same, corrected = bias(graph, specs, x.split(50), STEPS, of="current")
    assert same is graph
    for name in sites(graph):
        current, _ = sent(graph, corrected, name, x)
        axes = [a for a in range(current.dim()) if a != 1]
        z = until(graph, name)(x).mean(axes)
        was = (sent(graph, specs, name, x)[0] - z.view(-1, *[1] * (current.dim() - 2))).mean(axes) - 0.01
        left = current.mean(axes) - 0.01 - z  # the drive that was there stays
        assert left.abs().max() < 1e-4
        assert name == sites(graph)[0] or was.abs().max() > 100 * left.abs().max()
        assert corrected[name].drive.shape == (len(z), *(1,) * (current.dim() - 2))  # type: ignore[union-attr]


@pytest.mark.parametrize("correct", [bias, potential])
def test_each_site_errs_less_in_what_is_corrected(correct: object) -> None:
    graph, x = network(), images()
    _, corrected = correct(graph, found(), x.split(50), STEPS)  # type: ignore[operator]
    now = dict(found())
    for name in sites(graph):  # all earlier ones are corrected when a site's turn comes
        wanted, errors = activation(graph, name, x), []
        for spec in (now[name], corrected[name]):
            now[name] = spec
            _, output = sent(graph, now, name, x)
            mean = (output - wanted).mean(0)
            mean = mean if correct is potential else mean.reshape(len(mean), -1).mean(1)
            errors.append(float(mean.square().sum()))
        assert errors[1] < 0.35 * errors[0]
    test = digits()[1][0]
    assert logit_error(graph, corrected, test, graph) < 0.6 * logit_error(graph, found(), test, graph)


def test_what_is_added_is_the_mean_that_lacks() -> None:
    graph, x = network(), images(40)
    name = sites(graph)[0]
    lacks = activation(graph, name, x) - sent(graph, found(), name, x)[1]
    _, by_channel = bias(graph, found(), [x], STEPS)
    torch.testing.assert_close(by_channel[name].drive.flatten(), lacks.mean((0, 2, 3)))  # type: ignore[union-attr]
    half = {n: replace(s, fraction=0.5).levels(2) for n, s in found().items()}
    lacks = activation(graph, name, x) - sent(graph, half, name, x)[1]
    _, by_neuron = potential(graph, half, [x], STEPS)
    wanted = 0.5 + STEPS * lacks.mean(0) / half[name].unit
    torch.testing.assert_close(by_neuron[name].fraction, wanted, rtol=1e-4, atol=1e-4)
    assert by_neuron[name].unit == half[name].unit


@pytest.mark.parametrize("correct", [bias, potential])
def test_batches_do_not_matter(correct: object) -> None:
    """With weights in which sums are exact, to the last bit but one: means are divisions."""
    graph, x = normalise(exact(Residual())), exact_images(12)
    specs = {n: ThresholdSpec(torch.tensor(2.0 ** int(s.threshold.log2()))) for n, s in maximum(graph, [x]).items()}
    first = correct(graph, specs, [x], 4)[1]  # type: ignore[operator]
    order = torch.randperm(12)
    second = correct(graph, specs, x[order].split(5), 4)[1]  # type: ignore[operator]
    for name in sites(graph)[:2]:  # from there on, a last bit decides about spikes
        for attribute in ("drive", "fraction"):
            a, b = getattr(first[name], attribute), getattr(second[name], attribute)
            assert a == b if not isinstance(a, Tensor) else torch.allclose(a, b, rtol=1e-5, atol=1e-6)


def test_corrections_follow_one_another() -> None:
    graph, data, test = network(), images(400).split(100), digits()[1][0]
    errors = [logit_error(graph, found(), test, graph)]
    changed, specs = graph, found()
    for correct in (bias, potential, functools.partial(weights, rate=1e-3, iterations=60)):
        changed, specs = correct(changed, specs, data, STEPS)  # type: ignore[operator]
        errors.append(logit_error(changed, specs, test, graph))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.2 * errors[0]


def test_weights_descend() -> None:
    graph, x = network(), images()
    before = {k: v.clone() for k, v in graph.state_dict().items()}
    specs, options = found(), {"rate": 1e-3, "iterations": 60}
    tuned, same = weights(graph, specs, x.split(50), 3, generator=torch.Generator().manual_seed(1), **options)  # type: ignore[arg-type]
    assert same is specs
    assert all(torch.equal(v, before[k]) for k, v in graph.state_dict().items())
    changed = {k for k, v in tuned.state_dict().items() if not torch.equal(v, before[k])}
    assert changed == {"conv1.weight", "conv2.weight", "conv3.weight", "fc1.weight"}  # no bias, not the readout
    assert [p.requires_grad for p in tuned.parameters()] == [p.requires_grad for p in graph.parameters()]
    for index, name in enumerate(sites(graph)):
        wanted, part = activation(graph, name, x), dict(list(specs.items())[:index])
        errors = []
        for own in (graph, tuned):  # the layer's own weights, behind all earlier ones tuned
            mixed = _with_own(tuned, own, ("conv1", "conv2", "conv3", "fc1")[index])
            z = sent(mixed, {**part, name: specs[name]}, name, x, 3)[0]
            errors.append(float((ideal(specs[name], z, 3) - wanted).square().mean()))
        assert errors[1] < errors[0]
    again, _ = weights(graph, specs, x.split(50), 3, generator=torch.Generator().manual_seed(1), **options)  # type: ignore[arg-type]
    assert all(torch.equal(v, tuned.state_dict()[k]) for k, v in again.state_dict().items())


def _with_own(tuned: fx.GraphModule, other: fx.GraphModule, layer: str) -> fx.GraphModule:
    mixed = copy.deepcopy(tuned)
    mixed.get_submodule(layer).load_state_dict(other.get_submodule(layer).state_dict())
    return mixed


def test_weights_that_got_worse_are_put_back() -> None:
    graph = network()
    tuned, _ = weights(graph, found(), [images(40)], 4, rate=1e3, iterations=3)
    assert all(torch.equal(v, graph.state_dict()[k]) for k, v in tuned.state_dict().items())


def test_offsets_tend_to_the_mean_of_what_lacks() -> None:
    graph, x = network(), images(60)
    base = {n: replace(s, fraction=0.5) for n, s in maximum(graph, [x]).items()}
    _, specs = offsets(graph, base, [x], 4, iterations=1200)
    name = sites(graph)[0]
    theta, spec = base[name].threshold, specs[name]
    z = until(graph, name)(x).detach()
    assert torch.equal(spec.drive, torch.zeros(6, 1, 1))  # type: ignore[arg-type]  # nothing lacks at the input
    y = ((z * 4 / theta + 0.5).floor().clamp(0, 4) / 4).mean((0, 2, 3))
    phi = (z.relu().mean((0, 2, 3)) - theta * y) / (1 + y)  # the mean of what still lacks with φ in place
    torch.testing.assert_close(spec.threshold.flatten(), theta + phi, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(spec.gain, spec.threshold / theta)
    second = sites(graph)[1]  # by hand, with the first in place
    source = until(graph, second)(x)
    snn = spiking(graph, {name: spec})
    with torch.no_grad():
        got = window(until(snn, second), x, 4)[0].mean(0)
    psi = specs[second].drive / specs[second].gain  # type: ignore[operator]
    torch.testing.assert_close(psi.flatten(), (source - got).mean((0, 2, 3)), rtol=1e-3, atol=1e-4)
    for site in sites(graph):
        wanted, errors = activation(graph, site, x), []
        for now in (base, specs):
            mean = (_ideal_network(graph, now, site, x) - wanted).mean(0)
            errors.append(float(mean.reshape(len(mean), -1).mean(1).square().sum()))
        assert errors[1] < errors[0]


def _ideal_network(graph: fx.GraphModule, specs: Specs, site: str, x: Tensor) -> Tensor:
    seen: dict[str, Tensor] = {}

    def at(name: str, module: nn.Module, z: Tensor) -> Tensor:
        seen[name] = ideal(specs[name], z, 4)
        return seen[name]

    with torch.no_grad():
        Visitor(graph, at).run(x)
    return seen[site]


def test_parallel_neurons_do_what_offsets_are_for() -> None:
    graph, x = network(), images(60)
    base = {n: replace(s, fraction=0.5) for n, s in maximum(graph, [x]).items()}
    _, specs = offsets(graph, base, [x], 4, iterations=300)
    errors = []
    for now in (base, specs):
        snn = spiking(graph, now, layer=ParallelIF)
        with torch.no_grad():
            y = window(snn, x, 4, size=4)[0].mean(0)
            part = window(until(snn, "act_3"), x, 4, size=4)[0].mean(0)
            errors.append(float((y - graph(x)).mean(0).square().sum()))
        output = snn.get_submodule("act_3").mean(part, 4)  # type: ignore[operator]
        torch.testing.assert_close(output, _ideal_network(graph, now, "act_3", x), rtol=1e-4, atol=1e-4)
    assert errors[1] < 0.5 * errors[0]


@pytest.mark.parametrize("make", [Branches, PreActivation])
def test_joins_shortcuts_and_normalisation_are_no_obstacle(make: type[nn.Module]) -> None:
    graph, data = normalise(make().eval()), images(30).split(10)
    specs = {n: replace(s, threshold=0.8 * s.threshold) for n, s in maximum(graph, data).items()}
    errors = [logit_error(graph, specs, images(30), graph)]
    tuned, _ = weights(graph, specs, data, STEPS, rate=1e-3, iterations=40)
    errors.append(logit_error(tuned, specs, images(30), graph))
    assert errors[1] < errors[0]
    head = [k for k in graph.state_dict() if k.startswith("head")]
    assert all(torch.equal(graph.state_dict()[k], tuned.state_dict()[k]) for k in head)
    for correct in (bias, potential):
        _, changed = correct(graph, specs, data, STEPS)
        assert logit_error(graph, changed, images(30), graph) < errors[0]


def test_what_does_not_fit_is_refused() -> None:
    graph, x, specs = network(), images(8), found()
    zero = {**specs, "relu": ThresholdSpec(torch.tensor(0.0))}
    ladder = {n: replace(s, rule=powers(4)) for n, s in specs.items()}
    sizes = [x, torch.rand(3, 1, 12, 12)]
    pooled = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2)).eval()
    anything = normalise(pooled)
    theta = {"1": ThresholdSpec(torch.tensor(1.0))}
    for correct in (bias, potential, weights, offsets):
        for call, words in (
            (lambda c=correct: c(graph, specs, [], 4), "no data"),
            (lambda c=correct: c(graph, specs, iter([x]), 4), "read once"),
            (lambda c=correct: c(graph, specs, [x], 0), "steps=0"),
            (lambda c=correct: c(graph, specs, [x / 0], 4), "NaN or infinity"),
            (lambda c=correct: c(graph, zero, [x], 4), "threshold got 0|threshold of 0"),
        ):
            with pytest.raises(ValueError, match=words) as refusal:
                call()
            assert "\n" not in str(refusal.value)
    for call, words in (
        (lambda: scaled(specs, 0.0), "alpha=0"),
        (lambda: shifted(specs, 0), "steps=0"),
        (lambda: bias(graph, specs, [x], 4, of="weights"), "of='weights'"),  # type: ignore[arg-type]
        (lambda: weights(graph, ladder, [x], 4), "powers of two"),
        (lambda: offsets(graph, ladder, [x], 4), "powers of two"),
        (lambda: weights(graph, specs, [x], 4, rate=0.0), "rate=0"),
        (lambda: offsets(graph, specs, [x], 4, rate=1.0), "rate=1"),
        (lambda: potential(anything, theta, sizes, 4), r"\(2, 10, 10\) after \(2, 6, 6\)"),
        (lambda: weights(anything, theta, sizes, 4), r"\(2, 10, 10\) after \(2, 6, 6\)"),
    ):
        with pytest.raises(ValueError, match=words) as refusal:
            call()
        assert "\n" not in str(refusal.value)
    bias(anything, theta, sizes, 4)  # a mean over space has no size
