"""A benchmark prints no speed-up for a wrong answer."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from spikeworks.measure import speed
from spikeworks.neurons import LIF, scan

SHAPE = (5, 3, 7)


def compared(change: Any, monkeypatch: pytest.MonkeyPatch) -> speed.Speed:
    def changed(neuron: Any, x: torch.Tensor, backend: str) -> Any:
        out, state = scan(neuron, x, backend="eager")
        return (out if backend == "eager" else change(out, x)), state

    monkeypatch.setattr(speed, "scan", changed)
    return speed.compare(LIF(), "fused_cpu", SHAPE, torch.Generator().manual_seed(0), 2)


def test_equal_results_are_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    found = compared(lambda out, x: out, monkeypatch)
    assert found.equal
    assert found.ratio is not None
    assert found.ratio > 0
    assert found.reason == ""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda out, x: 1 - out, "spikes differ"),
        (lambda out, x: out * 1.0 + 1e-3 * (x - x.detach()), "gradients differ"),
        (lambda out, x: out + float("nan") * (x - x.detach()), "differ"),
    ],
)
def test_wrong_results_are_not(change: Any, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = compared(change, monkeypatch)
    assert not found.equal
    assert found.ratio is None
    assert words in found.reason


def test_a_backend_that_cannot_run_says_why() -> None:
    found = speed.compare(LIF(), "nothing", SHAPE, torch.Generator().manual_seed(0), 2)
    assert found.ratio is None
    assert "nothing" in found.reason
