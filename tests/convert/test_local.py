"""The local rule against a slow loop, where it tends to, and when a delayed readout begins."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from convert.small_nets import Residual, digits, exact, exact_images, trained
from spikeworks.convert import ThresholdSpec, normalise
from spikeworks.convert.build import spiking
from spikeworks.convert.calibrate import maximum
from spikeworks.convert.execute import window
from spikeworks.convert.graph import sites
from spikeworks.convert.local import local_rule, readout_start


def two_layers() -> nn.Sequential:
    return nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)).eval()


def by_hand(network: nn.Sequential, batches: list[Tensor], rate: float, channel: bool) -> dict[str, list[float]]:
    """One number at a time."""
    network = copy.deepcopy(network).requires_grad_(False)
    theta: dict[str, list[float]] = {"1": [0.0] * 4, "3": [0.0] * 3}
    for x in batches:
        values = x.double()
        for linear, name in ((network[0], "1"), (network[2], "3")):
            z = values @ linear.weight.double().T + linear.bias.double()  # type: ignore[operator, union-attr]
            excess = [[max(float(v) - theta[name][c], 0.0) for c, v in enumerate(row)] for row in z]
            for c in range(z.shape[1]):
                own = [row[c] for row in excess] if channel else [v for row in excess for v in row]
                theta[name][c] += rate * 2 * sum(own) / len(own)
            values = torch.tensor(
                [[min(max(float(v), 0), theta[name][c]) for c, v in enumerate(r)] for r in z]
            ).double()
    return theta


@pytest.mark.parametrize("rate", [1.0, 0.3])
@pytest.mark.parametrize("scope", ["channel", "layer"])
def test_it_is_the_slow_loop(scope: str, rate: float) -> None:
    network, x = two_layers(), torch.randn(22, 5)
    batches = list(x.split(8))  # the last one is smaller
    specs = local_rule(normalise(network), batches, 7, rate, scope)  # type: ignore[arg-type]
    wanted = by_hand(network, [*batches, *batches, batches[0]], rate, scope == "channel")
    for name, spec in specs.items():
        expected = torch.tensor(wanted[name] if scope == "channel" else wanted[name][0]).float()
        expected = torch.where(expected > 0, expected, expected.max())  # a silent channel
        assert spec.threshold.shape == expected.shape
        torch.testing.assert_close(spec.threshold, expected, rtol=1e-5, atol=1e-6)
        assert spec.fraction == 0.5


def test_images_have_a_threshold_per_channel() -> None:
    network = normalise(exact(Residual()))
    specs = local_rule(network, [exact_images(6), exact_images(5, 2)], 5)
    assert list(specs) == sites(network)
    assert [tuple(spec.threshold.shape) for spec in specs.values()] == [(6, 1, 1), (6, 1, 1), (8, 1, 1), (12,)]
    first = maximum(network, [exact_images(6), exact_images(5, 2)], "channel")["act"].threshold
    assert (specs["act"].threshold > 0.5 * first).all()


def test_it_rises_from_zero_to_the_largest_activation() -> None:
    """The first site sees what does not change. Later ones may pass their largest; at the end none is far below."""
    network, data = normalise(two_layers()), list(torch.randn(24, 5).split(8))
    largest = maximum(network, data, "channel")
    before = dict.fromkeys(largest, torch.zeros(()))
    gaps = []
    for iterations in (1, 2, 5, 20, 100, 400):
        specs = local_rule(network, data, iterations, 0.5)
        for name, spec in specs.items():
            assert (spec.threshold >= before[name]).all()
        before = {name: spec.threshold for name, spec in specs.items()}
        gap = largest["1"].threshold - specs["1"].threshold
        assert (gap >= -1e-6).all()  # with a rate of at most 1/2 it never passes
        gaps.append(float(gap.max()))
    assert gaps[0] > 10 * gaps[-2]
    assert gaps[-1] < 1e-3 * float(largest["1"].threshold.max())
    assert (before["3"] > 0.999 * largest["3"].threshold).all()


def test_a_rate_of_one_passes_the_largest_where_everything_exceeds() -> None:
    network = nn.Sequential(nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 1)).eval()
    with torch.no_grad():
        network[0].weight.fill_(1)  # type: ignore[union-attr, operator]
        network[0].bias.fill_(0)  # type: ignore[union-attr, operator]
    assert local_rule(normalise(network), [torch.ones(3, 1)], 9)["1"].threshold == 2
    assert local_rule(normalise(network), [torch.ones(3, 1)], 9, 0.5)["1"].threshold == 1


def test_the_network_it_makes_follows_its_source() -> None:
    """Max pooling before the neuron, as the method takes it."""
    layers = nn.Conv2d(1, 6, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(54, 10)
    source = trained(lambda: nn.Sequential(*layers), 4)
    (x, _), _ = digits()
    network = normalise(source, "pre-neuron")
    assert torch.equal(network(x), source(x))
    snn = spiking(network, local_rule(network, x[:400].split(100), 200), "pre-neuron")
    with torch.no_grad():
        y_T, _ = window(snn, x[:200], 64)
        agreement = (y_T.mean(0).argmax(1) == source(x[:200]).argmax(1)).double().mean()
    assert agreement > 0.97


def test_the_readout_begins_when_the_fastest_have_fired() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2)).eval()
    with torch.no_grad():
        for layer in (network[0], network[2]):
            layer.weight.copy_(torch.diag(torch.tensor([0.25, 0.125])))  # type: ignore[union-attr, operator]
            layer.bias.zero_()  # type: ignore[union-attr, operator]
    specs = {n: ThresholdSpec(torch.tensor(1.0), 0.5) for n in ("1", "3")}
    # means 1/4 and 1/16 of the faster neurons, half a threshold to go: 2 + 8 steps
    data = [torch.tensor([[0.5, 0.5]]), torch.tensor([[1.5, 1.5]])]
    graph = normalise(network)
    assert readout_start(graph, specs, data, 100) == 10
    assert readout_start(graph, specs, data, 14) == 10
    assert readout_start(graph, specs, data, 13) == 9
    assert readout_start(graph, specs, data, 3) == 0
    clipped = {**specs, "1": ThresholdSpec(torch.tensor(0.125), 0.0)}  # 1/2 + 16 steps: the second sees 1/8
    assert readout_start(graph, clipped, data, 100) == 16
    channels = {**specs, "1": ThresholdSpec(torch.tensor([2.0, 0.25]), 0.5)}  # the second channel is the fastest: 1 + 8
    assert readout_start(graph, channels, data, 100) == 9


def test_what_does_not_fit_is_refused() -> None:
    network, x = normalise(two_layers()), torch.randn(6, 5)
    dead = two_layers()
    with torch.no_grad():
        dead[2].bias.fill_(-1e5)  # type: ignore[union-attr, operator]
    broken = two_layers()
    with torch.no_grad():
        broken[0].bias.fill_(float("nan"))  # type: ignore[union-attr, operator]
    unknown = nn.Sequential(nn.Linear(5, 6), nn.Unflatten(1, (2, 3)), nn.ReLU()).eval()
    specs = {"1": ThresholdSpec(torch.tensor(1.0))}
    for call, words in (
        (lambda: local_rule(network, [], 3), "no data"),
        (lambda: local_rule(network, iter([x]), 3), "read once"),
        (lambda: local_rule(network, [x], 0), "iterations=0"),
        (lambda: local_rule(network, [x], 3, 0.0), "rate=0"),
        (lambda: local_rule(network, [x / 0], 3), "NaN or infinity in batch 0"),
        (lambda: local_rule(normalise(dead), [x], 3), "'3' was never active"),
        (lambda: local_rule(normalise(broken), [x], 3), "'1' got NaN"),
        (lambda: local_rule(normalise(unknown), [x], 3), "scope='layer'"),
        (lambda: readout_start(network, specs, [x], 8), "no threshold for '3'"),
        (lambda: readout_start(network, specs, [x], 0), "steps=0"),
        (lambda: readout_start(network, specs, [], 8), "no data"),
    ):
        with pytest.raises(ValueError, match=words) as refusal:
            call()
        assert "\n" not in str(refusal.value)
