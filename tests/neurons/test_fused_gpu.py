"""The Triton backend equals the eager one: in the interpreter everywhere, on a GPU where there is one.

Triton decides at its import whether to interpret, so the proof runs in a process of its own: outside it, one test
starts that process, and the others compile the kernels for a GPU that need not be there.
"""

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

import spikeworks as sw
from spikeworks.neurons import triton
from spikeworks.neurons.fused_gpu import _OPTIONS, _module
from spikeworks.neurons.trace import _RULES, trace

if importlib.util.find_spec("triton") is None:
    pytest.skip("Triton is not installed (pip install 'spikeworks[gpu]')", allow_module_level=True)

# numpy, in the interpreter, on the branch of a `where` that is not taken
pytestmark = pytest.mark.filterwarnings("ignore:.* encountered in .*:RuntimeWarning")

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cpu" if INTERPRETED else "cuda"
here = pytest.mark.skipif(
    not INTERPRETED and not torch.cuda.is_available(), reason="runs in the interpreter's process, or on a GPU"
)


def ahead(test: Callable[..., None]) -> Callable[..., None]:
    """Compiling for a GPU needs none, but a process that does not interpret."""
    test = pytest.mark.usefixtures("_own_cache")(test)
    return pytest.mark.skipif(INTERPRETED, reason="the interpreter's process compiles nothing")(test)


@pytest.mark.skipif(INTERPRETED, reason="this is the interpreter's process")
def test_in_the_interpreter(tmp_path: Path) -> None:
    environment = {**os.environ, "TRITON_INTERPRET": "1", "SPIKEWORKS_CACHE": str(tmp_path)}
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:xdist", "-p", "no:cacheprovider", __file__]
    root = Path(__file__).parents[2]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=root)
    assert result.returncode == 0, result.stdout[-3000:]
    assert " passed" in result.stdout


def outcome(neuron: sw.Neuron, x: Tensor, backend: str) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(1)
    device = "cpu" if backend == "eager" else DEVICE  # eager on a GPU multiplies by reciprocals instead of dividing

    def draw(*shape: int) -> Tensor:
        return torch.rand(shape, generator=random).to(device)

    x = x.detach().to(device).clone().requires_grad_()
    tensors = {
        k: v.detach().to(device).clone().requires_grad_() for k, v in neuron.parameters.items() if isinstance(v, Tensor)
    }
    state = tuple((draw(*x.shape[1:]) * 0.3).requires_grad_() for _ in neuron.state_names)
    out, end = sw.scan(neuron, x, state, backend, **tensors)
    loss = (out.float() * draw(*out.shape)).sum() + sum((e * draw(*e.shape)).sum() for e in end)
    assert isinstance(loss, Tensor)
    loss.backward()
    wanted = {"x": x, **{f"v{i}": s for i, s in enumerate(state)}, **tensors}
    grads = {f"grad {k}": torch.zeros_like(v) if v.grad is None else v.grad for k, v in wanted.items()}
    results = {"out": out.detach(), **{f"end {i}": e.detach() for i, e in enumerate(end)}, **grads}
    return {k: v.cpu() for k, v in results.items()}


def assert_equal(neuron: sw.Neuron, x: Tensor) -> None:
    eager, fused = outcome(neuron, x, "eager"), outcome(neuron, x, "fused_gpu")
    assert torch.equal(eager["out"], fused["out"])
    for name in eager:
        scale = max(1e-6, float(eager[name].float().abs().max())) if eager[name].numel() else 1.0
        error = float((eager[name] - fused[name]).float().abs().max()) if eager[name].numel() else 0.0
        assert error <= 1e-5 * scale, f"{name}: off by {error:.2e} of {scale:.2e}"


def current(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return (torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape))) * 1.5 + 0.3).to(dtype)


@here
@pytest.mark.parametrize("name", sw.neurons.ALL)
def test_every_neuron(name: str) -> None:
    for shape in ((1, 1, 1), (5, 2, 17), (3, 2, 3, 5)):
        assert_equal(sw.neurons.ALL[name](), current(*shape))


