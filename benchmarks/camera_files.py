"""What it costs to open, to write and to read files of spike cameras; process time, the least of five.

python benchmarks/camera_files.py
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from spikeworks import camera

FRAMES, PIECE, HEIGHT, WIDTH = 20_000, 400, 250, 400


def least(call: Callable[[], Any], times: int = 5) -> float:
    found = []
    for _ in range(times):
        start = time.process_time()
        call()
        found.append(time.process_time() - start)
    return min(found)


def scene() -> camera.SpikeStream:
    """A gradient with a disc that moves, over pixels that integrate; 8 pieces of which make a long recording."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    charge, spikes = np.random.default_rng(0).random((HEIGHT, WIDTH)), np.zeros((PIECE, HEIGHT, WIDTH), bool)
    for k in range(PIECE):
        charge += 0.1 + 0.3 * x / WIDTH + 0.4 * (np.hypot(y - 120, x - 50 - 0.5 * k) < 30)
        spikes[k] = charge >= 1
        charge -= spikes[k]
    return camera.SpikeStream.of(spikes)


def main() -> None:
    piece = scene()
    print(f"{FRAMES:,} frames of {WIDTH}x{HEIGHT}, {piece.layout.size * FRAMES / 1e6:.0f} MB; {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with (folder / "a.dat").open("wb") as file:
            for _ in range(FRAMES // PIECE):
                file.write(piece.packed().data)
        stream = camera.open(folder / "a.dat", HEIGHT, WIDTH)
        assert len(stream) == FRAMES
        assert np.array_equal(stream[-PIECE:].dense(), piece.dense())
        for words, more in (("", {}), (", check=False", {"check": False})):
            cost = least(lambda m=more: camera.open(folder / "a.dat", HEIGHT, WIDTH, **m))
            print(f"open(.dat{words}): {1e3 * cost:.1f} ms")
        assert camera.guess(folder / "a.dat")[0].layout == piece.layout
        print(f"guess(.dat): {1e3 * least(lambda: camera.guess(folder / 'a.dat')):.0f} ms")
        part = stream[:2000]
        for suffix in ("dat", "npy", "npz", "h5"):
            path = folder / f"b.{suffix}"
            written = least(lambda p=path: camera.write(p, part), 2)
            order = "THW" if suffix == "npy" else None

            def read(p: Path = path, o: str | None = order) -> int:
                return sum(int(b.packed()[0, 0]) for b in camera.open(p, HEIGHT, WIDTH, order=o).blocks())

            assert np.array_equal(camera.open(path, HEIGHT, WIDTH, order=order)[-9:].dense(), part[-9:].dense())
            taken, size = least(read, 2), path.stat().st_size
            print(
                f".{suffix}: {len(part) / written:,.0f} frames/s written, {len(part) / taken:,.0f} frames/s read, "
                f"{size / len(part):,.0f} bytes a frame"
            )
        part = stream[:500]
        events = camera.to_events(part)
        assert np.array_equal(camera.from_events(events, frames=500).dense(), part.dense())
        there, back = least(lambda: camera.to_events(part)), least(lambda: camera.from_events(events, frames=500))
        print(f"to_events: {len(events) / there / 1e6:.1f} M events/s; from_events: {len(events) / back / 1e6:.1f} M/s")


if __name__ == "__main__":
    main()
