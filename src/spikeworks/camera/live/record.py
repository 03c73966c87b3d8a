"""Recording what comes, so that a killed recorder leaves a file that can be read."""

from __future__ import annotations

import time
from pathlib import Path

from ..container.chunk import Method
from ..container.writer import SpikeWriter
from .source import Block


class Record:
    """A consumer that writes blocks into a container, not compressed: at 20 kHz zlib would not keep up.

    :func:`.write_container` compresses the recording afterwards. A disk that does not take 250 MB/s needs
    ``level=1, threads=2, method="zstd"``, which is a core's work. Where frames are missing the file has a gap; see
    :attr:`.Container.parts`. When frame 0 was taken is told by this machine's clock at the first block.

    :param path: the file, which must not be there yet. :param level: of compression, 1 to 9; 0: none.
    :param threads: that compress. :param method: of compression; see :class:`.SpikeWriter`.
    :raises ValueError: for a file that is there.
    """

    def __init__(self, path: str | Path, level: int = 0, threads: int = 1, method: Method = "zlib") -> None:
        self.path, self.level, self.threads = Path(path), level, threads
        self.method: Method = method
        if self.path.exists():
            raise ValueError(f"{self.path} is there already; a recording is not written over, name another.")
        self.writer: SpikeWriter | None = None

    def __call__(self, block: Block) -> None:
        """Write a block.

        :raises ValueError: for frames of another size or rate than before, or a full disk.
        """
        if self.writer is None:
            taken = time.time_ns() - round((time.monotonic() - block.arrived + block.stop / block.rate) * 1e9)
            self.writer = SpikeWriter(
                self.path, block.layout, block.rate, block.first, taken, level=self.level, threads=self.threads,
                method=self.method,
            )  # fmt: skip
            self._rate = block.rate
        if block.layout != self.writer.layout or block.rate != self._rate:
            raise ValueError(f"{self.path} is of {self.writer.layout} at {self._rate} Hz, but {block} came.")
        self.writer.push(block.packed, block.first)

    def close(self) -> None:
        """Write the index."""
        if self.writer is not None:
            self.writer.close()
