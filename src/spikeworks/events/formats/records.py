"""Files of records of one length: read so many at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .base import BLOCK


def records(name: str, path: Path, start: int, dtype: np.dtype, count: int) -> Iterator[np.ndarray]:
    """The records from byte ``start`` on, ``count`` at a time, though no more than :data:`~.base.BLOCK`.

    :raises ValueError: at the end, if the file ends amid a record.
    """
    with path.open("rb") as file:
        file.seek(start)
        place = start
        while data := file.read(min(count, BLOCK) * dtype.itemsize):
            whole = len(data) // dtype.itemsize
            if whole:
                yield np.frombuffer(data, dtype, whole)
            place += whole * dtype.itemsize
            if len(data) % dtype.itemsize:
                raise ValueError(
                    f"{path} ({name}) ends amid an event, {len(data) % dtype.itemsize} bytes after byte {place}, "
                    "expected a whole file; copy it again, or read what is there in blocks."
                )
