"""Containers written: frame by frame as they come, so that what is in the file stays readable, or whole."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from ...disk import whole
from ..layout import Layout
from ..stream import RATE, SpikeStream
from . import chunk as chunks
from . import index
from .header import LAST, Header

FRAMES = 64
"""Frames of a chunk: one frame is had in a few milliseconds, and longer chunks are compressed little better."""
LEVEL = 3
"""The level of compression where time does not press."""


class SpikeWriter:
    """A container that grows with a recording; a context manager.

    Each chunk is handed to the operating system as soon as it is full: a process killed at any moment
    loses the frames since the last full chunk, and with several threads those still being compressed. :meth:`close`
    writes the index and waits for the disk. When power fails, what the system had not written yet is lost, some seconds
    as a rule; checksums tell what is left.

    :param path: the file, which must not be there yet. :param layout: how bits lie. :param rate: frames a second, Hz.
    :param first: the number of the first frame. :param origin: when frame 0 was: nanoseconds since 1970.
    :param chunk: frames of a chunk. :param level: 1 to 9, the last the slowest; 0: not compressed.
    :param threads: that compress; 1: none but the caller. :param method: ``zlib``, which every reader has, or ``zstd``,
        five times as fast, which needs the library zstandard, for reading, too.
    :raises ValueError: for a file that is there, or numbers out of range.
    """

    def __init__(
        self, path: str | Path, layout: Layout, rate: float = RATE, first: int = 0, origin: int | None = None,
        chunk: int = FRAMES, level: int = LEVEL, threads: int = 1, method: chunks.Method = "zlib",
    ) -> None:  # fmt: skip
        if not 0 <= level <= 9 or not 1 <= threads <= 256 or method not in ("zlib", "zstd"):
            raise ValueError(
                f"SpikeWriter got level={level}, threads={threads}, method={method!r}, expected 0 to 9, 1 to 256, "
                "'zlib' or 'zstd'."
            )
        if level and method == "zstd":
            import zstandard as zstandard  # where it is absent, this is said before anything is recorded
        self.path, self.layout, self.level = Path(path), layout, level
        self.method: chunks.Method = method
        header = Header(layout, rate, first, chunk, origin)
        self.frames, self.next = 0, first
        self._chunk = chunk
        self._held: list[NDArray[np.uint8]] = []  # pieces of the chunk to come
        self._count = 0
        self._entries: list[tuple[int, int, int, int]] = []
        self._number = 0
        self._waiting: deque[Future[tuple[chunks.Head, bytes | memoryview]]] = deque()
        self._most = 2 * threads
        self._pool = ThreadPoolExecutor(threads, "compress") if threads > 1 else None
        self._failed: OSError | None = None
        self._at = 0
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._file = self.path.open("xb", buffering=0)
        except FileExistsError as error:
            raise ValueError(f"{self.path} is there already; a recording is not written over, name another.") from error
        try:
            self._written(header.write())
        except BaseException:
            self.close()
            self.path.unlink()  # without a header it is nothing
            raise

    def push(self, packed: NDArray[np.uint8], first: int | None = None) -> None:
        """Add frames ``[n, layout.size]``.

        :param first: the number of the first of them, which may be later than :attr:`next`: then frames are
            missing, and the file says so. ``None``: the next.
        :raises ValueError: for frames of another size, frames that were there before, a closed writer, a full disk.
        """
        self._usable()
        first = self.next if first is None else first
        if packed.ndim != 2 or packed.shape[1] != self.layout.size:
            raise ValueError(f"{self.path} got frames {list(packed.shape)}, expected [n, {self.layout.size}].")
        if not self.next <= first <= LAST - len(packed):
            raise ValueError(f"{self.path} got frames from {first} on, expected none before {self.next}.")
        if first > self.next:
            self._seal()
            self.next = first
        at = 0
        while at < len(packed):
            some = packed[at : at + self._chunk - self._count]
            whole_chunk = len(some) == self._chunk
            self._held.append(some if whole_chunk else some.copy())  # it may be written to before the rest is there
            self._count += len(some)
            self.next += len(some)
            at += len(some)
            if self._count == self._chunk:
                self._seal()

    def close(self) -> None:
        """Write what is left, the index, and wait until all of it is on the disk; closing again does nothing.

        :raises ValueError: for a full disk; what was written before stays readable.
        """
        if self._file.closed:
            return
        try:
            if self._failed is None:
                self._seal()
                while self._waiting:
                    self._store(*self._waiting.popleft().result())
                self._written(index.write(self._entries, self._at))
                try:
                    os.fsync(self._file.fileno())
                except OSError as error:
                    self._give_up(error)
        finally:
            if self._pool is not None:
                self._pool.shutdown(cancel_futures=True)
            self._file.close()

    def __enter__(self) -> SpikeWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _usable(self) -> None:
        if self._failed is not None:
            self._give_up(self._failed)
        if self._file.closed:
            raise ValueError(f"{self.path} is closed; nothing can be added to it.")

    def _seal(self) -> None:
        """The frames held become a chunk."""
        if not self._count:
            return
        packed = self._held[0] if len(self._held) == 1 else np.concatenate(self._held)
        first, number = self.next - self._count, self._number
        self._held, self._count, self._number = [], 0, number + 1
        if self._pool is None:
            self._store(*chunks.encode(packed, number, first, self.level, self.method))
            return
        packed = packed.copy() if packed.base is not None else packed
        self._waiting.append(self._pool.submit(chunks.encode, packed, number, first, self.level, self.method))
        while self._waiting and (len(self._waiting) > self._most or self._waiting[0].done()):
            self._store(*self._waiting.popleft().result())

    def _store(self, head: chunks.Head, data: bytes | memoryview) -> None:
        at = self._at
        self._written(head.write(), data)
        self._entries.append((at, head.first, head.frames, head.number))
        self.frames += head.frames

    def _written(self, *pieces: bytes | memoryview) -> None:
        """Write all of it, or leave the file as it was."""
        self._usable()
        try:
            for text in map(memoryview, pieces):
                done = 0
                while done < len(text):  # a disk that is nearly full takes a part
                    done += self._file.write(text[done:]) or 0
        except OSError as error:
            self._give_up(error)
        self._at += sum(map(len, pieces))

    def _give_up(self, error: OSError) -> None:
        if self._failed is None:
            self._failed = error
            try:
                self._file.truncate(self._at)  # no half a chunk
                self._file.seek(self._at)
                self._file.write(index.write(self._entries, self._at))
            except OSError:  # without its index it is read chunk by chunk
                pass
        raise ValueError(
            f"{self.path} cannot be written any further ({error.strerror or error}): the {self.frames:,} frames in it "
            "can be read; free some space, and record into another file."
        ) from error


def write_container(
    path: str | Path, stream: SpikeStream, origin: int | None = None, chunk: int = FRAMES, level: int = LEVEL,
    threads: int = 1,
) -> None:  # fmt: skip
    """Write a recording as a container, whole or not at all; of a window, its pixels alone.

    :param origin: when frame 0 was: nanoseconds since 1970. :param chunk: frames of a chunk.
    :param level: 1 to 9, the last the slowest; 0: not compressed. :param threads: that compress.
    """
    cut = stream.window is not None
    layout = Layout(stream.width, stream.height, stream.layout.flip) if cut else stream.layout
    with whole(path) as temporary:
        temporary.unlink()
        try:
            with SpikeWriter(temporary, layout, stream.rate, stream.first, origin, chunk, level, threads) as writer:
                for block in stream.blocks(FRAMES):
                    part = SpikeStream.of(block.dense(bool), flip=layout.flip) if cut else block
                    writer.push(part.packed())
        except ValueError as error:
            if not isinstance(error.__cause__, OSError):
                raise
            raise ValueError(
                f"{path} cannot be written ({error.__cause__}); free some space, nothing is left of it."
            ) from error
