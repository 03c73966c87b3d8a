"""Where figures of training go, epoch by epoch: lines of JSON, TensorBoard, MLflow. After a resume, nothing twice."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from ..disk import whole
from .checkpoint import taken
from .history import Epoch


@runtime_checkable
class Log(Protocol):
    """What ``fit`` tells of each epoch; process 0 alone has one."""

    def open(self, run: str, about: Mapping[str, Any], history: Sequence[Epoch], /) -> None:
        """Training begins, or goes on: afterwards the log holds the epochs of ``history``, once each, and no others.

        :param run: the same for one checkpoint's run whenever it goes on. :param about: how it is trained.
        """
        ...

    def write(self, epoch: Epoch, /) -> None:
        """The next epoch, with what a monitor saw."""
        ...

    def close(self, finished: bool, /) -> None:
        """Training ends, or is interrupted; a process that is killed says nothing."""
        ...


def logs_of(log: str | Path | Log | Sequence[str | Path | Log] | None) -> list[Log]:
    """What ``fit`` takes as ``log``, as a list: a path is a :class:`Jsonl`."""
    some = [] if log is None else [log] if isinstance(log, str | Path | Log) else log
    return [Jsonl(one) if isinstance(one, str | Path) else one for one in some]


def scalars(epoch: Epoch) -> dict[str, float]:
    """The figures of an epoch by name: ``loss``, ``validation``, …, and ``silent/<layer>``, ``rate/<layer>``, …."""
    named = {name: getattr(epoch, name) for name in ("loss", "accuracy", "validation", "seconds")}
    return named | {f"{what}/{layer}": v for layer, seen in epoch.activity.items() for what, v in seen.items()}  # type: ignore[misc]


class Jsonl:
    """A file with a line of JSON per epoch, whole after each.

    :param path: e.g. ``"run.jsonl"``; a run that starts anew replaces it after its first epoch.
    """

    def __init__(self, path: str | Path) -> None:
        self.path, self.lines = Path(path), list[str]()

    def open(self, run: str, about: Mapping[str, Any], history: Sequence[Epoch], /) -> None:
        """Take the lines from the history."""
        self.lines = [_line(epoch) for epoch in history]
        if self.lines:
            self._write()

    def write(self, epoch: Epoch, /) -> None:
        """One line more."""
        self.lines.append(_line(epoch))
        self._write()

    def close(self, finished: bool, /) -> None:
        """Nothing is left to do."""

    def _write(self) -> None:
        with taken(self.path, f"after epoch {len(self.lines)}"), whole(self.path) as temporary:
            temporary.write_text("".join(self.lines), encoding="utf-8")


class TensorBoard:
    """An event file that TensorBoard shows: ``tensorboard --logdir <parent of folder>``.

    :param folder: of this run alone; its file ``events.out.tfevents.spikeworks`` is that of one run, whose epochs are
        its steps, one record each.
    """

    def __init__(self, folder: str | Path) -> None:
        self.path = Path(folder) / "events.out.tfevents.spikeworks"

    def open(self, run: str, about: Mapping[str, Any], history: Sequence[Epoch], /) -> None:
        """Keep the records of the history that are there, add those that are not."""
        from tensorboard.compat.proto.event_pb2 import Event  # type: ignore[attr-defined]

        there = self._records() if history else {}
        first = Event(wall_time=time.time(), file_version="brain.Event:2").SerializeToString()
        records = [there.get(0) or first, *(there.get(epoch.number) or _record(epoch) for epoch in history)]
        with taken(self.path), whole(self.path) as temporary:
            _append(temporary, records)

    def write(self, epoch: Epoch, /) -> None:
        """One record more; what a crash leaves of it is dropped when training goes on."""
        with taken(self.path, f"after epoch {epoch.number}"):
            _append(self.path, [_record(epoch)])

    def close(self, finished: bool, /) -> None:
        """Nothing is left to do."""

    def _records(self) -> dict[int, bytes]:
        """Epoch → its record, of the whole ones."""
        from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
        from tensorboard.compat.proto.event_pb2 import Event  # type: ignore[attr-defined]

        if not self.path.is_file():
            return {}
        return {Event.FromString(record).step: record for record in RawEventFileLoader(str(self.path)).Load()}


class MLflow:
    """A run in an MLflow store, a metric per figure, the epoch its step; ``mlflow ui`` shows it.

    :param store: e.g. ``"sqlite:///mlflow.db"``. :param experiment: made if it is not there.
    :param name: of the run; default: one that MLflow makes up.
    """

    def __init__(
        self, store: str = "sqlite:///mlflow.db", experiment: str = "spikeworks", name: str | None = None
    ) -> None:  # fmt: skip
        self.store, self.experiment, self.name = store, experiment, name
        self._client: Any = None
        self._run = ""

    def open(self, run: str, about: Mapping[str, Any], history: Sequence[Epoch], /) -> None:
        """Go on with the run of this checkpoint, if epochs of it are done; else begin one."""
        from mlflow.entities import Param, RunTag  # pyright: ignore[reportMissingImports]
        from mlflow.tracking import MlflowClient  # pyright: ignore[reportMissingImports]

        client = self._client = MlflowClient(self.store)
        found = client.get_experiment_by_name(self.experiment)
        place = client.create_experiment(self.experiment) if found is None else found.experiment_id
        wanted, latest = f"tags.`spikeworks.run` = '{run}'", ["attributes.start_time DESC"]
        runs = client.search_runs([place], wanted, order_by=latest, max_results=1) if history else []
        if runs:
            self._run = runs[0].info.run_id
            client.update_run(self._run, status="RUNNING")
        else:
            self._run = client.create_run(place, run_name=self.name).info.run_id
            params = [Param(key, str(value)) for key, value in about.items()]
            client.log_batch(self._run, params=params, tags=[RunTag("spikeworks.run", run)])
        there = {metric.step for metric in client.get_metric_history(self._run, "validation")}
        for epoch in history:
            if epoch.number not in there:
                self.write(epoch)

    def write(self, epoch: Epoch, /) -> None:
        """Its figures, in one transaction (in several past a thousand, ``validation`` last)."""
        from mlflow.entities import Metric  # pyright: ignore[reportMissingImports]

        now, figures = int(time.time() * 1000), scalars(epoch)
        figures["validation"] = figures.pop("validation")
        metrics = [Metric(name, value, now, epoch.number) for name, value in figures.items()]
        for i in range(0, len(metrics), 1000):
            self._client.log_batch(self._run, metrics=metrics[i : i + 1000])

    def close(self, finished: bool, /) -> None:
        """The run is finished, or was interrupted."""
        self._client.set_terminated(self._run, "FINISHED" if finished else "KILLED")


def _line(epoch: Epoch) -> str:
    return json.dumps(asdict(epoch)) + "\n"


def _record(epoch: Epoch) -> bytes:
    from tensorboard.compat.proto.event_pb2 import Event  # type: ignore[attr-defined]
    from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[attr-defined]

    values = [Summary.Value(tag=name, simple_value=value) for name, value in scalars(epoch).items()]
    return Event(wall_time=time.time(), step=epoch.number, summary=Summary(value=values)).SerializeToString()


def _append(path: Path, records: Sequence[bytes]) -> None:
    from tensorboard.summary.writer.record_writer import RecordWriter

    with path.open("ab") as file:
        writer = RecordWriter(file)
        for record in records:
            writer.write(record)
