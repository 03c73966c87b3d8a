"""What the caller has switched on, and who else is calling, makes no difference; and nothing grows for ever."""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

import spikeworks as sw
from spikeworks.neurons import backends, fused_cpu, native, operator, state, trace


def current(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float32, device="cpu") + 0.4


def train(neuron: sw.Neuron, backend: str = "fused_cpu") -> list[Tensor]:
    x_T = current(5, 3, 4).requires_grad_()
    out_T, end = sw.scan(neuron, x_T, backend=backend)
    learned = [value for value in neuron.parameters.values() if isinstance(value, nn.Parameter)]
    return [out_T, *end, *torch.autograd.grad(out_T.sum() + end[0].sum(), [x_T, *learned])]


def assert_same(a: list[Tensor], b: list[Tensor]) -> None:
    for one, other in zip(a, b, strict=True):
        assert one.dtype == other.dtype == torch.float32
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


@contextlib.contextmanager
def float64_by_default() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def several() -> list[sw.Neuron]:
    """One and two states, numbers, and tensors with and without axes, learned and fixed."""
    tau = torch.full((4,), 2.5, dtype=torch.float32, device="cpu")
    learned = nn.Parameter(torch.tensor(0.25, dtype=torch.float32, device="cpu"))
    return [
        sw.LIF(v_reset=-0.1), sw.LearnedTauLIF(w=learned), sw.ALIF(tau=nn.Parameter(tau)),
        sw.LIF(threshold=tau / 2, surrogate=sw.surrogate.sigmoid(alpha=3.0)),
    ]  # fmt: skip


CONTEXTS: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "a default device": lambda: torch.device("meta"),
    "a default dtype": float64_by_default,
}


def forget() -> None:
    """As in a process in which no neuron has run yet."""
    for remembered in (backends._verdict, operator._traced, trace._shared, state._number):
        remembered.cache_clear()


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("name", CONTEXTS)
def test_a_default_does_not_reach_the_kernels(name: str, first: bool) -> None:
    expected = [train(neuron, "eager") for neuron in several()]
    forget()
    if not first:
        assert all(train(neuron) for neuron in several())
    with CONTEXTS[name]():
        made = [train(neuron) for neuron in several()]
    again = [train(neuron) for neuron in several()]
    for a, b, c in zip(expected, made, again, strict=True):
        assert_same(a, b)
        assert_same(a, c)


MODES: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "inference": torch.inference_mode, "no gradients": torch.no_grad, "fake": FakeTensorMode, **CONTEXTS,
}  # fmt: skip


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("backend", ["auto", "eager"])
def test_a_first_call_in_any_mode_spoils_no_later_one(mode: str, backend: str) -> None:
    forget()
    with MODES[mode]():
        out_T, end = sw.scan(
            sw.LIF(v_reset=-0.375), torch.rand(5, 3, 4, dtype=torch.float32, device="cpu"), None, backend
        )
        assert out_T.shape == (5, 3, 4)
        assert end.v.shape == (3, 4)
    assert_same(train(sw.LIF(v_reset=-0.375)), train(sw.LIF(v_reset=-0.375), "eager"))


def test_a_first_call_under_a_transform_spoils_no_later_one() -> None:
    forget()
    torch.func.vmap(lambda x_T: sw.scan(sw.LIF(v_reset=-0.375), x_T)[0])(current(2, 5, 3, 4))
    torch.func.grad(lambda x_T: sw.scan(sw.LIF(v_reset=-0.375), x_T)[0].sum())(current(5, 3, 4))
    assert_same(train(sw.LIF(v_reset=-0.375)), train(sw.LIF(v_reset=-0.375), "eager"))


def run(script: str, cache: Path) -> str:
    """What a process of its own says, with nothing compiled before."""
    command = [
        sys.executable,
        "-W",
        "error::UserWarning",
        "-c",
        "import torch, sys\nimport spikeworks as sw\n" + script,
    ]
    environment = {**os.environ, "SPIKEWORKS_CACHE": str(cache)}
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-2000:]
    return result.stdout


def test_the_import_may_stand_under_a_default_device(tmp_path: Path) -> None:
    script = """
with torch.device("meta"):
    net = sw.models.vgg9(neuron=sw.PLIF(), width=0.1)
    neurons = [sw.GLIF(channels=3), sw.LIF(tau=torch.ones(5) + 1)]
    sys.stdout.write(f"{neurons} {sw.Spiking(sw.PLIF())}")
assert all(p.is_meta for p in net.parameters())
out, state = sw.scan(neurons[1], torch.rand(4, 3, 5, device="meta"))
assert out.is_meta and out.shape == (4, 3, 5)
sw.scan(sw.LIF(), torch.rand(4, 3, 5))
"""
    assert "learned[]" in run(script, tmp_path)


def test_the_import_may_stand_under_a_default_dtype(tmp_path: Path) -> None:
    script = """
torch.set_default_dtype(torch.float64)
sw.LIF
torch.set_default_dtype(torch.float32)
x = torch.rand(4, 3, 5, requires_grad=True)
sw.scan(sw.LIF(), x, backend="fused_cpu")[0].sum().backward()
assert x.grad.dtype == torch.float32
"""
    run(script, tmp_path)


def test_threads_may_meet_at_a_first_call(tmp_path: Path) -> None:
    script = """
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
barrier = Barrier(6)
def work(make, dtype):
    x = torch.ones(5, 3, 40, dtype=dtype, requires_grad=True)
    barrier.wait()
    out, _ = sw.scan(make(), x, backend="fused_cpu")
    out.sum().backward()
    return float(out.detach().sum())
with ThreadPoolExecutor(6) as pool:
    for make in (sw.LIF, sw.IF, sw.ALIF):
        for dtype in (torch.float32, torch.bfloat16):
            assert len(set(pool.map(work, [make] * 6, [dtype] * 6))) == 1
sys.stdout.write("done")
"""
    assert run(script, tmp_path) == "done"


def programs() -> int:
    gc.collect()
    return sum(type(thing) is trace.Program for thing in gc.get_objects())


def test_new_values_and_shapes_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    forget()
    few = functools.lru_cache(8)(operator._traced.__wrapped__)
    monkeypatch.setattr(operator, "_traced", few)
    monkeypatch.setattr(operator, "_SHAPES", 4)
    before, linked = programs(), len(native._LINKED)
    neuron, x_T = sw.LIF(), current(3, 2, 5).requires_grad_()
    for k in range(60):
        anneal = sw.surrogate.atan(alpha=1.0 + (k + 1) / 100)
        sw.scan(sw.LIF(tau=2.0 + (k + 1) / 100, surrogate=anneal), x_T)[0].sum().backward()
        sw.scan(neuron, current(3, 2, k + 1))
    assert len(neuron.programs) <= 4
    assert programs() - before <= 8 + 4
    assert len(native._LINKED) - linked <= 4  # two directions of two structures
    bounded = (backends._verdict, backends._say, operator._traced, trace._shared, state._number, fused_cpu._plan)
    assert all(remembered.cache_parameters()["maxsize"] <= 1024 for remembered in bounded)


def test_a_neuron_made_anew_for_each_call_leaves_nothing() -> None:
    neuron, x_T = sw.LIF(), current(3, 2, 5)

    def memory_after(calls: int) -> int:
        for _ in range(calls):
            sw.scan(sw.LIF(), x_T)
            sw.scan(neuron, x_T, tau=3.0)
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    memory_after(1)
    tracemalloc.start()
    full = memory_after(600)  # two neurons a call: as many as are remembered
    grown = memory_after(600) - full
    tracemalloc.stop()
    assert grown < 50_000
