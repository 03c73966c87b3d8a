"""Pictures one after another into a file: a contact sheet, an animation, a film."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..disk import whole

LARGEST = 1 << 28
"""Bytes of all pictures of a .gif, which are in memory together."""

MOST = 100_000
"""Pictures drawn: a gap of years between two times would make windows without end."""

KINDS = (".gif", ".png", ".mp4")


def check(who: str, path: Path, fps: float, cells: int = 1) -> None:
    """Refuse what :func:`write` would.

    :raises ValueError: for another suffix, or an fps out of range.
    """
    if path.suffix.lower() not in KINDS:
        raise ValueError(f"{who} got {path.name}, expected a name that ends in one of {', '.join(KINDS)}.")
    if not 1 <= fps <= (50 if path.suffix.lower() == ".gif" else 240) or cells < 1:
        raise ValueError(
            f"{who} got fps={fps}, cells={cells}, expected 1 to 240 (.gif: 50) and at least 1; make fps smaller."
        )


def write(
    pictures: Iterable[NDArray[np.uint8]], path: str | Path, fps: float = 30.0, cells: int = 24,
    palette: NDArray[np.uint8] | None = None, gap: int = 255,
) -> tuple[int, int]:  # fmt: skip
    """Pictures of one size into a file, whole or not at all: .gif, .mp4 (needs PyAV), or .png, a contact sheet.

    A contact sheet takes every k-th picture, k a power of two, so that there are ``cells`` at most.

    :param pictures: grey ``[H, W]``, or numbers of colours of the palette; or red, green and blue ``[H, W, 3]``.
    :param fps: pictures a second, 1 to 240; a .gif counts in 1/100 s, so that it takes at most 50.
    :param palette: ``[colours, 3]``. :param gap: what lies between the pictures of a contact sheet.
    :returns: how many pictures there were, and how many are drawn.
    :raises ValueError: for another suffix, no picture, an fps out of range, or a .gif of more than 256 MiB of pixels.
    """
    path = Path(path)
    check("write", path, fps, cells)
    few = _few(iter(pictures))
    with whole(path) as temporary:
        match path.suffix.lower():
            case ".gif":
                return _gif(few, temporary, fps, palette)
            case ".mp4":
                return _mp4(few, temporary, fps, palette)
            case _:
                return _sheet(few, temporary, cells, palette, gap)


def save(picture: NDArray[np.uint8], path: str | Path) -> None:
    """Write one picture as .png, whole or not at all: grey ``[H, W]``, or red, green and blue ``[H, W, 3]``.

    :raises ValueError: for another suffix.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise ValueError(f"save got {path.name}, expected a name that ends in .png.")
    with whole(path) as temporary:
        _image(picture, None).save(temporary)


def _few(pictures: Iterator[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
    number = -1
    for number, index in enumerate(pictures):
        if number == MOST:
            raise ValueError(
                f"there are more than {MOST:,} pictures, expected fewer; take longer windows or a shorter part."
            )
        yield index
    if number < 0:
        raise ValueError("there is no picture to draw, expected some.")


def _image(picture: NDArray[np.uint8], palette: NDArray[np.uint8] | None) -> Any:
    from PIL import Image

    mode = "RGB" if picture.ndim == 3 else "L" if palette is None else "P"
    image = Image.frombytes(mode, picture.shape[1::-1], picture.tobytes())
    if mode == "P" and palette is not None:
        image.putpalette(palette.tobytes())
    return image


def _gif(
    pictures: Iterator[NDArray[np.uint8]], path: Path, fps: float, palette: NDArray[np.uint8] | None
) -> tuple[int, int]:
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
    images = [_image(index, palette) for index in kept]
    images[0].save(
        path, save_all=True, append_images=images[1:], duration=(np.diff(begin) * 10).tolist(), loop=0, optimize=False
    )
    return len(kept), len(kept)


def _sheet(
    pictures: Iterator[NDArray[np.uint8]], path: Path, cells: int, palette: NDArray[np.uint8] | None, between: int
) -> tuple[int, int]:
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
    high, wide = kept[0].shape[:2]
    across = int(np.ceil(np.sqrt(len(kept) * high / wide)))
    down = -(-len(kept) // across)
    gap = 4
    size = (down * (high + gap) + gap, across * (wide + gap) + gap, *kept[0].shape[2:])
    sheet = np.full(size, between, np.uint8)
    for i, index in enumerate(kept):
        top, left = gap + i // across * (high + gap), gap + i % across * (wide + gap)
        sheet[top : top + high, left : left + wide] = index
    _image(sheet, palette).save(path)
    return total, len(kept)


def _mp4(
    pictures: Iterator[NDArray[np.uint8]], path: Path, fps: float, palette: NDArray[np.uint8] | None
) -> tuple[int, int]:
    av: Any = import_module("av")  # optional, so that types of it may not be there
    total = 0
    with av.open(str(path), "w", format="mp4") as container:
        codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
        stream = None
        for index in pictures:
            sides = [(0, index.shape[0] % 2), (0, index.shape[1] % 2), (0, 0)][: index.ndim]
            index = np.pad(index, sides)  # the codec takes even sides
            grey = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, 1)
            colours = index if index.ndim == 3 else (grey if palette is None else palette)[index]
            if stream is None:
                stream = container.add_stream(codec, rate=Fraction(fps).limit_denominator(1000))
                stream.height, stream.width = colours.shape[:2]
                stream.pix_fmt = "yuv420p"
            container.mux(stream.encode(av.VideoFrame.from_ndarray(colours, format="rgb24")))
            total += 1
        if stream is not None:
            container.mux(stream.encode(None))
    return total, total
