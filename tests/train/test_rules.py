"""The loop by other rules than BPTT: a window as long as the input is BPTT, all learn, a stopped run goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from spikeworks.layers import SNN, Spiking
from spikeworks.neurons import LIF
from spikeworks.train import (
    OTTT,
    SLTT,
    TET,
    After,
    Data,
    Parallel,
    Plan,
    TruncatedBPTT,
    accuracy,
    fit,
)
from spikeworks.train.checkpoint import read


@pytest.mark.parametrize("rule", [TruncatedBPTT(8), TruncatedBPTT(1), SLTT(), OTTT()], ids=repr)
def test_fit_learns_by_any_rule(rule: Any, tmp_path: Path) -> None:
    draw = torch.Generator().manual_seed(0)
    y = torch.arange(60) % 3
    x = torch.rand(60, 4, 6, generator=draw)
    x[torch.arange(60), :, y] += 1.0
    data = Data(x, y, lambda x: x.transpose(0, 1))

    def run(**more: Any) -> dict[str, Tensor]:
        torch.manual_seed(0)
        network = SNN(nn.Sequential(nn.Linear(6, 16), Spiking(LIF()), nn.Linear(16, 3)))
        plan = Plan(12, 20, 2e-2, "adamw", accumulate=2)
        fit(network, data, data, plan, torch.Generator().manual_seed(1), objective=After(identity, TET(0.0)), **more)
        return network.state_dict() | {"accuracy": torch.tensor(accuracy(network, data))}

    by_rule = run(rule=rule, checkpoint=tmp_path / "run.safetensors")
    _, words = read(tmp_path / "run.safetensors")
    assert "identity" in words["run"]
    assert " at 0x" not in words["run"]  # another process has other addresses, and must go on
    assert by_rule["accuracy"] > 60
    again = run(rule=rule, checkpoint=tmp_path / "run.safetensors")
    torch.testing.assert_close(again, by_rule, rtol=0, atol=0)
    if rule == TruncatedBPTT(8):
        torch.testing.assert_close(by_rule, run())
    with pytest.raises(ValueError, match="both rule and parallel"):
        run(rule=rule, parallel=Parallel(device="cpu"))


def identity(z_TBC: Tensor) -> Tensor:
    """The logits themselves; a function's address is not part of what a run is."""
    return z_TBC


def test_too_few_outputs_are_told_as_without_a_rule() -> None:
    network = SNN(nn.Sequential(nn.Linear(6, 4), Spiking(LIF()), nn.Linear(4, 2)))
    data = Data(torch.rand(9, 3, 6), torch.arange(9) % 3, lambda x: x.transpose(0, 1))
    with pytest.raises(ValueError, match=r"logits of shape .* for labels up to 2"):
        fit(network, data, data, Plan(1, 9), torch.Generator(), rule=SLTT())
