"""Max pooling over time: gated, before the neuron, or averaged."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spikeworks.convert import DeltaMaxPool, GatedMaxPool, Max, convert, normalise
from spikeworks.convert.graph import sites

POOLS = [
    (nn.MaxPool1d(3, 2, padding=1), (4, 11)),
    (nn.MaxPool2d(2), (3, 7, 9)),
    (nn.MaxPool2d((3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2), ceil_mode=True), (2, 9, 9)),
    (nn.MaxPool3d(2), (2, 4, 5, 6)),
    (nn.AdaptiveMaxPool1d(3), (2, 7)),
    (nn.AdaptiveMaxPool2d((2, 3)), (2, 5, 8)),
]


@pytest.mark.parametrize(("pool", "shape"), POOLS)
def test_gated_pooling_passes_the_unit_with_the_largest_sum(pool: nn.Module, shape: tuple[int, ...]) -> None:
    x_T = (torch.rand(6, 3, *shape) > 0.6).float()
    y_T, _ = GatedMaxPool(pool).stream(x_T)  # type: ignore[arg-type]
    total = torch.zeros_like(x_T[0])
    for x, y in zip(x_T, y_T, strict=True):
        total += x
        # a strictly decreasing tie-break on the position makes the first of equals the largest, as torch does
        where = torch.arange(total[0, 0].numel()).view(total.shape[2:])
        ranked = total.double() - where * 1e-6
        unique = pool(ranked)
        spread = unique.flatten(2).unsqueeze(-1) == ranked.flatten(2).unsqueeze(2)
        wanted = (spread * x.flatten(2).unsqueeze(2)).sum(-1).view(y.shape)
        assert torch.equal(y.double(), wanted.double())


@pytest.mark.parametrize(("pool", "shape"), POOLS)
def test_delta_pooling_gives_the_maximum_of_the_sums_at_every_step(pool: nn.Module, shape: tuple[int, ...]) -> None:
    x_T = torch.randint(-3, 9, (6, 3, *shape)) / 8  # exact sums
    y_T, _ = DeltaMaxPool(pool).stream(x_T)  # type: ignore[arg-type]
    for steps in range(1, 7):
        assert torch.equal(y_T[:steps].sum(0), pool(x_T[:steps].sum(0)))


@pytest.mark.parametrize(("pool", "shape"), POOLS)
def test_delta_pooling_of_spikes_gives_spikes(pool: nn.Module, shape: tuple[int, ...]) -> None:
    x_T = (torch.rand(9, 2, *shape) > 0.7) * 0.75
    y_T, _ = DeltaMaxPool(pool).stream(x_T)  # type: ignore[arg-type]
    assert set(y_T.unique().tolist()) == {0.0, 0.75}


@pytest.mark.parametrize("kind", [DeltaMaxPool, GatedMaxPool])
@pytest.mark.parametrize(("pool", "shape"), POOLS)
def test_pooling_of_constant_input_is_max_pooling(
    kind: type[DeltaMaxPool] | type[GatedMaxPool], pool: nn.Module, shape: tuple[int, ...]
) -> None:
    x = torch.randint(0, 99, (2, *shape)) / 64
    y_T, _ = kind(pool).stream(x.expand(4, *x.shape))  # type: ignore[arg-type]
    assert torch.equal(y_T, pool(x).expand(4, *y_T.shape[1:]))


@pytest.mark.parametrize("kind", [DeltaMaxPool, GatedMaxPool])
def test_pooling_carries_its_sums(kind: type[DeltaMaxPool] | type[GatedMaxPool]) -> None:
    layer = kind(nn.MaxPool2d(2))
    x_T = torch.rand(7, 2, 3, 4, 4).round(decimals=1)
    whole, _ = layer.stream(x_T)
    first, state = layer.stream(x_T[:3])
    second, _ = layer.stream(x_T[3:], state)
    assert torch.equal(torch.cat((first, second)), whole)


class Pooled(nn.Module):
    """conv → relu → max pool → linear."""

    def __init__(self, pool: nn.Module | None = None) -> None:
        super().__init__()
        self.conv, self.fc, self.pool = nn.Conv2d(1, 4, 3), nn.Linear(4 * 9, 5), pool or nn.MaxPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.pool(F.relu(self.conv(x))).flatten(1))


def test_pooling_before_the_neuron_is_the_same_deep_network() -> None:
    source = Pooled().eval()
    network = normalise(source, pooling="pre-neuron")
    order = [str(node.target) for node in network.graph.nodes if node.op == "call_module"]
    assert order == ["conv", "pool", "relu", "fc"]
    x = torch.randn(3, 1, 8, 8)
    assert torch.equal(network(x), source(x))


def test_pooling_before_the_neuron_needs_a_neuron_of_its_own() -> None:
    class Shared(Pooled):
        def forward(self, x: Tensor) -> Tensor:
            y = F.relu(self.conv(x))
            return self.fc((self.pool(y) + F.interpolate(y, size=3)).flatten(1))

    with pytest.raises(ValueError, match="pooling='delta'"):
        normalise(Shared().eval(), pooling="pre-neuron")


@pytest.mark.parametrize("between", [lambda y: torch.cat([y, y], 1), lambda y: y + y, nn.BatchNorm2d(2).eval()])
def test_pooling_before_the_neuron_refuses_what_is_no_current(between: object) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.pool = nn.Conv2d(1, 2, 3), nn.MaxPool2d(2)
            self.between = between

        def forward(self, x: Tensor) -> Tensor:
            return self.pool(self.between(torch.relu(self.conv(x))))  # type: ignore[operator]

    with pytest.raises(ValueError, match=r"'pool', which pools .*choose pooling='delta'"):
        normalise(Net().eval(), "pre-neuron")


def test_averaging_replaces_the_pooling() -> None:
    source = Pooled().eval()
    network = normalise(source, pooling="avg")
    x = torch.randn(3, 1, 8, 8)
    wanted = source.fc(F.avg_pool2d(F.relu(source.conv(x)), 2).flatten(1))
    assert torch.equal(network(x), wanted)
    functional = normalise(Pooled(nn.AdaptiveMaxPool2d(3)).eval(), pooling="avg")
    assert isinstance(functional.get_submodule("pool"), nn.AdaptiveAvgPool2d)
    with pytest.raises(ValueError, match="dilation"):
        normalise(Pooled(nn.MaxPool2d(2, dilation=2)).eval(), pooling="avg")


@pytest.mark.parametrize("pooling", ["delta", "pre-neuron"])
def test_converted_pooling_tends_to_the_deep_network(pooling: str) -> None:
    """The current is constant here, so both are right in the limit."""
    torch.manual_seed(0)
    source, x = Pooled().eval(), torch.rand(8, 1, 8, 8)
    snn, _ = convert(source, Max(pooling=pooling), [x])  # type: ignore[arg-type]
    errors = [(snn(x, steps) - source(x)).abs().max().item() for steps in (16, 256)]
    assert errors[1] < errors[0] / 8
    assert errors[1] < 0.02


def test_pooling_of_the_input_stays_as_it_is() -> None:
    source = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3)).eval()
    x = torch.rand(4, 1, 8, 8)
    nn.init.uniform_(source[1].weight)  # type: ignore[arg-type]
    snn, _ = convert(source, Max(), [x])
    assert isinstance(snn.network.get_submodule("0"), nn.MaxPool2d)
    assert sites(snn.network) == ["2"]


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(ValueError, match="expected one of"):
        normalise(Pooled().eval(), pooling="none")  # type: ignore[arg-type]
