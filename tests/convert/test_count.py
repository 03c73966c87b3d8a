"""Operations are counted from the spikes that were there, along every path they take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convert.small_nets import Branches, Residual, exact, exact_images
from spikeworks.convert import Max, convert
from spikeworks.convert.count import Counting, Operation, Tally, gather
from spikeworks.convert.execute import window
from spikeworks.measure import fan_out


class Dense(nn.Module):
    """Every neuron of the first layer fires at every step; then ``body``."""

    def __init__(self, body: Callable[[Any, Tensor], Tensor], **modules: nn.Module) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 4, 1)
        nn.init.zeros_(self.first.weight)
        nn.init.ones_(self.first.bias)  # type: ignore[arg-type]
        for name, module in modules.items():
            self.add_module(name, module)
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        return self.body(self, F.relu(self.first(x)))


def count(source: nn.Module, x: Tensor, steps: int) -> dict[str, Operation]:
    snn, _ = convert(source.eval(), Max(), [x])
    tally = Tally()
    with torch.no_grad():
        window(snn.network, x, steps, interpreter=lambda g, c, at: Counting(g, c, at, tally, lambda name, y_T: None))
    return {operation.name: operation for operation in tally.operations.values()}


LAYERS = [
    nn.Conv2d(4, 6, 3, padding=1),
    nn.Conv2d(4, 6, 3, stride=2, padding=2, bias=False),
    nn.Conv2d(4, 8, (3, 2), groups=4, dilation=2),
    nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular", groups=2),
    nn.ConvTranspose2d(4, 3, 3, stride=2, padding=1),
    nn.Sequential(nn.Flatten(), nn.Linear(4 * 63, 5)),
]


@pytest.mark.parametrize("layer", LAYERS, ids=repr)
def test_dense_spikes_cost_as_many_accumulates_as_multiplications(layer: nn.Module) -> None:
    operations = count(Dense(lambda self, y: self.layer(y), layer=layer), torch.rand(3, 1, 7, 9), 5)
    (name,) = [key for key in operations if key.startswith("layer")]
    operation = operations[name]
    assert operation.drive == "spikes"
    assert operation.accumulates.tolist() == [3 * operation.macs] * 5  # 3 samples, at each of 5 steps
    assert operations["first"].drive == "still"


def test_macs_by_hand() -> None:
    assert fan_out(nn.Conv2d(3, 8, 3, padding=1), (3, 10, 12)).sum() == 3 * 8 * (10 * 3 - 2) * (12 * 3 - 2)
    assert fan_out(nn.Conv2d(3, 8, 3), (3, 10, 12)).sum() == 3 * 8 * 9 * 8 * 10
    assert fan_out(nn.Conv2d(4, 8, 3, groups=4), (4, 5, 5)).sum() == 4 * 2 * 9 * 9
    assert fan_out(nn.Linear(7, 11), (7,)).sum() == 77
    assert fan_out(nn.Linear(7, 11), (5, 7)).sum() == 5 * 77


def test_sparse_spikes_by_brute_force() -> None:
    """Accumulates of a layer: for each spike, the weights it meets, found by switching on one input at a time."""
    source, x = exact(Residual()), exact_images(2)
    snn, _ = convert(source, Max(), [x])
    tally, spikes = Tally(), {}
    with torch.no_grad():
        watch = spikes.__setitem__
        window(snn.network, x, 6, interpreter=lambda g, c, at: Counting(g, c, at, tally, watch))
        ones = nn.Conv2d(6, 6, 3, padding=1, bias=False)
        nn.init.ones_(ones.weight)
        fired_T = (spikes["act"] != 0).float()
        wanted = [float(ones(step).sum()) for step in fired_T]
    operations = {operation.name: operation for operation in tally.operations.values()}
    assert operations["conv2"].accumulates.tolist() == wanted
    assert 0 < sum(wanted) < 2 * 6 * operations["conv2"].macs


def test_pooled_spikes_all_go_on() -> None:
    """Behind an average pooling each spike still costs its own accumulates: the 1/k² lies in the weights."""
    body = lambda self, y: self.fc(F.avg_pool2d(y, 2).flatten(1))  # noqa: E731
    operations = count(Dense(body, fc=nn.Linear(4 * 4, 5)), torch.rand(2, 1, 4, 4), 3)
    assert operations["fc"].accumulates.tolist() == [2 * (4 * 16) * 5] * 3
    body = lambda self, y: self.fc(y.mean((2, 3)))  # noqa: E731
    operations = count(Dense(body, fc=nn.Linear(4, 5)), torch.rand(2, 1, 4, 4), 3)
    assert operations["fc"].accumulates.tolist() == [2 * (4 * 16) * 5] * 3


def test_joined_branches_carry_the_spikes_of_both() -> None:
    body = lambda self, y: self.fc((y + torch.cat((y[:, 2:], y[:, :2]), 1) * 0.5).flatten(1))  # noqa: E731
    operations = count(Dense(body, fc=nn.Linear(64, 5)), torch.rand(2, 1, 4, 4), 3)
    assert operations["fc"].accumulates.tolist() == [2 * 2 * 64 * 5] * 3


def test_normalisation_between_lets_spikes_through() -> None:
    body = lambda self, y: self.conv(self.norm(y))  # noqa: E731
    operations = count(Dense(body, norm=nn.BatchNorm2d(4), conv=nn.Conv2d(4, 2, 1)), torch.rand(2, 1, 4, 4), 3)
    assert operations["conv"].accumulates.tolist() == [2 * 4 * 16 * 2] * 3


def test_currents_without_a_neuron_between_are_analog() -> None:
    operations = count(exact(Branches()), exact_images(4), 4)
    drives = {name: operation.drive for name, operation in operations.items()}
    assert drives == {
        "stem": "still", "left": "spikes", "right": "spikes", "squeeze": "spikes", "expand": "analog", "head": "spikes"
    }  # fmt: skip
    assert not operations["expand"].accumulates.any()


def test_a_layer_called_twice_counts_twice() -> None:
    body = lambda self, y: self.conv(F.relu(self.conv(y) * 0 + 1))  # noqa: E731
    operations = count(Dense(body, conv=nn.Conv2d(4, 4, 1)), torch.rand(2, 1, 3, 3), 2)
    assert list(operations) == ["first", "conv", "conv_2"]
    assert operations["conv"].macs == operations["conv_2"].macs == 9 * 16


FUNCTIONS: dict[str, tuple[Callable[[Any, Tensor], Tensor], nn.Module]] = {
    "conv2d": (lambda self, y: F.conv2d(y, self.layer.weight, self.layer.bias, 2, padding=1), nn.Conv2d(4, 6, 3, 2, 1)),
    "grouped": (lambda self, y: F.conv2d(y, self.layer.weight, groups=2), nn.Conv2d(4, 6, 3, groups=2)),
    "linear": (lambda self, y: F.linear(y, self.layer.weight, bias=self.layer.bias), nn.Linear(9, 5)),
    "matmul": (lambda self, y: y @ self.layer.weight.T, nn.Linear(9, 5)),
    "product from the left": (lambda self, y: self.layer.weight @ y, nn.Linear(7, 5)),
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functional_products_count_like_layers(name: str) -> None:
    body, layer = FUNCTIONS[name]
    operations = count(Dense(body, layer=layer), torch.rand(3, 1, 7, 9), 2)
    (found,) = [o for key, o in operations.items() if key != "first"]
    if name == "product from the left":
        macs = 4 * 5 * 7 * 9
    else:
        macs = count(Dense(lambda self, y: self.layer(y), layer=layer), torch.rand(3, 1, 7, 9), 2)["layer"].macs
    assert found.macs == macs > 0
    assert found.accumulates.tolist() == [3 * macs] * 2


class Own(nn.Conv2d):
    """A convolution with a constructor of its own."""

    def __init__(self) -> None:
        super().__init__(4, 6, 3, stride=2)


@pytest.mark.parametrize("layer", [Own(), torch.nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 6, 3, stride=2))])
def test_layers_derived_from_torchs_own_count_like_them(layer: nn.Module) -> None:
    plain = count(Dense(lambda self, y: self.layer(y), layer=nn.Conv2d(4, 6, 3, 2)), torch.rand(3, 1, 7, 9), 2)
    derived = count(Dense(lambda self, y: self.layer(y), layer=layer), torch.rand(3, 1, 7, 9), 2)
    assert derived["layer"].macs == plain["layer"].macs
    assert derived["layer"].accumulates.tolist() == plain["layer"].accumulates.tolist()


def test_names_that_look_like_second_calls_are_counted_apart() -> None:
    layers = {"fc": nn.Linear(4, 4), "fc_2": nn.Linear(4, 7), "out": nn.Linear(7, 3)}
    body = lambda self, y: self.out(F.relu(self.fc_2(F.relu(self.fc(F.relu(self.fc(y.mean((2, 3)))))))))  # noqa: E731
    tally = Tally()
    snn, _ = convert(Dense(body, **layers).eval(), Max(), [x := torch.rand(2, 1, 3, 3)])
    with torch.no_grad():
        window(snn.network, x, 2, interpreter=lambda g, c, at: Counting(g, c, at, tally, lambda name, y_T: None))
    assert [o.macs for o in tally.operations.values()] == [36, 16, 16, 28, 21]


def test_what_max_pooling_passes_of_sums_of_spikes_is_analog() -> None:
    x = torch.rand(2, 1, 4, 4)
    layers = {"pool": nn.MaxPool2d(2), "conv": nn.Conv2d(4, 2, 1)}
    single = count(Dense(lambda self, y: self.conv(self.pool(y)), **layers), x, 3)["conv"]
    summed = count(Dense(lambda self, y: self.conv(self.pool(y + y)), **layers), x, 3)["conv"]
    assert (single.drive, summed.drive) == ("spikes", "analog")
    assert single.accumulates.tolist() == [2 * single.macs] * 3
    assert not summed.accumulates.any()


@pytest.mark.parametrize(
    ("pool", "shape"),
    [
        (nn.AvgPool1d(3, 2, padding=1, ceil_mode=True), (2, 10)),
        (nn.AvgPool2d(3, 2, padding=1, count_include_pad=False), (2, 8, 7)),
        (nn.AvgPool2d((2, 3), divisor_override=7), (2, 8, 9)),
        (nn.AvgPool3d(2), (2, 4, 4, 5)),
        (nn.AdaptiveAvgPool1d(3), (2, 8)),
        (nn.AdaptiveAvgPool2d((3, 1)), (2, 8, 5)),
    ],
)
def test_gathering_sums_each_window(pool: nn.Module, shape: tuple[int, ...]) -> None:
    """Each input is in as many windows as its value, switched on alone, reaches outputs."""
    x = (torch.rand(1, *shape) > 0.5).float()
    wanted = torch.zeros_like(pool(x))
    for index in x.nonzero():
        alone = torch.zeros_like(x)
        alone[tuple(index)] = 1
        wanted += pool(alone) != 0
    assert torch.equal(gather(pool, x), wanted)
