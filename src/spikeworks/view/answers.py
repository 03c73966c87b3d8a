"""What the viewer's page is answered: numbers as JSON, pictures as bytes, exports as files."""

from __future__ import annotations

import io
import json
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..camera.planes import WIDEST
from . import film, overlay
from .ask import Ask
from .scene import METHODS, Look, Scene

MOST = 32
"""Pictures in one answer."""

PATIENCE = 0.25
"""Seconds after which an answer holds what it has."""

LONGEST = 20_000
"""Pictures in a clip."""


class Dropped(Exception):  # noqa: N818
    """The page has asked for something newer meanwhile, or the viewer closes."""


@dataclass(frozen=True)
class Answer:
    """A body, its type, and headers of its own."""

    body: bytes
    kind: str
    headers: dict[str, str] = field(default_factory=dict)


def as_json(value: Any) -> Answer:
    """A value as JSON."""
    return Answer(json.dumps(value, separators=(",", ":"), allow_nan=False).encode(), "application/json")


def _about(scene: Scene, ask: Ask, stale: Callable[[], bool], work: Lock) -> Answer:
    ask.done()
    return as_json(scene.about() | {"dis": overlay.can_dis()})


def _pictures(scene: Scene, ask: Ask, stale: Callable[[], bool], work: Lock) -> Answer:
    """Grey values ``[H, W]`` and then validity, packed, the first in the highest bit; one picture after another.

    Fewer than asked for where they take long, but one.
    """
    look = _look(ask)
    at, step, count = _frame(scene, ask), ask.whole("step", 0, 1 << 31, 1), ask.whole("count", 1, MOST, 1)
    ask.done()
    parts, stop = [], perf_counter() + PATIENCE
    with work:  # one after another: those that have become stale while they waited are never made
        for t in range(at, min(at + step * (count - 1) + 1, len(scene.stream)), step or 1):
            if stale():
                raise Dropped
            grey, valid = scene.picture(look, t)
            parts += [grey.tobytes(), np.packbits(valid).tobytes()]
            if perf_counter() > stop:
                break
    return Answer(b"".join(parts), "application/octet-stream", {"X-White": f"{scene.white(look):.6g}"})


def _activity(scene: Scene, ask: Ask, stale: Callable[[], bool], work: Lock) -> Answer:
    first = ask.whole("first", 0, len(scene.stream), 0)
    ask.done()
    return as_json(scene.activity(first))


def _pixel(scene: Scene, ask: Ask, stale: Callable[[], bool], work: Lock) -> Answer:
    look, at = _look(ask), _frame(scene, ask)
    x, y = ask.whole("x", 0, scene.stream.width - 1), ask.whole("y", 0, scene.stream.height - 1)
    span = ask.whole("span", 1, 20_000, 200)
    ask.done()
    return as_json(scene.pixel(x, y, at, span, look))


def _tracks(scene: Scene, ask: Ask, stale: Callable[[], bool], work: Lock) -> Answer:
    at = _frame(scene, ask)
    ask.done()
    return as_json(_boxes(scene, at))


def _flow(scene: Scene, ask: Ask, stale: Callable[[], bool], work: Lock) -> Answer:
    at, how, span = _frame(scene, ask), *_flow_asked(ask)
    ask.done()
    return as_json(_arrows(scene, at, how, span, stale, work))


def _image(scene: Scene, ask: Ask, stale: Callable[[], bool], work: Lock) -> Answer:
    """One frame as a PNG, at the picture's own size or a whole multiple."""
    from PIL import Image

    draw, at = _drawn(scene, ask, stale, work), _frame(scene, ask)
    ask.done()
    file = io.BytesIO()
    Image.fromarray(draw(at)).save(file, "png")
    return _file(scene, file.getvalue(), "image/png", f"frame{scene.stream.first + at}.png")


