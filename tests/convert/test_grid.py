"""The grid against trying every candidate; how batches are averaged; what is refused."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from convert.small_nets import Residual, exact, exact_images
from spikeworks.convert import normalise
from spikeworks.convert.graph import sites
from spikeworks.convert.grid import best, least_error
from spikeworks.measure import record


def tried(y_CN: Tensor, steps: int) -> Tensor:
    """Every candidate, each value rounded."""
    found = []
    for row in y_CN.double():
        candidates = [row.max() * (1 - 0.01 * i) for i in range(95)]
        errors = [((row / c * steps).clamp(0, steps).floor() * c / steps - row).square().sum() for c in candidates]
        found.append(candidates[int(torch.stack(errors).argmin())])
    return torch.stack(found)


@pytest.mark.parametrize("steps", [1, 2, 5, 32, 200])
def test_it_is_the_best_of_all_candidates(steps: int) -> None:
    y = torch.randn(6, 301).relu() * torch.logspace(-3, 3, 6).unsqueeze(1)
    y[1] = torch.rand(301).square()
    y[2, :300] *= 0.01  # an outlier
    torch.testing.assert_close(best(y, steps), tried(y, steps), rtol=1e-12, atol=0)


def test_few_steps_clip_more() -> None:
    y = torch.randn(1, 5000).abs()
    shares = [float(best(y, steps) / y.double().max()) for steps in (2, 8, 64)]
    assert shares == sorted(shares)
    assert shares[0] < 0.6
    assert shares[-1] > 0.75


@pytest.mark.parametrize("scope", ["layer", "channel"])
def test_later_batches_count_more(scope: str) -> None:
    network = normalise(exact(Residual()))
    data = [exact_images(5, seed) for seed in (1, 2, 3)]
    specs = least_error(network, data, 8, scope, 0.75)  # type: ignore[arg-type]
    assert list(specs) == sites(network)
    seen: list[dict[str, Tensor]] = []
    for x in data:
        with torch.no_grad(), record(network, sites(network)) as now:
            network(x)
        seen.append(dict(now))
    for name, spec in specs.items():
        axis_first = [s[name].movedim(1, 0).flatten(1) if scope == "channel" else s[name].reshape(1, -1) for s in seen]
        a, b, c = (tried(rows, 8) if rows.max() > 0 else rows[:, 0] for rows in axis_first)
        wanted = 0.75 * (0.75 * a + 0.25 * b) + 0.25 * c
        always = (a > 0) & (b > 0) & (c > 0)
        assert always.any()
        torch.testing.assert_close(spec.threshold.flatten()[always].double(), wanted[always], rtol=1e-5, atol=0)
        assert (spec.threshold > 0).all()
    assert (
        len({float(s["act"].threshold.sum()) for s in (specs, least_error(network, data[::-1], 8, scope, 0.75))}) == 2
    )  # type: ignore[arg-type]


def test_a_channel_that_is_silent_for_a_batch_keeps_its_threshold() -> None:
    network = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)).eval()
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[1.0, 0], [0, 1.0], [-1.0, -1.0]]))  # type: ignore[union-attr, operator]
        network[0].bias.zero_()  # type: ignore[union-attr, operator]
    graph, ones = normalise(network), torch.ones(4, 1)
    both, first = torch.cat((2 * ones, 3 * ones), 1), torch.cat((ones, 0 * ones), 1)
    theta = least_error(graph, [both, first], 4, "channel", 0.5)["1"].threshold
    assert theta[1] == least_error(graph, [both], 4, "channel")["1"].threshold[1]  # silent in the second
    assert theta[2] == theta.max()  # silent in both
    assert theta[0] < 2
    later = least_error(graph, [first, both], 4, "channel", 0.5)["1"].threshold
    assert later[1] == theta[1]


def test_what_does_not_fit_is_refused() -> None:
    network, x = normalise(exact(Residual())), exact_images(4)
    dead = exact(Residual())
    with torch.no_grad():
        dead.conv3.bias.fill_(-1e5)  # type: ignore[union-attr, operator]
    for call, words in (
        (lambda: least_error(network, [x], 0), "steps=0"),
        (lambda: least_error(network, [x], 4, momentum=1.0), "momentum=1"),
        (lambda: least_error(network, [], 4), "no data"),
        (lambda: least_error(network, [x / 0], 4), "NaN or infinity"),
        (lambda: least_error(network, [x], 4, "pixel"), "scope='pixel'"),  # type: ignore[arg-type]
        (lambda: least_error(normalise(dead), [x], 4), "'relu' was never active"),
    ):
        with pytest.raises(ValueError, match=words) as refusal:
            call()
        assert "\n" not in str(refusal.value)
