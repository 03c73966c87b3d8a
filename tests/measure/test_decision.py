"""The whole sweep of thresholds from one sort equals asking at each threshold, sample by sample."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from spikeworks.layers import running_mean
from spikeworks.measure import confidence, decision_curve, early_exit, step_spread


def decide(c_TB: Tensor, right_TB: Tensor, threshold: float) -> tuple[float, float]:
    """Accuracy and mean decision time by a loop."""
    right, time = 0, 0
    for n in range(c_TB.shape[1]):
        t = next((t for t in range(len(c_TB) - 1) if c_TB[t, n] >= threshold), len(c_TB) - 1)
        right, time = right + int(right_TB[t, n]), time + t + 1
    return 100 * right / c_TB.shape[1], time / c_TB.shape[1]


@pytest.mark.parametrize("kind", ["probability", "margin"])
@given(seed=st.integers(0, 9999), steps=st.integers(1, 6), size=st.integers(1, 9), classes=st.integers(2, 4))
def test_the_sweep_equals_a_loop(kind: str, seed: int, steps: int, size: int, classes: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    z = torch.randint(-2, 3, (steps, size, classes), generator=draw).double()  # coarse: confidences coincide
    y = torch.randint(0, classes, (size,), generator=draw)
    curve, c_TB, right_TB = decision_curve(z, y, kind), confidence(z, kind), z.argmax(-1) == y
    for k, threshold in enumerate(curve.threshold.tolist()):
        assert (float(curve.accuracy[k]), float(curve.time[k])) == pytest.approx(decide(c_TB, right_TB, threshold))
    for threshold in (0.0, 0.31, 0.5, 0.77, 1.0, 1.01):
        assert curve.at(threshold) == pytest.approx(decide(c_TB, right_TB, threshold))
        if kind == "margin" and threshold <= 1:
            prediction, used = early_exit(z, threshold)
            assert curve.at(threshold)[0] == pytest.approx(100 * float((prediction == y).double().mean()))
            assert curve.at(threshold)[1] == pytest.approx(float(used.double().mean()))
    assert (curve.threshold.diff() > 0).all()
    assert (curve.time.diff() >= 0).all()
    assert curve.at(0.0) == pytest.approx((100 * float(right_TB[0].double().mean()), 1.0))
    assert curve.at(1.5) == pytest.approx((100 * float(right_TB[-1].double().mean()), float(steps)))


def test_least_time() -> None:
    z, y = torch.randn(8, 200, 4).cumsum(0), torch.randint(0, 4, (200,))
    z = z + 0.4 * torch.arange(1, 9).view(-1, 1, 1) * torch.nn.functional.one_hot(y, 4)
    curve = decision_curve(running_mean(z), y)
    for part in (0.2, 0.9, 1.0):
        wanted = part * float(curve.accuracy.max())
        rows = [float(t) for a, t in zip(curve.accuracy, curve.time, strict=True) if a >= wanted]
        assert curve.least_time(wanted) == min(rows)
    assert curve.least_time(100.1) == math.inf


def test_ten_thousand_samples_take_no_loop() -> None:
    curve = decision_curve(torch.randn(16, 10_000, 10), torch.randint(0, 10, (10_000,)))
    assert len(curve.threshold) > 10_000


def test_spread_over_steps() -> None:
    z = torch.zeros(3, 4, 2)
    y = torch.tensor([0, 0, 1, 1])
    z[:, :, 0] = torch.tensor([[1.0, 1, -1, -1], [1.0, 1, 1, -1], [1.0, -1, 1, -1]])  # 4, 3 and 2 right of 4
    found = step_spread(z, y)
    assert found.range == pytest.approx(50)
    assert found.deviation == pytest.approx(math.sqrt(2 / 3) * 25)
    assert step_spread(z[:1], y).deviation == 0


def test_what_does_not_fit_is_refused() -> None:
    z, y = torch.randn(3, 4, 2), torch.zeros(4, dtype=torch.long)
    for wrong in ((z[0], y), (z, y[:3]), (z / 0, y), (z[:0], y)):
        with pytest.raises(ValueError, match="expected"):
            decision_curve(*wrong)
    for wrong in ((z[0], y), (z, y[:3]), (z[:0], y)):
        with pytest.raises(ValueError, match="expected"):
            step_spread(*wrong)
    for values, kind in ((z, "entropy"), (z[..., :1], "margin")):
        with pytest.raises(ValueError, match="confidence got"):
            confidence(values, kind)
