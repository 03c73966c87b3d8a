"""Recipes of networks for spike cameras: what they are trained on is what is true, and a run is measured again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from spikeworks.recipes import TRAINING, camera_depth, camera_digits, camera_pictures
from spikeworks.recipes.bench import Bench
from spikeworks.recipes.data import VARIABLE, digits
from spikeworks.recipes.run import few
from spikeworks.recipes.spike_clips import Unpacked, clips, packed_in_time
from spikeworks.recipes.training import evaluate
from spikeworks.train import Data, Epoch, Plan

NAMES = ("camera_pictures", "camera_pictures_spiking", "camera_depth", "camera_digits")


@pytest.mark.parametrize("name", NAMES)
def test_a_run_is_measured_again_from_its_folder(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)  # recordings that may be at hand take time
    study = TRAINING[name](quick=True, folder=tmp_path)
    again = evaluate(tmp_path, TRAINING)
    assert [r.name for r in again.results] == [r.name for r in study.results]
    for one, other in zip(study.results, again.results, strict=True):
        assert other.values == pytest.approx(
            one.values, rel=1e-5
        )  # convolutions of another memory layout round otherwise
        assert other.rates == one.rates


@given(st.integers(0, 10_000), st.integers(1, 41), st.integers(0, 5))
def test_what_is_packed_is_unpacked(seed: int, frames: int, begin: int) -> None:
    bits = np.random.default_rng(seed).integers(0, 2, (frames + begin, 3, 5), np.uint8)
    packed = torch.from_numpy(packed_in_time(bits))[None]
    assert np.array_equal(Unpacked(frames + begin, begin)(packed)[0].numpy(), bits[begin:])


def test_clips_fire_as_often_as_their_light_says() -> None:
    """Scenes that hardly turn: a mean of n bits is off by 1/n at most, on average over pixels by its 64th part."""
    data = clips(16, 41, 16, np.random.default_rng(0), fastest=0.0)
    mean = data.prepare(data.x).mean(1)
    assert (mean - data.y).abs().mean() < 1 / 41
    assert abs(float((mean - data.y).mean())) < 4 / 41 / 64  # of 4,096 pixels; four deviations


def test_depth_is_what_motion_says() -> None:
    """Everything goes left by focal · speed / depth: the exact flow of each pixel is that."""
    settings = camera_depth.scenes.settings
    scene, depths = camera_depth.drawn(settings, 41, np.random.default_rng(3))
    stream, depth = camera_depth.filmed(settings, 41, np.random.default_rng(3))
    assert depth.shape == (stream.height, stream.width) == settings.size
    assert len(np.unique(depth)) > 2
    assert settings.nearest <= depth.min()
    assert depth.max() == depths[-1] == settings.farthest
    flow = scene.flow(20.5, 40.5)
    assert np.allclose(flow[0] * depth, -20 * settings.focal * settings.speed, rtol=1e-6)
    assert not flow[1].any()


def test_errors_of_depth() -> None:
    depth = np.linspace(1, 9, 50, dtype=np.float32)
    assert camera_depth.errors(1.2 * depth, depth) == pytest.approx(
        {"relative error, %": 20, "RMSE, m": 0.2 * np.sqrt(np.mean(depth**2)), "within 1.25, %": 100}, rel=1e-5
    )
    assert camera_depth.errors(1.3 * depth, depth)["within 1.25, %"] == 0


def test_flow_by_matching_tells_depth_where_something_is_seen() -> None:
    settings = camera_depth.Settings(Plan(1, 8, 1e-3), size=(64, 96), nearest=2.0, farthest=4.0)
    stream, depth = camera_depth.filmed(settings, 41, np.random.default_rng(1))
    found = camera_depth.from_flow(stream, settings)
    assert np.median(np.abs(found - depth) / depth) < 0.15


def test_filmed_digits_look_like_digits() -> None:
    split = camera_digits.filmed(few(digits(), 5, 2), 40, 0.0, np.random.default_rng(0))
    assert (len(split.train.x), len(split.test.x)) == (5, 2)
    for picture, clip in zip(few(digits(), 5, 2).train.x, split.train.prepare(split.train.x), strict=True):
        mean = clip.mean(0)[4:28, 4:28].reshape(8, 3, 8, 3).mean((1, 3))
        assert np.corrcoef(mean.flatten(), picture[0].flatten())[0, 1] > 0.9
    still = camera_digits.MeanOf(Unpacked(40))(split.train.x)
    assert torch.equal(still, split.train.prepare(split.train.x).mean(1, keepdim=True))


def test_the_score_is_in_decibels() -> None:
    light = torch.full((2, 4, 4), 0.5)
    found = light.clone()
    found[1] += 0.1
    assert camera_pictures.decibel(found, light)[1] == pytest.approx(20.0, abs=1e-4)
    both = camera_pictures.decibel(found + 0.1, light + torch.tensor([0.0, 0.05]).view(2, 1, 1))
    expected = -float(both.mean()) / 10 * np.log(10)
    found, light = found + 0.1, light + torch.tensor([0.0, 0.05]).view(2, 1, 1)
    assert float(camera_pictures.distance(found, light)) == pytest.approx(expected, abs=1e-3)


def test_fewer_frames_have_the_same_middle() -> None:
    data = clips(8, 41, 8, np.random.default_rng(0))
    cut = camera_pictures._shortened(data, 40)
    assert isinstance(cut, Data)
    assert torch.equal(cut.prepare(cut.x)[:, 20], data.prepare(data.x)[:, 20])
    assert cut.prepare(cut.x).shape[1] == 40


@pytest.mark.parametrize(
    ("name", "override", "said"),
    [
        ("camera_pictures", {"count": "12"}, "count and validated in eights"),
        ("camera_pictures", {"tested": "0"}, "at least one test"),
        ("camera_pictures_spiking", {"size": "3"}, "16 pixels a side"),
        ("camera_flow", {"passes": "0"}, "at least 1 of each"),
        ("camera_depth", {"speed": "0"}, "numbers above 0"),
        ("camera_depth", {"nearest": "50"}, "the nearest before the farthest"),
        ("camera_digits", {"per_step": "0"}, "at least one step of one frame"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_work(name: str, override: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        TRAINING[name](override=override)


def test_a_network_can_tell_all_depths_of_its_scenes() -> None:
    """The range of the network follows the settings, a half beyond the nearest and two thirds beyond the farthest."""
    settings, seen = replace(camera_depth.scenes.settings, nearest=3.0, farthest=60.0), []

    class Watched(Bench):
        def train(self, name: str, network: nn.Module, *args: object, **kwargs: object) -> list[Epoch]:
            seen.append(network.config)  # type: ignore[arg-type]
            raise StopIteration

    with pytest.raises(StopIteration):
        camera_depth.study(Watched(quick=True), settings)
    assert (seen[0].nearest, seen[0].farthest) == (2.0, 100.0)