@here
@pytest.mark.parametrize("name", [n for n in sw.surrogate.ALL if n != "poisson_pass"])
def test_every_surrogate(name: str) -> None:
    for neuron in (sw.LIF(surrogate=sw.surrogate.ALL[name]()), sw.ALIF(surrogate=sw.surrogate.ALL[name]())):
        assert_equal(neuron, current(4, 2, 9))


@here
@pytest.mark.parametrize("detach", [False, True])
@pytest.mark.parametrize(("reset", "v_reset"), [("hard", -0.1), ("soft", 0.0), ("none", 0.0)])
@pytest.mark.parametrize("neuron", [sw.IF, sw.LIF, sw.CUBALIF, sw.KLIF])
def test_every_reset(neuron: Callable[..., sw.Neuron], reset: str, v_reset: float, detach: bool) -> None:
    assert_equal(neuron(reset=reset, v_reset=v_reset, detach_reset=detach), current(4, 2, 9))


@here
@pytest.mark.parametrize(
    ("shape", "parameter"),
    [((3, 2, 6), (6,)), ((3, 4, 1), (4, 1)), ((2, 3, 6, 5, 2), (6, 1, 1)), ((2, 300, 4), (4,))],
    ids=str,
)
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_parameters_of_any_shape(shape: tuple[int, ...], parameter: tuple[int, ...], layout: str) -> None:
    x = current(*shape)
    if layout == "channels_last" and x.dim() == 5:
        x = x.flatten(0, 1).to(memory_format=torch.channels_last).unflatten(0, shape[:2])
    tau = torch.nn.Parameter(torch.rand(parameter) + 1.5)
    assert_equal(sw.ALIF(tau=tau, threshold=torch.rand(parameter) + 0.5, beta=torch.nn.Parameter(torch.tensor(0.3))), x)


@here
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_keeps_a_float32_state(dtype: torch.dtype) -> None:
    x = current(5, 2, 11, dtype=dtype)
    low, (v,) = sw.scan(sw.LIF(), x.to(DEVICE), backend="fused_gpu")
    full, (w,) = sw.scan(sw.LIF(), x.float(), backend="eager")
    assert low.dtype == dtype
    assert torch.equal(low.float().cpu(), full)
    assert torch.equal(v.cpu(), w)


@here
def test_views_and_nothing() -> None:
    assert_equal(sw.LIF(), current(6, 5, 9)[::2, 1:, ::3])
    assert_equal(sw.LIF(), current(3, 0, 4))


@sw.neuron
def everything(x, v, *, k=0.7):  # type: ignore[no-untyped-def]
    """Every function that kernels know."""
    h = torch.tanh(v) + x.sigmoid() * k - torch.log1p(x.abs()) + torch.sin(v).square() + (x.abs() + 1).pow(-1.3)
    h = h + torch.addcmul(v, x, x, value=0.1) - torch.rsqrt(x.abs() + 1) + torch.expm1(-x.abs()) + torch.erf(x)
    h = torch.minimum(h, 3 - v) + x.sign() * 0.1 + torch.cos(x) - torch.sub(v, x, alpha=0.3) + x.round()
    h = torch.where((x > 0) & ~(v > 1), h, 0.5 * h) + x.trunc() * 0.1 + torch.log(x.abs() + 0.5) + 1e-2 * x**5
    h = h + torch.exp(torch.zeros_like(v)) * 0.1 + 0.1 / (1 + x.abs()).square()
    return sw.spike(h - k), torch.nn.functional.hardtanh(h)


@here
@pytest.mark.parametrize(
    "function",
    [
        torch.expm1, torch.log1p, torch.tanh, torch.sigmoid, torch.rsqrt, torch.reciprocal, torch.round, torch.sign,
        torch.relu, lambda x: torch.clamp(x, -0.7, 1.3), lambda x: torch.clamp_min(x, 0.0),
        lambda x: torch.clamp_max(x, 0.3), lambda x: torch.maximum(x, 0.3 - x), lambda x: torch.minimum(0.3 / x, x),
        lambda x: (x < 0.4) * x, lambda x: x * ~((x > 0) * (x < 1)), lambda x: x > 0.3,
    ],
)  # fmt: skip
def test_functions_at_their_extremes(function: Callable[[Tensor], Tensor]) -> None:
    @sw.neuron
    def extreme(x, v):  # type: ignore[no-untyped-def]
        return function(x), v

    x = torch.tensor(
        [[-torch.inf, -1e4, -90.0, -2.5, -1e-9, -0.0, 0.0, 1e-9, 0.5, 1.5, 88.0, 90.0, 1e4, 3e38, torch.inf, torch.nan]]
    )
    expected, made = function(x).float(), sw.scan(extreme(), x.to(DEVICE), backend="fused_gpu")[0].cpu()
    torch.testing.assert_close(made, expected, rtol=1e-6, atol=0, equal_nan=True)


