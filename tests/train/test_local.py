"""Local losses: a layer learns from its own readout, from nothing above it and without those below it learning."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from spikeworks.layers import SNN, Repeat, Spiking
from spikeworks.neurons import LIF
from spikeworks.train import OTTT, TET, LocalLosses, local_readouts

EACH = TET(share=0.0)
CLASSES = 3


def deep(**values: Any) -> tuple[SNN, Tensor, Tensor]:
    network = SNN(
        nn.Sequential(
            nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), Spiking(LIF(**values)), nn.AvgPool2d(2), nn.Conv2d(4, 5, 2),
            Spiking(LIF(**values)), nn.Flatten(), nn.Linear(10, 6), Spiking(LIF(**values)), nn.Linear(6, CLASSES),
        ).double()
    ).eval()  # fmt: skip
    x = torch.rand(5, 4, 2, 6, 8, dtype=torch.float64) * 3
    return network, x, torch.randint(0, CLASSES, (4,))


def readouts(network: SNN, x: Tensor, seed: int = 0) -> dict[str, Tensor]:
    return local_readouts(network, x, CLASSES, torch.Generator().manual_seed(seed))


def gradients(network: nn.Module, rule: Any, x: Tensor, y: Tensor) -> dict[str, Tensor]:
    network.zero_grad()
    rule(network, x, y, EACH)
    return {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}


def test_readouts() -> None:
    network, x, _ = deep()
    made = readouts(network, x)
    assert {name: tuple(value.shape) for name, value in made.items()} == {
        "network.2": (96, 3), "network.5": (10, 3), "network.8": (6, 3)
    }  # fmt: skip
    assert all(float(value.abs().max()) <= len(value) ** -0.5 for value in made.values())
    assert all(torch.equal(value, readouts(network, x)[name]) for name, value in made.items())
    spiking = SNN(nn.Sequential(nn.Linear(6, 5), Spiking(LIF()), nn.Linear(5, 3), Spiking(LIF())), encode=Repeat(2))
    assert list(local_readouts(spiking, torch.rand(4, 6), 3, torch.Generator())) == ["network.1"]
    assert spiking.training
    with pytest.raises(ValueError, match="one or more before the output"):
        local_readouts(SNN(nn.Sequential(nn.Linear(6, 3), Spiking(LIF()))), torch.rand(2, 4, 6), 3, torch.Generator())


def test_a_layer_knows_nothing_of_later_ones() -> None:
    network, x, y = deep()
    rule = LocalLosses(readouts(network, x))
    before = gradients(network, rule, x, y)
    layers: Any = network.network
    later = [p for layer in layers[4:] for p in layer.parameters()]
    with torch.no_grad():
        for parameter in later:
            parameter.mul_(-1.5)
    after = gradients(network, rule, x, y)
    assert before.keys() == after.keys() == {name for name, _ in network.named_parameters()}
    for name in ("network.0.weight", "network.0.bias", "network.1.weight", "network.1.bias"):
        assert torch.equal(before[name], after[name])
        assert before[name].abs().max() > 0
    assert not torch.allclose(before["network.4.weight"], after["network.4.weight"])


def test_a_layer_learns_whether_or_not_those_before_it_do() -> None:
    network, x, y = deep()
    rule = LocalLosses(readouts(network, x))
    before = gradients(network, rule, x, y)
    network.network[:4].requires_grad_(False)  # type: ignore[index, union-attr]
    after = gradients(network, rule, x, y)
    assert all(torch.equal(before[name], value) for name, value in after.items())
    assert "network.4.weight" in after
    assert "network.0.weight" not in after


def test_it_is_the_gradient_of_each_layer_alone() -> None:
    """Where no reset interferes: BPTT of one layer with its readout, on the spikes that came in."""
    network, x, y = deep(reset="soft", detach_reset=True)
    made = readouts(network, x)
    found = gradients(network, LocalLosses(made), x, y)
    layers: Any = network.network
    at = x
    for block, name in ((layers[:3], "network.2"), (layers[3:6], "network.5"), (layers[6:9], "network.8")):
        network.zero_grad()
        s = SNN(block)(at.detach())
        EACH(s.flatten(2) @ made[name].double(), y).backward()
        for module in block:
            own = next(key for key, other in network.named_modules() if other is module)
            if isinstance(module, nn.Conv2d | nn.Linear):
                assert torch.allclose(found[f"{own}.weight"], module.weight.grad, rtol=1e-9, atol=1e-13)
                assert torch.allclose(found[f"{own}.bias"], module.bias.grad, rtol=1e-9, atol=1e-13)
        at = s


def test_without_readouts_it_is_ottt() -> None:
    network, x, y = deep()
    found, wanted = gradients(network, LocalLosses({}), x, y), gradients(network, OTTT(), x, y)
    assert all(torch.equal(found[name], value) for name, value in wanted.items())


def test_refusals() -> None:
    network, x, y = deep()
    made = readouts(network, x)
    with pytest.raises(ValueError, match="local_readouts got Sequential, expected an SNN"):
        local_readouts(network.network, x, CLASSES, torch.Generator())
    with pytest.raises(ValueError, match=r"LocalLosses got readouts for \['network.1'\]"):
        LocalLosses({"network.1": made["network.2"]})(network, x, y, EACH)
    with pytest.raises(ValueError, match="a readout of 96 features for the 10 of"):
        LocalLosses({"network.5": made["network.2"]})(network, x, y, EACH)
    assert not any("forward" in vars(module) or module._forward_hooks for module in network.modules())
