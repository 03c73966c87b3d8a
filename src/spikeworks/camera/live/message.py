"""What is said over a wire: a head of 40 bytes, and what follows it."""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple
from urllib.parse import urlsplit

from ..container import header
from ..layout import Layout

MAGIC = b"\x89SPL"
HEAD = struct.Struct("<4sB3xIQIIIII")  # magic kind number first frames total offset length crc
HELLO, BLOCK, END = 0, 1, 2
"""Kinds: what all frames have in common, a block of frames or a piece of one, nothing comes any more."""
MOST = 1 << 26
"""Bytes of a block, at most: what a peer can make a receiver ask memory for."""


class Message(NamedTuple):
    """A head, read.

    :param kind: of message. :param number: of the block, counted by the sender. :param first: the number of its first
        frame. :param frames: in it. :param total: bytes of it. :param offset: of this piece. :param length: of this
        piece. :param check: CRC-32 of the head before it and the piece.
    """

    kind: int
    number: int
    first: int
    frames: int
    total: int
    offset: int
    length: int
    check: int


def write(
    kind: int, data: bytes | memoryview = b"", number: int = 0, first: int = 0, frames: int = 0,
    total: int | None = None, offset: int = 0,
) -> bytes:  # fmt: skip
    """The head that goes before ``data``."""
    whole = len(data) if total is None else total
    text = HEAD.pack(MAGIC, kind, number & 0xFFFFFFFF, first, frames, whole, offset, len(data), 0)[:-4]
    return text + struct.pack("<I", zlib.crc32(data, zlib.crc32(text)))


def hello(layout: Layout, rate: float) -> bytes:
    """What all frames have in common, head included."""
    body = header.Header(layout, rate, chunk=1).write()
    return write(HELLO, body) + body


def read(text: bytes | bytearray | memoryview, size: int | None) -> Message | None:
    """The message that bytes begin with; ``None`` if they are no head, or its numbers are out of range.

    :param size: bytes of a frame; ``None``: not known yet, only :data:`HELLO` is expected.
    """
    if len(text) < HEAD.size or bytes(text[:4]) != MAGIC:
        return None
    found = Message(*HEAD.unpack_from(text)[1:])
    if found.kind == HELLO:
        return found if found.length <= header.LONGEST else None
    if size is None or found.kind not in (BLOCK, END) or found.first + found.frames >= header.LAST:
        return None
    if found.kind == END:
        return found if not found.length else None
    sound = found.frames and found.frames * size == found.total <= MOST and found.offset + found.length <= found.total
    return found if sound else None


def intact(found: Message, head: bytes | bytearray | memoryview, data: bytes | bytearray | memoryview) -> bool:
    """Whether these are the bytes that were sent."""
    return len(data) == found.length and zlib.crc32(data, zlib.crc32(head[: HEAD.size - 4])) == found.check


def place(address: str, scheme: str) -> tuple[str, int]:
    """Host and port of ``tcp://127.0.0.1:5000``; without a host it is this machine alone.

    :raises ValueError: for anything else.
    """
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme != scheme or not port or parts.path not in ("", "/"):
        raise ValueError(f"{address!r} is no address, expected {scheme}://127.0.0.1:5000, say.")
    return parts.hostname or "127.0.0.1", port
