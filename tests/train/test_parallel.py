"""Two processes on the CPU give what one gives, go on where they stopped, and do not wait for a dead one."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import train.in_processes as script  # type: ignore[import-not-found]
from spikeworks.train import Parallel, accuracy
from spikeworks.train.checkpoint import read

pytest.importorskip("lightning_fabric", reason="needs lightning-fabric: pip install 'spikeworks[train]'")

STRATEGIES = pytest.mark.parametrize("strategy", ["ddp", "fsdp"])


def launched(what: str, place: Path, strategy: str, alone: bool = False) -> list[tuple[int | None, str]]:
    """Exit status and last words of both processes, started by torchrun, which is one; or ``alone``, without it.

    Whatever they do, they are gone after two minutes.
    """
    place.mkdir(exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    run = [script.__file__, what, str(place), strategy]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    commands = [([*f"-m torch.distributed.run --nproc-per-node 2 --master-addr 127.0.0.1 --master-port {port}".split(),
                  *run], {})]  # fmt: skip
    if alone:
        told = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2",
                "GROUP_RANK": "0", "TORCHELASTIC_RUN_ID": "none"}  # fmt: skip
        commands = [(run, {**told, "RANK": str(rank), "LOCAL_RANK": str(rank)}) for rank in (0, 1)]
    started = [
        subprocess.Popen([sys.executable, *command], env={**environment, **more}, text=True, start_new_session=True,
                         stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for command, more in commands
    ]  # fmt: skip
    ends: list[tuple[int | None, str]] = []
    end = time.monotonic() + 120
    for process in started:
        try:
            _, said = process.communicate(timeout=max(end - time.monotonic(), 0.1))
            ends.append((process.returncode, said))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            ends.append((None, process.communicate()[1]))
        if alone and what == "stuck" and process is started[0]:
            os.killpg(started[1].pid, signal.SIGKILL)  # process 0 has given up; the other sleeps
    return ends


def done(what: str, place: Path, strategy: str) -> None:
    ((status, said),) = launched(what, place, strategy)
    assert status == 0, said


@STRATEGIES
def test_two_processes_give_what_one_gives(strategy: str, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    script.equal(tmp_path / "one", None)
    done("equal", tmp_path / "two", strategy)
    for name in (*script.PLANS, "snn"):
        weights, _ = read(tmp_path / "one" / f"{name}.0.safetensors")
        lines = json.loads((tmp_path / "one" / f"{name}.0.json").read_text())
        for rank in (0, 1):
            others, _ = read(tmp_path / "two" / f"{name}.{rank}.safetensors")
            for key, value in weights.items():
                torch.testing.assert_close(others[key], value, rtol=1e-5, atol=1e-6)
            found = json.loads((tmp_path / "two" / f"{name}.{rank}.json").read_text())
            for line, other in zip(lines, found, strict=True):
                assert other["loss"] == pytest.approx(line["loss"], rel=1e-5)
                assert other["accuracy"] == pytest.approx(line["accuracy"])
                assert other["validation"] == pytest.approx(line["validation"])
                assert other["activity"].keys() == line["activity"].keys()
                for layer, seen in line["activity"].items():
                    assert other["activity"][layer] == pytest.approx(seen, abs=1e-3)
    assert 0 < lines[-1]["activity"]["network.1"]["rate"] < 1


@STRATEGIES
@pytest.mark.slow
def test_what_stopped_goes_on_and_one_process_writes(strategy: str, tmp_path: Path) -> None:
    done("straight", tmp_path / "straight", strategy)
    begin = time.monotonic()
    ((status, said),) = launched("stopped", tmp_path / "stopped", strategy)
    assert status
    assert "KeyboardInterrupt" in said
    assert time.monotonic() - begin < 60
    assert len((tmp_path / "stopped" / "run.jsonl").read_text().splitlines()) == 2
    done("straight", tmp_path / "stopped", strategy)
    names = {place: {p.name for p in (tmp_path / place).iterdir()} for place in ("straight", "stopped")}
    assert names["straight"] == names["stopped"]
    assert len([name for name in names["straight"] if name.startswith("run.epoch")]) == 2
    straight, _ = read(tmp_path / "straight" / "end.0.safetensors")
    for place, rank in (("straight", 1), ("stopped", 0), ("stopped", 1)):
        weights, _ = read(tmp_path / place / f"end.{rank}.safetensors")
        assert all(torch.equal(value, weights[name]) for name, value in straight.items())
    network = script.net(True, 0.5)
    network.load_state_dict(straight)
    assert accuracy(network.eval(), script.blobs(200, 2)) > 90


@STRATEGIES
@pytest.mark.slow
def test_a_loss_that_is_no_number_stops_both_and_the_next_run_runs(strategy: str, tmp_path: Path) -> None:
    done("diverging", tmp_path, strategy)
    said = {(tmp_path / f"said.{rank}").read_text() for rank in (0, 1)}
    assert len(said) == 1
    assert "the weights that it came with again: lower rate=1e+30" in said.pop()
    assert {(tmp_path / f"same.{rank}").read_text() for rank in (0, 1)} == {"True"}
    assert (tmp_path / "end.0.safetensors").exists()


@pytest.mark.parametrize("how", ["killed", "raised", "stuck"])
@STRATEGIES
@pytest.mark.slow
def test_nobody_waits_for_a_process_that_died(strategy: str, how: str, tmp_path: Path) -> None:
    begin = time.monotonic()
    (waiting, said), _ = launched(how, tmp_path, strategy, alone=True)
    assert waiting, said  # it ended by itself, with an error
    assert time.monotonic() - begin < 90


@pytest.mark.slow
def test_torchrun_ends_when_one_of_its_processes_dies(tmp_path: Path) -> None:
    ((status, said),) = launched("killed", tmp_path, "ddp")
    assert status, said


@pytest.mark.slow
def test_processes_with_other_data_are_told(tmp_path: Path) -> None:
    done("other_data", tmp_path, "ddp")
    for rank in (0, 1):
        assert "another data in process 1 than in process 0" in (tmp_path / f"said.{rank}").read_text()


def test_one_process_is_as_without(tmp_path: Path) -> None:
    for name, parallel in (("with", Parallel("ddp", "cpu")), ("without", None)):
        (tmp_path / name).mkdir()
        script.going_on(tmp_path / name, parallel, None)
    ends = [read(tmp_path / name / "end.0.safetensors")[0] for name in ("with", "without")]
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())


def test_what_is_wrong_is_refused() -> None:
    for values in ({"strategy": "dp"}, {"device": "tpu"}, {"timeout": 0.0}):
        with pytest.raises(ValueError, match="expected 'ddp' or 'fsdp'"):
            Parallel(**values)
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="0 GPUs, expected one for each"):
            Parallel(device="cuda").team(script.net())
