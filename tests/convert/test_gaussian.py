"""The closed form against sampling, its optimum against a search, and the network against its own statistics."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from convert.small_nets import Residual, exact, exact_images
from spikeworks.convert import normalise
from spikeworks.convert.calibrate import maximum
from spikeworks.convert.gaussian import best_unit, gaussian, squared_error
from spikeworks.convert.graph import sites
from spikeworks.convert.neuron import Rule, equal, powers

RULES = [
    (equal(1), 0.5),
    (equal(4), 0.5),
    (equal(4), 0.0),
    (equal(15), 0.25),
    (powers(4), 0.0),
    (powers(8, "nearest"), 0.0),
]
MEANS = torch.tensor([-2.0, -0.5, 0.0, 0.3, 3.0, 10.0, 0.02], dtype=torch.float64)
DEVIATIONS = torch.tensor([1.0, 0.5, 1.0, 4.0, 1.0, 0.5, 0.01], dtype=torch.float64)


def emitted(z: Tensor, unit: Tensor, rule: Rule, fraction: float) -> Tensor:
    """One step of a neuron, from its start."""
    out = torch.zeros_like(z)
    for level, at in zip(rule.levels, rule.at, strict=True):
        out = torch.where(z >= (at - fraction) * unit, level * unit, out)
    return out


@pytest.mark.parametrize(("rule", "fraction"), RULES, ids=lambda v: getattr(v, "name", v))
def test_the_error_is_that_of_samples(rule: Rule, fraction: float) -> None:
    unit = 2 * DEVIATIONS / rule.top
    z = MEANS + DEVIATIONS * torch.randn(200_000, 1, dtype=torch.float64)
    errors = (emitted(z, unit, rule, fraction) - z.relu()).square()
    wanted, spread = errors.mean(0), errors.std(0) / len(z) ** 0.5
    assert ((squared_error(unit, MEANS, DEVIATIONS, rule, fraction) - wanted).abs() < 5 * spread + 1e-9).all()


@pytest.mark.parametrize(("rule", "fraction"), RULES, ids=lambda v: getattr(v, "name", v))
def test_the_fixed_point_has_the_least_error(rule: Rule, fraction: float) -> None:
    found = best_unit(MEANS, DEVIATIONS, rule, fraction)
    least = squared_error(found, MEANS, DEVIATIONS, rule, fraction)
    for share in torch.logspace(-2.5, 2.5, 1001, dtype=torch.float64):  # far
        assert (squared_error(found * share, MEANS, DEVIATIONS, rule, fraction) >= least * (1 - 1.1e-3)).all()
    near = 1e-3  # and stationary: the error rises as the square to either side
    for share in (1 - near, 1 + near):
        rise = squared_error(found * share, MEANS, DEVIATIONS, rule, fraction) - least
        assert (rise > 0).all()
        assert (rise < 50 * near**2 * rule.top**2 * (MEANS.square() + DEVIATIONS.square())).all()


def test_one_level_halfway_is_the_mean_above_half_of_it() -> None:
    """Lloyd's condition, by integration."""
    (unit,) = best_unit(torch.zeros(1), torch.ones(1), equal(1), 0.5)
    z = torch.linspace(float(unit) / 2, 12, 400_001, dtype=torch.float64)
    density = (-z.square() / 2).exp()
    torch.testing.assert_close((z * density).sum() / density.sum(), unit, rtol=1e-4, atol=0)


def test_scale_and_constants() -> None:
    rule = equal(4)
    one, big = (best_unit(s * MEANS, s * DEVIATIONS, rule, 0.5) for s in (1, 1000))
    torch.testing.assert_close(big, 1000 * one)
    constant = best_unit(torch.tensor([2.0, -1.0, 0.0]), torch.zeros(3), rule, 0.5)
    assert min(abs(float(2 / constant[0]) - k) for k in (1, 2, 3, 4)) < 1e-3  # some level is the value
    assert constant[1:].tolist() == [0, 0]
    assert best_unit(torch.tensor([-8.5]), torch.ones(1), rule, 0.5) == 0


def test_a_network_gets_the_thresholds_of_its_own_statistics() -> None:
    network = normalise(exact(Residual()))
    x = torch.rand(23, 1, 8, 8)
    rule = powers(6, "nearest")
    z = network.get_submodule("conv1")(x)
    for scope, axis in (("channel", 1), ("layer", None)):
        specs = gaussian(network, x.split(5), rule, 0.0, scope)  # type: ignore[arg-type]
        assert list(specs) == sites(network)
        rows = z.double().movedim(1, 0).flatten(1) if axis else z.double().reshape(1, -1)
        unit = best_unit(rows.mean(1), rows.std(1, correction=0), rule)
        torch.testing.assert_close(specs["act"].unit.flatten()[unit > 0], unit[unit > 0].float(), rtol=1e-4, atol=0)
        assert all(spec.rule is rule for spec in specs.values())
        shuffled = gaussian(network, x[torch.randperm(23)].split(23), rule, 0.0, scope)  # type: ignore[arg-type]
        for name, spec in specs.items():
            torch.testing.assert_close(spec.threshold, shuffled[name].threshold)


def test_it_rounds_better_than_the_largest_activation_does() -> None:
    network = nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 2)).eval()
    x, rule = torch.randn(500, 16), equal(6)
    graph = normalise(network)
    z = network[0](x).detach()  # type: ignore[operator]
    fitted = gaussian(graph, [x], rule, 0.5)["1"].unit
    largest = maximum(graph, [x], "channel")["1"].levels(6).unit
    errors = [(emitted(z, u, rule, 0.5) - z.relu()).square().mean(0) for u in (fitted, largest)]
    assert (errors[0] < errors[1]).double().mean() > 0.8
    assert errors[0].sum() < 0.9 * errors[1].sum()


def test_what_does_not_fit_is_refused() -> None:
    network, x = normalise(exact(Residual())), exact_images(4)
    dead = exact(Residual())
    with torch.no_grad():
        dead.conv3.bias.fill_(-1e5)  # type: ignore[union-attr, operator]
        broken = exact(Residual())
        broken.conv2.bias[0] = float("nan")  # type: ignore[union-attr, index, operator]
    for call, words in (
        (lambda: gaussian(network, [x], equal(4), 1.0), "fraction=1"),
        (lambda: gaussian(network, [x], equal(4), -0.1), "fraction=-0.1"),
        (lambda: gaussian(network, [], equal(4)), "no data"),
        (lambda: gaussian(network, [x / 0], equal(4)), "NaN or infinity"),
        (lambda: gaussian(normalise(dead), [x], equal(4)), "'relu' was never active"),
        (lambda: gaussian(normalise(broken), [x], equal(4)), "'act_2' got NaN"),
    ):
        with pytest.raises(ValueError, match=words) as refusal:
            call()
        assert "\n" not in str(refusal.value)
