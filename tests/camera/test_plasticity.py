"""Short-term plasticity: the published step, its table, its fixed point, and small numbers that stay."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikeworks.camera import Plasticity

TFSTP = Plasticity(0.15, 0.15, 1, 10, 1)


@pytest.mark.parametrize("synapse", [Plasticity(), TFSTP], ids=["motion", "light"])
def test_a_step_is_the_published_one(synapse: Plasticity) -> None:
    draw = np.random.default_rng(0)
    R, u, k = draw.random(50), draw.random(50), draw.integers(1, 256, 50)
    x = k / synapse.unit
    after = 1 - (1 - R * (1 - u)) * np.exp(-x / synapse.recover)
    raised = synapse.U + (u + synapse.C * (1 - u) - synapse.U) * np.exp(-x / synapse.facilitate)
    assert np.allclose(synapse.step(R, u, k), (after, raised), rtol=1e-12, atol=0)
    tables = synapse.decay(np.arange(256))
    assert np.array_equal(synapse.tabled(R, u, tables[0][k], tables[1][k]), synapse.step(R, u, k))


@given(st.integers(1, 255))
def test_steps_of_one_interval_end_at_the_fixed_point(frames: int) -> None:
    k = np.array([frames])
    R, u = np.ones(1), np.full(1, TFSTP.U)
    for _ in range(300):
        R, u = TFSTP.step(R, u, k)
    assert np.allclose((R, u), TFSTP.fixed(k), rtol=1e-12)
    away = TFSTP.fixed_away(k)
    assert np.allclose(TFSTP.away(*away, *TFSTP.decay(k)), away, rtol=1e-12, atol=0)


def test_resources_after_a_long_interval_are_not_lost() -> None:
    gone, _ = TFSTP.fixed_away(np.array([17, 200]))
    assert (gone > 0).all()
    assert np.allclose(np.log(gone), np.log(0.15) - np.array([17, 200]), atol=0.2)


def test_values_out_of_range_are_refused() -> None:
    for wrong in (dict(U=0.0), dict(U=1.0), dict(C=0.0), dict(C=1.1), dict(recover=0.0), dict(unit=np.inf)):
        with pytest.raises(ValueError, match="out of range"):
            Plasticity(**wrong)
