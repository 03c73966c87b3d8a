"""Blocks in memory that processes of one machine share: a ring with one writer and any number of readers.

A reader that is slow misses blocks, and knows; the writer never waits. Each slot says which block it holds before and
after its frames, and their checksum, so that a block that is written over while it is read is not taken for whole.
"""

from __future__ import annotations

import os
import struct
import sys
import threading
import time
import zlib
from multiprocessing import resource_tracker, shared_memory

import numpy as np

from ..container import header
from ..layout import Layout
from .source import FRAMES, Block
from .tcp import parts

MAGIC = b"\x89SPM\0\0\0\1"
RING = struct.Struct("<8sIIQ")  # magic slots frames-of-a-slot process
STATE = struct.Struct("<QQ")  # blocks written, closed
SLOT = struct.Struct("<QQQdII")  # turn number first arrived frames check; another turn stands behind the frames
START = 1024
"""Bytes before the first slot: the ring at 0, the state at 64, the header at 128."""
MOST = 1 << 32
"""Bytes of a ring, at most."""
POLL = 2e-4
"""Seconds between two looks for a block."""
_LOCK = threading.Lock()


class SharedSender:
    """A consumer that writes blocks into shared memory.

    :param address: ``shm://name``. :param layout: of the frames to come. :param rate: frames a second, Hz.
    :param slots: blocks the ring holds. :param block: frames of a slot; longer blocks are cut.
    :raises ValueError: for a name that is taken, or sizes out of range.
    """

    def __init__(self, address: str, layout: Layout, rate: float, slots: int = 32, block: int = FRAMES) -> None:
        self.address, self.layout, self._slots, self._frames = address, layout, slots, block
        about = header.Header(layout, rate, chunk=1).write()
        size = START + slots * _stride(layout, block)
        if slots < 2 or block < 1 or size > MOST:
            raise ValueError(
                f"{address} got {slots} slots of {block} frames, expected at least 2, at least 1, {MOST:,} bytes."
            )
        try:
            self._memory = shared_memory.SharedMemory(_name(address), create=True, size=size)
        except (OSError, ValueError) as error:
            raise ValueError(
                f"{address} cannot be made ({error}); another writer may have it, name another."
            ) from error
        buffer = self._buffer
        STATE.pack_into(buffer, 64, 0, 0)
        buffer[128 : 128 + len(about)] = about
        RING.pack_into(buffer, 0, MAGIC, slots, block, os.getpid())
        self._number, self._open = 0, True

    @property
    def _buffer(self) -> memoryview:
        return _held(self._memory)

    def __call__(self, block: Block) -> None:
        """Write a block.

        :raises ValueError: for frames of another layout.
        """
        buffer = self._buffer
        for part in parts(block, self.layout):
            for k in range(0, len(part), self._frames):
                packed = np.ascontiguousarray(part.packed[k : k + self._frames])
                at = START + self._number % self._slots * _stride(self.layout, self._frames)
                turn, data = self._number + 1, packed.data.cast("B")
                numbers = (self._number, part.first + k, block.arrived, len(packed), zlib.crc32(data))
                SLOT.pack_into(buffer, at, 0, *numbers)  # nobody is to take it for whole
                start = at + SLOT.size
                buffer[start : start + len(data)] = data
                struct.pack_into("<Q", buffer, start + self._frames * self.layout.size, turn)
                SLOT.pack_into(buffer, at, turn, *numbers)
                self._number += 1
                struct.pack_into("<Q", buffer, 64, self._number)

    def close(self) -> None:
        """Say that this was all, and take the name away; readers that are there read on to the end."""
        if self._open:
            self._open = False
            struct.pack_into("<Q", self._buffer, 72, 1)
            self._memory.close()
            self._memory.unlink()


