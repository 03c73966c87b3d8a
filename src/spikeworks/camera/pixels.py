"""The charge of all pixels of a simulated sensor, and what happens to it in a frame.

Random numbers are counted, not drawn in a row: those of a pixel in a frame are a hash of both and of the seed, so that
the bits do not depend on blocks, threads or on how the loop is compiled. Normal ones come from a table of the 4096
quantiles of the normal distribution, which ends at 3.7 standard deviations.
"""

from __future__ import annotations

from functools import cache
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import planes
from .layout import Layout, pack
from .lights import linear
from .sensor import Pattern, Sensor


class Pixels:
    """The charge of all pixels, and what happens to it in a frame.

    :param sensor: what noise there is. :param pattern: how pixels differ. :param draw: 64 bits are taken from it.
    """

    def __init__(self, sensor: Sensor, pattern: Pattern, draw: np.random.Generator, threads: int = 1) -> None:
        self.sensor, self.threads = sensor, threads
        self.layout = Layout(pattern.shape[1], pattern.shape[0])
        self.gain = self.layout.store(pattern.gain * np.float32(sensor.rate_max))
        self.dark = self.layout.store(pattern.dark)
        seeds = draw.integers(0, 1 << 32, 2, np.uint64)
        self.seed, self.frame = int(seeds[0]), 0
        self.keys = _mixed(np.arange(self.gain.size, dtype=np.uint32) + np.uint32(seeds[1]))
        phases = _mixed(self.keys ^ np.uint32(self.seed)) >> np.uint32(8)
        self.charge = phases.astype(np.float32) * np.float32(2**-24)
        self.share = np.ones(self.gain.size, np.float32)  # of the next frame's charge that arrives

    def charged(self, picture: NDArray[Any]) -> NDArray[np.float32]:
        """The charge of a frame under a picture of light, before noise, of all stored cells."""
        light = linear(picture)
        if light.shape != (self.layout.height, self.layout.width):
            raise ValueError(
                f"simulate got light {list(light.shape)}, expected [{self.layout.height}, {self.layout.width}] as the "
                "pattern or the first picture has; resize it."
            )
        return self.layout.store(light) * self.gain + self.dark

    def step(self, charges: NDArray[np.float32], out: NDArray[np.uint8]) -> None:
        """Go through ``len(out)`` frames.

        :param charges: of each frame ``[n, cells]``, or of all ``[1, cells]``. :param out: packed, ``[n, bytes]``.
        """
        s = self.sensor
        shot, noise, drops = s.electrons < np.inf, s.threshold_noise > 0, s.drops > 0
        frames = np.arange(self.frame + 1, self.frame + 1 + len(out)) * 0x9E3779B9 + self.seed
        drawn = _mixed((frames & 0xFFFFFFFF).astype(np.uint32))
        numbers = {
            "shot": np.float32(1 / s.electrons), "noise": np.float32(s.threshold_noise),
            "dead_time": np.float32(s.dead_time), "drops": np.uint32(min(s.drops * 2**32, 2**32 - 1)),
        }  # fmt: skip
        self.frame += len(out)
        if (kernel := _kernel()) is not None:
            charges, kinds = np.ascontiguousarray(charges), (shot, noise, s.dead_time < 1, drops, s.reset == "hard")
            arrays = {"light": charges, "charge": self.charge, "share": self.share, "keys": self.keys, "drawn": drawn,
                      "out": out, "normal": normal()}  # fmt: skip
            fields = {n: planes.address(a) for n, a in arrays.items()} | {n: v.item() for n, v in numbers.items()}
            fields |= {"frames": len(out), "bytes": out.shape[1], "row": out.strides[0]}
            fields |= {"stride": charges.strides[0] if len(charges) > 1 else 0}
            kernel.run(kinds, int(_OTHER), fields, self.threads)
            return
        for k in range(len(out)):
            x = charges[k if len(charges) > 1 else 0]
            hashed = _mixed(self.keys ^ drawn[k]) if shot or noise or drops else self.keys
            if s.dead_time < 1:
                x = x * self.share
            if shot:
                x = x + np.sqrt(x * numbers["shot"]) * normal()[hashed & 4095]
            self.charge += x
            fires = self.charge >= 1
            left = self.charge - np.floor(self.charge) if s.reset == "soft" else np.float32(0)
            if noise:
                left = left + numbers["noise"] * normal()[hashed >> 20]
            self.charge = np.where(fires, left, self.charge)
            if s.dead_time < 1:
                self.share = np.where(fires, numbers["dead_time"], np.float32(1))
            out[k] = pack(fires & (_mixed(hashed + _OTHER) >= numbers["drops"]) if drops else fires)


_OTHER = np.uint32(0x85A308D3)  # any number: what is hashed for drops is not what is hashed for noise


def _mixed(x: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """A hash of 32 bits, one to one: the last step of MurmurHash3 (Appleby, public domain)."""
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    x = (x ^ (x >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return x ^ (x >> np.uint32(16))


@cache
def normal() -> NDArray[np.float32]:
    """Quantiles of the normal distribution, of mean 0 and variance 1: ``[4096]``."""
    quantiles = np.array([NormalDist().inv_cdf((k + 0.5) / 4096) for k in range(2048, 4096)])
    both = np.concatenate([-quantiles[::-1], quantiles])
    return (both / both.std()).astype(np.float32)


def _kernel() -> Any:
    from ..neurons import native
    from . import pixels_kernel  # which imports torch

    return pixels_kernel if native.unavailable() is None else None
