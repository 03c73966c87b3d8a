"""Training recipes: stopped and done again they are the same, settings are read, weights measure as they did."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from spikeworks import cli
from spikeworks.events import EventStream
from spikeworks.measure.trained import Study, load_study
from spikeworks.recipes import TRAINING
from spikeworks.recipes.bench import Bench
from spikeworks.recipes.data import Split
from spikeworks.recipes.event_data import (
    TimeFirst,
    cifar10_moved,
    gesture_windows,
    nmnist_small,
    objects_two_sessions,
)
from spikeworks.recipes.run import Watch
from spikeworks.recipes.training import STUDY, Training, evaluate, overridden
from spikeworks.train import Data
from typed import refused


def numbers(study: Study) -> list[Any]:
    return [replace(r, seconds=0.0) for r in study.results]


def columns(stream: EventStream) -> dict[str, Any]:
    """A recording as an archive of recipes has it."""
    return {"x": stream.x, "y": stream.y, "p": np.packbits(stream.p), "dt": np.diff(stream.t, prepend=0)}


def recordings(count: int, side: int, events: int, span: int) -> list[EventStream]:
    draw = np.random.default_rng(0)
    made = []
    for i in range(count):
        t = np.sort(draw.integers(0, span, events))
        x, y = draw.integers(0, side, (2, events))
        made.append(EventStream(t, x, np.where(i % 2, y, y // 2), draw.random(events) < 0.5, side, side))
    return made


def joined(streams: list[EventStream], before: str = "") -> dict[str, Any]:
    """Many of them, one after the other."""
    parts = [columns(s) for s in streams]
    whole = {k: np.concatenate([part[k] for part in parts]) for k in ("x", "y", "dt")}
    whole["p"] = np.packbits(np.concatenate([s.p for s in streams]))
    whole["offset"] = np.cumsum([0, *map(len, streams)])
    return {f"{before}{k}": v for k, v in whole.items()}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of data, small and made up, in the layouts that recipes read."""
    monkeypatch.setenv("SPIKEWORKS_DATA", str(tmp_path))
    for name in ("nmnist_small", "dvs_gesture_10", "dvs128_objects", "fashion_mnist"):
        (tmp_path / name).mkdir()
    train, test = recordings(720, 34, 50, 300_000), recordings(40, 34, 60, 300_000)
    np.savez(
        tmp_path / "nmnist_small" / "nmnist_small.npz", **joined(train, "train_"), **joined(test, "test_"),
        train_label=np.arange(720) % 10, test_label=np.arange(40) % 10,
    )  # fmt: skip
    gestures = recordings(4, 128, 3000, 1_010_000)
    np.savez(
        tmp_path / "dvs_gesture_10" / "dvs_gesture_10.npz", **joined(gestures), label=np.arange(4),
        classes=np.array(["a", "b", "c", "d"]),
    )  # fmt: skip
    for session, names in (("A", ("mug", "mug_2", "cube")), ("B", ("mug", "cube", "box"))):
        held = {f"{n}_{k}": v for n, s in zip(names, recordings(3, 128, 6000, 2_010_000), strict=True)
                for k, v in columns(s).items()}  # fmt: skip
        np.savez(tmp_path / "dvs128_objects" / f"events_session{session}.npz", names=np.array(names), **held)
    draw = np.random.default_rng(0)
    x, y = draw.integers(0, 256, (400, 28, 28), dtype=np.uint8), np.arange(400, dtype=np.uint8) % 10
    np.savez(tmp_path / "fashion_mnist" / "fashion_mnist.npz", x_train=x, y_train=y, x_test=x[:40], y_test=y[:40])
    return tmp_path


def test_every_recipe_of_events_keeps_its_parts_apart(place: Path) -> None:
    digits = nmnist_small(4)
    assert [len(d.y) for d in (digits.train, digits.validation, digits.test)] == [600, 100, 60]
    counted = sum(int(d.x.sum()) for d in (digits.train, digits.validation, digits.test))
    assert counted == 720 * 50 + 40 * 60  # no event is lost, none counted twice
    gestures = gesture_windows(4, 4)
    assert [len(d.y) for d in (gestures.train, gestures.validation, gestures.test)] == [20, 8, 12]
    objects = objects_two_sessions(4, 4)
    assert objects.classes == ("cube", "mug")
    assert [torch.bincount(d.y).tolist() for d in (objects.train, objects.validation)] == [[18, 18], [2, 2]]
    assert torch.bincount(objects_two_sessions(4, 4, trained="A").test.y).tolist() == [20, 20]
    x_T = TimeFirst(0.5)(objects.train.x[:3])
    assert x_T.shape == (4, 3, 2, 32, 32)
    assert torch.equal(x_T[1, 2], objects.train.x[2, 1].float() / 2)


