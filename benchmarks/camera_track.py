"""Frames a second of the gates, of a look and of tracking from end to end, at 400×250 on one core, by CPU time.

Refuses to time the gates while compiled and plain bits differ. The scene is that of the tests: discs before a wall.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

from spikeworks.camera import Detector, LocalGate, MotionGate, SpikeMotion, gate, track
from timing import in_turns

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from camera.discs import discs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--things", type=int, default=10)
    given = parser.parse_args()
    torch.set_num_threads(1)
    scene = discs(given.things)
    stream, still = scene.stream[scene.still :], scene.stream[: scene.still]
    kernels, motion, local = gate.compiled, MotionGate(), LocalGate()
    _, state = motion(still)
    passed, _ = motion(stream[:40], state)
    company = local(stream[:40])[0]
    gate.compiled = lambda: None
    plain = motion(stream[:40], state)[0], local(stream[:40])[0]
    gate.compiled = kernels
    if not all(np.array_equal(a.packed(), b.packed()) for a, b in zip(plain, (passed, company), strict=True)):
        sys.exit("NOT TIMED: the compiled gates differ from the plain ones")
    passed, _ = motion(stream, state)
    detector, frames = Detector(), len(stream)
    seen, now = detector(stream)[0][5].spikes > 0, None
    _, now = SpikeMotion()(seen, now)
    works = {
        "motion gate": (frames, lambda: motion(stream, state)),
        "local gate": (frames, lambda: local(passed)),
        "both gates": (frames, lambda: local(motion(stream, state)[0])),
        f"tracking, a look every {detector.every} frames": (frames, lambda: track(stream, calibrate=still[:1])),
        "motion by plasticity": (1, lambda: SpikeMotion()(seen, now)),
    }
    taken = in_turns({name: work for name, (_, work) in works.items()}, given.rounds)
    print(f"| {given.things} things, {frames} frames of {stream.width}×{stream.height} | frames a second |\n|---|---|")
    for name, (count, _) in works.items():
        print(f"| {name} | {count / min(taken[name]):,.0f} |")


if __name__ == "__main__":
    main()
