"""What the viewer tells about a recording of a spike camera: pictures, activity over time, one pixel's spikes."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass, field
from threading import Lock
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import camera
from ..camera.layout import pack
from ..camera.stream import BLOCK
from .overlay import Flow, Tracks

METHODS: dict[str, Any] = dict(camera.ESTIMATORS)
"""Name → estimator, a dataclass: its field ``window`` or ``reach`` is what the page calls the window."""

PLAIN = ("tfp", "tfi")
"""Methods that every pixel's rate is told by."""

BINS = 800
"""Points of the activity curve, at most."""

POINTS = 240
"""Points of a pixel's rate curve, at most."""

_ONES = np.array([value.bit_count() for value in range(256)], np.uint8)


@dataclass(frozen=True)
class Look:
    """How the page shows a frame.

    :param method: a name in :data:`METHODS`. :param window: frames; ``None``: as the method has it.
    :param causal: of what was before the frame alone, where the method can be.
    :param white: spikes per frame that are shown white; ``None``: see :meth:`Scene.white`. :param gamma: exponent.
    """

    method: str = "tfp"
    window: int | None = None
    causal: bool = False
    white: float | None = None
    gamma: float = 1.0

    @property
    def estimator(self) -> camera.Estimator:
        """What it is made by.

        :raises ValueError: for a window that the method does not take.
        """
        given = {size(self.method): self.window, "causal": self.causal or None}
        fields = {f.name for f in dataclasses.fields(METHODS[self.method])}
        return METHODS[self.method](**{k: v for k, v in given.items() if v is not None and k in fields})


def size(method: str) -> str:
    """The field of a method that is its window; empty if it has none."""
    fields = [f.name for f in dataclasses.fields(METHODS[method])]
    return next((name for name in ("window", "reach") if name in fields), "")


def methods() -> list[dict[str, Any]]:
    """What the page offers: name, one line on it, its default window, and whether it can be causal."""
    found = []
    for name, made in METHODS.items():
        fields = {f.name: f.default for f in dataclasses.fields(made)}
        title = re.sub(r":\w+:|`", "", (made.__doc__ or name).strip().splitlines()[0])
        causal = "causal" in fields
        found.append({"name": name, "title": title, "window": fields.get(size(name)), "causal": causal})
    return found