def _clip(scene: Scene, ask: Ask, stale: Callable[[], bool], work: Lock) -> Answer:
    """Frames ``start``, ``start + step`` … before ``stop`` as a film."""
    draw, last = _drawn(scene, ask, stale, work), len(scene.stream)
    start, stop, step = ask.whole("start", 0, last - 1), ask.whole("stop", 1, last), ask.whole("step", 1, last, 1)
    suffix, fps = ask.word("kind", ("mp4", "gif"), "mp4"), ask.number("fps", 1, 240, 30.0)
    ask.done()
    frames = range(start, stop, step)
    if not 1 <= len(frames) <= LONGEST or (suffix == "gif" and fps > 50):
        raise ValueError(
            f"the clip got {len(frames):,} pictures ({start} to {stop} by {step}) at {fps:g} a second, expected 1 to "
            f"{LONGEST:,} pictures and, of a .gif, 50 a second at most."
        )

    def pictures() -> Iterator[NDArray[np.uint8]]:
        for t in frames:
            if stale():
                raise Dropped
            yield draw(t)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"clip.{suffix}"
        film.write(pictures(), path, fps)
        body = path.read_bytes()
    kind = "video/mp4" if suffix == "mp4" else "image/gif"
    return _file(scene, body, kind, f"frames{scene.stream.first + start}-{scene.stream.first + stop - 1}.{suffix}")


ANSWERS: dict[str, Callable[[Scene, Ask, Callable[[], bool], Lock], Answer]] = {
    "about": _about, "pictures": _pictures, "activity": _activity, "pixel": _pixel, "tracks": _tracks, "flow": _flow,
}  # fmt: skip
"""What can be got: its name → what answers a scene, what is asked, whether it is stale, the lock of heavy work."""

EXPORTS: dict[str, Callable[[Scene, Ask, Callable[[], bool], Lock], Answer]] = {"frame": _image, "clip": _clip}
"""What is made by POST, alike."""


def _look(ask: Ask) -> Look:
    method = ask.word("method", METHODS, "tfp")
    window = ask.whole("window", 1, WIDEST) if ask.has("window") else None
    causal = ask.yes("causal")
    white = ask.number("white", 1e-6, 1e3) if ask.has("white") else None
    return Look(method, window, causal, white, ask.number("gamma", 0.1, 10, 1.0))


def _frame(scene: Scene, ask: Ask) -> int:
    return ask.whole("at", 0, len(scene.stream) - 1)


def _flow_asked(ask: Ask) -> tuple[str, int]:
    return ask.word("flow", ("none", "file", "dis"), "none"), ask.whole("apart", 1, 10_000, 80)


def _boxes(scene: Scene, at: int) -> list[dict[str, Any]]:
    return [] if scene.tracks is None else scene.tracks.at(scene.stream.first + at)


def _arrows(scene: Scene, at: int, how: str, apart: int, stale: Callable[[], bool], work: Lock) -> list[list[float]]:
    if how == "file":
        return [] if scene.flow is None else scene.flow.at(scene.stream.first + at)
    if how == "none":
        return []
    with work:
        if stale():
            raise Dropped
        return overlay.dis(scene.stream, at, apart)


def _drawn(scene: Scene, ask: Ask, stale: Callable[[], bool], work: Lock) -> Callable[[int], NDArray[np.uint8]]:
    """What exports draw at a frame: grey ``[H, W]``, or with overlays in colours."""
    look, scale, tracks, (how, apart) = _look(ask), ask.whole("scale", 1, 8, 1), ask.yes("tracks"), _flow_asked(ask)
    longer = ask.number("longer", 0.01, 1000, 1.0)

    def draw(at: int) -> NDArray[np.uint8]:
        with work:
            grey, _ = scene.picture(look, at)
        if not tracks and how == "none":
            return np.repeat(np.repeat(grey, scale, 0), scale, 1)
        boxes = _boxes(scene, at) if tracks else []
        return overlay.draw(grey, scale, boxes, _arrows(scene, at, how, apart, stale, work), longer)

    return draw


def _file(scene: Scene, body: bytes, kind: str, name: str) -> Answer:
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", Path(scene.name).stem)[:80] or "recording"
    return Answer(body, kind, {"Content-Disposition": f'attachment; filename="{stem}-{name}"'})
