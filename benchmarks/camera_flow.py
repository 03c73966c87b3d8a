"""Milliseconds per flow field of a spike camera, 400×250 pixels, of one thread.

    python benchmarks/camera_flow.py --rounds 7

A texture moves by (0.3, −0.15) pixels per frame; flow is told over 40 frames. ``dis``, ``match``: with their defaults;
``network``: ``spike_flow`` and ``spike_flow_small`` with drawn weights (what they tell is not looked at), one pass.
Nothing is timed unless ``dis`` and ``match`` are within half a pixel of the truth on average.
"""

from __future__ import annotations

import argparse
import statistics

import numpy as np
import torch

from spikeworks import camera, measure, models
from timing import in_turns

HEIGHT, WIDTH = 250, 400
UV = (0.3, -0.15)


def recording(frames: int = 90) -> camera.SpikeStream:
    draw = np.random.default_rng(0)
    waves = [(draw.normal(0, 0.35, 2), draw.uniform(0, 2 * np.pi)) for _ in range(24)]
    y, x = np.ogrid[:HEIGHT, :WIDTH]
    charge, spikes = draw.random((HEIGHT, WIDTH)), np.empty((frames, HEIGHT, WIDTH), bool)
    for t in range(frames):
        light = sum(0.035 * np.sin(k[0] * (x - UV[0] * t) + k[1] * (y - UV[1] * t) + phase) for k, phase in waves)
        charge += np.clip(0.35 + light, 0, 1)
        spikes[t] = charge >= 1
        charge -= spikes[t]
    return camera.SpikeStream.of(spikes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    stream, t0, t1 = recording(), 25, 65
    works = {"dis": lambda: camera.dis(stream, t0, t1), "match": lambda: camera.match(stream, t0, t1)}
    try:
        import cv2
    except ModuleNotFoundError:
        del works["dis"]
    else:
        cv2.setNumThreads(1)
    truth = np.broadcast_to(np.array(UV)[:, None, None], (2, HEIGHT, WIDTH))
    for name, work in works.items():
        found = work()
        error = (t1 - t0) * measure.aepe(found.uv, truth, found.valid)
        assert error < 0.5, f"red: {name} is {error:.2f} pixels off, not timed"
    clips = [torch.from_numpy(stream[t - 12 : t + 13].dense(np.float32))[:, None] for t in (t0, t1)]
    for make in (models.spike_flow, models.spike_flow_small):
        network = make(torch.Generator().manual_seed(0)).eval()
        works[f"network ({make.__name__})"] = lambda network=network: _run(network, clips)
    print("| method | ms per field |\n|---|---|")
    for name, seconds in in_turns(works, options.rounds).items():
        print(f"| {name} | {1e3 * statistics.median(seconds):.0f} |")


@torch.no_grad()
def _run(network: models.SpikeFlow, clips: list[torch.Tensor]) -> torch.Tensor:
    return network(*clips)[-1]


if __name__ == "__main__":
    main()
