"""How fast event files are decoded: prints the table of million events a second, of one thread.

    python benchmarks/events.py --events 10000000 --rounds 11

Files are made of drawn events, two mixtures: ``scene`` (a busy camera, 10 million events a second, two thirds of them
parts of edges, 4 to 12 pixels of a row at one time, which EVT 3.0 writes as vectors) and ``noise`` (half a million a
second, no two side by side: nearly every event has a word for each of its parts). Files are decoded block by block in
turns; figures are medians over the rounds. Every file is first held to the events it was made of. ``copy`` is what
moving the 13 bytes of a decoded event costs.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from spikeworks import events
from timing import in_turns

WIDTH, HEIGHT = 1280, 720
FORMATS = {"evt3": ".raw", "evt21": ".raw", "evt2": ".raw", "dat": ".dat", "es": ".es", "atis": ".bin"}


def mixture(name: str, count: int, draw: np.random.Generator) -> events.EventStream:
    edges, rate = (2 / 3, 10.0) if name == "scene" else (0.0, 0.5)
    lengths = np.where(draw.random(count) < edges / (8 - 7 * edges), draw.integers(4, 13, count), 1)
    lengths = lengths[: np.searchsorted(np.cumsum(lengths), count)]
    total = int(lengths.sum())
    place = np.arange(total) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    t = np.sort(draw.integers(0, int(total / rate), len(lengths)))
    x = draw.integers(0, WIDTH - 12, len(lengths))
    y, p = draw.integers(0, HEIGHT, len(lengths)), draw.integers(0, 2, len(lengths))
    t, x, y, p = (np.repeat(column, lengths) for column in (t, x, y, p))
    return events.EventStream(t, x + place, y, p, WIDTH, HEIGHT)


def decoding(path: Path, format: str, size: tuple[int, int]) -> Callable[[], object]:
    def work() -> object:
        return sum(len(block) for block in events.open(path, *size, format=format).blocks())

    return work


def copying(stream: events.EventStream) -> Callable[[], object]:
    def work() -> object:
        return [[getattr(part, name).copy() for name in "txyp"] for part in stream.groups(1 << 20)][-1]

    return work


def table(count: int, rounds: int, folder: Path) -> list[str]:
    lines = ["| mixture | format | bytes/event | million events/s |", "|---|---|---|---|"]
    for name in ("scene", "noise"):
        stream = mixture(name, count, np.random.default_rng(0))
        works: dict[str, Callable[[], object]] = {"copy": copying(stream)}
        sizes, lengths = {"copy": 13.0}, {"copy": len(stream)}
        for format, suffix in FORMATS.items():
            held = stream if format != "atis" else stream.crop(0, 0, 256, 240)
            path = folder / f"{name}-{format}{suffix}"
            events.write(path, held, format=format)
            back = events.read(path, held.width, held.height, format=format)
            assert all(np.array_equal(getattr(back, c), getattr(held, c)) for c in "txyp"), f"red: {format} not timed"
            works[format] = decoding(path, format, (held.width, held.height))
            sizes[format], lengths[format] = path.stat().st_size / len(held), len(held)
        for format, seconds in in_turns(works, rounds).items():
            speed = lengths[format] / statistics.median(seconds) / 1e6
            lines.append(f"| {name} | {format} | {sizes[format]:.2f} | {speed:.0f} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=11)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        print("\n".join(table(options.events, options.rounds, Path(folder))))


if __name__ == "__main__":
    main()
