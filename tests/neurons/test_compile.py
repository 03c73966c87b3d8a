"""Under compilers: ``torch.compile`` sees one operator, ``torch.export`` plain operations that run anywhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.backends.debugging import aot_eager

import spikeworks as sw
from spikeworks.neurons import backends, operator, trace


@sw.neuron
def stateless(x: Tensor, *, threshold: float = 0.5) -> tuple[Tensor, tuple[()]]:
    """No memory at all."""
    return sw.spike(x - threshold), ()


NEURONS = {
    "no tensors": sw.LIF, "two states": sw.ALIF, "no state": stateless, "learned": sw.PLIF, "many learned": sw.GLIF,
    "a fixed tensor": lambda: sw.LIF(threshold=torch.rand(4) + 0.5),
    "both": lambda: sw.LIF(tau=nn.Parameter(torch.tensor(3.0)), threshold=torch.rand(4) + 0.5),
}  # fmt: skip


@pytest.fixture
def _nothing_known() -> None:
    """As in a process in which no neuron has run yet."""
    for remembered in (backends._verdict, operator._traced, trace._shared):
        remembered.cache_clear()


def run(function: Any, neuron: sw.Neuron) -> list[Tensor]:
    """The output, the last state, and the gradients of the input and the learned parameters."""
    x_T = torch.randn(5, 3, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    wanted = [x_T, *(v for v in neuron.parameters.values() if isinstance(v, nn.Parameter))]
    out_T, end = function(x_T)
    total = out_T.sum() + sum(value.square().sum() for value in end)
    assert isinstance(total, Tensor)
    return [out_T, *end, *torch.autograd.grad(total, wanted)]


@pytest.mark.usefixtures("_nothing_known")
@pytest.mark.parametrize("compiled_first", [True, False])
@pytest.mark.parametrize("name", NEURONS)
def test_compile_trains_through_one_operator(name: str, compiled_first: bool) -> None:
    neuron, seen = NEURONS[name](), []

    def plain(x_T: Tensor) -> tuple[Tensor, sw.State]:
        return sw.scan(neuron, x_T * 1.5)

    def look(graph: Any, inputs: Any) -> Any:
        seen.extend(str(node.target) for node in graph.graph.nodes)
        return aot_eager(graph, inputs)

    torch._dynamo.reset()
    compiled: Any = torch.compile(plain, fullgraph=True, backend=look)
    order = (compiled, plain) if compiled_first else (plain, compiled)
    for a, b in zip(*(run(function, neuron) for function in order), strict=True):
        assert torch.equal(a, b)
    assert "spikeworks.scan" in seen
    sw.scan(neuron, torch.rand(5, 3, 4), backend="fused_cpu")  # no verdict against it was left behind


LAYOUTS = {
    "contiguous": torch.rand(4, 2, 3, 5),
    "batch first": torch.rand(2, 4, 3, 5).transpose(0, 1),
    "time last": torch.rand(2, 3, 5, 4).movedim(-1, 0),
    "channels last": torch.rand(4, 2, 5, 3).movedim(-1, 2),
    "turned around": torch.rand(5, 3, 2, 4).permute(3, 2, 1, 0),
    "strided": torch.rand(4, 2, 3, 10)[..., ::2],
    "every other step": torch.rand(8, 2, 3, 5)[::2],
    "repeated": torch.rand(2, 3, 5).expand(4, 2, 3, 5),
    "one step": torch.rand(5, 3, 2, 1).permute(3, 2, 1, 0),
    "bfloat16": torch.rand(2, 4, 3, 5).bfloat16().transpose(0, 1),
    "nothing": torch.rand(4, 0, 3, 5),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_operators_say_how_their_results_lie_in_memory(layout: str) -> None:
    x, begin = LAYOUTS[layout], torch.zeros(LAYOUTS[layout].shape[1:])
    for shape in ((), (3, 1), (5,), tuple(begin.shape)):
        neuron = sw.LIF(threshold=torch.ones(shape), tau=torch.full(shape, 2.5))
        arguments = (x, [begin], list(neuron.own.values()))
        names = (",".join(neuron.own), neuron.handle)
        for operator_, given in (
            (torch.ops.spikeworks.scan.default, (*arguments, *names)),
            (torch.ops.spikeworks.scan_backward.default, (*arguments, torch.rand(x.shape).to(x), [begin], *names)),
        ):
            torch.library.opcheck(operator_, given, test_utils=["test_schema", "test_faketensor"])


@pytest.mark.parametrize("neuron", [sw.LIF(), sw.PLIF()], ids=["LIF", "PLIF"])
def test_the_operator_is_well_behaved(neuron: sw.Neuron) -> None:
    x = torch.rand(2, 4, 3).transpose(0, 1).requires_grad_()
    arguments = (x, [torch.zeros(2, 3, requires_grad=True)], list(neuron.own.values()), ",".join(neuron.own))
    torch.library.opcheck(torch.ops.spikeworks.scan.default, (*arguments, neuron.handle))


class Two(nn.Module):
    """Two neurons of one type, and a weight between."""

    def __init__(self, backend: str = "auto") -> None:
        super().__init__()
        self.first, self.second, self.backend = sw.LIF(threshold=0.3), sw.LIF(tau=3.0), backend
        self.weight = nn.Parameter(torch.tensor(1.5))

    def forward(self, x_T: Tensor) -> Tensor:
        """``[T, B, ...]`` → spikes of the same shape."""
        h_T, _ = sw.scan(self.first, x_T, backend=self.backend)
        return sw.scan(self.second, h_T * self.weight, backend=self.backend)[0]


READ = """
import sys, torch
import spikeworks as sw
others = [sw.LIF(tau=100.0, threshold=5.0) for _ in range(9999)]  # what a handle would find
x_T = torch.linspace(0, 2, 24).reshape(4, 6)
sys.stdout.write(str(torch.export.load(sys.argv[1]).module()(x_T).tolist()))
"""


def test_an_exported_network_is_the_same_elsewhere(tmp_path: Path) -> None:
    network, x_T = Two(), torch.linspace(0, 2, 24).reshape(4, 6)
    exported = torch.export.export(network, (x_T,), dynamic_shapes=({1: torch.export.Dim("N")},))
    calls = [str(node.target) for node in exported.graph.nodes if node.op == "call_function"]
    assert all(call.startswith("aten.") or "getitem" in call or "sym_" in call for call in calls), calls
    wider_T = torch.linspace(-1, 3, 4 * 37).reshape(4, 37)
    assert torch.equal(exported.module()(wider_T), network(wider_T))
    torch.export.save(exported, tmp_path / "network.pt2")
    command = [sys.executable, "-W", "ignore", "-c", READ, str(tmp_path / "network.pt2")]
    there = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert there == str(network(x_T).tolist())
    assert network(x_T).sum() > 0


def test_a_kernel_asked_for_by_name_cannot_be_exported() -> None:
    with pytest.raises(ValueError, match="fused_cpu cannot run LIF because an exported graph holds torch's own"):
        torch.export.export(Two("fused_cpu"), (torch.rand(4, 6),))


def test_a_kernel_asked_for_by_name_cannot_stand_in_a_transform() -> None:
    with pytest.raises(ValueError, match=r"fused_cpu cannot run LIF because the input has no values of its own"):
        torch.func.vmap(lambda x_T: sw.scan(sw.LIF(), x_T, backend="fused_cpu")[0])(torch.rand(2, 3, 4))
