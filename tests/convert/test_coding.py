"""Codings and what is computed on estimates: exact at every step, for any messages; wrong once a term is left out."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spikeworks.convert.coding import Coding, Difference, Differential, Rate
from spikeworks.convert.compensate import Compensated

CODINGS: list[Coding] = [Rate(), Differential(), Difference()]


class Apply(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[..., Tensor], arity: int = 1) -> None:
        super().__init__()
        self.function, self.arity = function, arity

    def forward(self, *x: Tensor) -> Tensor:
        return self.function(*x)


def messages(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("coding", CODINGS, ids=str)
@pytest.mark.parametrize("cut", [1, 2, 5])
def test_messages_and_estimates_are_one_to_one_however_time_is_cut(coding: Coding, cut: int) -> None:
    x_T = messages(7, 3, 4)
    whole, _ = coding.integrate(x_T, None, 0)
    parts, total, back, before = [], None, [], None
    for at in range(0, 7, cut):
        estimate, total = coding.integrate(x_T[at : at + cut], total, at)
        parts.append(estimate)
        back.append(coding.emit(estimate, before, at))
        before = estimate[-1]
    assert torch.equal(torch.cat(parts), whole)
    torch.testing.assert_close(torch.cat(back), x_T, rtol=0, atol=1e-12)


@pytest.mark.parametrize("coding", CODINGS, ids=str)
def test_a_constant_is_sent_so_that_the_estimate_is_it_at_every_step(coding: Coding) -> None:
    value = messages(3, 4)
    sent = torch.cat((coding.send(value, 2, 0), coding.send(value, 3, 2)))
    torch.testing.assert_close(coding.decode(sent), value.expand(5, 3, 4), rtol=0, atol=1e-12)


FUNCTIONS: dict[str, tuple[Callable[..., Tensor], tuple[tuple[int, ...], ...]]] = {
    "softmax": (lambda x: x.softmax(-1), ((5, 9),)),
    "layer_norm": (lambda x: F.layer_norm(x, (9,)), ((5, 9),)),
    "gelu": (F.gelu, ((5, 9),)),
    "max": (lambda x: F.max_pool1d(x, 3), ((5, 9),)),
    "matmul": (lambda a, b: a @ b, ((2, 5, 4), (2, 4, 3))),
    "broadcast": (lambda a, b: a @ b, ((2, 5, 4), (1, 4, 3))),
    "masked": (lambda a, b: (a @ b).masked_fill(torch.ones(5, 5).triu(1).bool(), 0.0), ((5, 4), (4, 5))),
    "elementwise": (lambda a, b: a * b, ((5, 4), (1, 4))),
    "einsum": (lambda a, b: torch.einsum("bhnd,bhmd->bhnm", a, b), ((2, 5, 4), (2, 3, 4))),
}


@pytest.mark.parametrize("coding", CODINGS, ids=str)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_estimate_of_the_output_is_the_function_of_those_of_the_inputs(name: str, coding: Coding) -> None:
    """At every step, to 1e-12, for messages that differ from step to step; over two calls with the state between."""
    function, shapes = FUNCTIONS[name]
    layer = Compensated(Apply(function, len(shapes)), coding)
    inputs = tuple(messages(10, 2, *shape, seed=i) for i, shape in enumerate(shapes))
    first, state = layer.run(tuple(x[:4] for x in inputs), None)
    second, _ = layer.run(tuple(x[4:] for x in inputs), state)
    found = coding.decode(torch.cat((first, second)))
    wanted = torch.stack([function(*(coding.decode(x)[t] for x in inputs)) for t in range(10)])
    assert (found - wanted).abs().max() < 1e-12 * max(1.0, float(wanted.abs().max()))
    naive = coding.decode(torch.stack([function(*(x[t] for x in inputs)) for t in range(10)]))
    assert (naive - wanted)[1:].abs().max() > 1e-3  # the function of each message alone is something else


def sparse_products(a_T: Tensor, b_T: Tensor, cross: bool = True, carry: bool = True) -> Tensor:
    """The published form for rate coding: spikes times running sums, ``x·B + A·y + x·y``; what each T puts out."""
    a, b, total, out = torch.zeros_like(a_T[0]), torch.zeros_like(b_T[0]), torch.zeros(()).double(), []
    for t, (x, y) in enumerate(zip(a_T, b_T, strict=True), 1):
        change = x @ b + a @ y + (x @ y if cross else 0)
        before, total = total, total + change
        out.append(total / t - (before / (t - 1) if t > 1 and carry else 0))
        a, b = a + x, b + y
    return torch.stack(out)


def test_products_are_the_three_sparse_ones_of_hardware() -> None:
    a_T, b_T = messages(9, 2, 5, 4), messages(9, 2, 4, 3, seed=1)
    y_T, _ = Compensated(Apply(torch.matmul, 2), Rate()).run((a_T, b_T), None)
    torch.testing.assert_close(y_T, sparse_products(a_T, b_T), rtol=0, atol=1e-12)


@pytest.mark.parametrize("dropped", ["cross", "carry"])
def test_every_term_of_the_product_is_needed(dropped: str) -> None:
    """Mutation: without x·y, or without the (T − 1) term, the mean is no longer the product of means."""
    a_T, b_T = messages(9, 2, 5, 4), messages(9, 2, 4, 3, seed=1)
    wanted = Rate().decode(a_T) @ Rate().decode(b_T)
    right = Rate().decode(sparse_products(a_T, b_T))
    wrong = Rate().decode(sparse_products(a_T, b_T, **{dropped: False}))
    assert (right - wanted).abs().max() < 1e-12
    assert (wrong - wanted)[1:].abs().amax((1, 2, 3)).min() > 1e-2


def test_differential_products_are_the_published_ones() -> None:
    """``O(t) = x·y/t + x·B̂ + Â·y``, then ``Â += x/t``, ``B̂ += y/t``."""
    a_T, b_T = messages(9, 2, 5, 4), messages(9, 2, 4, 3, seed=1)
    a, b = torch.zeros_like(a_T[0]), torch.zeros_like(b_T[0])
    y_T, _ = Compensated(Apply(torch.matmul, 2), Differential()).run((a_T, b_T), None)
    for t, (x, y, found) in enumerate(zip(a_T, b_T, y_T, strict=True), 1):
        torch.testing.assert_close(found, x @ y / t + x @ b + a @ y, rtol=0, atol=1e-12)
        a, b = a + x / t, b + y / t


def test_expectation_compensation_is_the_published_formula() -> None:
    """``O(T) = T·f(X_T/T) − (T−1)·f(X_{T−1}/(T−1))``."""
    x_T = messages(6, 3, 5)
    y_T, _ = Compensated(Apply(F.gelu), Rate()).run(x_T, None)
    for t in range(1, 7):
        before = (t - 1) * F.gelu(x_T[: t - 1].sum(0) / (t - 1)) if t > 1 else 0.0
        torch.testing.assert_close(y_T[t - 1], t * F.gelu(x_T[:t].mean(0)) - before, rtol=0, atol=1e-12)
