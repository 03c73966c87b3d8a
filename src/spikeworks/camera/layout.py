"""How the bits of one frame lie in memory: which are pixels, and where in the picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIDE = 1 << 16
"""A sensor has fewer columns and rows than this."""


@dataclass(frozen=True)
class Layout:
    """A frame as it is stored: rows of cells, one bit each, the first in the lowest bit of a byte.

    A frame begins at a whole byte; what is left of its last byte is not used. Spike cameras store the lowest row of
    the picture first (``flip``).

    :param width: columns of the picture. :param height: rows.
    :param flip: the first stored row is the lowest one of the picture.
    :param row: cells of a stored row, ``None``: the width.
    :param pieces: stretches (start, stop) of a stored row that are the picture's columns from the left; the other cells
        carry no light. ``None``: the first ``width``.
    :raises ValueError: for sizes out of range, or pieces that do not make up the width.
    """

    width: int
    height: int
    flip: bool = True
    row: int | None = None
    pieces: tuple[tuple[int, int], ...] | None = None

    def __post_init__(self) -> None:
        for name, size in (("width", self.width), ("height", self.height)):
            if not isinstance(size, int | np.integer) or not 1 <= size < SIDE:
                raise ValueError(f"Layout got {name}={size!r}, expected a whole number from 1 to {SIDE - 1}.")
        stretches = self.stretches
        inside = all(0 <= start < stop <= self.columns for start, stop in stretches)
        if not inside or sum(stop - start for start, stop in stretches) != self.width:
            raise ValueError(
                f"Layout got the pieces {stretches} of rows of {self.columns} cells, expected stretches within them of "
                f"{self.width} cells together."
            )

    @property
    def columns(self) -> int:
        """Cells of a stored row."""
        return self.width if self.row is None else self.row

    @property
    def stretches(self) -> tuple[tuple[int, int], ...]:
        """The pieces of a stored row that are pixels."""
        return ((0, self.width),) if self.pieces is None else self.pieces

    @property
    def cells(self) -> int:
        """Bits of a frame that mean something."""
        return self.columns * self.height

    @property
    def size(self) -> int:
        """Bytes of a frame."""
        return -(-self.cells // 8)

    @property
    def plain(self) -> bool:
        """Every cell is a pixel."""
        return self.columns == self.width and len(self.stretches) == 1

    def picture(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values of the cells ``[..., N]``, N at least :attr:`cells`, as pictures ``[..., height, width]``.

        A view, unless the pixels of a row are in several pieces.
        """
        stored = values[..., : self.cells].reshape(*values.shape[:-1], self.height, self.columns)
        parts = [stored[..., start:stop] for start, stop in self.stretches]
        picture = parts[0] if len(parts) == 1 else np.concatenate(parts, -1)
        return picture[..., ::-1, :] if self.flip else picture

    def store(self, pictures: NDArray[Any]) -> NDArray[Any]:
        """Pictures ``[..., height, width]`` as cells ``[..., size · 8]``, 0 where there is no pixel; a copy."""
        stored = np.zeros((*pictures.shape[:-2], self.height, self.columns), pictures.dtype)
        rows, left = (pictures[..., ::-1, :] if self.flip else pictures), 0
        for start, stop in self.stretches:
            stored[..., start:stop] = rows[..., left : left + stop - start]
            left += stop - start
        flat = stored.reshape(*pictures.shape[:-2], self.cells)
        spare = self.size * 8 - self.cells
        return flat if not spare else np.concatenate([flat, np.zeros((*flat.shape[:-1], spare), flat.dtype)], -1)


HEADED = 16
"""Cells behind each row that the USB camera adds, which carry no light."""


def headed(width: int, height: int, flip: bool = True) -> Layout:
    """The layout of the USB camera's files: each row has 16 cells more than pixels."""
    return Layout(width, height, flip, width + HEADED)


MEGAPIXEL = Layout(1000, 1000, False, 1024, ((0, 500), (512, 1012)))
"""The layout of the megapixel camera's frames: rows are two halves of 500 pixels and 12 cells of tags."""


def pack(cells: NDArray[Any]) -> NDArray[np.uint8]:
    """Cells ``[..., N]``, 0 or not, as bytes ``[..., ⌈N/8⌉]``, the first in the lowest bit."""
    return np.packbits(cells.astype(bool), -1, bitorder="little")


def unpack(packed: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Bytes ``[..., N]`` as cells ``[..., 8·N]``, 0 or 1."""
    return np.unpackbits(packed, -1, bitorder="little")


_ONES = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], 1).sum(1, dtype=np.uint8)


def ones(packed: NDArray[np.uint8]) -> int:
    """How many bits of bytes are 1."""
    return int(_ONES[packed].sum(dtype=np.int64))
