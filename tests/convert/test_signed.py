"""Quantiles and extremes of either sign, per layer and per channel; what is refused."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from spikeworks.convert import normalise
from spikeworks.convert.calibrate import maximum, quantile
from spikeworks.convert.encoders import Encoder
from spikeworks.convert.gaussian import gaussian
from spikeworks.convert.grid import least_error
from spikeworks.convert.local import local_rule
from spikeworks.convert.neuron import equal
from spikeworks.convert.signed import maxima, quantiles


class Block(nn.Module):
    """Tokens: normalised, a signed site, a linear layer, a ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.spread, self.site, self.up, self.act = nn.Linear(6, 6), Encoder(), nn.Linear(6, 5), nn.ReLU()
        self.down = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.act(self.up(self.site(self.spread(x)))))


def tokens(count: int = 40) -> Tensor:
    return torch.randn(count, 4, 6) * torch.tensor([1, 10, 0.1, 1, 1, 1]) + torch.tensor([0, 0, 0, 1.0, 0, 0])


def plain() -> Block:
    block = Block().eval()
    with torch.no_grad():
        block.spread.weight.copy_(torch.eye(6))
        block.spread.bias.zero_()
    return block


def ranked(rows: Tensor, q: float) -> Tensor:
    return rows.sort(1).values[:, math.ceil(q * rows.shape[1]) - 1]


@pytest.mark.parametrize("q", [0.75, 0.99, 1.0])
def test_quantiles_are_those_of_both_tails(q: float) -> None:
    network, x = normalise(plain()), tokens()
    for scope, rows in (("layer", x.reshape(1, -1)), ("channel", x.flatten(0, 1).T)):
        spec = quantiles(network, x.split(7), q, scope)["site"]  # type: ignore[arg-type]
        assert spec.negative is not None
        assert spec.threshold.shape == spec.negative.shape == (() if scope == "layer" else (6,))
        for got, side in ((spec.threshold, rows), (spec.negative, -rows)):
            true, largest = ranked(side, q), side.max()
            true = torch.where(true > 0, true, true.max())
            assert ((got >= true) & (got < true + largest * 2**-12)).all()


def test_neither_order_nor_batches_matter() -> None:
    network, x = normalise(plain()), tokens()
    for scope in ("layer", "channel"):
        for calibrate in (quantiles, maxima):
            whole = calibrate(network, [x], scope=scope)  # type: ignore[operator]
            parts = calibrate(network, x[torch.randperm(40)].split(3), scope=scope)  # type: ignore[operator]
            for name, spec in whole.items():
                torch.testing.assert_close(spec.threshold, parts[name].threshold, rtol=2**-11, atol=0)
                assert (spec.negative is None) == (parts[name].negative is None)


def test_the_mean_over_batches_is_that_of_each_batch() -> None:
    network, x = normalise(plain()), tokens(41)
    spec = quantiles(network, x.split(10), 0.9, average=True)["site"]
    parts = [ranked(part.reshape(1, -1), 0.9) for part in x.split(10)]
    lows = [ranked(-part.reshape(1, -1), 0.9) for part in x.split(10)]
    torch.testing.assert_close(spec.threshold, torch.cat(parts).mean())
    torch.testing.assert_close(spec.negative, torch.cat(lows).mean())


def test_maxima_are_the_extremes() -> None:
    network, x = normalise(plain()), tokens()
    layer, channel = maxima(network, x.split(9))["site"], maxima(network, x.split(9), "channel")["site"]
    torch.testing.assert_close(layer.threshold, x.max())
    torch.testing.assert_close(layer.negative, -x.min())
    torch.testing.assert_close(channel.threshold, x.amax((0, 1)))
    torch.testing.assert_close(channel.negative, -x.amin((0, 1)))


def test_one_side_alone() -> None:
    network, x = normalise(plain()), tokens().abs() + 0.01
    specs = quantiles(network, [x], 0.99)
    assert specs["site"].negative is None
    assert specs["act"].negative is None
    below = quantiles(network, [-x], 0.99)["site"]
    assert below.threshold == below.negative == specs["site"].threshold
    mixed = x.clone()
    mixed[..., 0] *= -1
    spec = maxima(network, [mixed], "channel")["site"]
    assert spec.negative is not None
    assert (spec.negative == x[..., 0].max()).all()  # channels without anything below take the layer's
    assert spec.threshold[0] == mixed.max()


def test_a_convolution_s_channels_are_its_own() -> None:
    network = normalise(nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Conv2d(3, 2, 3)).eval())
    assert quantiles(network, [torch.rand(4, 1, 8, 8)], 1.0, "channel")["1"].threshold.shape == (3, 1, 1)


def test_what_does_not_fit_is_refused() -> None:
    network, x = normalise(plain()), tokens()
    for call, words in (
        (lambda: quantiles(network, [x], 0.5), "q=0.5"),
        (lambda: quantiles(network, [], 0.9), "no data"),
        (lambda: quantiles(network, [x / 0], 0.9), "NaN or infinity"),
        (lambda: quantiles(network, [0 * x], 0.9), "'site' was never active"),
        (lambda: quantiles(network, [x], 0.9, "token"), "scope='token'"),  # type: ignore[arg-type]
        (lambda: maxima(network, [0 * x]), "'site' was never active"),
        (lambda: maximum(network, [x]), "'site' got activations below 0"),
        (lambda: quantile(network, [x]), "'site' got activations below 0"),
        (lambda: local_rule(network, [x], 2), r"local_rule got \['site'\], which can be below 0"),
        (lambda: gaussian(network, [x], equal(4)), r"gaussian got \['site'\], which can be below 0"),
        (lambda: least_error(network, [x], 4), "'site' got activations below 0"),
    ):
        with pytest.raises(ValueError, match=words) as refusal:
            call()
        assert "\n" not in str(refusal.value)
