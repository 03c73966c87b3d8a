"""Pictures of dead leaves: light within its bounds, leaves of all sizes, the small ones by far the most."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikeworks.camera import leaves as module
from spikeworks.camera.leaves import leaves


@given(st.integers(0, 1000), st.integers(1, 40), st.integers(1, 40), st.floats(0, 0.4), st.floats(0.5, 1))
def test_light_is_within_its_bounds(seed: int, height: int, width: int, low: float, high: float) -> None:
    found = leaves(height, width, np.random.default_rng(seed), 2, 30, low, high)
    assert found.shape == (height, width)
    assert found.dtype == np.float32
    assert low - 1e-6 <= found.min() <= found.max() <= high + 1e-6


def test_sizes_fall_with_their_third_power(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of radii with the density r^-3 between a and b, the share above r is (r^-2 - b^-2) / (a^-2 - b^-2)."""
    radii, laid = [], module._leaf

    def counted(found: np.ndarray, bare: np.ndarray, radius: float, draw: np.random.Generator) -> int:
        if bare.mean() > 0.02:
            radii.append(radius / module.TIMES)
        return laid(found, bare, radius, draw)

    monkeypatch.setattr(module, "_leaf", counted)
    least, most = 2.0, 40.0
    for seed in range(4):
        leaves(120, 120, np.random.default_rng(seed), least, most)
    for r in (3.0, 5.0, 10.0):
        share = (r**-2 - most**-2) / (least**-2 - most**-2)
        noise = 4 * np.sqrt(share * (1 - share) / len(radii))
        assert abs(np.mean(np.array(radii) > r) - share) < noise


def test_seeds_make_pictures_and_nonsense_is_refused() -> None:
    one, same, other = (leaves(20, 30, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    for wrong in ({"least": 0.0}, {"least": 5.0, "most": 4.0}, {"low": 0.6, "high": 0.5}, {"high": 1.5}):
        with pytest.raises(ValueError, match="leaves got"):
            leaves(20, 30, np.random.default_rng(0), **wrong)
