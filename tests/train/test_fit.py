"""The loop learns, is exactly repeatable, resumes exactly, keeps what was best on validation, refuses what is wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from spikeworks.layers import SNN, Spiking
from spikeworks.neurons import LIF
from spikeworks.train import Data, Distil, Epoch, Plan, accuracy, fit, load_weights, save_weights
from spikeworks.train.average import Average
from spikeworks.train.checkpoint import read


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def blobs(n: int = 301, seed: int = 0) -> Data:
    """Three classes of 8×8 pictures: a bright row, a bright column, noise; uint8."""
    draw = generator(seed)
    x = torch.randint(0, 100, (n, 1, 8, 8), generator=draw, dtype=torch.uint8)
    y = torch.randint(0, 3, (n,), generator=draw)
    x[y == 0, :, 3, :] = 220
    x[y == 1, :, :, 3] = 220
    return Data(x, y, lambda batch: batch.float() / 255)


def network(dropout: float = 0.0) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Dropout(dropout),
                             nn.Linear(288, 3))  # fmt: skip


def flip(x: Tensor, draw: torch.Generator) -> Tensor:
    return x.flip(-1) if torch.rand((), generator=draw) < 0.5 else x


@pytest.mark.parametrize("optimiser", ["sgd", "adamw"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_it_learns(optimiser: str, precision: str) -> None:
    plan = Plan(4, 50, 0.02 if optimiser == "sgd" else 3e-3, optimiser, smoothing=0.1, warmup=0.5, clip=1.0,
                precision=precision)  # fmt: skip
    net, seen = network(), []
    history = fit(net, blobs(), blobs(100, 1), plan, generator(), flip, seen.append)
    assert seen == history
    assert [e.number for e in history] == [1, 2, 3, 4]
    assert history[-1].loss < history[0].loss
    assert accuracy(net, blobs(200, 2)) > 95
    assert not net.training


def test_a_spiking_network_learns_through_time() -> None:
    torch.manual_seed(0)
    inner = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), Spiking(LIF(tau=2.0)), nn.Flatten(), nn.Linear(288, 3))
    snn = SNN(inner, lambda x: x.expand(3, *x.shape), lambda y_T: y_T.mean(0))
    fit(snn, blobs(), blobs(100, 1), Plan(10, 50, 5e-3, "adamw"), generator())
    assert accuracy(snn, blobs(200, 2)) > 90


def test_the_best_weights_on_validation_are_kept() -> None:
    weights: list[dict[str, Tensor]] = []
    net = network()
    held = blobs(40, 5)
    history = fit(net, blobs(), held, Plan(5, 50, 0.5), generator(), progress=lambda e: weights.append(
        {k: v.clone() for k, v in net.state_dict().items()}))  # fmt: skip
    best = max(range(5), key=lambda i: history[i].validation)  # the first of the best
    assert all(torch.equal(v, weights[best][k]) for k, v in net.state_dict().items())
    assert accuracy(net, held) == pytest.approx(history[best].validation)


def test_the_same_seed_gives_the_same_weights_whatever_torchs_own_seed() -> None:
    ends = []
    for outer in (0, 1):
        torch.manual_seed(outer)
        net = network(0.5)
        fit(net, blobs(), blobs(100, 1), Plan(2, 50, 0.05), generator(7), flip)
        ends.append(net.state_dict())
        assert torch.equal(torch.rand(3), torch.rand(3, generator=generator(outer)))  # torch's own stream is untouched
    assert all(torch.equal(ends[0][k], ends[1][k]) for k in ends[0])


@pytest.mark.parametrize(
    ("optimiser", "more"), [("sgd", {}), ("adamw", {}), ("sgd", {"average": 0.9, "accumulate": 2})]
)
def test_a_stopped_run_ends_as_if_it_had_not_stopped(optimiser: str, more: dict, tmp_path: Path) -> None:
    plan = Plan(4, 50, 0.01, optimiser, **more)
    whole, stopped = network(0.5), network(0.5)
    straight = fit(whole, blobs(), blobs(60, 1), plan, generator(), flip)

    def stop(epoch: Epoch) -> None:
        if epoch.number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(stopped, blobs(), blobs(60, 1), plan, generator(), flip, stop, tmp_path / "run.safetensors")
    again = network(0.5)
    resumed = fit(again, blobs(), blobs(60, 1), plan, generator(), flip, None, tmp_path / "run.safetensors")
    assert [(e.loss, e.validation) for e in resumed] == [(e.loss, e.validation) for e in straight]
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in whole.state_dict().items())
    assert [p.name for p in tmp_path.iterdir()] == ["run.safetensors"]
    for train, other, seed, words in (
        (blobs(), replace(plan, rate=0.02), 0, "another rate,"),
        (blobs(), plan, 99, "another seed,"),
        (blobs(seed=2), plan, 0, "another data,"),
    ):
        with pytest.raises(ValueError, match=words):
            fit(network(0.5), train, blobs(60, 1), other, generator(seed), flip, None, tmp_path / "run.safetensors")


def test_parts_of_a_batch_give_the_gradient_of_the_whole() -> None:
    def net() -> nn.Module:
        torch.manual_seed(1)
        return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)).double()

    data = Data(blobs().x, blobs().y, lambda batch: batch.double() / 255)
    ends = []
    for parts in (1, 3, 7):
        made = net()
        plan = Plan(2, 50, 0.05, smoothing=0.1, accumulate=parts, keep="last")
        history = fit(made, data, data, plan, generator())
        ends.append((made.state_dict(), history[-1].loss))
    for state, loss in ends[1:]:
        assert loss == pytest.approx(ends[0][1], rel=1e-6)  # the loss itself is in single precision
        for name, value in state.items():
            torch.testing.assert_close(value, ends[0][0][name], rtol=1e-5, atol=1e-7)


def test_the_average_is_its_formula_and_is_what_is_kept() -> None:
    net, decay = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)), 0.7
    average = Average(net, decay)
    wanted = {k: v.double().clone() for k, v in net.state_dict().items()}
    for n in range(30):
        with torch.no_grad():
            for value in net.state_dict().values():
                value += 1 if not value.is_floating_point() else torch.randn(value.shape)
        average.update(net)
        share = min(decay, (1 + n) / (10 + n))
        for k, v in net.state_dict().items():
            wanted[k] = share * wanted[k] + (1 - share) * v if v.is_floating_point() else v.double().clone()
    own = {k: v.clone() for k, v in net.state_dict().items()}
    with average.inside(net):
        for k, v in net.state_dict().items():
            torch.testing.assert_close(v.double(), wanted[k], rtol=1e-5, atol=1e-6)
    assert all(torch.equal(v, own[k]) for k, v in net.state_dict().items())
    last, averaged = network(), network()
    fit(last, blobs(), blobs(60, 1), Plan(2, 50, 0.05, keep="last"), generator())
    fit(averaged, blobs(), blobs(60, 1), Plan(2, 50, 0.05, keep="last", average=0.9), generator())
    assert not torch.equal(last[0].weight, averaged[0].weight)
    assert accuracy(averaged, blobs(200, 2)) > 60


def test_the_last_weights_can_be_kept() -> None:
    net, weights = network(), []
    plan = Plan(3, 50, 0.5, keep="last")
    fit(net, blobs(), blobs(40, 5), plan, generator(), progress=lambda _: weights.append(net[0].weight.clone()))
    assert torch.equal(net[0].weight, weights[-1])


def test_an_objective_sees_every_step_and_the_log_every_epoch(tmp_path: Path) -> None:
    shapes = set()

    def last_step(logits: Tensor, y: Tensor) -> Tensor:
        shapes.add((tuple(logits.shape[::2]), logits.dtype))
        return nn.functional.cross_entropy(logits[-1], y)

    torch.manual_seed(0)
    inner = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), Spiking(LIF(tau=2.0)), nn.Flatten(), nn.Linear(288, 3))
    snn = SNN(inner, lambda x: x.expand(4, *x.shape))
    plan = Plan(3, 50, 5e-3, "adamw", precision="bfloat16")
    history = fit(snn, blobs(), blobs(100, 1), plan, generator(), objective=last_step, log=tmp_path / "run.jsonl")
    assert shapes == {((4, 3), torch.float32)}
    assert history[-1].loss < history[0].loss
    lines = (tmp_path / "run.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [asdict(e) for e in history]
    assert [p.name for p in tmp_path.iterdir()] == ["run.jsonl"]


def test_an_objective_may_ask_for_the_samples() -> None:
    """As distillation does, whose teacher sees them."""
    teacher = network()
    fit(teacher, blobs(), blobs(60, 1), Plan(4, 50, 0.05), generator())
    seen = []

    class Taught:
        def of(self, x: Tensor) -> Distil:
            seen.append(len(x))
            return Distil(teacher(x).detach(), at="mean")

    net = network()
    fit(net, blobs(), blobs(60, 1), Plan(4, 50, 0.05, accumulate=2), generator(), objective=Taught())
    assert set(seen) == {25}
    assert accuracy(net, blobs(200, 2)) > 90


RUN = """
import sys, torch
sys.path[:0] = sys.argv[2:]
from train.test_fit import blobs, flip, generator, network
from spikeworks.train import Plan, fit, save_weights
torch.set_num_threads(1)
net = network(0.5)
plan, place = Plan(12, 20, 0.01, average=0.9), sys.argv[1]
fit(net, blobs(3000), blobs(60, 1), plan, generator(), flip, None, place + "/run.safetensors", log=place + "/run.jsonl")
save_weights(net, sys.argv[1] + "/end.safetensors")
"""


@pytest.mark.slow
def test_a_run_killed_twenty_times_ends_bit_for_bit_as_one_that_was_not(tmp_path: Path) -> None:
    def command(place: Path) -> subprocess.Popen:
        place.mkdir(exist_ok=True)
        tests = str(Path(__file__).parent.parent)
        return subprocess.Popen(
            [sys.executable, "-c", RUN, str(place), tests], env={**os.environ, "OMP_NUM_THREADS": "1"}
        )

    begin = time.monotonic()
    assert command(tmp_path / "straight").wait() == 0
    whole, place, kills = time.monotonic() - begin, tmp_path / "killed", 0
    draw = generator(4)
    while not (place / "end.safetensors").exists():
        begin, running = time.monotonic(), command(place)
        share = 0.5 + 0.5 * float(torch.rand((), generator=draw)) if kills < 20 else 100.0
        try:
            running.wait(whole * share)
        except subprocess.TimeoutExpired:
            running.send_signal(signal.SIGKILL)
            running.wait()
            kills += 1
        if kills < 20 and (place / "end.safetensors").exists():  # it got through: once more from the start
            whole = min(whole, time.monotonic() - begin)  # the machine may have been slow before
            for file in place.iterdir():
                file.unlink()
    assert kills >= 20
    ends = [read(tmp_path / folder / "end.safetensors")[0] for folder in ("straight", "killed")]
    assert all(torch.equal(v, ends[1][k]) for k, v in ends[0].items())
    left = {p.name for p in place.iterdir() if not p.name.startswith(".")}
    assert left == {"run.safetensors", "run.jsonl", "end.safetensors"}


def test_rate_rises_then_falls_along_half_a_cosine() -> None:
    plan = Plan(10, rate=0.2, warmup=2)
    assert plan.rate_at(0) == 0
    assert plan.rate_at(1) == pytest.approx(0.1)
    assert plan.rate_at(2) == pytest.approx(0.2)
    assert plan.rate_at(6) == pytest.approx(0.1)
    assert plan.rate_at(10) == pytest.approx(0)


def test_what_is_wrong_is_refused() -> None:
    x, y = torch.zeros(4, 1, 8, 8), torch.tensor([0, 1, 2, 3])
    with pytest.raises(ValueError, match="one label per sample"):
        Data(x, y[:3])
    with pytest.raises(ValueError, match="from 0"):
        Data(x, y - 1)
    with pytest.raises(ValueError, match="NaN"):
        Data(x / 0, y)
    with pytest.raises(ValueError, match=r"labels up to 3, expected \[B, 4\]"):
        fit(network(), Data(x, y), Data(x, y), Plan(1), generator())
    with pytest.raises(ValueError, match="lower rate"):
        fit(network(), blobs(), blobs(), Plan(3, 50, 1e30), generator())
    for values, words in (
        ({"optimiser": "adam"}, "'sgd' or 'adamw'"),
        ({"epochs": 0}, "epochs=0, batch=128, expected whole"),
        ({"rate": float("nan")}, "rate=nan"),
        ({"clip": -1.0}, "clip=-1.0, expected finite"),
        ({"smoothing": 5.0}, "smoothing=5.0, expected 0 to 1"),
        ({"epochs": 2, "warmup": 3.0}, "warmup=3.0"),
        ({"accumulate": 0}, "accumulate=0"),
        ({"average": 1.0}, "average=1.0"),
        ({"keep": "first"}, "keep='first', expected 'best' or 'last'"),
    ):
        with pytest.raises(ValueError, match=words):
            Plan(**values)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no parameters"):
        fit(nn.Flatten(), blobs(), blobs(), Plan(1), generator())


def test_a_part_of_a_checkpoint_changes_nothing(tmp_path: Path) -> None:
    plan, place = Plan(1, 50, 0.01), tmp_path / "run.safetensors"
    fit(network(), blobs(), blobs(60, 1), plan, generator(), checkpoint=place)
    tensors, words = read(place)
    for missing in ("generator", next(k for k in tensors if k.startswith("best."))):
        save_file({k: v + 7 if v.is_floating_point() else v for k, v in tensors.items() if k != missing}, place, words)
        net = network()
        before = {k: v.clone() for k, v in net.state_dict().items()}
        with pytest.raises(ValueError, match=r"whole checkpoint|another network"):
            fit(net, blobs(), blobs(60, 1), plan, generator(), checkpoint=place)
        assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


def test_accuracy_puts_every_mode_back() -> None:
    net = network().train()
    frozen = next(m for m in net.modules() if isinstance(m, nn.BatchNorm2d)).eval()
    accuracy(net, blobs())
    assert net.training
    assert not frozen.training


def test_weights_are_read_whole_or_refused(tmp_path: Path) -> None:
    one, two = network(), network()
    with torch.no_grad():
        one[0].weight.add_(1)
    path = tmp_path / "weights.safetensors"
    save_weights(one, path)
    load_weights(two, path)
    assert torch.equal(one[0].weight, two[0].weight)

    before = {k: v.clone() for k, v in two.state_dict().items()}
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(path.read_bytes()[:-10])
    text = tmp_path / "text.safetensors"
    text.write_text("not weights")
    foreign = tmp_path / "foreign.safetensors"
    save_file({"a": torch.zeros(2)}, foreign)
    shaped = tmp_path / "shaped.safetensors"
    save_file({**{k: v.clone() for k, v in two.state_dict().items()}, "5.bias": torch.zeros(4)}, shaped)
    cases = {cut: "complete file", text: "complete file", foreign: "lacks", shaped: r"\(4,\) instead of",
             tmp_path / "none.safetensors": "not a file", tmp_path / "w.pth": "pickle.*save_file"}  # fmt: skip
    for bad, words in cases.items():
        with pytest.raises(ValueError, match=words):
            load_weights(two, bad)
    assert all(torch.equal(v, before[k]) for k, v in two.state_dict().items())


def test_no_part_of_a_batch_is_one_sample() -> None:
    """35 samples in batches of 15 leave one of 5, which three parts would cut into 2, 2 and 1."""
    network = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    data = Data(torch.rand(35, 4), torch.arange(35) % 3)
    fit(network, data, data, Plan(1, 15, accumulate=3), torch.Generator())
