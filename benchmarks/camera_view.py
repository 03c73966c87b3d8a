"""How fast the viewer answers: one picture, playing, one pixel; run as ``python benchmarks/camera_view.py``.

Over loopback, from a recording of 20,000 frames of 400×250. Refuses to print if a picture is not the estimator's.
"""

from __future__ import annotations

import io
import tempfile
import time
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
from PIL import Image

from spikeworks import camera
from spikeworks.view.app import Viewer
from spikeworks.view.scene import Look, Scene

FRAMES, HEIGHT, WIDTH = 20_000, 250, 400


def main() -> None:
    """Print milliseconds and pictures a second."""
    draw = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long.dat"
        light = draw.random((HEIGHT, WIDTH)) * 0.6
        with path.open("wb") as file:
            for start in range(0, FRAMES, 100):
                charge = np.floor(light * np.arange(start, start + 101)[:, None, None] + 0.5)
                camera_block = camera.SpikeStream.of(np.diff(charge, axis=0) > 0)
                file.write(camera_block.packed().tobytes())
        scene = Scene(camera.open(path, HEIGHT, WIDTH), path.name)
        with Viewer(scene) as viewer:
            measure(viewer, scene, draw)


def measure(viewer: Viewer, scene: Scene, draw: np.random.Generator) -> None:
    """Everything, over one connection, as a browser does."""
    line = HTTPConnection("127.0.0.1", viewer.port)

    def get(words: str) -> bytes:
        line.request("GET", f"/{viewer.token}/{words}")
        answer = line.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{words} was answered {answer.status} {body[:200]!r}; nothing is measured")
        return body

    for method in ("tfp", "tfi"):
        grey, _ = scene.picture(Look(method), 9999)
        if get(f"pictures?at=9999&method={method}")[: grey.size] != grey.tobytes():
            raise SystemExit(f"{method}: the picture is not the estimator's; nothing is measured")
        scrub = timed(lambda m=method: get(f"pictures?at={draw.integers(FRAMES)}&method={m}"), 100)
        play = timed(lambda m=method: get(f"pictures?at={draw.integers(FRAMES - 99)}&step=1&count=8&method={m}"), 30)
        print(f"{method}: scrub {scrub} ms; playing {8e3 / play[1]:.0f} pictures/s")
    grey, _ = scene.picture(Look(), 9999)
    png = timed(lambda: Image.fromarray(grey).save(io.BytesIO(), "png", compress_level=1), 20)
    print(f"  were it a PNG, it would take longer by {png} ms")
    print(f"pixel, ±200 frames: {timed(lambda: get(f'pixel?x=9&y=9&at={draw.integers(FRAMES)}&span=200'), 20)} ms")
    start, done = time.process_time(), 0
    while done < 800:
        done += get(f"activity?first={done}").count(b",") + 1
    print(f"activity of all frames: {time.process_time() - start:.2f} s of CPU")


class Times(tuple):
    """Least, median and 95 % of times in ms."""

    def __str__(self) -> str:
        return "least {:.1f}, median {:.1f}, 95 % {:.1f}".format(*self)


def timed(work: Callable[[], object], count: int) -> Times:
    """Milliseconds of wall time."""
    found = []
    for _ in range(count):
        start = time.perf_counter()
        work()
        found.append(1e3 * (time.perf_counter() - start))
    return Times((min(found), float(np.median(found)), float(np.quantile(found, 0.95))))


if __name__ == "__main__":
    main()
