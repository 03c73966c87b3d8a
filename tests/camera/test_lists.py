"""Spikes as events and back: nothing is lost, nothing is made up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from camera.spikes import random_spikes, random_stream
from spikeworks import events
from spikeworks.camera import SpikeStream, event_blocks, from_events, to_events
from spikeworks.events import EventStream


@given(
    st.integers(1, 12), st.integers(1, 12), st.integers(0, 20), st.booleans(), st.integers(0, 99),
    st.sampled_from([1.0, 20_000.0, 40_000.0, 30_000.0, 999_999.0]),
)  # fmt: skip
def test_round_trip(height: int, width: int, frames: int, flip: bool, first: int, rate: float) -> None:
    stream = SpikeStream.of(random_spikes(frames, height, width), rate, first, flip)
    found = to_events(stream)
    assert len(found) == stream.dense().sum()
    assert found.ordered
    assert found.p.all()
    back = from_events(found, rate, frames, first, not flip)
    assert (len(back), back.first, back.rate) == (frames, first, rate)
    assert np.array_equal(back.dense(), stream.dense())


def test_against_the_plainest_loop() -> None:
    stream = random_stream(9, 5, 7)[2:].crop(1, 1, 4, 3)
    expected = [(50 * (k + 2), x, y) for k, y, x in np.argwhere(stream.dense())]
    found = to_events(stream)
    assert list(zip(found.t.tolist(), found.x.tolist(), found.y.tolist(), strict=True)) == expected
    parts = list(event_blocks(stream, 2))
    assert [len(p) for p in parts] == [int(b.dense().sum()) for b in stream.blocks(2)]


def test_any_recording_becomes_a_file_of_events(tmp_path: Path) -> None:
    stream = random_stream(700, 5, 7)
    events.write(tmp_path / "a.npz", event_blocks(stream))
    assert np.array_equal(from_events(events.read(tmp_path / "a.npz"), frames=700).dense(), stream.dense())


def made(t: list[int], x: list[int], p: list[int] | None = None) -> EventStream:
    return EventStream(t, x, [0] * len(t), [1] * len(t) if p is None else p, 5, 2)


def test_what_is_no_frame_is_refused_unless_told() -> None:
    with pytest.raises(ValueError, match="t=120 µs, which is no frame at 20000 Hz \\(1 such"):
        from_events(made([50, 120], [0, 1]))
    assert np.argwhere(from_events(made([50, 120], [0, 1]), nearest=True).dense()).tolist() == [[1, 0, 0], [2, 0, 1]]
    with pytest.raises(ValueError, match="1 events of pixels that have fired"):
        from_events(made([50, 50], [3, 3]))
    assert from_events(made([50, 50], [3, 3]), merge=True).dense().sum() == 1
    with pytest.raises(ValueError, match="polarity 0"):
        from_events(made([50], [1], [0]))
    with pytest.raises(ValueError, match="frames 1 to 2, expected 2 to 5"):
        from_events(made([50, 100], [0, 0]), frames=4, first=2)
    with pytest.raises(ValueError, match="frames 1 to 2, expected 0 to 1"):
        from_events(made([50, 100], [0, 0]), frames=2)
    with pytest.raises(ValueError, match="MiB of frames from 0 on"):
        from_events(made([50 * 10**12], [0]))
    with pytest.raises(ValueError, match="rate=0"):
        from_events(made([], []), 0.0)
    with pytest.raises(ValueError, match="at most 1 MHz"):
        to_events(SpikeStream.of(random_spikes(2, 2, 2), 2e6))
