"""HDF5: a dataset ``spikes``, bits ``[T, H, W]`` or packed frames ``[T, bytes]``, with attributes. Needs h5py.

Attributes, of the dataset or of the file, numbers all: ``rate`` (frames a second), ``first`` (the number of the first
frame), ``flip`` (1: the first row is the lowest one), ``height``, ``width`` and ``row`` (cells of a stored row);
packed frames need height and width. Bits are bool or of 8 bits, each 0 or 1, and upright where nothing says ``flip``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...events.formats.hdf5 import MAGIC, attribute, plain, reading
from ..layout import Layout, pack
from ..stream import SpikeStream
from .arrays import bits
from .base import Format, Told, stored

CHUNK = 1 << 19
"""Bytes that are packed together, about."""


@dataclass(frozen=True)
class _InFile:
    """Frames that are unpacked where they are read."""

    path: Path
    shape: tuple[int, ...]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, frames: slice, /) -> NDArray[np.uint8]:
        start, stop, _ = frames.indices(len(self))
        with reading(self.path) as file:
            data = plain(file, "spikes")
            if data is None or data.shape != self.shape:
                raise ValueError("it changed since it was opened; open it anew.")
            found = data[start : max(start, stop)]
            return found if found.ndim == 2 else pack(bits(found).reshape(len(found), -1))


def _number(file: Any, data: Any, name: str) -> float | None:
    holder = next((h for h in (data, file) if name in h.attrs), None)
    if holder is None:
        return None
    value = attribute(holder, name)
    if np.shape(value) not in ((), (1,)) or np.asarray(value).dtype.kind not in "biuf":
        raise ValueError(f"its attribute {name} is {str(value)[:40]!r}, expected a number.")
    number = np.asarray(value).item()
    if name != "rate" and number != int(number):
        raise ValueError(f"its attribute {name} is {number}, expected a whole number.")
    return float(number)


def _open(path: Path, told: Told) -> SpikeStream:
    with reading(path) as file:
        data = plain(file, "spikes")
        if data is None or len(data.shape) not in (2, 3) or data.dtype.name not in ("bool", "uint8", "int8"):
            kind = "none" if data is None else f"{list(data.shape)} of {data.dtype}"
            raise ValueError(f"its dataset spikes is {kind}, expected bits [T, H, W] or packed frames [T, bytes].")
        shape, about = (
            data.shape,
            {k: _number(file, data, k) for k in ("rate", "first", "flip", "height", "width", "row")},
        )
        packed = len(shape) == 2
        if packed and (about["height"] is None or about["width"] is None or data.dtype != np.uint8):
            raise ValueError("its packed frames have no attributes height and width, expected both, and uint8.")
        height, width = (about["height"], about["width"]) if packed else shape[1:]
        size = told.size(path, int(height or 0), int(width or 0))
        if not packed and any(v not in (None, n) for v, n in zip((about["height"], about["width"]), size, strict=True)):
            raise ValueError(f"its bits {list(shape)} are not of its attributes height and width; write it anew.")
        flip = told.agreed(path, "flip", about["flip"])
        row = int(r) if packed and (r := about["row"]) is not None else None
        layout = Layout(size[1], size[0], bool(flip), row)
        if packed and shape[1] != layout.size:
            raise ValueError(f"its frames have {shape[1]} bytes, expected {layout.size} for {layout}; write it anew.")
        rate = told.frequency(path, about["rate"])
        return SpikeStream(_InFile(path, shape), layout, rate, int(about["first"] or 0))


def _write(path: Path, stream: SpikeStream) -> None:
    import h5py

    layout = stream.layout
    if stream.window is not None or layout.pieces is not None:
        layout = Layout(stream.width, stream.height, layout.flip)
    size, count = layout.size, len(stream)
    packing: dict[str, Any] = {"compression": "gzip", "compression_opts": 4, "shuffle": False, "fletcher32": True}
    with h5py.File(path, "w", libver="v110") as file:
        chunks = (max(1, min(CHUNK // size, count)), size)
        data = file.create_dataset("spikes", (count, size), "u1", maxshape=(None, size), chunks=chunks, **packing)
        about = {"height": layout.height, "width": layout.width, "row": layout.columns, "flip": int(layout.flip)}
        for name, value in (about | {"rate": stream.rate, "first": stream.first}).items():
            data.attrs[name] = value
        done = 0
        for block in stream.blocks(chunks[0]):
            data[done : done + len(block)] = stored(block, layout).packed()
            done += len(block)


def _recognises(head: bytes, path: Path) -> bool:
    return any(head[at : at + len(MAGIC)] == MAGIC for at in (0, 512, 1024, 2048))


HDF5 = Format("hdf5", (".h5", ".hdf5"), _recognises, _open, _write)
"""Frames in HDF5; written packed, in chunks with checksums, as the stream stores them."""
