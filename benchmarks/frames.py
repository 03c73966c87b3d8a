"""Events to frames and through filters, in millions of events a second on one thread: prints a table each.

    python benchmarks/frames.py                    # spikingjelly and tonic are timed where they can be imported

A peer is first held to equal frames; one that differs is named and not timed. Input is random, which is the worst for
memory; ``--events`` and the sensors below say how much. Peers' filters follow other rules (Tonic's: four neighbours
instead of eight, and a dead time that every event prolongs), so they are timed but not compared.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable

import numpy as np
import torch

from spikeworks.events import BackgroundActivity, EventStream, HotPixel, Refractory, frames, represent
from timing import in_turns, ratio

SENSORS = ((34, 34), (128, 128), (1280, 720))
STEPS = 16


def draw(events: int, width: int, height: int) -> EventStream:
    random = np.random.default_rng(0)
    made = EventStream(
        np.sort(random.integers(0, events, events)), random.integers(0, width, events).astype(np.uint16),
        random.integers(0, height, events).astype(np.uint16), random.integers(0, 2, events).astype(np.uint8),
        width, height,
    )  # fmt: skip
    assert made.ordered  # looked up once: not part of what is timed
    return made


def spikingjelly(s: EventStream) -> Callable[[], np.ndarray]:
    from spikingjelly.datasets.utils import integrate_events_by_fixed_frames_number  # type: ignore[import-not-found]

    columns = {name: getattr(s, name) for name in "txyp"}
    return lambda: integrate_events_by_fixed_frames_number(columns, "number", STEPS, s.height, s.width)


def structured(s: EventStream) -> np.ndarray:
    made = np.empty(len(s), [("x", np.int16), ("y", np.int16), ("t", np.int64), ("p", bool)])
    for name in "xytp":
        made[name] = getattr(s, name)
    return made


def tonic(s: EventStream) -> Callable[[], np.ndarray]:
    from tonic.transforms import ToFrame  # type: ignore[import-not-found]

    to_frame, columns = ToFrame(sensor_size=(s.width, s.height, 2), n_event_bins=STEPS), structured(s)
    return lambda: to_frame(columns)


def peers(s: EventStream) -> dict[str, Callable[[], np.ndarray]]:
    """Those that are here and count the same."""
    found, want = {}, frames.by_number(s, STEPS).numpy()
    for name, make in (("SpikingJelly", spikingjelly), ("Tonic", tonic)):
        try:
            work = make(s)
        except ImportError as error:
            print(f"- {name}: not here ({error})")
            continue
        if not np.array_equal(work(), want):
            print(f"- {name}: NOT TIMED, its frames of {s.width}×{s.height} differ")
            continue
        found[name] = work
    return found


def rate(events: int, seconds: list[float]) -> str:
    return f"{events / statistics.median(seconds) / 1e6:.1f}"


def framing(events: int, rounds: int) -> list[str]:
    lines = [f"| {events:,} events to | M events/s | against SpikingJelly | Tonic |", "|---|---|---|---|"]
    for width, height in SENSORS:
        s = draw(events, width, height)
        works: dict[str, Callable[[], object]] = {
            "by_number": lambda s=s: frames.by_number(s, STEPS),
            "by_number, uint8": lambda s=s: frames.by_number(s, STEPS, dtype=torch.uint8),
            "by_time": lambda s=s: frames.by_time(s, STEPS),
            "by_duration": lambda s=s: frames.by_duration(s, events // STEPS),
            "sliding, half over": lambda s=s: frames.sliding(s, events // STEPS, events // STEPS // 2),
            "voxel_grid": lambda s=s: represent.voxel_grid(s, STEPS),
        }
        others = peers(s)
        taken = in_turns({**works, **others}, rounds)
        for name in works:
            gains = [f"{ratio(taken[p], taken[name]):.1f}x" if p in others and name == "by_number" else ""
                     for p in ("SpikingJelly", "Tonic")]  # fmt: skip
            lines.append(f"| {width}×{height}×{STEPS} {name} | {rate(events, taken[name])} | {' | '.join(gains)} |")
        lines += [f"| {width}×{height}×{STEPS} {p} | {rate(events, taken[p])} | | |" for p in others]
    return lines


def filtering(events: int, rounds: int) -> list[str]:
    lines = [f"| {events:,} events through | kept | M events/s | Tonic's |", "|---|---|---|---|"]
    for width, height in SENSORS[1:]:
        s = draw(events, width, height)
        for keep in (Refractory(1000), BackgroundActivity(5000), HotPixel(1e3)):
            taken = in_turns({"ours": lambda keep=keep, s=s: keep(s)}, rounds)["ours"]
            kept = len(keep(s)) / len(s)
            lines.append(f"| {width}×{height} {keep} | {kept:.0%} | {rate(events, taken)} | {theirs(keep, s)} |")
    return lines


def theirs(keep: object, s: EventStream) -> str:
    try:
        from tonic.functional import denoise_numpy, refractory_period_numpy  # type: ignore[import-not-found]
    except ImportError:
        return ""
    some = structured(s)[:100_000]  # a loop over events, as fast for few
    if isinstance(keep, Refractory):
        work = lambda: refractory_period_numpy(some, keep.dead)  # noqa: E731
    elif isinstance(keep, BackgroundActivity):
        work = lambda: denoise_numpy(some, keep.within)  # noqa: E731
    else:
        return ""
    return rate(len(some), in_turns({"theirs": work}, 1)["theirs"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1 << 20, help="a multiple of 16, so that all peers can agree")
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    torch.set_num_threads(1)
    print("\n".join(framing(given.events, given.rounds)), "\n")
    print("\n".join(filtering(given.events, given.rounds)))


if __name__ == "__main__":
    main()
