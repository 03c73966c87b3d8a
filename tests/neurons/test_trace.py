"""The tracer: what becomes a graph, what is refused and why, and that the graph says what the step says."""

import math

import pytest
import torch

import spikeworks as sw
from spikeworks.neurons import llvm
from spikeworks.neurons.trace import Program, Untraceable, trace


def traced(neuron: sw.Neuron, shape: tuple[int, ...] = (2, 3), wrt: tuple[str, ...] = ()) -> Program:
    return trace(neuron, torch.Size(shape), neuron.parameters, wrt)


def test_lif_is_a_handful_of_operations() -> None:
    program = traced(sw.LIF())
    forward = [node.op for _, node in program.live([program.output, *program.new_states])]
    assert forward == ["sub", "div", "add", "sub", "ge", "to_float", "sub", "mul"]


def test_what_depends_on_parameters_only_leaves_the_kernel() -> None:
    program = traced(sw.PLIF(), wrt=("w",))
    inside = {node.op for _, node in program.live([program.output, *program.new_states, program.grad_x])}
    assert "sigmoid" not in inside
    (rate, *_) = program.hoist([torch.tensor(0.3)])
    assert rate == torch.sigmoid(torch.tensor(0.3))


def test_branching_on_the_shape_follows_the_real_shape() -> None:
    @sw.neuron
    def shaped(x, v, *, k=1.0):  # type: ignore[no-untyped-def]
        v = v + x if x.dim() == 2 and x.shape[-1] == 5 else v - x
        return sw.spike(v - k), v

    for shape in ((3, 4, 5), (3, 4, 6), (3, 4, 2, 5)):
        x = torch.randn(shape)
        fused, eager = (sw.scan(shaped(), x, backend=b)[0] for b in ("fused_cpu", "eager"))
        assert torch.equal(fused, eager)


def mean(x, v, *, k=1.0):  # type: ignore[no-untyped-def]
    return sw.spike(v + x - x.mean() * k), v + x


def roll(x, v):  # type: ignore[no-untyped-def]
    return sw.spike(v + x.roll(1, -1)), v + x


def branch(x, v):  # type: ignore[no-untyped-def]
    return (sw.spike(x), v + x) if x.sum() > 0 else (sw.spike(-x), v)


def noise(x, v):  # type: ignore[no-untyped-def]
    return sw.spike(v + x + torch.randn_like(x)), v + x


OUTSIDE = torch.full((3,), 0.5)


def closure(x, v):  # type: ignore[no-untyped-def]
    return sw.spike(v + x - OUTSIDE), v + x


def double(x, v):  # type: ignore[no-untyped-def]
    return sw.spike((v.double() + x).float()), v + x


def index(x, v):  # type: ignore[no-untyped-def]
    return sw.spike(v + x[..., :1]), v + x


def counting(x, v):  # type: ignore[no-untyped-def]
    return torch.where(x > 0, 1, 0).float(), v + x


def remembering(x, fired):  # type: ignore[no-untyped-def]
    return x, (fired.float() + x) > 0.5


def wordless(x, v):  # type: ignore[no-untyped-def]
    if x.is_meta:
        raise RuntimeError
    return x, v + x


def wordy(x, v):  # type: ignore[no-untyped-def]
    if x.is_meta:
        raise RuntimeError("one line\nand another")
    return x, v + x


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (mean, "mean is not an elementwise operation"), (roll, "roll"), (branch, "sum"), (noise, "randn_like"),
        (closure, "pass it as a parameter"), (double, "float64"), (index, "slice"), (counting, "int64"),
        (remembering, "boolean state"), (wordless, r"traced \(RuntimeError\)$"),
        (wordy, r"traced \(RuntimeError: one line\)$"),
    ],
)  # fmt: skip
def test_untraceable_steps_say_why_and_still_run(step, reason: str) -> None:  # type: ignore[no-untyped-def]
    neuron = sw.neuron(step)()
    with pytest.raises(Untraceable, match=reason):
        traced(neuron)
    x = torch.randn(4, 2, 3)
    with pytest.raises(ValueError, match="use backend='auto' or 'eager'"):
        sw.scan(neuron, x, backend="fused_cpu")
    with pytest.warns(UserWarning, match="runs on the eager backend because"):
        out, _ = sw.scan(neuron, x)
    assert out.shape == x.shape


def test_tracing_draws_no_random_numbers() -> None:
    @sw.neuron
    def dropped(x, v):  # type: ignore[no-untyped-def]
        return x * (torch.rand(x.shape) > 0.5), v + x

    before = torch.get_rng_state()
    with pytest.raises(Untraceable, match="rand is not an elementwise operation"):
        traced(dropped())
    assert torch.equal(torch.get_rng_state(), before)


