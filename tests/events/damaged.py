"""What a reader must stand: files cut at any byte, files with bytes changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from spikeworks.events import EventStream, read


def stream(n: int, width: int = 13, height: int = 7, seed: int = 0, span: int = 5000) -> EventStream:
    draw = np.random.default_rng(seed)
    return EventStream(
        np.sort(draw.integers(0, span, n)), draw.integers(0, width, n), draw.integers(0, height, n),
        draw.integers(0, 2, n), width, height,
    )  # fmt: skip


def same(a: EventStream, b: EventStream) -> bool:
    columns = all(np.array_equal(getattr(a, name), getattr(b, name)) for name in "txyp")
    return columns and (a.width, a.height) == (b.width, b.height)


def cut(file: Path, size: tuple[int, int] | None = None) -> list[int]:
    """Cut a file at every byte; the lengths at which it is still read, each time with fewer events or the same."""
    data, copy = file.read_bytes(), file.with_name(f"cut{file.suffix}")
    whole, passed = read(file, *(size or ())), []
    for length in range(len(data)):
        copy.write_bytes(data[:length])
        found = _read_or_refused(copy, size)
        if found is not None:
            assert same(found, whole[: len(found)]), length
            passed.append(length)
    return passed


def mutate(
    file: Path, times: int, size: tuple[int, int] | None = None, seed: int = 0,
    judge: Callable[[EventStream | None], None] = lambda found: None,
) -> int:  # fmt: skip
    """Change bytes of a file at random; how often it was read nevertheless. ``judge`` is shown what was read."""
    data, copy = file.read_bytes(), file.with_name(f"mutated{file.suffix}")
    draw, passed = np.random.default_rng(seed), 0
    for _ in range(times):
        changed = np.frombuffer(data, np.uint8).copy()
        for _ in range(int(draw.integers(1, 4))):
            changed[draw.integers(len(data))] = draw.choice([draw.integers(256), 0, 255, ord("-"), ord("9"), ord("\n")])
        if draw.random() < 0.2:
            place = int(draw.integers(len(data)))
            changed = np.concatenate([changed[:place], changed[place + int(draw.integers(1, 40)) :]])
        copy.write_bytes(changed.tobytes())
        found = _read_or_refused(copy, size)
        judge(found)
        passed += found is not None
    return passed


def _read_or_refused(file: Path, size: tuple[int, int] | None) -> EventStream | None:
    try:
        found = read(file, *(size or ()))
    except ValueError as error:
        said = str(error)
    else:
        assert not len(found) or (found.x.max() < found.width and found.y.max() < found.height and found.p.max() < 2)
        return found
    assert "\n" not in said
    assert str(file) in said
    return None
