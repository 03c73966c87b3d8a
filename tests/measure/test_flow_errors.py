"""Errors of a flow, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from spikeworks.measure import aepe, end_point_errors, outliers


def test_by_hand() -> None:
    truth = np.zeros((2, 1, 4))
    truth[0, 0, 3] = 100
    found = truth.copy()
    found[:, 0, 1] = 3, 4
    found[:, 0, 3] += 0, 4.9
    assert np.allclose(end_point_errors(found, truth), [[0, 5, 0, 4.9]])
    assert aepe(found, truth) == pytest.approx(9.9 / 4)
    assert aepe(found, truth, np.array([[True, True, False, False]])) == pytest.approx(2.5)
    assert outliers(found, truth) == 0.25  # 4.9 of 100 pixels are below 5 %
    assert outliers(found, truth, share=0.04) == 0.5
    assert outliers(found, truth, pixels=6.0) == 0


def test_what_does_not_fit_is_refused() -> None:
    flow = np.zeros((2, 3, 4))
    for one, other in ((flow, flow[:, 1:]), (flow[0], flow[0]), (flow[[0, 0, 1]], flow[[0, 0, 1]])):
        with pytest.raises(ValueError, match="end_point_errors got"):
            aepe(one, other)
    with pytest.raises(ValueError, match="aepe got 0 valid"):
        aepe(flow, flow, np.zeros((3, 4), bool))
    with pytest.raises(ValueError, match="not finite"):
        outliers(flow, np.full_like(flow, np.nan))
