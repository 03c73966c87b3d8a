"""Neurons of several levels, signed ones, bounded ones: charge, allowed values, firing points, silence."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from spikeworks.convert.neuron import ONCE, TERNARY, BoundedIF, DifferentialIF, Rule, ValueIF, equal, powers
from spikeworks.neurons import Neuron, scan

RULES = {"once": ONCE, "3 equal": equal(3), "half": powers(5, "half"), "nearest": powers(5, "nearest"), "±1": TERNARY}


def values(rule: Rule, threshold: float, negative: float) -> Tensor:
    """All that one step may emit."""
    up = torch.tensor([0.0, *(level * threshold for level in rule.levels)], dtype=torch.float64)
    return torch.cat((up, -up[1:] / threshold * negative)) if rule.signed else up


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("per_channel", [False, True])
def test_charge_is_conserved_and_only_levels_come_out(name: str, per_channel: bool) -> None:
    rule, x_T = RULES[name], torch.randn(13, 5, 3, 7, dtype=torch.float64) * 2
    threshold = torch.rand(3, 1).double() + 0.2 if per_channel else torch.tensor(0.25).double()
    out_T, (v,) = scan(ValueIF(threshold=threshold, negative=0.5, fraction=0.5, rule=rule), x_T)
    assert (out_T.sum(0) + v - x_T.sum(0) - 0.5 * threshold).abs().max() < 1e-12
    if not per_channel:
        assert torch.isin(out_T, values(rule, 0.25, 0.5)).all()
        assert out_T.unique().numel() > (2 if rule.top > 1 else 1)


@pytest.mark.parametrize(
    ("rule", "points"),
    [
        (powers(3, "half"), {0.5: 1, 1.5: 2, 3.5: 4}),  # ECMT: level − base/2
        (powers(3, "nearest"), {0.75: 1, 1.5: 2, 3.0: 4}),  # DCGS: ¾ of the level, halfway from the one below
        (equal(3), {1.0: 1, 2.0: 2, 3.0: 3}),
    ],
)
def test_a_level_fires_from_its_point_on(rule: Rule, points: dict[float, int]) -> None:
    below = 0
    for point, level in points.items():
        x_T = torch.tensor([[point, point - 2**-20, -point, -point + 2**-20]], dtype=torch.float64)
        out_T, _ = scan(ValueIF(fraction=0.0, rule=rule), x_T)
        down = [-level, -below] if rule.signed else [0, 0]
        assert out_T.tolist() == [[level, below, *down]]
        below = level


def test_positive_and_negative_levels_differ() -> None:
    x_T = torch.tensor([[0.9, -0.9, -0.4]], dtype=torch.float64)
    out_T, _ = scan(ValueIF(threshold=1.0, negative=0.25, fraction=0.0, rule=powers(3, "half")), x_T)
    assert out_T.tolist() == [[1.0, -1.0, -0.5]]  # −0.9 and −0.4 in units of 0.25: −3.6 and −1.6


def test_silence_after_settling() -> None:
    """Zero input: what is left in the membrane is emitted, and then nothing for ever."""
    x_T = torch.zeros(20, 1000, dtype=torch.float64)
    x_T[0] = torch.randn(1000).double() * 5
    for rule in (powers(6, "half"), powers(6, "nearest")):
        out_T, (v,) = scan(ValueIF(threshold=0.1, negative=0.1, fraction=0.0, rule=rule), x_T)
        assert (out_T[10:] == 0).all()
        assert v.abs().max() < 0.076


@pytest.mark.parametrize("steps", [1, 2, 5])
@pytest.mark.parametrize("levels", [1, 2, 4, 6])
def test_equal_levels_are_the_staircase_of_as_many_for_constant_input(levels: int, steps: int) -> None:
    """T steps of K levels are QCFS with K·T levels; the input is in [−½, 1½] of the range, ties included."""
    z = torch.arange(-64, 193).double() / 128
    unit = torch.tensor(1 / levels, dtype=torch.float64)
    out_T, _ = scan(ValueIF(threshold=unit, fraction=0.5, rule=equal(levels)), z.expand(steps, -1))
    count = levels * steps
    wanted = (z * count + 0.5).floor().clamp(0, count) / count
    assert (out_T.mean(0) - wanted).abs().max() < 1e-12


def test_equal_levels_are_smaller_thresholds_for_more_steps() -> None:
    """One step of K levels on I is K steps of threshold θ/K on I/K each, where 0 ≤ I < θ."""
    x_T = torch.rand(7, 5000, dtype=torch.float64)
    levels = 4
    group, _ = scan(ValueIF(threshold=1 / levels, fraction=0.5, rule=equal(levels)), x_T)
    fine, _ = scan(ValueIF(threshold=1 / levels, fraction=0.5), (x_T / levels).repeat_interleave(levels, 0))
    assert (group - fine.unflatten(0, (7, levels)).sum(1)).abs().max() < 1e-12


def test_a_neuron_in_the_place_of_a_relu_takes_back_no_more_than_it_gave() -> None:
    x_T = torch.randn(40, 2000, dtype=torch.float64)
    rule = powers(4, "nearest")
    for neuron in (BoundedIF(threshold=0.25, negative=0.25, rule=rule), DifferentialIF(rule=rule, low=0.0)):
        out_T, _ = scan(neuron, x_T)
        t = torch.arange(1, 41).double().view(-1, 1) if neuron.kind is DifferentialIF else 1.0
        total_T = (out_T / t).cumsum(0)
        assert total_T.min() > -1e-12
        assert (out_T < 0).any()
        free, _ = scan(ValueIF(threshold=0.25, negative=0.25, fraction=0.0, rule=rule), x_T)
        assert free.cumsum(0).min() < -1  # the bound is what holds it


def test_ternary_neurons_settle_at_the_quantised_value() -> None:
    """ST-BIF: an input sent once, then zeros: after as many steps as levels the total is the rounded, clipped value."""
    levels, z = 8, torch.linspace(-1.3, 1.3, 997, dtype=torch.float64)
    x_T = torch.zeros(2 * levels, 997, dtype=torch.float64)
    x_T[0] = z
    neuron = BoundedIF(threshold=1 / levels, negative=1 / levels, fraction=0.5, low=-1.0, high=1.0, rule=TERNARY)
    total = scan(neuron, x_T)[0].sum(0)
    assert (total - (z * levels + 0.5).floor().clamp(-levels, levels) / levels).abs().max() < 1e-12


def test_differential_neurons_refine_an_order_of_magnitude_faster_than_rate() -> None:
    """N(0, 1), largest level 4·q99, 8 levels: the figures of the specification, within the sampling of 2·10⁵ values."""
    x = torch.randn(200_000, generator=torch.Generator().manual_seed(0))
    unit = 4 * 2.326 / 128
    once_T = torch.zeros(8, 200_000)
    once_T[0] = x
    t = torch.arange(1, 9).view(-1, 1)
    fine_T = scan(DifferentialIF(threshold=unit, negative=unit), once_T)[0]
    rate = ValueIF(threshold=unit, negative=unit, fraction=0.0, rule=powers(8, "nearest"))
    coarse_T = scan(rate, x.expand(8, -1))[0]
    for estimate_T, wanted in (
        ((fine_T / t).cumsum(0), (0.194, 0.0375, 0.0064, 0.0032)),
        (coarse_T.cumsum(0) / t, (0.194, 0.103, 0.052, 0.027)),
    ):
        found = [float((estimate_T[i] - x).square().mean().sqrt()) for i in (0, 1, 3, 7)]
        assert found == pytest.approx(wanted, rel=0.04)
    fired = (fine_T != 0).float()
    assert [float(fired[:n].mean()) for n in (1, 4, 8)] == pytest.approx((0.96, 0.60, 0.34), abs=0.01)


@pytest.mark.parametrize(
    "neuron",
    [
        ValueIF(threshold=0.25, fraction=0.5, rule=equal(3)),
        ValueIF(threshold=0.1, negative=0.2, fraction=0.0, rule=powers(8, "half")),
        BoundedIF(threshold=0.3, negative=0.3, fraction=0.5, low=-1.0, high=2.0),
        DifferentialIF(threshold=0.05, negative=0.05, low=0.0),
    ],
    ids=lambda n: f"{n.kind.__name__} {n.options['rule'].name}",
)
def test_fused_equals_eager(neuron: Neuron) -> None:
    x_T = torch.randn(7, 3, 1001)
    (fast, fast_state), (slow, slow_state) = (scan(neuron, x_T, backend=b) for b in ("fused_cpu", "eager"))
    assert torch.equal(fast, slow)
    assert all(map(torch.equal, fast_state, slow_state))


@pytest.mark.parametrize(
    "make",
    [
        lambda: equal(0),
        lambda: powers(0),
        lambda: powers(4, "nearer"),
        lambda: Rule("", (1, 2), (1.0,)),
        lambda: Rule("", (2, 1), (1.0, 2.0)),
    ],
)
def test_rules_that_are_none_are_refused(make: object) -> None:
    with pytest.raises(ValueError, match="expected"):
        make()  # type: ignore[operator]
