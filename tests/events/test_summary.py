"""Numbers of a recording: against plain counting, whatever the blocks, and of real recordings."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.damaged import same, stream
from spikeworks import events
from spikeworks.events import EventStream, Summary, summarise


def plainly(s: EventStream, hottest: int) -> Summary:
    t = s.t.tolist()
    seen = Counter(zip(s.y.tolist(), s.x.tolist(), strict=True))
    most = sorted(seen.items(), key=lambda item: (-item[1], item[0]))[:hottest]
    ordered = t == sorted(t)
    peak = max(Counter(v // 10_000 for v in t).values(), default=0)
    return Summary(
        len(t), sum(s.p.tolist()), min(t, default=None), max(t, default=None), ordered, peak if ordered else None,
        len(seen), [(x, y, n) for (y, x), n in most],
    )  # fmt: skip


@given(st.lists(st.integers(-50_000, 50_000), max_size=60), st.integers(1, 20), st.booleans(), st.integers(0, 9))
def test_it_agrees_with_counting(times: list[int], block: int, ordered: bool, hottest: int) -> None:
    draw, n = np.random.default_rng(len(times)), len(times)
    t = np.array(sorted(times) if ordered else times, np.int64)
    s = EventStream(t, draw.integers(0, 3, n), draw.integers(0, 2, n), draw.integers(0, 2, n), 3, 2)
    assert summarise(s.groups(block), hottest) == plainly(s, hottest)


def test_rates() -> None:
    s = EventStream([0, 1, 9_999, 10_000, 50_000], [0] * 5, [0] * 5, [1, 0, 0, 0, 1], 1, 1)
    found = summarise([s[:2], s[2:]])
    assert (found.duration, found.rate, found.peak_rate) == (50_000, 100.0, 300.0)
    none = summarise([s[:0]])
    assert (none.count, none.duration, none.rate, none.hottest) == (0, 0, None, [])
    with pytest.raises(ValueError, match="one sensor"):
        summarise([s, stream(3)])
    with pytest.raises(ValueError, match="hottest=-1"):
        summarise([s], -1)


@pytest.mark.skipif("SPIKEWORKS_DATA" not in os.environ, reason="needs real recordings under $SPIKEWORKS_DATA")
def test_a_real_recording_goes_through_every_format(tmp_path: Path) -> None:
    """A pendulum in front of a DVS128, 19.9 s."""
    with np.load(Path(os.environ["SPIKEWORKS_DATA"]) / "dvs128_scenes" / "events.npz") as kept:
        x, y, p, dt = (kept[f"pendulum_1_{name}"] for name in ("x", "y", "p", "dt"))
    s = EventStream(np.cumsum(dt.astype(np.int64)), x, y, np.unpackbits(p, count=len(x)), 128, 128)
    for name in ("a.npz", "a.csv"):
        events.write(tmp_path / name, s.groups(100_000))
        opened = events.open(tmp_path / name)
        assert same(opened.read(), s)
        found = summarise(opened.blocks(33_333), 2)
        assert (found.count, found.on, found.first, found.last) == (278_538, 153_062, 0, 19_940_032)
        assert (found.ordered, found.peak, found.pixels) == (True, 840, 14_668)
        assert found.hottest == [(10, 77, 220), (11, 94, 208)]
