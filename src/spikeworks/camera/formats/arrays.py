"""Arrays of NumPy: ``.npy``, and ``.npz`` with one array of three axes; bool or of 8 bits, every number 0 or 1.

Which axis is time? The order is ``order=``, where that is given. Else it is the one whose picture is ``height`` ×
``width``, as they are given; where both orders fit, or no size is given, the file is refused. An archive that has
members ``height`` and ``width``, as written here, has time first. Members ``rate`` and ``first`` tell what they say.

The first row of an array is the top of the picture, unless ``flip=True`` is given. An array with time first in a
``.npy`` stays where it is and is packed where it is read; all others are packed once, when a frame is first read, into
a temporary file that nobody sees: an eighth of the array's size, and memory holds a block. Nothing is unpickled.
"""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from ...events.formats.npy import MAGIC, Array
from ...events.formats.npz import BAD, arrays
from ..layout import Layout, pack
from ..stream import BLOCK, SpikeStream
from .base import ORDERS, Format, Told

ROOM = 1 << 24
"""Bytes of an array that are packed at a time."""


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    try:
        yield
    except (*BAD, ValueError) as error:
        said = " ".join(str(error).split())[:400]
        if said.startswith(str(path)):
            raise ValueError(said) from None
        raise ValueError(f"{path} is not as expected: {said or type(error).__name__}") from None


def bits(array: NDArray) -> NDArray[np.bool_]:
    """Numbers that are 0 or 1 as booleans.

    :raises ValueError: for others.
    """
    numbers = array.view(np.uint8)  # of booleans in a damaged file, too
    if numbers.size and int(numbers.max()) > 1:
        raise ValueError("it holds numbers that are neither 0 nor 1, expected bits; threshold them.")
    return numbers.view(bool)


@dataclass(frozen=True)
class _Mapped:
    """An array with time first, packed where it is read."""

    path: Path
    array: NDArray

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, frames: slice, /) -> NDArray[np.uint8]:
        with _refusing(self.path):
            found = self.array[frames]
            return pack(bits(found).reshape(len(found), -1))