class SharedSource:
    """A source that reads what a :class:`SharedSender` writes, from the block after the last on.

    :param address: ``shm://name``. :param timeout: seconds to wait for the writer. :param begin: read from the oldest
        block that is still there instead.
    :raises ValueError: if none comes, or the memory is none of ours.
    """

    def __init__(self, address: str, timeout: float = 30.0, begin: bool = False) -> None:
        self.address, deadline = address, time.monotonic() + timeout
        while (memory := _attached(_name(address))) is None or bytes(_held(memory)[:8]) == bytes(8):
            if memory is not None:
                memory.close()
            if time.monotonic() > deadline:
                raise ValueError(f"{address}: no writer came within {timeout:g} s; start it, or wait longer.")
            time.sleep(0.02)
        self._memory, self._open = memory, True
        try:
            magic, self._slots, self._frames, self._process = RING.unpack_from(self._buffer)
            if magic != MAGIC:
                raise ValueError(f"{address} begins with {magic!r}, expected {MAGIC!r}: it is no ring of spikeworks.")
            about, _ = header.read(bytes(self._buffer[128 : 128 + header.LONGEST]), address)
            self.layout, self.rate = about.layout, about.rate
            size = START + self._slots * _stride(self.layout, self._frames)
            if self._slots < 2 or self._frames < 1 or size > self._memory.size:
                raise ValueError(f"{address} has {self._memory.size:,} bytes, expected {size:,}: it is damaged.")
        except ValueError:
            self.close()
            raise
        self.lost = 0  # blocks
        written = STATE.unpack_from(self._buffer, 64)[0]
        self._number = max(0, written - self._slots + 1) if begin else written
        self._due: int | None = None

    @property
    def _buffer(self) -> memoryview:
        return _held(self._memory)

    def read(self, timeout: float) -> Block | None:
        """The next block, see :class:`.Source`; blocks that were written over are missing.

        :raises ValueError: if the writer's process is gone without saying that it is done.
        """
        deadline, alive = time.monotonic() + timeout, True
        while True:
            written, closed = STATE.unpack_from(self._buffer, 64)
            if self._number < written:
                if written - self._number >= self._slots:  # the oldest slot is being written over
                    self.lost += written - self._slots + 1 - self._number
                    self._number = written - self._slots + 1
                found = self._slot(self._number)
                self._number += 1
                if found is not None:
                    return found
                self.lost += 1
            elif closed:
                raise EOFError("the writer is done")
            elif not alive:
                raise ValueError(f"{self.address}: its writer, process {self._process}, is gone without a word.")
            elif time.monotonic() >= deadline:
                if self._alive():
                    return None
                alive = False  # it may have written until then: one more look
            else:
                time.sleep(POLL)

    def close(self) -> None:
        """Let go of the memory."""
        if self._open:
            self._open = False
            self._memory.close()

    def _slot(self, number: int) -> Block | None:
        buffer, size = self._buffer, self.layout.size
        at = START + number % self._slots * _stride(self.layout, self._frames)
        begun, whose, first, arrived, frames, check = SLOT.unpack_from(buffer, at)
        start = at + SLOT.size
        if begun != number + 1 or whose != number or not 1 <= frames <= self._frames or first >= header.LAST:
            return None
        data = bytes(buffer[start : start + frames * size])
        ended = struct.unpack_from("<Q", buffer, start + self._frames * size)[0]
        again = struct.unpack_from("<Q", buffer, at)[0]
        if ended != begun or again != begun or zlib.crc32(data) != check or (self._due or 0) > first:
            return None
        self._due = first + frames
        return Block(first, np.frombuffer(data, np.uint8).reshape(frames, size), self.layout, self.rate, arrived)

    def _alive(self) -> bool:
        if os.name != "posix":
            return True  # there it cannot be asked without harm
        try:
            os.kill(self._process, 0)
        except ProcessLookupError:
            return False
        except OSError:
            pass  # it is another user's
        return True


def _stride(layout: Layout, frames: int) -> int:
    return -(-(SLOT.size + frames * layout.size + 8) // 64) * 64


def _name(address: str) -> str:
    name = address.removeprefix("shm://")
    if name == address or not name or not all(c.isalnum() or c in "-_." for c in name) or len(name) > 60:
        raise ValueError(f"{address!r} is no address, expected shm:// and a name of letters, digits, - and _.")
    return name


def _held(memory: shared_memory.SharedMemory) -> memoryview:
    buffer = memory.buf
    if buffer is None:
        raise ValueError("This shared memory is closed; nothing can be read from it or written to it.")
    return buffer


def _attached(name: str) -> shared_memory.SharedMemory | None:
    """Memory that another process made, and will take away."""
    try:
        if sys.version_info >= (3, 13):
            return shared_memory.SharedMemory(name, track=False)
        with _LOCK:  # before 3.13 a reader that ends would take it away from all others
            known, resource_tracker.register = resource_tracker.register, lambda *_: None
            try:
                return shared_memory.SharedMemory(name)
            finally:
                resource_tracker.register = known
    except (OSError, ValueError):
        return None
