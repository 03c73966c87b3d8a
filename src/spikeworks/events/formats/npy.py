"""One array of NumPy in a file or in a member of an archive: its header checked, its rows read a few at a time.

Nothing is unpickled. Layout: numpy.lib.format, "NPY format", versions 1.0 and 2.0.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from io import BufferedIOBase
from math import prod

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

MAGIC = b"\x93NUMPY"


@dataclass(frozen=True)
class Array:
    """An array that has not been read.

    :param start: opens the file anew, for each reader. :param shape: its shape. :param fortran: column after column.
    :param dtype: of its elements. :param skip: bytes of its header.
    """

    start: Callable[[], BufferedIOBase]
    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype
    skip: int

    def rows(self, counts: Iterable[int]) -> Iterator[NDArray]:
        """So many of its rows, then so many more; in the end that nothing is left in the file (and its checksum).

        :raises ValueError: for a file that ends early or goes on.
        """
        wide = prod(self.shape[1:])
        with self.start() as file:
            _skip(file, self.skip)
            for count in counts:
                block = np.frombuffer(_exactly(file, count * wide * self.dtype.itemsize), self.dtype)
                yield block.reshape(count, *self.shape[1:])
            if file.read(1):
                raise ValueError("it goes on after its array; it is damaged.")


def array(start: Callable[[], BufferedIOBase], size: int) -> Array:
    """Read the header of an array that a file of ``size`` bytes holds.

    :raises ValueError: for a header that is wrong, a size that is not what it says, or Python objects.
    """
    with start() as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of headers by Python 2
        version = npy.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"its array is of version {version}, expected 1.0 or 2.0; save it anew.")
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        try:
            shape, fortran, dtype = read(file)
        except OSError:
            raise
        except Exception as error:  # NumPy parses it as Python: what goes wrong there has many names
            said = " ".join(str(error).split())[:200]
            raise ValueError(f"the header of its array cannot be read ({said}); copy it again.") from None
        skip = file.tell()
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are never unpickled; save plain numbers.")
    if any(n < 0 for n in shape) or dtype.itemsize < 1:
        raise ValueError(f"its array is of shape {shape} and {dtype}, expected numbers.")
    needed = prod(shape) * dtype.itemsize
    if skip + needed != size:
        raise ValueError(f"its array {shape} of {dtype} needs {needed} bytes, but {size - skip} follow; copy it again.")
    return Array(start, shape, fortran, dtype, skip)


def _skip(file: BufferedIOBase, count: int) -> None:
    while count:
        count -= len(_exactly(file, min(count, 1 << 20)))


def _exactly(file: BufferedIOBase, count: int) -> bytes:
    data = file.read(count)
    if len(data) != count:
        raise ValueError(f"it ends {count - len(data)} bytes too early; copy it again.")
    return data
