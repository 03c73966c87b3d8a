"""The loss of flow, by hand."""

from __future__ import annotations

import pytest
import torch

from spikeworks.train import flow_loss


def test_by_hand() -> None:
    truth = torch.zeros(1, 2, 4, 8)
    truth[:, 0] = 4.0
    exact = [torch.zeros(1, 2, 2, 4), truth]
    exact[0][:, 0] = 2.0  # half the pixels
    assert float(flow_loss(exact, truth)) == pytest.approx(0, abs=1e-6)
    assert float(flow_loss([exact[0] + 1, truth + 0.5], truth)) == pytest.approx(1.5)


def test_what_is_not_valid_does_not_count() -> None:
    truth, valid = torch.zeros(1, 2, 4, 8), torch.ones(1, 4, 8)
    truth[..., 4:], valid[..., 4:] = 1000.0, 0.0
    found = [torch.zeros(1, 2, 2, 4), torch.zeros(1, 2, 4, 8)]
    assert float(flow_loss(found, truth, valid)) == 0
    assert float(flow_loss(found, truth, torch.zeros(1, 4, 8))) == 0


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="0 levels"):
        flow_loss([], torch.zeros(1, 2, 4, 8))
    with pytest.raises(ValueError, match="flow_loss got"):
        flow_loss([torch.zeros(1, 2, 4, 8)], torch.zeros(1, 2, 4, 8), torch.zeros(1, 4, 7))