@dataclass(frozen=True)
class _Packed:
    """An array that is packed as a whole before its first frame is read."""

    path: Path
    array: Array
    order: str

    @property
    def shape(self) -> tuple[int, int]:
        axes = dict(zip(self.order, self.array.shape, strict=True))
        return axes["T"], -(-axes["H"] * axes["W"] // 8)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, frames: slice, /) -> NDArray[np.uint8]:
        return self.packed[frames]

    @cached_property
    def packed(self) -> NDArray[np.uint8]:
        frames, size = self.shape
        if not frames:
            return np.empty((0, size), np.uint8)
        with _refusing(self.path), tempfile.TemporaryFile() as file:  # the map below outlives it
            if self.order == "THW":
                step = max(1, ROOM // (size * 8))
                for block in self.array.rows(min(step, frames - k) for k in range(0, frames, step)):
                    file.write(pack(bits(block).reshape(len(block), -1)).data)
            else:
                for k in range(0, frames, BLOCK):  # so that a full disk shows here
                    file.write(bytes(min(BLOCK, frames - k) * size))
            file.flush()
            found = np.memmap(file, np.uint8, "r+", shape=(frames, size))
            if self.order == "HWT":
                pixels = replace(self.array, shape=(self.array.shape[0] * self.array.shape[1], frames))
                step, count = max(8, ROOM // frames // 8 * 8), pixels.shape[0]
                blocks = pixels.rows(min(step, count - k) for k in range(0, count, step))
                for k, block in zip(range(0, count, step), blocks, strict=True):
                    lines = np.packbits(bits(block), 0, bitorder="little")
                    found[:, k // 8 : k // 8 + len(lines)] = lines.T
            return found


def _order(path: Path, shape: tuple[int, ...], told: Told) -> str:
    if told.order is not None:
        return told.order
    size = (told.height, told.width)
    fits = [o for o, picture in zip(ORDERS, (shape[1:], shape[:2]), strict=True) if picture == size]
    if len(fits) == 1:
        return fits[0]
    if fits or None in size:
        raise ValueError(
            f"{path} has an array {list(shape)}, in which nothing says which axis is time; pass order='THW' or "
            f"order='HWT'{'' if fits else ', or height= and width='}."
        )
    raise ValueError(
        f"{path} has an array {list(shape)}, expected pictures of height={size[0]}, width={size[1]}: [T, H, W] or "
        "[H, W, T]; leave the size out and pass order=, or pass another size."
    )


def _scalar(members: dict[str, Array], name: str) -> float | None:
    found = members.get(name)
    if found is None:
        return None
    if found.shape not in ((), (1,)) or found.dtype.kind not in "iuf":
        raise ValueError(f"its member {name} is {list(found.shape)} of {found.dtype}, expected one number.")
    (value,) = replace(found, shape=(1,)).rows([1])
    return value[0].item()


def _open(path: Path, told: Told) -> SpikeStream:
    with _refusing(path):
        members = arrays(path)
        cubes = {k: a for k, a in members.items() if len(a.shape) == 3}
        name = "spikes" if "spikes" in cubes else next(iter(cubes), None)
        if name is None or (len(cubes) > 1 and name != "spikes"):
            raise ValueError(f"it has the arrays {list(cubes)} of three axes, expected one, or one named spikes.")
        found = cubes[name]
        if found.dtype.name not in ("bool", "uint8", "int8") or found.fortran:
            how = ", column after column" if found.fortran else ""
            raise ValueError(
                f"its array is of {found.dtype}{how}, expected bool or uint8, row after row; save it so, e.g. "
                "np.ascontiguousarray(spikes != 0)."
            )
        height, width, rate, first = (_scalar(members, k) for k in ("height", "width", "rate", "first"))
        if (height is None) != (width is None) or any(v is not None and v != int(v) for v in (height, width, first)):
            raise ValueError(f"its members are height={height}, width={width}, first={first}, expected whole numbers.")
        if height is not None:
            told = replace(told, height=told.height or int(height), width=told.width or int(width or 0))
            told.size(path, int(height), int(width or 0))
        order = _order(path, found.shape, told if height is None else replace(told, order=told.order or "THW"))
        axes = dict(zip(order, found.shape, strict=True))
        told.size(path, axes["H"], axes["W"])
        layout = Layout(axes["W"], axes["H"], bool(told.flip))
        if name == "" and order == "THW" and axes["T"]:
            frames = _Mapped(path, np.memmap(path, found.dtype, "r", found.skip, found.shape))
        else:
            frames = _Packed(path, found, order)
        return SpikeStream(frames, layout, told.frequency(path, rate), int(first or 0))


def _write(path: Path, stream: SpikeStream) -> None:
    about = {"descr": "|b1", "fortran_order": False, "shape": (len(stream), stream.height, stream.width)}
    if path.suffix == ".npy":
        with path.open("wb") as file:
            npy.write_array_header_1_0(file, about)
            for block in stream.blocks():
                file.write(block.dense(bool).data)
        return
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=4) as archive:
        with archive.open("spikes.npy", "w", force_zip64=True) as member:
            npy.write_array_header_1_0(member, about)
            for block in stream.blocks():
                member.write(block.dense(bool).data)
        for name, value in (("height", stream.height), ("width", stream.width), ("rate", stream.rate),
                            ("first", stream.first)):  # fmt: skip
            with archive.open(f"{name}.npy", "w") as member:
                npy.write_array(member, np.array(value), allow_pickle=False)


def _recognises(head: bytes, path: Path) -> bool:
    return head.startswith((MAGIC, b"PK\x03\x04", b"PK\x05\x06"))


ARRAYS = Format("arrays", (".npz", ".npy"), _recognises, _open, _write, ("order",))
"""Arrays of NumPy; both suffixes are written, pictures upright, time first."""
