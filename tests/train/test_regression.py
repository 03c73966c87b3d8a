"""What a network shall answer need not be a class: the same loop, checkpoints and choice of the best."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from spikeworks.train import Data, Plan, fit

PLAN = Plan(epochs=5, batch=16, rate=0.05, optimiser="adamw")


def squared(answers: Tensor, y: Tensor) -> Tensor:
    return (answers - y).square().mean()


def closeness(answers: Tensor, y: Tensor) -> Tensor:
    return -(answers - y).square().flatten(1).mean(1)


def made(seed: int, size: int = 64) -> Data:
    x = torch.randn(size, 6, generator=torch.Generator().manual_seed(seed))
    return Data(x, torch.stack([x.sum(1), x[:, 0] - x[:, 1]], 1))


def trained(place: Path | None, epochs: int = 5) -> tuple[nn.Module, list[float]]:
    torch.manual_seed(0)
    network = nn.Linear(6, 2)
    plan = Plan(epochs=epochs, batch=16, rate=0.05, optimiser="adamw")
    history = fit(network, made(0), made(1, 32), plan, torch.Generator().manual_seed(3), checkpoint=place,
                  objective=squared, score=closeness)  # fmt: skip
    return network, [e.validation for e in history]


def test_a_line_is_learned_and_the_score_says_so() -> None:
    network, seen = trained(None, 40)
    held = made(1, 32)
    with torch.no_grad():
        reached = float(closeness(network(held.x), held.y).mean())
    assert reached == pytest.approx(max(seen), rel=1e-5)
    assert reached > -1e-3 > seen[0]


def test_it_goes_on_where_it_stopped(tmp_path: Path) -> None:
    whole, seen = trained(tmp_path / "whole.safetensors")

    class CutError(Exception): ...

    def cut(epoch: object) -> None:
        raise CutError

    torch.manual_seed(0)
    network = nn.Linear(6, 2)
    with pytest.raises(CutError):
        fit(network, made(0), made(1, 32), PLAN, torch.Generator().manual_seed(3), progress=cut,
            checkpoint=tmp_path / "cut.safetensors", objective=squared, score=closeness)  # fmt: skip
    again, history = trained(tmp_path / "cut.safetensors")
    assert history == seen
    assert torch.equal(again.weight, whole.weight)
    with pytest.raises(ValueError, match="score"):
        fit(network, made(0), made(1, 32), PLAN, torch.Generator().manual_seed(3), objective=squared,
            checkpoint=tmp_path / "cut.safetensors", score=lambda a, y: closeness(a, y))  # fmt: skip


def test_what_does_not_belong_together_is_refused() -> None:
    draw = torch.Generator()
    with pytest.raises(ValueError, match="pass objective= and score="):
        fit(nn.Linear(6, 2), made(0), made(1), PLAN, draw, objective=squared)
    with pytest.raises(ValueError, match="pass objective= and score="):
        fit(nn.Linear(6, 2), made(0), made(1), PLAN, draw, score=closeness)
    with pytest.raises(ValueError, match="a number for each"):
        fit(nn.Linear(6, 2), made(0), made(1), PLAN, draw, objective=squared, score=lambda a, y: (a - y).square())
    with pytest.raises(ValueError, match="among the answers"):
        Data(torch.zeros(2, 3), torch.tensor([[1.0], [float("nan")]]))
