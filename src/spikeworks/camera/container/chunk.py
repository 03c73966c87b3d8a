"""A stretch of frames in bytes: bits of one pixel along time together, compressed, checked.

What a pixel does in one frame says much about what it does in the next, and little about its neighbour: along time the
bits of real recordings are compressed two to three times, frame by frame 1.2 times.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .header import LAST, MOST, padded

MAGIC = b"\x89SPC"
HEAD = struct.Struct("<4sBxHIIIQII")  # magic codec chunk-head-size number frames stored first crc(data) crc(head)
RAW, ALONG, FAST = 0, 1, 2
"""Codecs: packed frames as they are; bits along time, compressed by zlib; the same by zstd."""

Method = Literal["zlib", "zstd"]
"""What compresses. ``zlib``: every reader has it. ``zstd``: five times as fast, for recording at full speed on a disk
that is too slow for packed frames; it needs the library zstandard, for reading, too."""


@dataclass(frozen=True)
class Head:
    """What stands before the bytes of a chunk.

    :param number: chunks before it. :param frames: in it. :param first: the number of its first frame.
    :param stored: bytes that follow. :param codec: how they are to be read. :param check: their CRC-32.
    """

    number: int
    frames: int
    first: int
    stored: int
    codec: int
    check: int

    def write(self) -> bytes:
        """Its bytes."""
        text = HEAD.pack(
            MAGIC, self.codec, HEAD.size, self.number, self.frames, self.stored, self.first, self.check, 0
        )  # fmt: skip
        return text[:-4] + struct.pack("<I", zlib.crc32(text[:-4]))


def head(text: bytes, size: int, chunk: int) -> Head | None:
    """The head that bytes begin with; ``None`` if they do not, it is damaged, or its numbers are out of range.

    :param size: bytes of a frame. :param chunk: frames of a chunk, at most.
    """
    if len(text) < HEAD.size or text[:4] != MAGIC:
        return None
    _, codec, length, number, frames, stored, first, check, own = HEAD.unpack_from(text)
    if own != zlib.crc32(text[: HEAD.size - 4]) or length != HEAD.size or codec not in (RAW, ALONG, FAST):
        return None
    most = frames * size
    sound = 1 <= frames <= chunk and first + frames < LAST and (stored == most if codec == RAW else stored <= most)
    return Head(number, frames, first, stored, codec, check) if sound and most <= MOST else None


def encode(
    packed: NDArray[np.uint8], number: int, first: int, level: int, method: Method = "zlib"
) -> tuple[Head, bytes | memoryview]:
    """A chunk of frames ``[n, size]``.

    :param level: of the method, 1 to 9; 0: as they are. Frames that compression makes no smaller stay as they are.
    """
    packed = np.ascontiguousarray(packed)
    codec, data = RAW, packed.data.cast("B")
    if level and packed.size:
        plain = along(packed).data.cast("B")
        if method == "zstd":
            import zstandard

            pressed = zstandard.ZstdCompressor(level).compress(plain)
        else:
            pressed = zlib.compress(plain, level)
        if len(pressed) < packed.nbytes:
            codec, data = (FAST if method == "zstd" else ALONG), pressed
    return Head(number, len(packed), first, len(data), codec, zlib.crc32(data)), data


def decode(found: Head, data: bytes, size: int) -> NDArray[np.uint8]:
    """The frames of a chunk, ``[n, size]``, not to be written to.

    :raises ValueError: for bytes that are not those that were written.
    """
    if len(data) != found.stored:
        raise ValueError(f"{found.stored:,} bytes were expected, {len(data):,} are there")
    if zlib.crc32(data) != found.check:
        raise ValueError("its checksum is another")
    if found.codec == RAW:
        return np.frombuffer(data, np.uint8).reshape(found.frames, size)
    plain = _unpacked(data, padded(found.frames) * size, found.codec)
    frames = across(np.frombuffer(plain, np.uint8).reshape(size * 8, -1))[: found.frames]
    frames.flags.writeable = False
    return frames


def _unpacked(data: bytes, expected: int, codec: int) -> bytes:
    """So many bytes and no more, whatever the data say."""
    if codec == ALONG:
        unpack = zlib.decompressobj()
        try:
            plain = unpack.decompress(data, expected + 1)
        except zlib.error as error:
            raise ValueError(f"its bytes cannot be decompressed ({error})") from error
        whole = unpack.eof
    else:
        import zstandard

        try:
            whole = zstandard.frame_content_size(data) == expected  # what would be asked memory for
            plain = zstandard.ZstdDecompressor().decompress(data) if whole else b""
        except zstandard.ZstdError as error:
            raise ValueError(f"its bytes cannot be decompressed ({error})") from error
    if len(plain) != expected or not whole:
        raise ValueError(f"it does not decompress to {expected:,} bytes")
    return plain


def along(packed: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Bits along time: frames ``[n, size]`` as ``[8·size, ⌈n/8⌉]``, a row a cell, the first frame in the lowest bit."""
    frames, size = packed.shape
    if frames != padded(frames):
        packed = np.concatenate([packed, np.zeros((padded(frames) - frames, size), np.uint8)])
    eights = np.array(packed.reshape(-1, 8, size).transpose(0, 2, 1), order="C")  # a byte of each of eight frames
    return np.ascontiguousarray(_turned(eights).reshape(-1, size * 8).T)


def across(rows: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The way back: ``[8·size, m]`` as frames ``[8·m, size]``."""
    cells, count = rows.shape
    eights = _turned(np.array(rows.T, order="C").reshape(count, cells // 8, 8))
    return np.ascontiguousarray(eights.transpose(0, 2, 1)).reshape(count * 8, cells // 8)


def _turned(eights: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Squares of 8 × 8 bits, ``[..., 8]`` bytes, turned over their diagonal in place: bits, pairs, fours."""
    squares = eights.view("<u8")
    for shift, mask in ((7, 0x00AA00AA00AA00AA), (14, 0x0000CCCC0000CCCC), (28, 0x00000000F0F0F0F0)):
        moved = squares >> np.uint64(shift)
        moved ^= squares
        moved &= np.uint64(mask)
        squares ^= moved
        moved <<= np.uint64(shift)
        squares ^= moved
    return eights
