"""The recipe for flow: scenes as they are told, and that it runs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from spikeworks.models import spike_flow_small
from spikeworks.recipes import camera_flow
from spikeworks.recipes.camera_flow import BEFORE, FlowSettings, _batch, filmed, train
from spikeworks.recipes.run import Watch
from spikeworks.train import load_weights


def test_it_runs(tmp_path: Path) -> None:
    said: list[str] = []
    study = camera_flow.run(quick=True, folder=tmp_path, watch=Watch(say=said.append))
    assert {"still", "match", "network"} <= {result.name for result in study.results}
    assert json.loads((tmp_path / "flow.json").read_text())["losses"] == study.losses
    again = spike_flow_small()
    load_weights(again, tmp_path / "weights.safetensors")
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), study.network.parameters(), strict=True))
    assert len(said) >= 4


def test_a_mirrored_picture_has_a_mirrored_flow() -> None:
    stream, truth = filmed((32, 48), 10, np.random.default_rng(0))
    bits = stream.dense(np.float32)
    seen = set()
    for seed in range(12):
        first, second, flow = (x.numpy() for x in _batch([(stream, truth)], 10, 5, np.random.default_rng(seed)))
        for axes in ((), (1,), (2,), (1, 2)):
            if np.array_equal(first[:, 0], np.flip(bits[BEFORE - 2 : BEFORE + 3], axes)):
                seen.add(axes)
                assert np.array_equal(second[:, 0], np.flip(bits[BEFORE + 8 : BEFORE + 13], axes))
                signs = np.array([-1 if 2 in axes else 1, -1 if 1 in axes else 1])[:, None, None]
                assert np.array_equal(flow[0], np.flip(truth, axes) * signs)
    assert len(seen) == 4


def test_what_is_trained_on_is_learned() -> None:
    draw = np.random.default_rng(0)
    films = [filmed((32, 32), 10, draw)]
    network = spike_flow_small(torch.Generator().manual_seed(0), frames=9)
    losses = train(network, films, FlowSettings(apart=10, steps=40, batch=1, rate=3e-3), draw, Watch())
    assert np.mean(losses[-10:]) < 0.6 * np.mean(losses[:5])