def test_images_that_move_are_seen_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulated side by side, no image's events depend on another's, and a flat image gives none but noise."""
    images = torch.zeros(4, 3, 32, 32, dtype=torch.uint8)
    images[1:, :, 8:20, 8:20] = torch.tensor([60, 120, 250], dtype=torch.uint8).view(3, 1, 1, 1)
    train, test = Data(images.repeat(3, 1, 1, 1)[:10], torch.zeros(10).long()), Data(images, torch.zeros(4).long())
    split = Split("cifar10", ("a",), train, test, test)
    monkeypatch.setattr("spikeworks.recipes.event_data.cifar10", lambda: split)
    for sizes in ((11, 4), (10, 5), (5, 1)):
        with pytest.raises(ValueError, match="expected 10 to 10 and 1 to 4"):
            cifar10_moved(4, *sizes)
    told: list[tuple[int, int]] = []
    made = cifar10_moved(4, train=10, test=4, progress=lambda *done: told.append(done))
    flat, *seen = made.test.x.sum((1, 2, 3, 4)).tolist()
    assert flat < min(seen) / 10
    assert told[-1] == (14, 14)


SMALL: dict[str, dict[str, str]] = {
    "train_digits": {"channels": "4,4,4", "steps": "2"},
    "train_nmnist": {"channels": "4,4,4", "frames": "2"},
    "train_gesture": {"channels": "4,4,4", "frames": "2"},
    "train_fashion": {"channels": "4,4,4", "steps": "2"},
    "hsd_objects": {"plan": "4,0,4,0", "frames": "2", "steps": "1,2"},
    "hsd_ablations": {
        "base.plan": "4,0,4,0",
        "base.frames": "4",
        "frames": "2,4",
        "levels": "4,8",
        "temperatures": "1",
    },
    "latency_digits": {"channels": "4,4", "features": "2", "steps": "3"},
}


@pytest.mark.parametrize("name", SMALL)
def test_a_run_is_done_once_and_measures_as_it_did(name: str, place: Path) -> None:
    recipe, trained = TRAINING[name], list[str]()
    watch = Watch(epoch=lambda kind, _: trained.append(kind))
    first = recipe(1, True, folder=place / "one", override=SMALL[name])
    again = recipe(1, True, watch, folder=place / "two", override=SMALL[name])
    assert numbers(first) == numbers(again)
    assert trained
    assert load_study(place / "one" / STUDY) == first
    measured = evaluate(place / "one", TRAINING)
    assert measured.results == first.results
    assert not any(p.name.startswith("training.") and p.suffix == ".safetensors" for p in (place / "one").iterdir())


def test_a_stopped_run_goes_on(place: Path) -> None:
    """Cut after the first network's second epoch, it ends as if it had not been; done, it is not trained again."""
    override = {"plan": "4,0,4,0", "frames": "2", "steps": "1", "teacher.epochs": "3", "student.epochs": "1"}
    recipe = TRAINING["hsd_objects"]
    whole = recipe(0, folder=place / "whole", override=override)

    class CutError(Exception): ...

    def cut(kind: str, epoch: Any) -> None:
        if kind == "scratch_1" and epoch.number == 2:
            raise CutError

    with pytest.raises(CutError):
        recipe(0, watch=Watch(epoch=cut), folder=place / "cut", override=override)
    seen: list[tuple[str, int]] = []
    watch = Watch(epoch=lambda kind, e: seen.append((kind, e.number)))
    assert numbers(recipe(0, watch=watch, folder=place / "cut", override=override)) == numbers(whole)
    assert seen == [("scratch_1", 3), ("scratch_1", 4), ("ce_1", 1), ("mean_1", 1), ("steps_1", 1)]
    seen.clear()
    recipe(0, watch=watch, folder=place / "cut", override=override)
    assert seen == []
    for seed, quick, more in ((1, False, {}), (0, True, {}), (0, False, {"levels": "4"})):  # not all change a tensor
        with pytest.raises(ValueError, match=r"cut holds another run \((seed|quick|settings)="):
            recipe(seed, quick, folder=place / "cut", override={**override, **more})
    changed = replace(recipe, settings=replace(recipe.settings, levels=4))
    with pytest.raises(ValueError, match="those of this version"):
        evaluate(place / "cut", {recipe.name: changed})


