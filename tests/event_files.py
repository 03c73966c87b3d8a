"""What tests of event files share: drawn streams, every truncation, many mutations."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest


def sample(*parts: str) -> Path:
    """A real file; the test is skipped where there is none."""
    folder = os.environ.get("SPIKEWORKS_DATA")
    if not folder:
        pytest.skip("SPIKEWORKS_DATA is not set: no real files")
    path = Path(folder, *parts)
    if not path.is_file():
        pytest.skip(f"{path.name} is not in SPIKEWORKS_DATA")
    return path


def drawn(n: int, width: int, height: int, span: int, seed: int = 0):
    """Events in order, many of them neighbours in a row at one time."""
    from spikeworks.events import EventStream

    draw = np.random.default_rng(seed)
    length = draw.integers(1, 15, n)
    group = np.repeat(np.arange(n), length)[:n]
    t, y, p = (
        np.sort(draw.integers(0, span, n))[group],
        draw.integers(0, height, n)[group],
        draw.integers(0, 2, n)[group],
    )
    x = (draw.integers(0, width, n)[group] + np.cumsum(draw.integers(1, 3, n))) % width
    return EventStream(t, x, y, p, width, height)


def same(a, b) -> bool:
    return (a.width, a.height) == (b.width, b.height) and all(
        np.array_equal(getattr(a, name), getattr(b, name)) for name in "txyp"
    )


def in_blocks(path: Path, count: int, **how):
    from spikeworks import events

    file = events.open(path, **how)
    blocks = list(file.blocks(count))
    return events.concatenate(blocks) if blocks else events.empty(file.width, file.height)


def salvaged(path: Path, **how):
    """The events in front of what is wrong, and whether something is."""
    from spikeworks import events

    blocks, said = [], None
    try:
        for block in events.open(path, **how).blocks(3):
            blocks.append(block)
    except ValueError as error:
        said = str(error)
    if said is not None:
        assert path.name in said, said
    return blocks, said is not None


def every_truncation(path: Path, **how) -> int:
    """Cut a file at every byte: what is left is refused, or is the first of its events. How many cuts were refused."""
    from spikeworks import events

    data, whole = path.read_bytes(), events.read(path, **how)
    refused = 0
    for cut in range(len(data)):
        path.write_bytes(data[:cut])
        blocks, wrong = salvaged(path, **how)
        refused += wrong
        if blocks:
            part = events.concatenate(blocks)
            assert same(part, whole[: len(part)])
    path.write_bytes(data)
    return refused


def mutations(path: Path, count: int, seed: int = 0, **how) -> int:
    """Change a few bytes, many times: it is refused, or decodes to events within the sensor. How many were refused."""
    data, draw = np.frombuffer(path.read_bytes(), np.uint8), np.random.default_rng(seed)
    refused = 0
    for _ in range(count):
        changed = data.copy()
        places = draw.integers(0, len(data), draw.integers(1, 5))
        changed[places] = draw.integers(0, 256, len(places))
        cut = len(data) if draw.random() < 0.8 else draw.integers(0, len(data))
        path.write_bytes(changed[:cut].tobytes())
        blocks, wrong = salvaged(path, **how)  # a stream cannot be made of events outside the sensor
        refused += wrong
        assert sum(map(len, blocks)) <= 32 * len(data)
    path.write_bytes(data.tobytes())
    return refused
