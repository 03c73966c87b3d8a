"""Thresholds: exact maxima, quantiles within the stated bound, balancing site by site; and what is refused."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from convert.small_nets import Residual, exact, exact_images
from spikeworks.convert import convert, normalise
from spikeworks.convert.activation import QCFS, Clip
from spikeworks.convert.calibrate import from_activation, maximum, quantile, threshold_balancing
from spikeworks.convert.graph import sites
from spikeworks.convert.histogram import Histogram
from spikeworks.convert.methods import Max
from spikeworks.measure import record


def activations(network: nn.Module, x: Tensor) -> dict[str, Tensor]:
    with torch.no_grad(), record(network, sites(network)) as seen:  # type: ignore[arg-type]
        network(x)
    return dict(seen)


@pytest.fixture
def network() -> nn.Module:
    return normalise(exact(Residual()))


def test_maximum_is_the_maximum(network: nn.Module) -> None:
    x = torch.rand(23, 1, 8, 8)
    seen = activations(network, x)
    for scope in ("layer", "channel"):
        specs = maximum(network, x.split(5), scope)  # type: ignore[arg-type]
        assert list(specs) == sites(network)  # type: ignore[arg-type]
        for name, spec in specs.items():
            wanted = seen[name].movedim(1, 0).flatten(1).amax(1)
            if scope == "layer":
                assert spec.threshold.shape == ()
                torch.testing.assert_close(spec.threshold, wanted.max())
            else:
                assert spec.threshold.shape == (len(wanted), *(1,) * (seen[name].dim() - 2))
                wanted = torch.where(wanted > 0, wanted, wanted.max())  # silent channels: the layer's largest
                torch.testing.assert_close(spec.threshold.flatten(), wanted)


@pytest.mark.parametrize("q", [0.5, 0.9, 0.99, 0.999, 1.0])
def test_quantile_within_its_bound(network: nn.Module, q: float) -> None:
    x = torch.rand(31, 1, 8, 8)
    seen = activations(network, x)
    for name, spec in quantile(network, x.split(7), q).items():
        ordered = seen[name].flatten().sort().values
        true = ordered[math.ceil(q * len(ordered)) - 1]
        assert true <= spec.threshold < true + ordered[-1] * 2**-12


def test_quantile_does_not_depend_on_order_or_batches(network: nn.Module) -> None:
    x = torch.rand(40, 1, 8, 8) * torch.logspace(-3, 1, 40).view(-1, 1, 1, 1)
    shuffled = x[torch.randperm(40)]
    for scope in ("layer", "channel"):
        whole = quantile(network, [x], 0.97, scope)  # type: ignore[arg-type]
        parts = quantile(network, shuffled.split(1), 0.97, scope)  # type: ignore[arg-type]
        assert all(torch.equal(whole[name].threshold, parts[name].threshold) for name in whole)


def test_histogram_against_sorting() -> None:
    values = torch.randn(3, 50_000).relu() * torch.tensor([[1.0], [0.01], [300.0]])
    histogram = Histogram(3)
    for part in values.split(777, 1):
        histogram.add(part)
    assert histogram.count.sum(1).tolist() == [50_000] * 3
    assert torch.equal(histogram.count[:, 0], (values == 0).sum(1))
    ordered = values.sort(1).values
    for q in (0.1, 0.6, 0.95, 1.0):
        true = ordered[:, math.ceil(q * 50_000) - 1]
        got = histogram.quantile(q)
        assert ((true <= got) & (got < true + values.max() * 2**-12)).all()
    powers = Histogram(1)
    powers.add(torch.tensor([[0.25, 0.5, 1.0, 2.0**40]]))
    assert powers.quantile(1.0) == 2.0**40


def test_balancing_is_the_largest_current_with_earlier_thresholds_set() -> None:
    source = exact(nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 7), nn.ReLU(), nn.Linear(7, 2)))
    with torch.no_grad():
        source[2].bias.fill_(0.125)  # type: ignore[union-attr, operator]
    x = torch.randint(0, 9, (20, 6)) / 8
    specs = threshold_balancing(normalise(source), x.split(6), steps=5)
    with torch.no_grad():
        first = source[0](x)  # type: ignore[operator]
        theta = first.max()
        v, largest = torch.zeros_like(first), []
        for _ in range(5):
            v = v + first
            spikes = (v >= theta) * theta
            v = v - spikes
            largest.append(source[2](spikes).max())  # type: ignore[operator]
    assert specs["1"].threshold == theta
    assert specs["3"].threshold == max(largest)
    assert specs["1"].fraction == 0


def test_balancing_follows_branches() -> None:
    network = normalise(exact(Residual()))
    specs = threshold_balancing(network, [exact_images(6)], steps=4)
    assert list(specs) == sites(network)


def test_learned_bounds() -> None:
    source = nn.Sequential(nn.Linear(2, 2), QCFS(4, 1.5), nn.Linear(2, 2), Clip(3.0)).eval()
    specs = from_activation(normalise(source), (QCFS, Clip), "both")
    assert [float(spec.threshold) for spec in specs.values()] == [1.5, 3]
    with pytest.raises(ValueError, match=r"'3' \(Clip\).*replace_activations"):
        from_activation(normalise(source), (QCFS,), "QCFS")
    with torch.no_grad():
        source[1].bound.fill_(-0.1)  # type: ignore[union-attr, operator]
    with pytest.raises(ValueError, match="not above 0"):
        from_activation(normalise(source), (QCFS, Clip), "both")


def test_bad_data_is_refused(network: nn.Module) -> None:
    x = exact_images(4)
    with pytest.raises(ValueError, match="no data"):
        maximum(network, [])
    with pytest.raises(ValueError, match="batch 1"):
        maximum(network, [x, x / 0])
    with pytest.raises(ValueError, match="floating-point"):
        maximum(network, [x.long()])
    with pytest.raises(ValueError, match="read once"):
        threshold_balancing(network, iter([x]))
    with pytest.raises(ValueError, match="quantile got q=0"):
        quantile(network, [x], 0)
    with pytest.raises(ValueError, match="training data"):
        convert(exact(Residual()), Max())


def test_a_silent_layer_is_named() -> None:
    source = exact(Residual())
    with torch.no_grad():
        source.conv3.bias.fill_(-1e5)  # type: ignore[union-attr, operator]
    for calibrate in (maximum, quantile, threshold_balancing):
        with pytest.raises(ValueError, match="'relu' was never active"):
            calibrate(normalise(source), [exact_images(4)])


def test_broken_weights_are_named() -> None:
    source = exact(Residual())
    with torch.no_grad():
        source.conv2.bias[0] = float("nan")  # type: ignore[union-attr, index, operator]
    with pytest.raises(ValueError, match="'act_2' got NaN"):
        maximum(normalise(source), [exact_images(4)])


def test_an_unknown_channel_axis_is_refused() -> None:
    source = nn.Sequential(nn.Linear(4, 6), nn.Unflatten(1, (2, 3)), nn.ReLU()).eval()
    with pytest.raises(ValueError, match="scope='layer'"):
        maximum(normalise(source), [torch.rand(3, 4)], "channel")
