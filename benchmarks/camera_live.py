"""How fast a spike camera may be: a replay of 400 × 250 at 20 kHz (250 MB/s), with three consumers, and the fastest.

    OMP_NUM_THREADS=1 python benchmarks/camera_live.py --seconds 60 --folder somewhere/with/room --warm

Without OMP_NUM_THREADS=1 the small matrix products of the tracker's attention keep a second core busy with waiting.

Consumers: ``images`` reconstructs every 50th frame (causal TFP, 41 frames), ``record`` writes everything into a
container (15 GB a minute, taken away again), ``tracker`` follows what moves, by 100 looks a second.
Each has a queue of 64 blocks of 64 frames (0.2 s), the tracker, whose work comes in bursts, of 256, and drops what it
is too slow for. Then the rate is searched that is
sustained: nothing is dropped, and nobody is more than a quarter of a second behind at the end. First of all what a
short run recorded is read back and held to what was played, as are its images. CPU is that of the whole process, 100 %
a core; the frames are ready in memory.

``--warm`` first writes as many bytes as will be recorded, and takes them away: where the folder is in the memory of a
virtual machine, a page that is used for the first time costs several times what it costs later, and no disk would.

``--container`` prints instead what chunks of 32 to 128 frames cost and save, of the recordings that are named.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from spikeworks import camera

HEIGHT, WIDTH, KEPT = 250, 400, 2048
RECORD: list[Any] = [0, 1, "zlib"]  # level, threads, method
LOOK = 200  # frames from one look of the tracker to the next: 100 looks a second
ESTIMATOR = camera.TFP(41, causal=True)


def filmed(frames: int = KEPT) -> camera.SpikeStream:
    """Five things that cross a wall, as a simulated sensor sees them."""
    draw = np.random.default_rng(0)
    scene = camera.crossing((HEIGHT, WIDTH), 5, draw, frames)
    return camera.simulate(scene.light, "vidar", frames, draw)


class Pictures:
    """The last image, and whether a few of them are right."""

    def __init__(self, stream: camera.SpikeStream, check: bool) -> None:
        self.expected = dict(ESTIMATOR.every(stream, 50)) if check else {}
        self.right = self.seen = 0

    def __call__(self, frame: int, found: camera.Image) -> None:
        if (expected := self.expected.get(frame)) is not None:
            self.seen += 1
            self.right += bool(np.array_equal(found.light, expected.light))


def run(stream: camera.SpikeStream, rate: float, seconds: float, folder: Path, check: bool = False) -> tuple[
    camera.live.Report, float
]:  # fmt: skip
    path, pictures = folder / "live.spikes", Pictures(stream, check)
    path.unlink(missing_ok=True)
    hub = camera.Hub(camera.Replay(stream, rate, loop=True))
    policy = "block" if check else "drop"  # what is checked has no gaps
    hub.add("images", camera.Reconstruct(ESTIMATOR, 50, pictures), policy)
    hub.add("record", camera.Record(path, *RECORD), policy)
    tracker = camera.Tracker(camera.Detector(every=LOOK))
    tracker.push(stream[: 2 * LOOK])  # its gates get used to the light, and its kernels are loaded
    hub.add("tracker", lambda block: tracker.push(block.stream()), policy, 256)
    cpu = time.process_time()
    with hub:
        hub.wait(seconds)
        cpu = (time.process_time() - cpu) / hub.report().seconds
    if check:
        again, at = camera.open_container(path), 0
        for block in again.blocks(512):
            expected = np.take(stream.packed(), range(at, at + len(block)), 0, mode="wrap")
            if not np.array_equal(block.packed(), expected):
                raise SystemExit(f"recorded frames from {at} on are not those that were played; no figures")
            at += len(block)
        if not pictures.seen or pictures.right < pictures.seen:
            raise SystemExit(f"{pictures.seen - pictures.right} of {pictures.seen} images are wrong; no figures")
    path.unlink()
    return hub.report(), cpu


def used(path: Path, size: int) -> None:
    """Write so many bytes, and take them away."""
    piece = bytes(1 << 24)
    with path.open("wb") as file:
        for _ in range(-(-size // len(piece))):
            file.write(piece)
    path.unlink()


def sustained(found: camera.live.Report, rate: float) -> bool:
    behind = found.seconds * rate - found.frames
    return behind < rate / 4 and all(c.dropped == 0 and c.lag < 0.25 for c in found.consumers.values())


def shown(found: camera.live.Report, cpu: float) -> list[str]:
    lines = [f"{found.frames:,} frames in {found.seconds:.1f} s: {found.rate:,.0f} a second; CPU {cpu:.0%}", ""]
    lines += [
        "| consumer | frames | dropped | last lag ms | most lag ms | busy | frames per second of CPU |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, c in found.consumers.items():
        row = f"{c.frames:,} | {c.dropped:,} | {c.lag * 1e3:.1f} | {c.most * 1e3:.1f} | {c.busy:.0%}"
        lines.append(f"| {name} | {row} | {c.frames / max(c.cpu, 1e-9):,.0f} |")
    return lines


def chunks(path: Path, folder: Path) -> None:
    stream, out = camera.open(path, HEIGHT, WIDTH), folder / "chunks.spikes"
    print(f"\n{path.name}: {len(stream)} frames\n\n| frames | level | ratio | write MB/s | read MB/s | one frame ms |")
    print("|---|---|---|---|---|---|")
    for frames in (32, 64, 96, 128):
        for level in (0, 1, 3, 6):
            begin = time.process_time()
            camera.write_container(out, stream, chunk=frames, level=level)
            wrote, begin = time.process_time() - begin, time.process_time()
            if not np.array_equal(camera.open_container(out).packed(), stream.packed()):
                raise SystemExit("what was read is not what was written; no figures")
            read, one = time.process_time() - begin, 1.0
            for k in range(0, len(stream), 7):
                fresh, begin = camera.open_container(out), time.process_time()
                fresh[k : k + 1].packed()
                one = min(one, time.process_time() - begin)
            size, ratio = stream.layout.size * len(stream) / 1e6, camera.check(out).ratio
            row = f"{ratio:.2f} | {size / wrote:.0f} | {size / read:.0f} | {one * 1e3:.2f}"
            print(f"| {frames} | {level} | {row} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--probe", type=float, default=5.0, help="seconds of each try for the fastest")
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--warm", action="store_true", help="use the folder's memory once before it counts")
    parser.add_argument("--record", nargs=3, metavar=("LEVEL", "THREADS", "METHOD"), default=("0", "1", "zlib"))
    parser.add_argument("--container", type=Path, nargs="*", help="recordings of 400 × 250")
    given = parser.parse_args()
    RECORD[:] = int(given.record[0]), int(given.record[1]), given.record[2]
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        place = Path(name)
        print(f"{platform.machine()}, {os.cpu_count()} cores, recorded with {RECORD}, load {os.getloadavg()[0]:.1f}")
        if given.container:
            for path in given.container:
                chunks(path, place)
            raise SystemExit
        played = filmed()
        if given.warm:
            used(place / "warm", round(20_000 * given.seconds) * played.layout.size)
        run(played, 20_000, 1.0, place, check=True)  # compiles the kernels, too
        print("\n".join(shown(*run(played, 20_000, given.seconds, place))))
        low, high = 0.0, 160_000.0
        for _ in range(6):
            middle = (low + high) / 2
            report, cpu = run(played, middle, given.probe, place)
            good = sustained(report, middle)
            print(f"{middle:,.0f} frames/s: {'sustained' if good else 'not sustained'}, CPU {cpu:.0%}", flush=True)
            low, high = (middle, high) if good else (low, middle)
        fastest = f"{low:,.0f} frames/s, {low * played.layout.size / 1e6:,.0f} MB/s"
        print(f"fastest rate sustained for {given.probe:g} s: {fastest}")