@sw.neuron
def masked(x, v, *, k=torch.tensor([0.3, 0.5, 0.7])):  # type: ignore[no-untyped-def]
    """Masks of parameters, and in arithmetic."""
    h = torch.where(k > 0.4, 0.5 * v, v) + x
    return sw.spike(h - k), torch.maximum(h * (h < k), -k)


@here
def test_masks() -> None:
    assert_equal(masked(), current(4, 2, 3))


@here
def test_functions_of_one_number() -> None:
    assert_equal(everything(), torch.linspace(-2, 2, 4 * 37).reshape(4, 1, 37))


def compiled(neuron: sw.Neuron, dtype: str, size: str) -> str:
    """The PTX of both kernels, which ``ptxas`` has made machine code of, for compute capability 8.0."""
    from triton import compile
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    wanted = tuple(k for k, v in neuron.parameters.items() if isinstance(v, Tensor))
    program, text = trace(neuron, torch.Size([4]), neuron.parameters, wanted), ""
    for source, name, arguments in (
        (triton.forward(program), "forward", triton.forward_arguments(program)),
        (triton.backward(program), "backward", triton.backward_arguments(program)),
    ):
        types = {
            a: size if a.endswith(("_last", "_stride")) or a in ("count", "steps", "period") else "*fp32"
            for a in arguments
        }
        types |= {a: f"*{dtype}" for a in ("x", "y", "g", "gx") if a in types} | {"BLOCK": "constexpr"}
        signed = ASTSource(getattr(_module(source), name), types, constexprs={"BLOCK": 256})
        made = compile(signed, target=GPUTarget("cuda", 80, 32), options=_OPTIONS)
        assert len(made.asm["cubin"]) > 0
        text += str(made.asm["ptx"])
    return text


@pytest.fixture
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "triton"))
    monkeypatch.setenv("SPIKEWORKS_CACHE", str(tmp_path))


@ahead
@pytest.mark.parametrize("name", sw.neurons.ALL)
def test_every_neuron_compiles_for_a_gpu_without_contraction(name: str) -> None:
    text = compiled(sw.neurons.ALL[name](), "fp32", "i32")
    assert ".visible .entry forward" in text
    assert ".visible .entry backward" in text
    assert "fma." not in text
    assert not re.search(r"div\.(full|approx)|[a-z]\.ftz", text)


@ahead
@pytest.mark.parametrize("name", [n for n in sw.surrogate.ALL if n != "poisson_pass"])
def test_every_surrogate_compiles_for_a_gpu(name: str) -> None:
    assert "bf16" in compiled(sw.LIF(surrogate=sw.surrogate.ALL[name]()), "bf16", "i64")


@ahead
def test_every_function_compiles_for_a_gpu() -> None:
    assert "sqrt.rn.f32" in compiled(everything(), "fp16", "i32")
    assert "selp" in compiled(masked(), "fp16", "i32")


def test_a_new_value_or_size_is_the_same_source() -> None:
    def source(tau: float, *shape: int, threshold: float = 0.9) -> str:
        neuron = sw.LIF(tau=tau, threshold=threshold)
        program = trace(neuron, torch.Size(shape), neuron.parameters)
        return triton.forward(program) + triton.backward(program)

    assert len({source(2.3, 4), source(3.1, 4), source(17.0, 2, 5), source(3.0, 4, threshold=3.0)}) == 1


def test_every_operation_the_tracer_knows_has_an_expression() -> None:
    from spikeworks.neurons import assembly

    known = assembly._BINARY.keys() | assembly._LOGIC.keys() | assembly._INTRINSIC.keys() | assembly._CALLED
    known |= assembly._FORMULA.keys() | {"sigmoid"}
    assert known == triton._EXPRESSIONS.keys()
    assert len(_RULES) > 40
