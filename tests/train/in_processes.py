"""What the tests of several processes run: ``python in_processes.py <what> <folder>``, a process per rank."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import warnings
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from spikeworks import SNN, Spiking
from spikeworks.neurons import PLIF
from spikeworks.train import Data, Epoch, Monitor, Parallel, Plan, fit, save_weights

RANK = int(os.environ.get("RANK", "0"))

PLANS = {
    "plain": Plan(2, 51, 0.05, smoothing=0.1, clip=1.0),  # 303 samples: the last batch is odd
    "parts": Plan(2, 50, 3e-3, "adamw", accumulate=2, average=0.9, warmup=0.5),  # the last part is one sample
}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def blobs(n: int = 303, seed: int = 0) -> Data:
    draw = generator(seed)
    x = torch.randint(0, 100, (n, 1, 8, 8), generator=draw, dtype=torch.uint8)
    y = torch.randint(0, 3, (n,), generator=draw)
    x[y == 0, :, 3, :] = 220
    x[y == 1, :, :, 3] = 220
    return Data(x, y, lambda batch: batch.float() / 255)


def net(norm: bool = False, dropout: float = 0.0, seed: int = 3) -> nn.Sequential:
    torch.manual_seed(seed)
    middle = [nn.BatchNorm2d(8)] if norm else []
    return nn.Sequential(nn.Conv2d(1, 8, 3), *middle, nn.ReLU(), nn.Flatten(), nn.Dropout(dropout), nn.Linear(288, 3))


def snn() -> SNN:
    """With a parameter that has no axis, the neuron's."""
    torch.manual_seed(4)
    layers = nn.Sequential(nn.Conv2d(1, 8, 3), Spiking(PLIF(tau=2.0, threshold=0.2)), nn.Flatten(), nn.Linear(288, 3))
    return SNN(layers, lambda x: x.expand(3, *x.shape))


def flip(x: Tensor, draw: torch.Generator) -> Tensor:
    return x.flip(-1) if torch.rand((), generator=draw) < 0.5 else x


def keep(place: Path, name: str, network: nn.Module, history: list[Epoch]) -> None:
    save_weights(network, place / f"{name}.{RANK}.safetensors")
    lines = [{k: v for k, v in asdict(epoch).items() if k != "seconds"} for epoch in history]
    (place / f"{name}.{RANK}.json").write_text(json.dumps(lines))


def equal(place: Path, parallel: Parallel | None) -> None:
    """Networks without batch normalisation, dropout or augmentation: what one process gives."""
    for name, plan in PLANS.items():
        network = net(seed=3 + (0 if parallel is None else RANK))  # process 0's weights count
        keep(place, name, network, fit(network, blobs(), blobs(61, 1), plan, generator(), parallel=parallel))
    network, monitor, plan = snn(), Monitor(), Plan(2, 50, 3e-3, "adamw", accumulate=2, clip=0.2)
    keep(place, "snn", network, fit(network, blobs(), blobs(61, 1), plan, generator(), monitor=monitor,
                                    parallel=parallel))  # fmt: skip


def going_on(place: Path, parallel: Parallel | None, stop: int | None) -> None:
    """Everything random, all files; process 0 stops after an epoch."""

    def progress(epoch: Epoch) -> None:
        if epoch.number == stop:
            raise KeyboardInterrupt

    network = net(True, 0.5)
    plan = Plan(3, 50, 0.02, average=0.9)
    history = fit(network, blobs(), blobs(61, 1), plan, generator(), flip, progress, place / "run.safetensors",
                  log=place / "run.jsonl", keep_best=2, parallel=parallel)  # fmt: skip
    keep(place, "end", network, history)


def diverging(place: Path, parallel: Parallel | None) -> None:
    """A loss that is no number stops all of them, and the next run is as any."""
    network = net(True)
    try:
        fit(network, blobs(), blobs(61, 1), Plan(2, 50, 1e30), generator(), parallel=parallel)
    except ValueError as error:
        (place / f"said.{RANK}").write_text(str(error))
    first = net(True).state_dict()
    same = all(torch.equal(value, first[name]) for name, value in network.state_dict().items())
    (place / f"same.{RANK}").write_text(str(same))
    keep(place, "end", network, fit(network, blobs(), blobs(61, 1), Plan(2, 50, 0.02), generator(), parallel=parallel))


def dying(place: Path, parallel: Parallel | None, how: str) -> None:
    """Process 1 comes to its end in the middle of training."""
    calls = 0

    def augment(x: Tensor, draw: torch.Generator) -> Tensor:
        nonlocal calls
        calls += 1
        if RANK == 1 and calls == 9:
            if how == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            if how == "stuck":
                time.sleep(600)
            raise RuntimeError("process 1 has had enough")
        return x

    fit(net(), blobs(), blobs(61, 1), Plan(9, 50, 0.02), generator(), augment, parallel=parallel)


def other_data(place: Path, parallel: Parallel | None) -> None:
    """Each process has data of its own."""
    try:
        fit(net(), blobs(seed=RANK), blobs(61, 1), Plan(1, 50, 0.02), generator(RANK), parallel=parallel)
    except ValueError as error:
        (place / f"said.{RANK}").write_text(str(error))


def main() -> None:
    warnings.simplefilter("error")
    torch.set_num_threads(1)
    what, place, strategy = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    parallel = Parallel(strategy, "cpu", 5.0 if what == "stuck" else 60.0)  # type: ignore[arg-type]
    if what in ("killed", "stuck", "raised"):
        dying(place, parallel, what)
    elif what in ("straight", "stopped"):
        going_on(place, parallel, 2 if what == "stopped" else None)
    else:
        {"equal": equal, "diverging": diverging, "other_data": other_data}[what](place, parallel)


if __name__ == "__main__":
    main()
