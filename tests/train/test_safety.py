"""Whatever stops training leaves a whole checkpoint and a network with the weights of a whole epoch."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from spikeworks.train import Epoch, Plan, best_files, fit, load_weights, summary
from spikeworks.train.checkpoint import read
from train.test_fit import blobs, flip, generator, network  # type: ignore[import-not-found]

PLAN = Plan(4, 50, 0.02, average=0.9)


def weights(net: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in net.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def last_of(checkpoint: Path) -> dict[str, Tensor]:
    net = network(0.5)
    load_weights(net, checkpoint, "last")
    return weights(net)


class Breaking:
    """An augmentation that raises at its n-th call, or spoils the batch."""

    def __init__(self, at: int, error: BaseException | None) -> None:
        self.at, self.error, self.calls = at, error, 0

    def __call__(self, x: Tensor, draw: torch.Generator) -> Tensor:
        self.calls += 1
        if self.calls == self.at and self.error is not None:
            raise self.error
        return flip(x, draw)


@pytest.mark.parametrize("call", [1, 6, 7, 9, 13, 24])  # six batches in an epoch
def test_ctrl_c_in_an_epoch_leaves_the_whole_ones(call: int, tmp_path: Path) -> None:
    place, net, ends = tmp_path / "run.safetensors", network(0.5), [weights(network(0.5))]
    draw = generator()
    with pytest.raises(KeyboardInterrupt):
        fit(net, blobs(), blobs(60, 1), PLAN, draw, Breaking(call, KeyboardInterrupt()),
            lambda _: ends.append(weights(net)), place, log=tmp_path / "run.jsonl")  # fmt: skip
    done = (call - 1) // 6
    assert len(ends) == done + 1
    assert same(weights(net), ends[done])
    assert not net.training
    assert torch.equal(draw.get_state(), generator().get_state())  # as it came: the same call goes on
    assert place.exists() == (done > 0)
    if done:
        assert same(last_of(place), ends[done])
    resumed, straight = network(0.5), network(0.5)
    history = fit(resumed, blobs(), blobs(60, 1), PLAN, draw, flip, None, place, log=tmp_path / "run.jsonl")
    fit(straight, blobs(), blobs(60, 1), PLAN, generator(), flip)
    assert same(weights(resumed), weights(straight))
    lines = [json.loads(line)["number"] for line in (tmp_path / "run.jsonl").read_text().splitlines()]
    assert lines == [1, 2, 3, 4] == [epoch.number for epoch in history]


@pytest.mark.parametrize("where", ["loss", "last step"])
def test_a_loss_that_is_no_number_keeps_what_was_good(where: str, tmp_path: Path) -> None:
    place, net, ends = tmp_path / "run.safetensors", network(0.5), []
    calls = 0

    def spoil(logits: Tensor, y: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        loss = nn.functional.cross_entropy(logits.mean(0), y)
        if where == "loss":
            return loss * float("nan") if calls == 15 else loss
        return loss + (loss - loss.detach()) * 1e38 * 1e5 if calls == 18 else loss  # finite, but its gradient is not

    what = "a loss of nan" if where == "loss" else "weights that are not finite"
    with pytest.raises(ValueError, match=rf"{what} in epoch 3, .* weights after epoch 2 again: lower rate=0\.02"):
        fit(net, blobs(), blobs(60, 1), PLAN, generator(), flip, lambda _: ends.append(weights(net)), place, spoil)
    assert len(ends) == 2
    assert same(weights(net), ends[1])
    assert same(last_of(place), ends[1])
    again = network(0.5)
    load_weights(again, place, "last")
    slower = replace(PLAN, rate=0.005)
    history = fit(again, blobs(), blobs(60, 1), slower, generator(1), flip, checkpoint=tmp_path / "slower.safetensors")
    assert len(history) == 4
    assert history[-1].loss < 0.5


def full(path: Path, calls: list[str]) -> Callable[..., None]:
    """``save_file`` that fills the disk in the middle of a file, at its third call."""

    def save(tensors: dict[str, Tensor], file: Path, words: dict[str, str] | None = None) -> None:
        calls.append(str(file))
        safetensors_save(tensors, file, words)
        if len(calls) == 3:
            file.write_bytes(file.read_bytes()[:1000])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    return save


safetensors_save: Any = safetensors.torch.save_file


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, net, ends = tmp_path / "run.safetensors", network(0.5), []
    with monkeypatch.context() as patched:
        patched.setattr(safetensors.torch, "save_file", full(place, []))
        words = r"run\.safetensors could not be written after epoch 3 .*No space left.*before is whole: make room"
        with pytest.raises(OSError, match=words) as caught:
            fit(net, blobs(), blobs(60, 1), PLAN, generator(), flip, lambda _: ends.append(weights(net)), place)
    assert "\n" not in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["run.safetensors"]
    assert same(last_of(place), ends[1])
    resumed, straight = network(0.5), network(0.5)
    fit(resumed, blobs(), blobs(60, 1), PLAN, generator(), flip, None, place)
    fit(straight, blobs(), blobs(60, 1), PLAN, generator(), flip)
    assert same(weights(resumed), weights(straight))
    stopped = network(0.5)
    with pytest.raises(KeyboardInterrupt):
        fit(stopped, blobs(), blobs(60, 1), PLAN, generator(), flip, stop_after(3))
    assert same(weights(net), weights(stopped))  # in memory the third epoch is whole


def stop_after(number: int) -> Callable[[Epoch], None]:
    def progress(epoch: Epoch) -> None:
        if epoch.number == number:
            raise KeyboardInterrupt

    return progress


REAL = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (9_000, 9_000))
from train.in_processes import blobs, generator, net
from spikeworks.train import Plan, fit
fit(net(), blobs(), blobs(60, 1), Plan(1, 50, 0.02), generator(), checkpoint=sys.argv[1])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits on the size of a file are those of POSIX")
@pytest.mark.slow
def test_a_file_that_the_system_refuses_is_told_in_a_sentence(tmp_path: Path) -> None:
    paths = os.pathsep.join(sys.path)
    command = [sys.executable, "-c", REAL, str(tmp_path / "run.safetensors")]
    environment = {**os.environ, "PYTHONPATH": paths}
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=environment)
    assert ran.returncode == 1
    assert "run.safetensors could not be written after epoch 1" in ran.stderr.splitlines()[-1]
    assert "nothing was left there: make room" in ran.stderr.splitlines()[-1]
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "run.safetensors"
    fit(network(), blobs(), blobs(60, 1), replace(PLAN, epochs=1), generator(), checkpoint=place)
    other = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    before = weights(other)
    with pytest.raises(ValueError, match=r"of another network \(it also has '0.bias'; 0 missing, 7 unknown"):
        fit(other, blobs(), blobs(60, 1), replace(PLAN, epochs=1), generator(), checkpoint=place)
    assert same(weights(other), before)


@pytest.mark.parametrize("average", [0.0, 0.9])
def test_the_best_stay_as_files(average: float, tmp_path: Path) -> None:
    place = tmp_path / "run.safetensors"
    (tmp_path / "run.epoch0099.safetensors").write_text("of an older run")
    (tmp_path / "run.epochs.safetensors").write_text("of somebody else")
    plan, held, net = Plan(6, 50, 0.2, average=average), blobs(40, 5), network()
    seen: list[list[int]] = []
    history = fit(net, blobs(), held, plan, generator(), None, lambda _: seen.append([*best_files(place)]), place,
                  keep_best=2)  # fmt: skip
    for number, files in enumerate(seen, 1):
        ranked = sorted(range(number), key=lambda i: -history[i].validation)[:2]
        assert files == sorted(i + 1 for i in ranked)
    found = summary(history)
    assert found.best == max(history, key=lambda e: e.validation)
    assert found.last == history[-1]
    assert f"epoch {found.best.number}, last" in str(found)
    best = network()
    load_weights(best, best_files(place)[found.best.number])
    assert same(weights(best), weights(net))
    load_weights(best, place)
    with pytest.raises(ValueError, match="expected 'best' or 'last'"):
        load_weights(best, place, "first")  # type: ignore[arg-type]
    assert same(weights(best), weights(net))
    _, words = read(best_files(place)[found.best.number])
    assert Epoch(**json.loads(words["epoch"])) == found.best
    assert {p.name for p in tmp_path.iterdir()} == {"run.safetensors", "run.epochs.safetensors"} | {
        file.name for file in best_files(place).values()
    }
    with pytest.raises(ValueError, match="keep_best=2 and checkpoint=None"):
        fit(net, blobs(), held, plan, generator(), keep_best=2)
    with pytest.raises(ValueError, match="no epochs"):
        summary([])


@pytest.mark.parametrize("moment", ["best", "checkpoint"])
def test_the_best_files_survive_any_moment(moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped before the checkpoint, or before files are removed: going on gives what a run in one go gives."""
    plan, held, ends = Plan(5, 50, 0.2), blobs(40, 5), {}
    names = {"best": "save_checkpoint", "checkpoint": "drop_others"}
    for name in ("straight", "stopped"):
        place = tmp_path / name / "run.safetensors"
        if name == "stopped":
            target = sys.modules["spikeworks.train.fit"]
            whole, calls = getattr(target, names[moment]), 0

            def once(*args: Any, whole: Callable[..., Any] = whole, **more: Any) -> Any:
                nonlocal calls
                calls += 1
                if calls == 4:
                    raise KeyboardInterrupt
                return whole(*args, **more)

            with monkeypatch.context() as patched:
                patched.setattr(target, names[moment], once)
                with pytest.raises(KeyboardInterrupt):
                    fit(network(), blobs(), held, plan, generator(), checkpoint=place, keep_best=2)
        fit(network(), blobs(), held, plan, generator(), checkpoint=place, keep_best=2)
        ends[name] = {number: read(file) for number, file in best_files(place).items()}
    assert ends["straight"].keys() == ends["stopped"].keys()
    for number, (tensors, _) in ends["straight"].items():
        assert same(tensors, ends["stopped"][number][0])