@dataclass(eq=False)
class Scene:
    """A recording as the page sees it. All of its methods may be called from several threads.

    :param stream: the recording. :param name: shown above it. :param tracks: boxes over time. :param flow: arrows.
    """

    stream: camera.SpikeStream
    name: str = "recording"
    tracks: Tracks | None = None
    flow: Flow | None = None
    _lock: Lock = field(default_factory=Lock, repr=False)
    _whites: dict[tuple[Any, ...], float] = field(default_factory=dict, repr=False)
    _rates: list[float] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        layout, stream = self.stream.layout, self.stream
        self._cells = stream.picture(np.arange(layout.size * 8, dtype=np.int64))
        pixels = np.zeros(layout.size * 8, bool)
        pixels[self._cells] = True
        self._mask = pack(pixels)
        self._edges = np.linspace(0, len(stream), min(len(stream), BINS) + 1).astype(int)

    def about(self) -> dict[str, Any]:
        """What the page has to know first."""
        s = self.stream
        return {
            "name": self.name, "width": s.width, "height": s.height, "frames": len(s), "rate": s.rate,
            "first": s.first, "methods": methods(), "bins": len(self._edges) - 1,
            "tracks": 0 if self.tracks is None else self.tracks.count, "flow": self.flow is not None,
        }  # fmt: skip

    def white(self, look: Look) -> float:
        """The white level of a look, or one for all frames: 99.5 % of the pixels of five of them are darker."""
        if look.white is not None:
            return look.white
        key = (look.method, look.window, look.causal)
        if key not in self._whites:
            estimator = look.estimator
            frames = estimator.frames(self.stream)
            places = np.linspace(frames[0], frames[-1], min(5, len(frames))).astype(int)
            light = np.concatenate(
                [found.light[found.valid] for t in places for found in [estimator(self.stream, int(t))]]
            )
            level = float(np.quantile(light, 0.995)) if len(light) else 0.0
            self._whites[key] = level if level > 0 else 1.0
        return self._whites[key]

    def picture(self, look: Look, at: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """The grey picture at a frame, and where it could be told.

        :raises ValueError: as the estimator.
        """
        found = look.estimator(self.stream, at)
        return camera.grey(found, self.white(look), look.gamma), found.valid

    def activity(self, first: int = 0, seconds: float = 0.05) -> list[float]:
        """The mean rate of all pixels, in spikes per frame, of the bins from ``first`` on, each counted whole.

        Counts as many more as ``seconds`` suffice for, at least one, and keeps them: ask again for the rest.
        """
        stop = perf_counter() + seconds
        with self._lock:
            while (k := len(self._rates)) < len(self._edges) - 1 and (first >= k or perf_counter() < stop):
                part = self.stream[int(self._edges[k]) : int(self._edges[k + 1])]
                fired = sum(int(_ONES[block.packed() & self._mask].sum()) for block in part.blocks(BLOCK))
                self._rates.append(fired / (len(part) * self._cells.size))
                if perf_counter() >= stop:
                    break
            return self._rates[first:]

    def bits(self, x: int, y: int, start: int, stop: int) -> NDArray[np.uint8]:
        """The bits of one pixel in frames ``start`` to ``stop``, 0 or 1."""
        byte, bit = divmod(int(self._cells[y, x]), 8)
        columns = [block.packed()[:, byte] for block in self.stream[start:stop].blocks(4096)]
        return (np.concatenate([np.empty(0, np.uint8), *columns]) >> bit & 1).astype(np.uint8)

    def pixel(self, x: int, y: int, at: int, span: int, look: Look) -> dict[str, Any]:
        """One pixel from ``span`` frames before ``at`` to as many after: its spikes, intervals, rates.

        Rates by the look, and by the two plainest methods with their own windows; ``None`` where they cannot be told.
        """
        start, stop = max(0, at - span), min(len(self.stream), at + span + 1)
        spikes = np.flatnonzero(self.bits(x, y, start, stop)) + start
        intervals, counts = np.unique(np.diff(spikes), return_counts=True)
        at_points = np.unique(np.linspace(start, stop - 1, min(stop - start, POINTS)).astype(int))
        return {
            "x": x, "y": y, "start": start, "stop": stop, "spikes": spikes.tolist(),
            "intervals": list(zip(intervals.tolist(), counts.tolist(), strict=True)), "points": at_points.tolist(),
            "rates": {
                name: self._curve(x, y, at_points, look if name == look.method else Look(name))
                for name in dict.fromkeys((look.method, *PLAIN))
            },
        }  # fmt: skip

    def _curve(self, x: int, y: int, frames: NDArray[Any], look: Look) -> list[float | None] | None:
        estimator = look.estimator
        start = max(0, int(frames[0]) - estimator.before)
        stop = min(len(self.stream), int(frames[-1]) + estimator.after + 1)
        reach, size = estimator.around, (self.stream.width, self.stream.height)
        (left, wide), (top, high) = (
            (max(0, at - reach), min(most, at + reach + 1) - max(0, at - reach))
            for at, most in zip((x, y), size, strict=True)
        )
        if reach:
            near = self.stream[start:stop].crop(left, top, wide, high)
        else:
            near = camera.SpikeStream.of(self.bits(x, y, start, stop)[:, None, None])
        try:
            found = estimator(near, [int(t) - start for t in frames])
        except ValueError:  # the recording is shorter than its window
            return None
        pairs = zip(*(part[:, y - top, x - left].tolist() for part in found), strict=True)
        return [light if valid else None for light, valid in pairs]