@dataclass(frozen=True)
class Inner:
    """Settings inside of others."""

    epochs: int = 1
    rate: float = 0.1


@dataclass(frozen=True)
class Outer:
    """Settings with one name twice."""

    first: Inner = Inner()
    second: Inner = Inner()
    sizes: tuple[int, ...] = (1, 2)
    first_rate: float = 1.0


def test_settings_are_read_by_name_and_path() -> None:
    plan = overridden(TRAINING["train_nmnist"].settings, {"epochs": "1", "warmup": "0"}).plan
    assert (plan.epochs, plan.warmup) == (1, 0)  # checked together: a warm-up of 2 was longer than one epoch
    changed = overridden(Outer(), {"first.epochs": "5", "sizes": "3, 4,5", "first_rate": "2"})
    assert changed == Outer(Inner(5), Inner(), (3, 4, 5), 2.0)
    for said, message in (
        ({"epochs": "3"}, r"2 settings are called so: first\.epochs, second\.epochs"),
        ({"depth": "3"}, r"depth=3, but there is none, expected one of first\.epochs"),
        ({"first.epochs": "many"}, "epochs=many, expected a whole number"),
        ({"sizes": "1,x"}, "sizes=1,x, expected a whole number"),
    ):
        with pytest.raises(ValueError, match=message):
            overridden(Outer(), said)


def test_folders_that_hold_no_run_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected a study that a training recipe wrote"):
        evaluate(tmp_path, TRAINING)
    Study("x", [], {"recipe": "mine"}).save(tmp_path / STUDY)
    with pytest.raises(ValueError, match="holds a study without override, quick, settings, seed"):
        evaluate(tmp_path, TRAINING)
    whole = {"recipe": "mine", "override": {}, "quick": True, "settings": "", "seed": 0}
    Study("x", [], whole).save(tmp_path / STUDY)
    with pytest.raises(ValueError, match="holds a run of 'mine', expected one of train_digits"):
        evaluate(tmp_path, TRAINING)
    with pytest.raises(ValueError, match="no folder to read weights from"):
        Bench(learning=False)


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [str(tmp_path / str(seed)) for seed in (0, 1)]
    words = ["train", "train_digits", "--quick", "--override", "steps=2", "channels=4,4,4"]
    for seed, run in enumerate(runs):
        cli.main([*words, "--seed", str(seed), "--out", run])
    said = capsys.readouterr().out
    assert "MS-ResNet, LIF, T=2" in said
    assert "study.json" in said
    cli.main(["evaluate", runs[0]])
    assert "MS-ResNet, LIF, T=2" in capsys.readouterr().out
    curves = tmp_path / "curves.png"
    cli.main(["spread", *(f"{run}/study.json" for run in runs), "--plot", str(curves)])
    assert "2 runs" in (said := capsys.readouterr().out)
    assert "| mean decision time to" in said
    assert curves.exists()
    refusals: list[tuple[list[str], str]] = [
        (["train", "nothing"], "train got 'nothing', expected one of train_digits"),
        (["train", "train_digits", "--override", "steps"], "expected key=value"),
        (["evaluate", str(tmp_path)], "expected a study"),
        (["spread", f"{runs[0]}/study.json"], "at least two runs"),
        (["train", "latency_digits", "--override", "train=-5"], "expected at least 1 of each"),
        (["train", "train_digits", "--seed", "99999999999999999999"], "expected a whole number of at most 63 bits"),
        ([*words, "--out", runs[1]], "holds another run (seed=1)"),
    ]
    for line, message in refusals:
        assert message in refused(line, capsys)


def test_recipes_are_called_what_they_are() -> None:
    recipes: list[Training] = list(TRAINING.values())
    assert [r.name for r in recipes] == list(TRAINING)
    assert len({(id(r.work), repr(r.settings)) for r in recipes}) == len(recipes)
