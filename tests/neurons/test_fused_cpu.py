"""The fused CPU backend equals the eager one: outputs, states and gradients, on every neuron, surrogate and reset."""

import copy
import math
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import spikeworks as sw
from spikeworks.neurons import fused_cpu, llvm
from spikeworks.neurons.neuron import NeuronType

SHAPES = [(1, 1, 1), (3, 2, 17), (7, 1, 63), (5, 3, 4, 7), (9, 2, 3, 5, 5), (16, 1000), (33, 4, 19)]
"""[T, B, ...], deliberately not multiples of the vector length."""


def outcome(neuron: sw.Neuron, x: Tensor, backend: str, seed: int = 1) -> dict[str, Tensor]:
    """Everything a run produces, gradients of random weights on outputs and final states included."""
    random = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.rand(shape, generator=random)

    x = x.clone().requires_grad_()
    tensors = {k: v.detach().clone() for k, v in neuron.parameters.items() if isinstance(v, Tensor)}
    for value in tensors.values():
        value.requires_grad_()
    state = tuple((draw(*x.shape[1:]) * 0.3).requires_grad_() for _ in neuron.state_names)
    out, end = sw.scan(neuron, x, state, backend, **tensors)
    loss = (out.float() * draw(*out.shape)).sum() + sum((e * draw(*e.shape)).sum() for e in end)
    assert isinstance(loss, Tensor)
    loss.backward()
    wanted = {"x": x, **{f"v{i}": s for i, s in enumerate(state)}, **tensors}
    grads = {f"grad {k}": torch.zeros_like(v) if v.grad is None else v.grad for k, v in wanted.items()}
    return {"out": out.detach(), **{f"end {i}": e.detach() for i, e in enumerate(end)}, **grads}


def assert_equal(neuron: sw.Neuron, x: Tensor) -> None:
    eager, fused = outcome(neuron, x, "eager"), outcome(neuron, x, "fused_cpu")
    assert torch.equal(eager["out"], fused["out"])
    assert eager["out"].dtype == fused["out"].dtype
    for name in eager:
        scale = max(1e-6, float(eager[name].float().abs().max())) if eager[name].numel() else 1.0
        error = float((eager[name] - fused[name]).float().abs().max()) if eager[name].numel() else 0.0
        assert error <= 1e-5 * scale, f"{name}: off by {error:.2e} of {scale:.2e}"


def current(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return (torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape))) * 1.5 + 0.3).to(dtype)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", sw.neurons.ALL)
def test_every_neuron(name: str, shape: tuple[int, ...]) -> None:
    assert_equal(sw.neurons.ALL[name](), current(*shape))


RESETS = [("hard", 0.0), ("hard", -0.1), ("soft", 0.0), ("none", 0.0)]
WITH_RESET = [k for k, v in sw.neurons.ALL.items() if isinstance(v, NeuronType) and "reset" in v.defaults]


@pytest.mark.parametrize("detach", [False, True])
@pytest.mark.parametrize(("reset", "v_reset"), RESETS)
@pytest.mark.parametrize("name", WITH_RESET)
def test_every_reset(name: str, reset: str, v_reset: float, detach: bool) -> None:
    neuron = sw.neurons.ALL[name](reset=reset, v_reset=v_reset, detach_reset=detach)
    # without a reset the quadratic and exponential neurons diverge, as they should: give them less and shorter input
    calm = reset == "none" and name in ("QIF", "EIF", "Izhikevich", "AdEx")
    assert_equal(neuron, current(3, 2, 19) * 0.05 - 0.5 if calm else current(6, 2, 19))


@pytest.mark.parametrize("neuron", [sw.IF, sw.LIF, sw.ALIF, sw.ComplementaryLIF, sw.TernaryLIF, sw.PLIF, sw.GLIF])
@pytest.mark.parametrize("name", [n for n in sw.surrogate.ALL if n != "poisson_pass"])
def test_every_surrogate(name: str, neuron: Callable[..., sw.Neuron]) -> None:
    assert_equal(neuron(surrogate=sw.surrogate.ALL[name]()), current(7, 3, 21))


