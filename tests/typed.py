"""What tests of the command line share: a folder to type in, commands typed, and refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from spikeworks import cli
from spikeworks.recipes.sources import open_data, open_network
from spikeworks.train import Plan, fit, save_weights

MODEL = """
from torch import nn
from spikeworks.convert.activation import QCFS

def net():
    return nn.Sequential(nn.Conv2d(1, 6, 3), QCFS(4, 2.0), nn.Flatten(), nn.Linear(216, 3))

def relu():
    return nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(216, 3))

def tanh():
    return nn.Sequential(nn.Conv2d(1, 6, 3), nn.Tanh(), nn.Flatten(), nn.Linear(216, 3))
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model file, data of three classes and weights trained on them; a wide terminal."""
    monkeypatch.setenv("COLUMNS", "220")
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(MODEL)
    draw = np.random.default_rng(0)
    y = draw.integers(0, 3, 240)
    x = draw.random((240, 8, 8), dtype=np.float32) * 0.5
    x[y == 0, 3] += 1
    x[y == 1, :, 3] += 1
    np.savez("data.npz", x_train=x[:160], y_train=y[:160], x_test=x[160:], y_test=y[160:])
    split = open_data("data.npz")
    torch.manual_seed(0)
    network = open_network("mine.py:net")
    fit(network, split.train, split.validation, Plan(4, 32, 0.05), torch.Generator().manual_seed(0))
    save_weights(network, "weights.safetensors")
    return tmp_path


def typed(line: str) -> None:
    cli.main(line.split())


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as left:
        cli.main(arguments)
    said = capsys.readouterr()
    assert left.value.code == 2
    assert said.err.startswith("spikeworks: ")
    assert said.err.count("\n") == 1
    assert "Traceback" not in said.err + said.out
    return said.err
