"""A loop compiled is the loop in Python."""

from __future__ import annotations

import numpy as np
import pytest

from spikeworks.events import loops
from spikeworks.neurons import native

SEVEN = 7


def arithmetic(a: memoryview, b: memoryview, out: memoryview) -> None:
    """Everything a loop may be made of."""
    i, n = 0, out[0]
    while i < n:
        total = a[i] + b[i] * SEVEN - 3
        if total & 1 and not a[i] > 100:
            total = total ^ (a[i] << 5)
        elif total in (4, 6, 8) or b[i] not in (1, SEVEN):
            total = -total >> 2
        else:
            total |= 1
        out[i + 1] = total
        i += 1
        b[i - 1] = i & 255


def unknown(a: memoryview) -> None:
    """Division is no part of it."""
    a[0] = a[1] // 2


def chained(a: memoryview) -> None:
    """Nor are chained comparisons."""
    if 0 < a[0] < 3:
        a[0] = 1


def test_compiled_is_interpreted() -> None:
    draw = np.random.default_rng(0)
    a, b = draw.integers(0, 1 << 16, 500).astype(np.uint16), draw.integers(0, 12, 500).astype(np.uint8)
    results = []
    for how in (loops.run, loops.interpret):
        out, own = np.zeros(501, np.int64), b.copy()
        out[0] = 500
        how(arithmetic, a, own, out)
        results.append((out, own))
    assert np.array_equal(results[0][0], results[1][0])
    assert np.array_equal(results[0][1], results[1][1])
    assert len(set(results[0][0])) > 100


@pytest.mark.parametrize("loop", [unknown, chained])
def test_what_cannot_be_compiled_is_said(loop) -> None:
    with pytest.raises(ValueError, match="A compiled loop got"):
        loops.assembly(loop, (64,))


def test_arrays_of_other_types_are_refused() -> None:
    for array in (np.zeros(3), np.zeros(6, np.int64)[::2], np.zeros(2, ">u2")):
        with pytest.raises(ValueError, match="in one piece"):
            loops.run(unknown, array)


def test_without_a_compiler_it_runs_in_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "unavailable", lambda: "not here")
    a = np.array([0, 9], np.int64)
    loops.run(unknown, a)
    assert a[0] == 4
