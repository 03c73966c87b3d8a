"""Layers that are silent or saturated by construction are told, once; shares are those of a plain count."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from spikeworks.layers import SNN, Repeat, Spiking
from spikeworks.neurons import IF, LIF
from spikeworks.train import Data, Epoch, Monitor, Plan, activity, fit
from train.test_fit import blobs, generator  # type: ignore[import-not-found]


def test_shares_are_those_of_a_plain_count() -> None:
    torch.manual_seed(0)
    first, second = Spiking(LIF(threshold=0.3)), Spiking(IF())
    net = SNN(nn.Sequential(nn.Linear(7, 11), first, nn.Linear(11, 5), second), Repeat(6)).train()
    x = torch.randn(9, 7)
    seen = activity(net, x, 0.5)
    assert net.training
    h_T = nn.functional.linear(x, net.network[0].weight, net.network[0].bias).expand(6, 9, 11)  # type: ignore[index]
    spikes_T = first(h_T)
    deep_T = second(nn.functional.linear(spikes_T, net.network[2].weight, net.network[2].bias))  # type: ignore[index]
    for name, y_TBC in (("network.1", spikes_T), ("network.3", deep_T)):
        silent = saturated = 0
        for unit in range(y_TBC.shape[2]):
            count = int((y_TBC[:, :, unit] != 0).sum())
            silent += count == 0
            saturated += count >= 0.5 * 54
        size = y_TBC.shape[2]
        rate = float((y_TBC != 0).double().mean())
        wanted = {"silent": silent / size, "saturated": saturated / size, "rate": rate}
        assert seen[name] == pytest.approx(wanted, abs=1e-6)


def test_a_layer_outside_of_an_snn_is_seen_in_time() -> None:
    layer = nn.Sequential(Spiking(IF()))
    x_TB = torch.tensor([[[2.0, 0.0]], [[2.0, 0.0]]]).expand(2, 3, 2)
    assert activity(layer, x_TB) == {"0": {"silent": 0.5, "saturated": 0.5, "rate": 0.5}}


def test_a_layer_called_twice_counts_twice() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.spike = Spiking(IF())

        def forward(self, x: Tensor) -> Tensor:
            return self.spike(x) + self.spike(x * 0)

    seen = activity(SNN(Twice(), Repeat(4)), torch.full((2, 3), 5.0))
    assert seen == {"network.spike": {"silent": 0.0, "saturated": 0.0, "rate": 0.5}}


class Dying(nn.Module):
    """Two spiking layers: the first fires always, the second never, from the second epoch on."""

    def __init__(self) -> None:
        super().__init__()
        self.loud, self.dead, self.out = Spiking(IF()), Spiking(IF()), nn.Linear(64, 3)
        self.level = 5.0

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        return self.out(x + self.loud(x * 0 + 5) + self.dead(x * 0 + self.level))


def test_each_complaint_is_told_once_also_over_a_resume(tmp_path: Path) -> None:
    lines: list[str] = []

    def train(stop: int) -> list[Epoch]:
        torch.manual_seed(0)
        inner = Dying()

        def progress(epoch: Epoch) -> None:
            inner.level = 0.0
            if epoch.number == stop:
                raise KeyboardInterrupt

        return fit(SNN(inner, Repeat(2)), blobs(), blobs(60, 1), Plan(4, 50, 0.01), generator(), progress=progress,
                   checkpoint=tmp_path / "run.safetensors", monitor=Monitor(lines.append))  # fmt: skip

    with pytest.raises(KeyboardInterrupt):
        train(2)
    assert [line.split(" units")[0] for line in lines] == [
        "epoch 1: network.loud: 100 % of", "epoch 1: network.dead: 100 % of", "epoch 2: network.dead: 100 % of"
    ]  # fmt: skip
    assert "saturated, the mean rate is 1.000 spikes per step" in lines[0]
    assert "silent, the mean rate is 0.000 spikes per step; lower its threshold" in lines[2]
    history = train(9)
    assert len(lines) == 3
    assert history[1].activity["network.dead"]["silent"] == 1


def test_it_looks_as_often_as_it_is_told_to_and_changes_nothing() -> None:
    ends = []
    for monitor in (None, Monitor(every=2, samples=5)):
        torch.manual_seed(0)
        net = SNN(nn.Sequential(nn.Flatten(), nn.Linear(64, 9), nn.BatchNorm1d(9), Spiking(LIF()), nn.Linear(9, 3)),
                  Repeat(2))  # fmt: skip
        history = fit(net, blobs(), blobs(60, 1), Plan(3, 50, 0.01), generator(), monitor=monitor)
        ends.append(net.state_dict())
    assert [len(epoch.activity) for epoch in history] == [0, 1, 0]
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())


def test_what_is_wrong_is_refused() -> None:
    for values in ({"every": 0}, {"samples": 0}, {"silent": 1.5}, {"often": 0.0}, {"saturated": -1.0}):
        with pytest.raises(ValueError, match="expected whole numbers from 1, and shares"):
            Monitor(**values)
    data = Data(torch.zeros(4, 8), torch.arange(4) % 3)
    with pytest.raises(ValueError, match="without a spiking layer"):
        fit(nn.Linear(8, 3), data, data, Plan(1), generator(), monitor=Monitor())
