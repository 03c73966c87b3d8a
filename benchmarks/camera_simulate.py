"""How fast a spike camera is simulated, and how like a real one: frames a second, or the eight statistics.

    python benchmarks/camera_simulate.py --frames 2000 --rounds 5
    python benchmarks/camera_simulate.py --validate real_wall_400x250x500.dat --figure docs/camera-validation.png

Frames a second are of 400×250 pixels and one thread, of still light and of light that is handed over anew for each
frame (two pictures in turn, so that what it costs to make them does not count); the kernel is first held to numpy, bit
for bit. The second form simulates the scene of a real, still recording by this project's sensor, and by four others: an
ideal pixel, which is what SpikeCV's ``video_to_spike`` is (soft reset, no noise, one sensor for all); SpikeCV's
``img_to_spike`` (reset to 0 at the clock, all pixels in phase); a pixel that fires at random; and one of 200 photons
per spike. All get the same light. The real camera's two top rows are copies of the two below them, and are left out.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from spikeworks import camera
from spikeworks.camera import Bands, Sensor, SpikeStream, pixels, scene_light, simulate
from spikeworks.camera.validate_figure import draw
from timing import in_turns

HEIGHT, WIDTH = 250, 400
COPIED = 2
"""Rows at the top of the real camera's picture that are not pixels."""


def hard_in_phase(light: NDArray[np.float32], frames: int) -> SpikeStream:
    """SpikeCV's img_to_spike, without its gain: what is left at a spike is lost, and all pixels begin empty."""
    charge, bits = np.zeros_like(light), np.empty((frames, *light.shape), bool)
    for k in range(frames):
        charge += light
        bits[k] = charge >= 1
        charge[bits[k]] = 0
    return SpikeStream.of(bits)


def at_random(light: NDArray[np.float32], frames: int, draw: np.random.Generator) -> SpikeStream:
    """A pixel without memory."""
    return SpikeStream.of(np.stack([draw.random(light.shape, np.float32) < light for _ in range(frames)]))


def simulations(recorded: SpikeStream, seed: int = 1) -> dict[str, SpikeStream]:
    """The scene of a recording, by each of the simulators."""
    sensor, frames = camera.PRESETS["vidar"], len(recorded)
    light = scene_light(recorded, sensor)
    return {
        "spikeworks, vidar": simulate(light, sensor, frames, np.random.default_rng(seed)),
        "soft reset without noise (video_to_spike)": simulate(light, "ideal", frames, np.random.default_rng(seed)),
        "hard reset in phase (img_to_spike)": hard_in_phase(light, frames),
        "Poisson": at_random(light, frames, np.random.default_rng(seed)),
        "200 photons per spike": simulate(light, Sensor(electrons=200), frames, np.random.default_rng(seed)),
    }


def compare(path: Path, figure: Path | None) -> None:
    recorded = camera.open(path, HEIGHT, WIDTH).crop(0, COPIED, WIDTH, HEIGHT - COPIED)
    bands = Bands.of(recorded)
    found = {name: bands.validate(stream) for name, stream in simulations(recorded).items()}
    for name, validation in found.items():
        print(f"\n{name}: outside of the bands in {', '.join(map(str, validation.failed)) or 'none'} of 1 to 8")
        print(validation.text())
    if figure is not None:
        draw(figure, found)


def equal(light: NDArray[np.float32]) -> bool:
    """Whether the kernel gives the bits of numpy, for every preset."""
    kernel = pixels._kernel
    if kernel() is None:
        return False
    for name in camera.PRESETS:
        compiled = simulate(light, name, 40, np.random.default_rng(0)).packed()
        pixels._kernel = lambda: None
        plain = simulate(light, name, 40, np.random.default_rng(0)).packed()
        pixels._kernel = kernel
        if not np.array_equal(compiled, plain):
            return False
    return True


def measure(frames: int, rounds: int) -> None:
    light = camera.texture(HEIGHT, WIDTH, np.random.default_rng(0))
    if not equal(light):
        raise SystemExit("The kernel is not there or does not give the bits of numpy: no figures.")
    kernel, two = pixels._kernel, (light, light * np.float32(0.9))

    def work(sensor: str, light: object, compiled: bool) -> Callable[[], None]:
        def run() -> None:
            pixels._kernel = kernel if compiled else lambda: None
            for _ in camera.simulate_blocks(light, sensor, frames, np.random.default_rng(0)):  # type: ignore[arg-type]
                pass
            pixels._kernel = kernel

        return run

    kinds = {"still": light, "moving": lambda t: two[int(t) % 2]}
    works = {
        f"{sensor:10} {kind:7} {'kernel' if compiled else 'numpy'}": work(sensor, kinds[kind], compiled)
        for sensor in ("ideal", "vidar", "worn")
        for kind in kinds
        for compiled in (True, False)
    }
    for name, taken in in_turns(works, rounds).items():
        print(f"{name:28} {frames / statistics.median(taken):8,.0f} frames/s, median; {frames / min(taken):8,.0f} best")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--validate", type=Path, help="a real recording of a still scene, 400×250")
    parser.add_argument("--figure", type=Path, help="a picture file to draw into")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.validate is not None:
        compare(arguments.validate, arguments.figure)
    else:
        measure(arguments.frames, arguments.rounds)


if __name__ == "__main__":
    main()
