"""Stopping for real answers what the whole curve says, and is not run further than its batch needs."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from spikeworks.layers import SNN, Delay, Repeat, Spiking, mean, running_mean
from spikeworks.measure import confidence, decision_curve
from spikeworks.neurons import LIF
from spikeworks.train import Data, early_exits
from train.test_fit import blobs  # type: ignore[import-not-found]


def net(steps: int = 7) -> SNN:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(1, 8, 3), Spiking(LIF(threshold=0.2)), Delay(1), nn.Flatten(), nn.Linear(288, 3))
    with torch.no_grad():
        layers[-1].weight.mul_(20)
    return SNN(layers, Repeat(steps)).eval()


@pytest.mark.parametrize("kind", ["probability", "margin"])
@pytest.mark.parametrize("window", [1, 2, 3, 9])
@pytest.mark.parametrize("batch", [1, 7, 64])
def test_it_answers_what_the_curve_says(kind: str, window: int, batch: int) -> None:
    network, data = net(), blobs(23)
    thresholds = [0.0, 0.4, 0.55, 0.7, 0.9, math.inf]
    exits = early_exits(network, data, thresholds, kind, batch, window)
    with torch.no_grad():
        z_TBC = running_mean(network(data.prepare(data.x)))
    curve, sure_TB = decision_curve(z_TBC, data.y, kind), confidence(z_TBC, kind)
    for threshold, found in zip(thresholds, exits, strict=True):
        accuracy, steps = curve.at(threshold)
        assert found.threshold == threshold
        assert found.accuracy == pytest.approx(accuracy)
        assert found.steps == pytest.approx(steps)
        step_B = [next((t for t in range(7) if t == 6 or sure_TB[t, n] >= threshold), 6) + 1 for n in range(23)]
        longest = [(max(step_B[i : i + batch]), len(step_B[i : i + batch])) for i in range(0, 23, batch)]
        run = sum(min(-(-steps // window) * window, 7) * size for steps, size in longest) / 23
        assert found.run == pytest.approx(run)
        assert found.seconds > 0
        assert found.share > 0
    assert exits[0].steps == 1
    assert exits[-1].steps == 7


def test_a_stream_that_is_in_time_already() -> None:
    torch.manual_seed(0)
    x_NTC = torch.rand(20, 5, 6)
    layers = nn.Sequential(nn.Linear(6, 8), Spiking(LIF(threshold=0.2)), nn.Linear(8, 3))
    data = Data(x_NTC, torch.arange(20) % 3, lambda x: x.transpose(0, 1))
    (found,) = early_exits(SNN(layers).eval(), data, [math.inf])
    assert (found.steps, found.run) == (5, 5)


def test_what_is_wrong_is_refused() -> None:
    data = blobs(9)

    def decoded() -> SNN:
        return SNN(net().network, Repeat(2), mean).eval()

    with pytest.raises(ValueError, match="no logits at each step, expected an SNN without decode"):
        early_exits(decoded(), data, [0.5])
    with pytest.raises(ValueError, match="in training mode"):
        early_exits(net().train(), data, [0.5])
    for more in ({"thresholds": []}, {"thresholds": [math.nan]}, {"window": 0}, {"batch": 0}):
        with pytest.raises(ValueError, match="expected numbers, and whole numbers from 1"):
            early_exits(net(), data, **{"thresholds": [0.5], **more})


def test_time_is_saved_where_a_sample_decides_early() -> None:
    class Slow(nn.Module):
        """Sure at once, and each step takes its time."""

        calls = 0

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.tensor(50.0))

        def forward(self, x: Tensor) -> Tensor:
            Slow.calls += len(x)
            return nn.functional.one_hot(torch.zeros(len(x), dtype=torch.long), 3) * self.weight

    network = SNN(Slow(), Repeat(10)).eval()
    (found,) = early_exits(network, Data(torch.zeros(4, 2), torch.zeros(4, dtype=torch.long)), [0.9])
    assert Slow.calls == (1 + 10 + 1) * 4  # a first look, the whole window, one step
    assert (found.accuracy, found.steps, found.run) == (100, 1, 1)
