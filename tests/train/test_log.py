"""What logs hold is what the history holds: once each, whenever training stopped; read back by other hands."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from spikeworks.layers import SNN, Spiking
from spikeworks.neurons import LIF
from spikeworks.train import Epoch, Jsonl, Log, MLflow, Monitor, Plan, TensorBoard, fit
from train.test_fit import blobs, flip, generator, network  # type: ignore[import-not-found]

PLAN = Plan(4, 50, 0.02)
NAMES = ("loss", "accuracy", "validation", "seconds")


class StoppedError(Exception):
    """Training is stopped here."""


def stop_after(number: int) -> Callable[[Epoch], None]:
    def progress(epoch: Epoch) -> None:
        if epoch.number == number:
            raise StoppedError

    return progress


def run(place: Path, log: Any, progress: Callable[[Epoch], None] | None = None, plan: Plan = PLAN) -> list[Epoch]:
    return fit(network(), blobs(), blobs(60, 1), plan, generator(), flip, progress, place / "run.safetensors", log=log)


class Failing(Jsonl):
    """A log that breaks down before it writes an epoch: the checkpoint has it, the logs after this one do not."""

    def __init__(self, path: Path, at: int) -> None:
        super().__init__(path)
        self.at = at

    def write(self, epoch: Epoch, /) -> None:
        if epoch.number == self.at:
            raise StoppedError
        super().write(epoch)


def events(folder: Path) -> list[tuple[int, dict[str, float]]]:
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    found = []
    for file in folder.glob("events.out.tfevents.*"):
        for event in EventFileLoader(str(file)).Load():
            if event.HasField("summary"):
                found.append((event.step, {v.tag: v.tensor.float_val[0] for v in event.summary.value}))
    return found


def wanted(history: list[Epoch]) -> list[tuple[int, dict[str, Any]]]:
    return [(e.number, {name: pytest.approx(getattr(e, name), rel=1e-6) for name in NAMES}) for e in history]


def test_tensorboard_reads_every_epoch_once(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="needs tensorboard: pip install 'spikeworks[train]'")
    folder = tmp_path / "board"
    with pytest.raises(StoppedError):
        run(tmp_path, TensorBoard(folder), stop_after(2))
    assert [step for step, _ in events(folder)] == [1, 2]
    with pytest.raises(StoppedError):
        run(tmp_path, [Failing(tmp_path / "x.jsonl", 3), TensorBoard(folder)])
    assert [step for step, _ in events(folder)] == [1, 2]
    file = folder / "events.out.tfevents.spikeworks"
    before = file.read_bytes()
    file.write_bytes(before[:-7])  # killed while it wrote
    history = run(tmp_path, TensorBoard(folder))
    assert events(folder) == wanted(history)
    assert file.read_bytes()[: len(before) // 2] == before[: len(before) // 2]  # what was there stays, with its times
    whole = file.read_bytes()
    assert run(tmp_path, TensorBoard(folder)) == history  # all is done
    assert file.read_bytes() == whole
    (tmp_path / "run.safetensors").unlink()
    again = run(tmp_path, TensorBoard(folder))  # anew
    assert events(folder) == wanted(again)


def test_tensorboard_itself_shows_it(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="needs tensorboard: pip install 'spikeworks[train]'")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    history = run(tmp_path, TensorBoard(tmp_path / "board"))
    shown = EventAccumulator(str(tmp_path / "board")).Reload()
    tags = {tag for kind in ("scalars", "tensors") for tag in shown.Tags()[kind]}
    assert tags == set(NAMES)
    points = shown.Scalars("validation") if "validation" in shown.Tags()["scalars"] else shown.Tensors("validation")
    assert [point.step for point in points] == [epoch.number for epoch in history]


# mlflow asks sqlalchemy for something that sqlalchemy calls old
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_mlflow_goes_on_with_its_run(tmp_path: Path) -> None:
    pytest.importorskip("mlflow", reason="needs mlflow: pip install 'spikeworks[mlflow]'")
    pytest.importorskip("sqlalchemy", reason="needs sqlalchemy: pip install 'spikeworks[mlflow]'")
    from mlflow.tracking import MlflowClient

    store = f"sqlite:///{tmp_path / 'mlflow.db'}"
    client = MlflowClient(store)

    def runs() -> list[Any]:
        place = client.get_experiment_by_name("digits")
        return [] if place is None else list(client.search_runs([place.experiment_id]))

    def log() -> MLflow:
        return MLflow(store, "digits", "one")

    with pytest.raises(StoppedError):
        run(tmp_path, log(), stop_after(2))
    assert [one.info.status for one in runs()] == ["KILLED"]
    with pytest.raises(StoppedError):
        run(tmp_path, [Failing(tmp_path / "x.jsonl", 3), log()])
    history = run(tmp_path, log())
    (one,) = runs()
    assert one.info.status == "FINISHED"
    assert one.info.run_name == "one"
    assert one.data.params["rate"] == "0.02"
    for name in NAMES:
        metrics = client.get_metric_history(one.info.run_id, name)
        assert [metric.step for metric in metrics] == [1, 2, 3, 4]
        assert [metric.value for metric in metrics] == pytest.approx([getattr(epoch, name) for epoch in history])
    run(tmp_path, log())
    assert len(runs()) == 1
    (tmp_path / "run.safetensors").unlink()
    run(tmp_path, log())
    assert len(runs()) == 2  # a run per fit
    client._tracking_client.store.engine.dispose()


def test_lines_are_those_of_the_history_and_several_logs_are_told(tmp_path: Path) -> None:
    lines = tmp_path / "run.jsonl"

    def numbers() -> list[int]:
        return [json.loads(line)["number"] for line in lines.read_text().splitlines()]

    with pytest.raises(StoppedError):
        run(tmp_path, [lines, Failing(tmp_path / "x.jsonl", 3)])
    assert numbers() == [1, 2, 3]
    lines.write_text(lines.read_text()[:-40])  # somebody has cut it
    with pytest.raises(StoppedError):
        run(tmp_path, [Failing(tmp_path / "x.jsonl", 4), str(lines)])
    assert numbers() == [1, 2, 3]
    history = run(tmp_path, [lines, Jsonl(tmp_path / "second.jsonl")])
    assert [json.loads(line) for line in lines.read_text().splitlines()] == [asdict(epoch) for epoch in history]
    assert (tmp_path / "second.jsonl").read_text() == lines.read_text()
    assert isinstance(Jsonl(lines), Log)


def test_a_log_of_ones_own_and_what_the_monitor_saw(tmp_path: Path) -> None:
    told: list[Any] = []

    class Mine:
        def open(self, run: str, about: Any, history: Any, /) -> None:
            told.append((about["rate"], list(history)))

        def write(self, epoch: Epoch, /) -> None:
            told.append(epoch)

        def close(self, finished: bool, /) -> None:
            told.append(finished)

    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(1, 4, 3), Spiking(LIF(threshold=0.1)), nn.Flatten(), nn.Linear(144, 3))
    snn = SNN(layers, lambda x: x.expand(2, *x.shape))
    board = [TensorBoard(tmp_path / "board")] if _there("tensorboard") else []
    history = fit(snn, blobs(), blobs(60, 1), Plan(2, 50, 0.01), generator(), monitor=Monitor(),
                  log=[Mine(), tmp_path / "run.jsonl", *board])  # fmt: skip
    assert told == [(0.01, []), *history, True]
    last = json.loads((tmp_path / "run.jsonl").read_text().splitlines()[-1])
    assert last["activity"] == history[-1].activity
    assert last["activity"]["network.1"].keys() == {"silent", "saturated", "rate"}
    if board:
        _, seen = events(tmp_path / "board")[-1]
        assert seen["rate/network.1"] == pytest.approx(history[-1].activity["network.1"]["rate"])


def _there(name: str) -> bool:
    from importlib.util import find_spec

    return find_spec(name) is not None
