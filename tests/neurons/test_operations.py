"""Every operation that kernels know, alone, at the edges of float32: the bits that torch gives, and its NaN."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

import spikeworks as sw
from spikeworks.neurons import assembly
from spikeworks.neurons.trace import trace

EDGES = [1e-40, 1e-9, 0.3, 0.5, 1.0, 1.5, 2.5, 88.0, 3e38, math.inf]  # the first is denormal
EDGES = [*(-e for e in EDGES), -0.0, 0.0, *EDGES, math.nan]
PAIRS = torch.tensor([*product(EDGES, EDGES)])
PAIRS = torch.cat([PAIRS, PAIRS])[: -(-len(PAIRS) // 64) * 64]  # eager has other code for the last few elements

Function = Callable[..., Tensor]
OF_ONE: dict[str, Function] = {
    **{name: getattr(torch, name) for name in (
        "neg", "abs", "sgn", "rsqrt", "reciprocal", "relu", "floor", "ceil", "round", "trunc", "square",
    )},
    "clamp": lambda x: torch.clamp(x, -0.7, 1.3),
    "clamp_min": lambda x: torch.clamp_min(x, 0.0),
    "clamp_max": lambda x: torch.clamp_max(x, 0.7),
    "clamp to NaN": lambda x: torch.clamp(x, min=math.nan),
    "hardtanh": torch.nn.functional.hardtanh,
    "cube": lambda x: x**3,
    "inverse_square": lambda x: x**-2,
    "rsub": lambda x: 0.7 - x,
    "to_bool": lambda x: x.bool().float(),
    "logical_not": lambda x: x.logical_not().float(),
    "addcmul": lambda x: torch.addcmul(x, x, x, value=0.3),
    "masked_fill": lambda x: x.masked_fill(x > 0.4, 0.3),
}  # fmt: skip
OF_TWO: dict[str, Function] = {
    **{name: getattr(torch, name) for name in ("add", "sub", "mul", "div", "maximum", "minimum")},
    **{name: lambda x, p, compare=getattr(torch, name): compare(x, p).float() for name in (
        "ge", "gt", "le", "lt", "eq", "ne", "logical_and", "logical_or",
    )},
    "clamp_min": lambda x, p: torch.clamp(x, min=p) + 0.0,  # whatever the sign of a zero
    "clamp_max": lambda x, p: torch.clamp(x, max=p) + 0.0,
    "where": lambda x, p: torch.where(x > p, x, p),
    # masks in arithmetic: torch takes them for 0 and 1
    "mask times": lambda x, p: (x < p) * x,
    "times mask": lambda x, p: x * ~(x < p),
    "mask plus": lambda x, p: (x < p) + x,
    "masks": lambda x, p: ((x > 0) * (p > 0)).float() - ((x > 0) + (p > 0)).float(),
    "masks compared": lambda x, p: ((x > 0) == (p > 0)).float(),
    "masks chosen": lambda x, p: torch.where(x > 0, p > 0, x < p).float(),
    "mask of parameters": lambda x, p: torch.where(p > 0.4, x, p),
    "mask times parameters": lambda x, p: x + (p > 0) * p,
    "a mask for the output": lambda x, p: x > p,
    "in place": lambda x, p: x.clone().ge_(p).mul_(x < p),
    "logical of both": lambda x, p: torch.logical_and(x, p > 0).float(),
}  # fmt: skip
ROUGHLY: dict[str, Function] = {  # eager takes some of them from MKL, and multiplies and adds in one rounding
    **{name: getattr(torch, name) for name in (
        "sqrt", "exp", "expm1", "log", "log1p", "sin", "cos", "tanh", "sigmoid", "erf",
    )},
    "root": lambda x: x**0.5,
    "pow": lambda x: x**1.7,
    "add_scaled": lambda x: torch.add(x, 0.7 - x, alpha=0.3),
    "sub_scaled": lambda x: torch.sub(x, 0.7 - x, alpha=0.3),
}  # fmt: skip


def one(function: Function) -> sw.Neuron:
    @sw.neuron
    def step(x: Tensor, v: Tensor) -> tuple[Tensor, Any]:
        """One operation."""
        return function(x), v

    return step()


def two(function: Function, p: Tensor) -> sw.Neuron:
    @sw.neuron
    def step(x: Tensor, v: Tensor, *, p: float | Tensor = 0.0) -> tuple[Tensor, Any]:
        """One operation with a parameter."""
        return function(x, p), v

    return step(p=p)


def outcome(neuron: sw.Neuron, backend: str, **parameters: Tensor) -> tuple[Tensor, list[Tensor]]:
    x_T = PAIRS[None, None, :, 0].clone().requires_grad_()
    wanted = {"x": x_T, **{k: v.clone().requires_grad_() for k, v in parameters.items()}}
    out_T, _ = sw.scan(neuron, x_T, backend=backend, **{k: v for k, v in wanted.items() if k != "x"})
    if not out_T.requires_grad:  # nothing but comparisons
        return out_T, [torch.zeros_like(value) for value in wanted.values()]
    grads = torch.autograd.grad(out_T.sum(), list(wanted.values()), allow_unused=True)
    return out_T.detach(), [
        torch.zeros_like(w) if g is None else g for w, g in zip(wanted.values(), grads, strict=True)
    ]


def assert_same(neuron: sw.Neuron, roughly: bool = False, **parameters: Tensor) -> None:
    (out, grads), (made, made_grads) = (outcome(neuron, b, **parameters) for b in ("eager", "fused_cpu"))
    torch.testing.assert_close(made, out, rtol=1e-6 if roughly else 0, atol=0, equal_nan=True)
    different = ((made.signbit() != out.signbit()) & ~out.isnan()).flatten()
    assert not different.any(), PAIRS[different]
    for made_grad, grad in zip(made_grads, grads, strict=True):
        torch.testing.assert_close(made_grad, grad, rtol=1e-6, atol=0, equal_nan=True)


@pytest.mark.parametrize("name", OF_ONE)
def test_of_one(name: str) -> None:
    assert_same(one(OF_ONE[name]))


@pytest.mark.parametrize("name", OF_TWO)
def test_of_two(name: str) -> None:
    assert_same(two(OF_TWO[name], torch.tensor(0.0)), p=PAIRS[:, 1])


@pytest.mark.parametrize("name", ROUGHLY)
def test_to_the_last_bits(name: str) -> None:
    assert_same(one(ROUGHLY[name]), roughly=True)


def test_no_operation_is_left_out() -> None:
    neurons = [*map(one, [*OF_ONE.values(), *ROUGHLY.values()]), *(two(f, torch.ones(())) for f in OF_TWO.values())]
    programs = [trace(neuron, torch.Size([2]), neuron.parameters, tuple(neuron.own)) for neuron in neurons]
    known = assembly._BINARY.keys() | assembly._LOGIC.keys() | assembly._INTRINSIC.keys() | assembly._CALLED
    assert known | assembly._FORMULA.keys() | {"sigmoid"} == {node.op for p in programs for node in p.nodes}
