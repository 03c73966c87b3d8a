"""The compiler sees one graph through time and parameters, and a checkpointed part gives the same numbers there."""

from __future__ import annotations

import subprocess
import sys

import pytest

# a process of its own: torch.compile cannot follow the checked annotations that tests otherwise run under
SCRIPT = """
import torch, spikeworks as sw
from torch import nn
from spikeworks.layers import PSN, SNN, Checkpoint, Delay, MaskedPSN, Recurrent, SlidingPSN

x_T = 3 * torch.rand(4, 3, 6)
started = sw.Spiking(sw.IF().starting(v=nn.Parameter(torch.full((6,), 0.5))), "eager")
for layer in (
    started, PSN(4), MaskedPSN(4, 2), SlidingPSN(3), SNN(nn.Sequential(nn.Linear(6, 6), PSN(4), Delay(1), started)),
    SNN(nn.Sequential(SNN(nn.Sequential(nn.Linear(6, 6), sw.Spiking(sw.IF(), "eager"))), nn.Linear(6, 2))),
    SNN(Recurrent(sw.Spiking(sw.IF(), "eager"), nn.Linear(6, 6))),
    sw.layers.lean(SNN(nn.Sequential(nn.BatchNorm1d(6), sw.Spiking(sw.IF(), "eager"), nn.Linear(6, 2)))),
):
    torch._dynamo.reset()
    assert torch.equal(torch.compile(layer, backend="aot_eager", fullgraph=True)(x_T), layer(x_T)), layer

part = nn.Sequential(nn.Linear(6, 6), sw.Spiking(sw.PLIF(), "eager"))
net = SNN(nn.Sequential(Checkpoint(part), nn.Linear(6, 2)))
gradients = []
for call in (net, torch.compile(net, backend="aot_eager")):
    net.zero_grad()
    call(x_T).square().sum().backward()
    gradients.append([p.grad.clone() for p in net.parameters()])
assert all(map(torch.allclose, *gradients))
"""


@pytest.mark.slow
def test_layers_compile() -> None:
    result = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
