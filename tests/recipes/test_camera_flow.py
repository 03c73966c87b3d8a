"""The recipe for flow: scenes as they are told, and that it learns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from spikeworks.models import spike_flow_small
from spikeworks.recipes.camera_flow import BEFORE, Pairs, clips, filmed, mirrors, scenes, score
from spikeworks.recipes.training import evaluate
from spikeworks.train import fit, flow_loss, load_weights


def test_a_run_is_measured_again_from_its_folder(tmp_path: Path) -> None:
    study = scenes(quick=True, folder=tmp_path)
    assert [r.name for r in study.results if r.name != "dis"] == ["still", "match", "network"]
    again = evaluate(tmp_path, {scenes.name: scenes})
    for one, other in zip(study.results, again.results, strict=True):
        assert one.values == other.values
    load_weights(spike_flow_small(), tmp_path / "weights.network.safetensors")


def test_a_mirrored_picture_has_a_mirrored_flow() -> None:
    film = filmed((32, 48), 10, np.random.default_rng(0))
    bits, truth = film[0].dense(), film[1]
    data = clips(mirrors(film), 10, 5)
    for x, y, axes in zip(data.prepare(data.x).numpy(), data.y.numpy(), ((), (1,), (2,), (1, 2)), strict=True):
        for clip, t in zip(x, (BEFORE, BEFORE + 10), strict=True):
            assert np.array_equal(clip, np.flip(bits[t - 2 : t + 3], axes))
        signs = np.array([-1 if 2 in axes else 1, -1 if 1 in axes else 1])[:, None, None]
        assert np.array_equal(y, np.flip(truth, axes) * signs)


def test_what_is_trained_on_is_learned() -> None:
    data = clips([filmed((32, 32), 10, np.random.default_rng(0))] * 4, 10, 9)
    pairs = Pairs(spike_flow_small(torch.Generator().manual_seed(0), frames=9), 10, 2)
    history = fit(pairs, data, data, replace(scenes.settings.plan, epochs=40, batch=4, rate=3e-3), torch.Generator(),
                  objective=flow_loss, score=score)  # fmt: skip
    assert history[-1].loss < 0.6 * history[0].loss


def test_the_score_is_the_error_below_zero() -> None:
    truth = torch.zeros(2, 2, 3, 4)
    found = torch.zeros(2, 2, 3, 4)
    found[1] = torch.tensor([3.0, 4.0]).view(2, 1, 1)
    assert score([found[..., ::2], found], truth).tolist() == [0, -5]
