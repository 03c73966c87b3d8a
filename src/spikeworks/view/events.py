"""Events to look at: a picture of a stretch of time, a contact sheet, an animation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..disk import whole
from ..events.stream import EventStream

PALETTE = np.array(
    [(16, 18, 24), (54, 104, 160), (82, 150, 220), (150, 205, 255),
     (150, 76, 36), (220, 112, 52), (255, 170, 100), (200, 200, 200)], np.uint8
)  # fmt: skip
"""Colours ``[8, 3]`` of a picture: nothing; one, two, more events brighter; the same darker; as many of both."""

SMALLEST = 256
"""Pixels of a picture's longer side: sensors with fewer are drawn in whole multiples."""

LARGEST = 1 << 28
"""Bytes of all pictures of a .gif, which are in memory together."""

MOST = 100_000
"""Windows drawn: a gap of years between two times would make windows without end."""

KINDS = (".gif", ".png", ".mp4")


def picture(events: EventStream, scale: int = 1) -> NDArray[np.uint8]:
    """Colours of :data:`PALETTE`, ``[height · scale, width · scale]``: by more events brighter or darker, and how many.

    :raises ValueError: for a scale below 1.
    """
    if scale < 1:
        raise ValueError(f"picture got scale={scale}, expected at least 1.")
    pixels = events.width * events.height
    at = events.y.astype(np.int64) * events.width + events.x
    on = np.bincount(at[events.p == 1], minlength=pixels)
    off = np.bincount(at[events.p == 0], minlength=pixels)
    net = on - off
    index = np.where(net > 0, np.minimum(net, 3), np.where(net < 0, 3 + np.minimum(-net, 3), 7 * (on > 0)))
    image = index.astype(np.uint8).reshape(events.height, events.width)
    return np.repeat(np.repeat(image, scale, 0), scale, 1)


def animate(windows: Iterable[EventStream], path: str | Path, fps: float = 30.0, cells: int = 24) -> tuple[int, int]:
    """Draw one picture per window into a file, whole or not at all: .gif, .mp4 (needs PyAV), or .png, a contact sheet.

    A contact sheet takes every k-th window, k a power of two, so that there are ``cells`` pictures at most.

    :param windows: of one sensor, e.g. :meth:`~spikeworks.events.EventFile.windows`.
    :param fps: pictures a second, 1 to 240; a .gif counts in 1/100 s, so that it takes at most 50.
    :returns: how many windows there were, and how many are drawn.
    :raises ValueError: for another suffix, no events, an fps out of range, or a .gif of more than 256 MiB of pixels.
    """
    path = Path(path)
    if path.suffix.lower() not in KINDS:
        raise ValueError(f"animate got {path.name}, expected a name that ends in one of {', '.join(KINDS)}.")
    if not 1 <= fps <= (50 if path.suffix.lower() == ".gif" else 240) or cells < 1:
        raise ValueError(
            f"animate got fps={fps}, cells={cells}, expected 1 to 240 (.gif: 50) and at least 1; "
            "make fps smaller and windows longer."
        )
    waiting = iter(windows)
    first = next(waiting, None)
    if first is None:
        raise ValueError(f"animate got no events for {path.name}, expected some.")
    scale = max(1, SMALLEST // max(first.width, first.height))
    pictures = _few(picture(w, scale) for w in chain([first], waiting))
    with whole(path) as temporary:
        match path.suffix.lower():
            case ".gif":
                return _gif(pictures, temporary, fps)
            case ".mp4":
                return _mp4(pictures, temporary, fps)
            case _:
                return _sheet(pictures, temporary, cells)


def _few(pictures: Iterator[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
    for number, index in enumerate(pictures):
        if number == MOST:
            raise ValueError(
                f"there are more than {MOST:,} windows, expected fewer; take longer windows or a shorter part."
            )
        yield index


def _image(index: NDArray[np.uint8]) -> Any:
    from PIL import Image

    image = Image.frombytes("P", index.shape[::-1], index.tobytes())
    image.putpalette(PALETTE.tobytes())
    return image


def _gif(pictures: Iterator[NDArray[np.uint8]], path: Path, fps: float) -> tuple[int, int]:
    kept: list[NDArray[np.uint8]] = []
    size = 0
    for index in pictures:
        size += index.nbytes
        if size > LARGEST:
            raise ValueError(
                f"a .gif of more than {len(kept)} pictures of {index.shape[1]}×{index.shape[0]} takes too much memory, "
                "expected fewer; take longer windows, a shorter stretch or an .mp4."
            )
        kept.append(index)
    begin = np.rint(np.arange(len(kept) + 1) * 100 / fps).astype(int)  # hundredths, so that errors do not add up
    images = [_image(index) for index in kept]
    images[0].save(
        path, save_all=True, append_images=images[1:], duration=(np.diff(begin) * 10).tolist(), loop=0, optimize=False
    )
    return len(kept), len(kept)


def _sheet(pictures: Iterator[NDArray[np.uint8]], path: Path, cells: int) -> tuple[int, int]:
    kept: list[NDArray[np.uint8]] = []
    every = 1
    total = 0
    for index in pictures:
        if total % every == 0:
            if len(kept) == cells:
                kept, every = kept[::2], every * 2
            if total % every == 0:
                kept.append(index)
        total += 1
    high, wide = kept[0].shape
    across = int(np.ceil(np.sqrt(len(kept) * high / wide)))
    down = -(-len(kept) // across)
    gap = 4
    sheet = np.full((down * (high + gap) + gap, across * (wide + gap) + gap), 7, np.uint8)
    for i, index in enumerate(kept):
        top, left = gap + i // across * (high + gap), gap + i % across * (wide + gap)
        sheet[top : top + high, left : left + wide] = index
    _image(sheet).save(path)
    return total, len(kept)


def _mp4(pictures: Iterator[NDArray[np.uint8]], path: Path, fps: float) -> tuple[int, int]:
    av: Any = import_module("av")  # optional, so that types of it may not be there
    total = 0
    with av.open(str(path), "w", format="mp4") as container:
        codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
        stream = None
        for index in pictures:
            index = np.pad(index, ((0, index.shape[0] % 2), (0, index.shape[1] % 2)))  # the codec takes even sides
            if stream is None:
                stream = container.add_stream(codec, rate=Fraction(fps).limit_denominator(1000))
                stream.height, stream.width = index.shape
                stream.pix_fmt = "yuv420p"
            container.mux(stream.encode(av.VideoFrame.from_ndarray(PALETTE[index], format="rgb24")))
            total += 1
        if stream is not None:
            container.mux(stream.encode(None))
    return total, total