def in_place(x, v, *, decay=0.5):  # type: ignore[no-untyped-def]
    h = v * decay
    h += x
    h.clamp_(max=2.0)
    return sw.spike(h - 1), h.clone()


def straight_through(x, v):  # type: ignore[no-untyped-def]
    h = v + x
    s = (h.round().clamp(0, 3) - h).detach() + h
    return s, h - s


def two_masks(x, v, r):  # type: ignore[no-untyped-def]
    h = torch.where((v > 0) & ~(r > 1), v, 0.25 * v) + torch.maximum(x, torch.zeros_like(x))
    s = sw.spike(h - 1)
    return s, (h.masked_fill(s > 0, 0.0), r - 0.5 + 2 * s)


def everything(x, v, *, k=0.7):  # type: ignore[no-untyped-def]
    h = torch.tanh(v) + x.sigmoid() * k - torch.log1p(x.abs()) + torch.sin(v).square() + (x.abs() + 1).pow(-1.3)
    h = h + torch.addcmul(v, x, x, value=0.1) - torch.rsqrt(x.abs() + 1) + torch.expm1(-x.abs()) + torch.erf(x)
    h = torch.minimum(h, 3 - v) + x.sign() * 0.1 + torch.cos(x) - torch.sub(v, x, alpha=0.3)
    return sw.spike(h - k), torch.nn.functional.hardtanh(h)


@pytest.mark.parametrize("step", [in_place, straight_through, two_masks, everything])
def test_unusual_steps_are_exact(step) -> None:  # type: ignore[no-untyped-def]
    neuron = sw.neuron(step)()
    results = []
    for backend in ("eager", "fused_cpu"):
        x = torch.linspace(-2, 2, 7 * 37).reshape(7, 37)[:, None, :].requires_grad_()
        out, state = sw.scan(neuron, x, backend=backend)
        (out.sum() + sum(s.square().sum() for s in state)).backward()
        results.append((out, state, x.grad))
    (a, state_a, grad_a), (b, state_b, grad_b) = results
    assert torch.equal(a, b)
    for p, q in zip(state_a, state_b, strict=True):
        torch.testing.assert_close(p, q, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(grad_a, grad_b, rtol=1e-5, atol=1e-5)


def test_a_literal_is_not_a_value_number() -> None:
    @sw.neuron
    def counted(x, v):  # type: ignore[no-untyped-def]
        return sw.spike(x - 2), torch.clamp(v + x * 3, 0, 5) ** 2 / 4

    assert all(isinstance(a, int) or math.isfinite(a) for n in traced(counted()).nodes for a in n.args)
    x = torch.randn(3, 2, 5) * 3
    for p, q in zip(sw.scan(counted(), x)[1], sw.scan(counted(), x, backend="eager")[1], strict=True):
        assert torch.equal(p, q)


def logarithm(x, v):  # type: ignore[no-untyped-def]
    return sw.spike(v - 1), 0.5 * v + torch.log(x)


def root(x, v):  # type: ignore[no-untyped-def]
    h = v + torch.sqrt(x)
    return h >= 1, h * ~(h >= 1)


@pytest.mark.parametrize("step", [logarithm, root])
def test_a_step_for_positive_input_is_checked_on_positive_input(step) -> None:  # type: ignore[no-untyped-def]
    x = torch.rand(5, 2, 32) + 0.1
    for p, q in zip(*(sw.scan(sw.neuron(step)(), x, backend=b)[1] for b in ("eager", "fused_cpu")), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-6, atol=1e-6)


def test_a_step_that_diverges_wherever_it_is_checked_says_so() -> None:
    @sw.neuron
    def far(x, v):  # type: ignore[no-untyped-def]
        return x, torch.log(x - 9)

    with pytest.raises(ValueError, match="because the eager step diverges in a first small run; use"):
        sw.scan(far(), torch.full((3, 2, 3), 10.0), backend="fused_cpu")


def test_a_kernel_that_fails_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("LLVM IR parsing error\n  %t1 = fmul\n       ^")

    @sw.neuron
    def odd(x, v):  # type: ignore[no-untyped-def]
        return sw.spike(v - 1), torch.erf(v) * torch.cos(x) + torch.sin(v) * 0.3

    monkeypatch.setattr(llvm, "module", broken)
    with pytest.raises(ValueError, match=r"kernel failed \(RuntimeError: LLVM IR parsing error\); use"):
        sw.scan(odd(), torch.rand(3, 2, 3), backend="fused_cpu")
