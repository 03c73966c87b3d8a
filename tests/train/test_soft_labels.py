"""Distillation: its formula, its gradient in closed form, and the convexity that makes step-wise the stricter one."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spikeworks.train import Distil, feature_distance


def softmax(row: list[float]) -> list[float]:
    total = sum(math.exp(value) for value in row)
    return [math.exp(value) / total for value in row]


@pytest.mark.parametrize("temperature", [1.0, 2.5, 10.0])
def test_formula_against_plain_loops(temperature: float) -> None:
    z, q, y = torch.randn(3, 4, 5).double(), torch.randn(4, 5).double(), torch.zeros(4, dtype=torch.long)

    def reference(steps: list[torch.Tensor]) -> float:
        total = 0.0
        for step in steps:
            for n in range(4):
                p, r = softmax((q[n] / temperature).tolist()), softmax((step[n] / temperature).tolist())
                total += temperature**2 * sum(a * math.log(a / b) for a, b in zip(p, r, strict=True))
        return total / 4 / len(steps)

    for at, steps in (("steps", list(z)), ("mean", [z.mean(0)]), ("last", [z[-1]])):
        assert float(Distil(q, temperature, at)(z, y)) == pytest.approx(reference(steps))
        assert torch.autograd.gradcheck(
            lambda z, at=at: Distil(q, temperature, at)(z, y), (z.clone().requires_grad_(),)
        )


def test_gradient_in_closed_form_and_none_for_the_teacher() -> None:
    q = torch.randn(6, 4).double().requires_grad_()
    z = torch.randn(5, 6, 4).double().requires_grad_()
    Distil(q, 3.0)(z, torch.zeros(6, dtype=torch.long)).backward()
    wanted = 3.0 / (5 * 6) * ((z / 3).softmax(-1) - (q / 3).softmax(-1))
    assert torch.allclose(z.grad, wanted.detach())
    assert q.grad is None


@given(seed=st.integers(0, 2**32), steps=st.integers(1, 6), temperature=st.sampled_from([1.0, 4.0, 10.0]))
def test_step_wise_is_at_least_the_mean(seed: int, steps: int, temperature: float) -> None:
    draw = torch.Generator().manual_seed(seed)
    z = 5 * torch.randn(steps, 3, 4, generator=draw, dtype=torch.float64)
    q, y = torch.randn(3, 4, generator=draw, dtype=torch.float64), torch.zeros(3, dtype=torch.long)
    mean, each, last = (float(Distil(q, temperature, at)(z, y)) for at in ("mean", "steps", "last"))
    assert each >= mean - 1e-12
    still = z[:1].expand(steps, -1, -1)
    equal = [float(Distil(q, temperature, at)(still, y)) for at in ("mean", "steps", "last")]
    assert equal == pytest.approx([equal[0]] * 3)
    if steps == 1:
        assert mean == pytest.approx(each) == pytest.approx(last)
    assert float(Distil(still[0], temperature)(still, y)) == pytest.approx(0, abs=1e-12)


def test_features() -> None:
    f, g = torch.randn(3, 4, 5, 2, 2).double().requires_grad_(), torch.randn(4, 5, 2, 2).double()
    square = sum(((f[t] - g) ** 2).mean() for t in range(3)) / 3
    assert torch.allclose(feature_distance(f, g), square)
    assert torch.allclose(feature_distance(f, g.expand(3, -1, -1, -1, -1)), square)
    pairs = [(a.flatten(), b.flatten()) for step in f.detach() for a, b in zip(step, g, strict=True)]
    angles = [1 - float(a @ b / a.norm() / b.norm()) for a, b in pairs]
    assert float(feature_distance(f, g, "cosine").detach()) == pytest.approx(sum(angles) / 12)
    assert torch.allclose(feature_distance(f, 7 * g, "cosine"), feature_distance(f, g, "cosine"))
    for kind in ("square", "cosine"):
        assert torch.autograd.gradcheck(lambda f, kind=kind: feature_distance(f, g, kind), (f,))
    teacher = g.requires_grad_()
    feature_distance(f, teacher).backward()
    assert teacher.grad is None


def test_what_does_not_fit_is_refused() -> None:
    z, y = torch.randn(3, 4, 5), torch.zeros(4, dtype=torch.long)
    with pytest.raises(ValueError, match="of the same batch"):
        Distil(torch.zeros(5, 5))(z, y)
    for wrong in ({"temperature": 0.0}, {"temperature": math.nan}, {"at": "first"}):
        with pytest.raises(ValueError, match="Distil got"):
            Distil(z[0], **wrong)
    for target, kind in ((torch.zeros(5), "square"), (z, "angle")):
        with pytest.raises(ValueError, match="feature_distance got"):
            feature_distance(z, target, kind)