def test_a_random_surrogate_falls_back_and_says_so() -> None:
    neuron = sw.LIF(surrogate=sw.surrogate.poisson_pass(), tau=2.125)
    with pytest.warns(UserWarning, match="LIF runs on the eager backend because rand_like"):
        sw.scan(neuron, current(3, 2, 5))


@pytest.mark.parametrize(
    ("shape", "parameter"),
    [
        ((4, 3, 5), (5,)), ((4, 3, 5), (3, 1)), ((4, 3, 5), (3, 5)), ((4, 3, 5), ()), ((4, 3, 5), (1,)),
        ((3, 2, 6, 5, 7), (6, 1, 1)), ((3, 2, 6, 5, 7), (5, 1)), ((3, 2, 6, 5, 7), (1, 6, 1, 7)),
        ((3, 700, 10), (10,)), ((2, 9, 33, 3, 3), (33, 1, 1)), ((2, 2, 64, 8, 8), (64, 1, 1)), ((5, 3000), (3000,)),
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_parameters_of_any_shape(shape: tuple[int, ...], parameter: tuple[int, ...], layout: str) -> None:
    x = current(*shape)
    if layout == "channels_last":
        if len(shape) != 5:
            pytest.skip("channels_last is a layout of four-dimensional steps")
        x = x.flatten(0, 1).to(memory_format=torch.channels_last).unflatten(0, shape[:2])
    neuron = sw.ALIF(
        tau=torch.nn.Parameter(torch.rand(parameter) + 1.5), threshold=torch.rand(parameter) + 0.5,
        beta=torch.nn.Parameter(torch.tensor(0.3)),
    )  # fmt: skip
    assert_equal(neuron, x)


def test_any_dense_layout_is_kept_without_a_copy() -> None:
    for permuted in ((0, 1, 2, 3, 4), (0, 1, 3, 4, 2), (0, 4, 2, 3, 1), (0, 2, 1, 4, 3)):
        inverse = sorted(range(5), key=permuted.__getitem__)
        x = current(*(torch.tensor([3, 2, 4, 5, 7])[list(permuted)].tolist())).permute(inverse)
        out, _ = sw.scan(sw.LIF(), x, backend="fused_cpu")
        assert out.stride() == x.stride()
        assert_equal(sw.LIF(), x)


@pytest.mark.parametrize(
    "view", [lambda x: x[:, :, 1:-1], lambda x: x[::2], lambda x: x[:, 1:], lambda x: x[:, :, ::3]]
)
def test_views(view: Callable[[Tensor], Tensor]) -> None:
    assert_equal(sw.LIF(), view(current(8, 5, 23)))


def test_gradients_of_any_layout() -> None:
    for weigh in (
        lambda s: s.sum(),
        lambda s: s.mean(0).sum(),
        lambda s: (s.transpose(1, 2) ** 2).sum(),
        lambda s: s[-1].sum(),
    ):
        grads = []
        for backend in ("eager", "fused_cpu"):
            x = current(6, 4, 9).requires_grad_()
            weigh(sw.scan(sw.LIF(), x, backend=backend)[0]).backward()
            grads.append(x.grad)
        torch.testing.assert_close(*grads, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["LIF", "PLIF", "ALIF", "Izhikevich", "TernaryIF"])
def test_low_precision_keeps_a_float32_state(name: str, dtype: torch.dtype) -> None:
    neuron, x = sw.neurons.ALL[name](), current(9, 3, 37, dtype=dtype)
    low, low_state = sw.scan(neuron, x, backend="fused_cpu")
    full, full_state = sw.scan(neuron, x.float(), backend="eager")
    assert low.dtype == dtype
    assert all(s.dtype == torch.float32 for s in low_state)
    assert torch.equal(low.float(), full)
    assert all(torch.equal(a, b) for a, b in zip(low_state, full_state, strict=True))
    eager, fused = outcome(neuron, x, "eager"), outcome(neuron, x, "fused_cpu")
    # one rounding to the output's own precision apart
    torch.testing.assert_close(
        fused["grad x"], eager["grad x"], rtol=2 ** (-7 if dtype == torch.bfloat16 else -10), atol=1e-6
    )


def test_float64_runs_on_the_reference() -> None:
    out, (v,) = sw.scan(sw.LIF(), current(4, 3, 5).double())
    assert out.dtype == v.dtype == torch.float64
    with pytest.raises(ValueError, match="fused_cpu cannot run LIF because kernels compute in float32"):
        sw.scan(sw.LIF(), current(4, 3, 5).double(), backend="fused_cpu")


@settings(max_examples=40, deadline=None)
@given(
    steps=st.integers(1, 40), batch=st.integers(0, 5), width=st.integers(0, 70),
    tau=st.floats(1.01, 50), threshold=st.floats(0.05, 4), soft=st.booleans(),
)  # fmt: skip
def test_any_size_and_value(steps: int, batch: int, width: int, tau: float, threshold: float, soft: bool) -> None:
    assert_equal(sw.LIF(tau=tau, threshold=threshold, reset="soft" if soft else "hard"), current(steps, batch, width))


def test_large_tensors_stream_past_the_cache() -> None:
    steps, count = 16, 1 << 16  # 4 MiB: non-temporal stores, and several blocks
    assert steps * count * 4 >= fused_cpu._STREAM_BYTES
    assert_equal(sw.LIF(), current(steps, count // 64, 64))
    assert_equal(sw.ALIF(threshold=torch.rand(64) + 0.5), current(steps, count // 64, 64))


def test_threads_do_not_change_anything() -> None:
    x, neuron = current(12, 40, 1003), sw.PLIF()
    results = []
    for threads in (1, 2, 5):
        torch.set_num_threads(threads)
        results.append(outcome(neuron, x, "fused_cpu"))
    torch.set_num_threads(1)
    for other in results[1:]:
        assert all(torch.equal(results[0][k], other[k]) for k in other)


def test_windows_equal_the_whole() -> None:
    x, neuron = current(20, 3, 11), sw.Izhikevich(a=0.1, b=0.2)
    whole, end = sw.scan(neuron, x)
    state, parts = None, []
    for window in x.split([1, 6, 13]):
        part, state = sw.scan(neuron, window, state)
        parts.append(part)
    assert state is not None
    assert torch.equal(torch.cat(parts), whole)
    assert all(torch.equal(a, b) for a, b in zip(state, end, strict=True))


def test_only_the_input_is_saved() -> None:
    saved: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: (saved.append(t), t)[1], lambda t: t):
        x = current(16, 8, 128).requires_grad_()
        sw.scan(sw.LIF(), x)
    pointers = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in saved}
    assert sum(pointers.values()) <= 4 * x.numel() + 64  # x itself and the one number the state starts from


def test_double_backward_is_refused() -> None:
    x = current(3, 2, 5).requires_grad_()
    with pytest.raises(RuntimeError, match="run the neuron with backend='eager'"):
        torch.autograd.grad(sw.scan(sw.LIF(), x, backend="fused_cpu")[0].sum(), x, create_graph=True)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_input_that_is_not_finite(bad: float) -> None:
    x = current(5, 3, 40)
    x[2, 1, 39] = bad
    for backend in ("eager", "fused_cpu"):
        with pytest.raises(ValueError, match="to NaN or infinity, expected finite values"):
            sw.scan(sw.IF(reset="soft"), x, backend=backend)


def test_deepcopy_pickle_and_repr() -> None:
    layer = sw.Spiking(sw.PLIF())
    x = current(4, 2, 3)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(other(x), layer(x))
        assert other.w is not layer.w
    assert "backend='auto' (fused_cpu)" in repr(layer)
    assert "backend='auto' (eager)" in repr(sw.Spiking(sw.LIF(surrogate=sw.surrogate.poisson_pass())))
    assert "backend='eager'" in repr(sw.Spiking(sw.LIF(), backend="eager"))


def test_torch_func() -> None:
    x = current(5, 3, 4)
    grad = torch.func.grad(lambda x: sw.scan(sw.LIF(), x)[0].sum())(x)
    y = x.clone().requires_grad_()
    sw.scan(sw.LIF(), y)[0].sum().backward()
    assert torch.equal(grad, y.grad)  # type: ignore[arg-type]
    many = torch.stack([x, -x, 2 * x])
    mapped = torch.func.vmap(lambda x: sw.scan(sw.LIF(), x)[0])(many)
    assert torch.equal(mapped, torch.stack([sw.scan(sw.LIF(), m)[0] for m in many]))


def test_a_new_value_builds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(tau: float, threshold: float, alpha: float, *shape: int) -> None:
        neuron = sw.LIF(tau=tau, threshold=threshold, surrogate=sw.surrogate.atan(alpha=alpha))
        sw.scan(neuron, current(*shape).requires_grad_())[0].sum().backward()

    run(2.3, 0.9, 1.1, 4, 3, 5)
    built: list[bool] = []
    monkeypatch.setattr(llvm, "module", lambda *_: built.append(True))
    for tau, threshold, alpha in ((2.7, 0.9, 1.3), (17.0, 17.0, 17.0), (3.1, 0.3, 3.1)):
        for shape in ((9, 5), (3, 2, 7), (5, 1, 2, 3)):
            run(tau, threshold, alpha, *shape)
    assert not built


@pytest.mark.slow  # 13 GB of memory
def test_more_than_two_to_the_31_elements() -> None:
    x = torch.zeros(2, (1 << 30) + 8, dtype=torch.bfloat16)
    x[:, -3:] = 1.5
    out, (v,) = sw.scan(sw.IF(), x, backend="fused_cpu")
    assert x.numel() > 1 << 31
    assert out[:, -3:].eq(1).all()
    assert int(out.count_nonzero()) == 6
    assert v.eq(0).all()


SCRIPT = """
import os, sys, torch
import spikeworks as sw
from spikeworks.neurons import native
x = (torch.arange(60.).reshape(5, 12) / 20).requires_grad_()
s, _ = sw.scan(sw.LIF(), x, backend=os.environ.get("BACKEND", "fused_cpu"))
s.sum().backward()
sys.stdout.write(f"{s.sum().item():g} {x.grad.sum().item():.6f}")
"""


def run_script(folder: Path, **environment: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "SPIKEWORKS_CACHE": str(folder), **environment}
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_the_cache_serves_many_processes_and_survives_damage(tmp_path: Path) -> None:
    both = [run_script(tmp_path) for _ in range(2)]  # at once, into an empty cache
    outs = {p.communicate()[0] for p in both}
    assert len(outs) == 1
    files = sorted(tmp_path.iterdir())
    assert {f.suffix for f in files} == {".o"}  # nothing half written is left behind
    for file in files:
        file.write_bytes(file.read_bytes()[:100])
    damaged = run_script(tmp_path)
    assert damaged.communicate()[0] in outs
    assert damaged.returncode == 0
    readonly = run_script(tmp_path / "file-in-the-way" / "deeper")
    (tmp_path / "file-in-the-way").write_text("not a folder")
    assert readonly.communicate()[0] in outs


def test_without_a_compiler_everything_runs_and_says_so_once(tmp_path: Path) -> None:
    (tmp_path / "llvmlite.py").write_text("raise ImportError('broken on purpose')\n")
    broken = run_script(tmp_path, PYTHONPATH=str(tmp_path), BACKEND="auto")
    assert broken.communicate()[0] == run_script(tmp_path, BACKEND="eager").communicate()[0]
    script = SCRIPT.replace("sys.stdout.write", "sw.scan(sw.LIF(), x); sw.scan(sw.IF(), x); sys.stdout.write")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "BACKEND": "auto"}
    result = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert result.stderr.count("eager backend because LLVM is not usable here") == 1
