"""ES-ImageNet: an .npz archive for each image, with ``pos`` and ``neg``, both ``[N, 3]`` of row, column and step.

The layout is that of a public reader (SpikingJelly). The events were made by a program that moves an image and count in
its steps, 1 to 8 (Lin et al. 2021, Frontiers in Neuroscience 15:726582): ``t`` is that number, in place of
microseconds. Events come in order of it, brighter ones first.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..stream import EventStream
from .base import Format, Opened, sensor
from .columns import Decoder, whole_numbers
from .npy import Array
from .npz import BAD, arrays, refusal

NAME = "es_imagenet"
LARGEST = 1 << 24
"""Events of a file, which are sorted as a whole; an image has about a hundred thousand."""


def _rows(name: str, found: Array) -> NDArray:
    """Rows, columns and steps: ``[3, N]``."""
    count = found.shape[0]
    parts = [block.reshape(-1) for block in found.rows([count] if count else [])]
    flat = whole_numbers(name, np.concatenate([np.empty(0, found.dtype), *parts]))
    return flat.reshape(3, count) if found.fortran else flat.reshape(count, 3).T


def _blocks(path: Path, both: list[Array], width: int, height: int, count: int) -> Iterator[EventStream]:
    try:
        parts = [_rows(name, array) for name, array in zip(("pos", "neg"), both, strict=True)]
    except (*BAD, ValueError) as error:
        raise refusal(path, error) from None
    y, x, t = np.concatenate(parts, axis=1)
    p = np.repeat(np.array([1, 0], np.uint8), [part.shape[1] for part in parts])
    order = np.argsort(t, kind="stable")
    decoder = Decoder(NAME, path, width, height)
    for i in range(0, len(t), count):
        chosen = order[i : i + count]
        yield decoder.stream(t[chosen], x[chosen], y[chosen], p[chosen])


def _open(path: Path, width: int | None, height: int | None) -> Opened:
    try:
        found = arrays(path)
        if set(found) != {"pos", "neg"}:
            raise ValueError(f"it has {', '.join(sorted(found))}, expected pos and neg.")
        both = [found["pos"], found["neg"]]
        shapes = {name: array.shape for name, array in found.items()}
        if any(len(shape) != 2 or shape[1] != 3 for shape in shapes.values()):
            raise ValueError(f"it has the shapes {shapes}, expected [N, 3] of row, column and step.")
        if (events := sum(array.shape[0] for array in both)) > LARGEST:
            raise ValueError(f"it has {events:,} events, expected at most {LARGEST:,}.")
    except (*BAD, ValueError) as error:
        raise refusal(path, error) from None
    size = sensor(NAME, path, None, width, height)
    return Opened(*size, partial(_blocks, path, both, *size), {"events": f"{events:,}"})


def _recognises(head: bytes, path: Path) -> bool:
    return head.startswith(b"PK\x03\x04") and head[30:37] in (b"pos.npy", b"neg.npy")


ES_IMAGENET = Format(NAME, (".npz",), _recognises, _open)
"""Images of ES-ImageNet; only read."""
