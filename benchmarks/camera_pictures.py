"""The same frame of a recording by several estimators, side by side, and what a picture takes.

    python benchmarks/camera_pictures.py car.dat pictures.png --height 250 --width 400 --at 100 --crop 40 60 200 125

Times are process CPU time of one thread, the best of five.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from spikeworks import camera

ESTIMATORS: dict[str, camera.Estimator] = {
    "TFP, 41 frames": camera.TFP(41), "TFI": camera.TFI(), "stable": camera.Stable(),
    "five convolutions": camera.Learned(), "spiking network": camera.Learned("spiking"),
}  # fmt: skip


def best(estimator: camera.Estimator, stream: camera.SpikeStream, at: int) -> float:
    times = []
    for _ in range(5):
        begin = time.process_time()
        estimator(stream, at)
        times.append(time.process_time() - begin)
    return min(times)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--height", type=int, default=None)
    parser.add_argument("--width", type=int, default=None)
    parser.add_argument("--at", type=int, default=None)
    parser.add_argument("--crop", type=int, nargs=4, metavar=("X", "Y", "W", "H"), default=None)
    parser.add_argument("--white", type=float, default=1.0)
    parser.add_argument("--gamma", type=float, default=2.2)
    given = parser.parse_args()
    torch.set_num_threads(1)
    stream = camera.open(given.file, given.height, given.width)
    at = len(stream) // 2 if given.at is None else given.at
    x, y, w, h = given.crop or (0, 0, stream.width, stream.height)
    tiles = []
    for name, estimator in ESTIMATORS.items():
        picture = camera.grey(estimator(stream, at), given.white, given.gamma)[y : y + h, x : x + w]
        tile = Image.fromarray(np.pad(picture.repeat(2, 0).repeat(2, 1), ((24, 4), (2, 2)), constant_values=255))
        ImageDraw.Draw(tile).text((4, 6), name, 0)
        tiles.append(np.asarray(tile))
        print(f"{name}: {1e3 * best(estimator, stream, at):.0f} ms")
    Image.fromarray(np.concatenate(tiles, 1)).save(given.out, optimize=True)
