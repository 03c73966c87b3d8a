"""A stream saved in the middle goes on bit for bit in another process; a file that is no state is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.utils._pytree import tree_flatten

import spikeworks as sw
from spikeworks.layers import Delay, Dropout, MaskedPSN, Recurrent, Spiking
from spikeworks.train import load_state, save_state


def network() -> sw.SNN:
    torch.manual_seed(0)
    feedback = nn.Sequential(Delay(2), nn.Linear(5, 5))
    layers = [nn.Linear(3, 5), Spiking(sw.CUBALIF()), Delay(1), Recurrent(Spiking(sw.LIF()), feedback)]
    return sw.SNN(
        nn.Sequential(*layers, Dropout(0.5), MaskedPSN(9, 2, mask=1.0), nn.Linear(5, 2), Spiking(sw.LeakyIntegrator()))
    )


def test_a_saved_stream_goes_on_bit_for_bit(tmp_path: Path) -> None:
    net, x_TBN = network(), torch.randn(9, 4, 3)
    _, state = net.stream(x_TBN[:5])
    save_state(state, tmp_path / "state.safetensors")
    held = load_state(tmp_path / "state.safetensors")
    assert [p.name for p in tmp_path.iterdir()] == ["state.safetensors"]
    values, shape = tree_flatten(state)
    again, same = tree_flatten(held)
    assert shape == same
    assert all(torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b for a, b in zip(values, again, strict=True))
    (rest, _), (expected, _) = (net.stream(x_TBN[5:], s) for s in (held, state))
    assert torch.equal(rest, expected)


@pytest.mark.parametrize("neuron", [sw.LIF(), sw.ResonateAndFire()], ids=str)
def test_a_neurons_state_keeps_its_names(neuron: sw.Neuron, tmp_path: Path) -> None:
    _, state = sw.scan(neuron, torch.rand(3, 2, 2))
    save_state(state, tmp_path / "state.safetensors")
    held = load_state(tmp_path / "state.safetensors")
    assert type(held) is type(state)
    assert sw.scan(neuron, torch.rand(3, 2, 2), held)[1]._fields == neuron.state_names  # type: ignore[attr-defined]


def test_what_is_no_state_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="save_state got list"):
        save_state({"a": [1]}, tmp_path / "state.safetensors")
    assert not list(tmp_path.iterdir())
    save_file({"0": torch.ones(2)}, tmp_path / "weights.safetensors")
    save_file({"0": torch.ones(2)}, tmp_path / "foreign.safetensors", {"state": '{"code": ["print(1)"]}'})
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "weights.safetensors").read_bytes()[:30])
    for name, words in (
        ("weights", "no state"),
        ("foreign", "no state"),
        ("cut", "complete file"),
        ("x", "not a file"),
    ):
        with pytest.raises(ValueError, match=words):
            load_state(tmp_path / f"{name}.safetensors")
