"""How a recording begins: what it is of, in bytes. The same bytes open a connection of :mod:`.live`."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from ..layout import Layout

MAGIC = b"\x89SPIKES\x1a"
"""The first bytes of a container."""
VERSION = 1
MOST = 1 << 28
"""Bytes of packed frames in a chunk, at most: what a number in a file can make a reader ask memory for."""
PIECES = 64
"""Pieces of a row, at most."""
FIXED = struct.Struct("<8sHHIIIB3xIdQq")  # magic version pieces width height row flags chunk rate first origin
PIECE = struct.Struct("<II")
CHECK = struct.Struct("<I")
LONGEST = FIXED.size + PIECES * PIECE.size + CHECK.size
"""Bytes of a header, at most."""
_FLIP, _DATED = 1, 2
LAST = 1 << 62
"""Frames are counted up to here."""


@dataclass(frozen=True)
class Header:
    """What every frame of a recording has in common.

    :param layout: how the bits of a frame lie. :param rate: frames a second, Hz.
    :param first: the number of the first frame. :param chunk: frames of a chunk, at most.
    :param origin: when frame 0 was, or would have been: nanoseconds since 1970 (UTC); ``None``: not known.
    :raises ValueError: for numbers out of range.
    """

    layout: Layout
    rate: float
    first: int = 0
    chunk: int = 64
    origin: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.rate < float("inf"):
            raise ValueError(f"A recording got rate={self.rate}, expected more than 0 Hz.")
        if not 0 <= self.first < LAST:
            raise ValueError(f"A recording got first={self.first}, expected a frame from 0 on.")
        if self.origin is not None and abs(self.origin) >= LAST:
            raise ValueError(f"A recording got origin={self.origin}, expected nanoseconds since 1970.")
        if self.chunk < 1 or padded(self.chunk) * self.layout.size > MOST:
            raise ValueError(
                f"A recording got chunk={self.chunk} frames of {self.layout.size:,} bytes, expected at least 1 and at "
                f"most {MOST:,} bytes together, the frames rounded up to eight; choose fewer."
            )
        if len(self.layout.pieces or ()) > PIECES or self.layout.columns >= 1 << 32:
            raise ValueError(f"A recording got {self.layout}, expected at most {PIECES} pieces of rows of 2³² cells.")

    def write(self) -> bytes:
        """The header's bytes."""
        layout, pieces = self.layout, self.layout.pieces or ()
        flags = _FLIP * layout.flip | _DATED * (self.origin is not None)
        text = FIXED.pack(
            MAGIC, VERSION, len(pieces), layout.width, layout.height, layout.row or 0, flags, self.chunk, self.rate,
            self.first, self.origin or 0,
        )  # fmt: skip
        text += b"".join(PIECE.pack(*piece) for piece in pieces)
        return text + CHECK.pack(zlib.crc32(text))


def read(text: bytes, name: str) -> tuple[Header, int]:
    """The header that bytes begin with, and its length in bytes.

    :param text: at least :data:`LONGEST` bytes, or all there are. :param name: of the file, for what is said of it.
    :raises ValueError: for bytes that are not a header, are cut off, damaged, of a later version, or make no sense.
    """
    if text[: len(MAGIC)] != MAGIC[: len(text)] or not text:
        raise ValueError(f"{name} begins with {text[:8]!r}, expected {MAGIC!r}: it is no spikeworks container.")
    if len(text) < FIXED.size + CHECK.size:
        raise ValueError(f"{name} ends within its header, after {len(text)} bytes; nothing of it can be read.")
    _, version, count, width, height, row, flags, chunk, rate, first, origin = FIXED.unpack_from(text)
    end = FIXED.size + count * PIECE.size
    if version > VERSION:
        raise ValueError(f"{name} is of version {version}, this reader knows {VERSION}; update spikeworks.")
    if count <= PIECES and len(text) < end + CHECK.size:
        raise ValueError(f"{name} ends within its header, after {len(text)} bytes; nothing of it can be read.")
    if count > PIECES or CHECK.unpack_from(text, end)[0] != zlib.crc32(text[:end]):
        raise ValueError(f"{name} has a damaged header (its checksum is another); nothing of it can be read safely.")
    pieces = tuple(PIECE.unpack_from(text, FIXED.size + k * PIECE.size) for k in range(count))
    try:
        layout = Layout(width, height, bool(flags & _FLIP), row or None, pieces or None)
        return Header(layout, rate, first, chunk, origin if flags & _DATED else None), end + CHECK.size
    except ValueError as error:
        raise ValueError(f"{name} has a header that makes no sense: {error}") from error


def padded(frames: int) -> int:
    """Frames rounded up to whole bytes of bits along time."""
    return -(-frames // 8) * 8
