"""NumPy archives: .npz with a member for each of t, x, y, p, and .npy or .npz with one table of events.

Read as a stream: members are unpacked a block at a time, never as a whole, so that an archive that would unpack to more
than memory holds does no harm.
"""

from __future__ import annotations

import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from io import BufferedIOBase
from pathlib import Path
from typing import cast

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from ..stream import EventStream
from .base import Format, Opened, sensor
from .columns import Decoder, roles
from .npy import MAGIC, Array, array

NAME = "npz"
TYPES = {"t": np.dtype("<i8"), "x": np.dtype("<u2"), "y": np.dtype("<u2"), "p": np.dtype("u1")}

RATIO = 1100
"""Deflate makes nothing smaller than about 1/1032; what claims more is not what it says."""

BAD = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, KeyError, IndexError,
       TypeError, SyntaxError, OverflowError, MemoryError, AttributeError)  # fmt: skip
"""What zipfile, zlib and the reading of headers raise for broken files, besides ValueError."""

Raw = Callable[[int], Iterator[tuple[NDArray, ...]]]
"""t, x, y, p as they are in the file, about so many at a time."""


def arrays(path: Path) -> dict[str, Array]:
    """The arrays of a .npz or .npy file by name; a .npy file has one, without a name.

    :raises ValueError: for what unpacks to more than deflate can, or is there twice; and what :data:`BAD` lists.
    """
    with path.open("rb") as file:
        if file.read(len(MAGIC)) == MAGIC:
            return {"": array(partial(path.open, "rb"), path.stat().st_size)}
    found: dict[str, Array] = {}
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ValueError(f"{info.filename} is packed by method {info.compress_type}; save it by numpy.savez.")
            if info.file_size > RATIO * (info.compress_size + 1):
                raise ValueError(f"{info.filename} claims {info.file_size} bytes in {info.compress_size}, a bomb.")
            name = info.filename.removesuffix(".npy")
            if name in found:
                raise ValueError(f"{info.filename} is there twice, expected each array once; save it anew.")
            found[name] = array(partial(_start, path, info.filename), info.file_size)
    return found


def _start(path: Path, member: str) -> BufferedIOBase:
    with zipfile.ZipFile(path) as archive:
        return cast(BufferedIOBase, archive.open(member))  # keeps the file open until it is closed itself


def _whole_number(name: str, found: Array) -> int:
    if found.shape not in ((), (1,)) or found.dtype.kind not in "iu":
        raise ValueError(f"{name} is {found.shape} of {found.dtype}, expected one whole number.")
    (value,) = Array(found.start, (1,), False, found.dtype, found.skip).rows([1])
    return int(value[0])


def _layout(path: Path, members: dict[str, Array]) -> Raw:
    """How events are laid out in the arrays.

    :raises ValueError: for a layout that is not known.
    """
    if len(members) != 1:
        names = roles(NAME, path, members)
        four = [members[names[role]] for role in "txyp"]
        if len({a.shape for a in four}) != 1 or len(four[0].shape) != 1:
            raise ValueError(f"t, x, y, p have the shapes {[a.shape for a in four]}, expected one length [N].")
        return partial(_columns, four)
    (table,) = members.values()
    if table.dtype.names:
        names = roles(NAME, path, table.dtype.names)
        if len(table.shape) != 1 or any(table.dtype[name].shape for name in names.values()):
            raise ValueError(f"its table is {table.shape} of {table.dtype}, expected [N] with a number per field.")
        return partial(_fields, table, [names[role] for role in "txyp"])
    raise ValueError(
        f"its array is {table.shape} of {table.dtype}, in which nothing says what is t, x, y and p, expected them as "
        "fields or as members of an .npz; save it so."
    )


def _columns(four: list[Array], count: int) -> Iterator[tuple[NDArray, ...]]:
    with ExitStack() as stack:
        yield from _together(stack, [a.rows(_counts(a, count)) for a in four])


def _fields(table: Array, names: list[str], count: int) -> Iterator[tuple[NDArray, ...]]:
    with ExitStack() as stack:
        for (block,) in _together(stack, [table.rows(_counts(table, count))]):
            yield tuple(block[name] for name in names)


def _counts(found: Array, count: int) -> Iterator[int]:
    return (min(count, found.shape[0] - begin) for begin in range(0, found.shape[0], count))


def _together(stack: ExitStack, readers: list[Iterator[NDArray]]) -> Iterator[tuple[NDArray, ...]]:
    for reader in readers:
        stack.callback(reader.close)  # type: ignore[attr-defined]  # closes the file of one that was not read to its end
    return zip(*readers, strict=True)


def _blocks(path: Path, raw: Raw, width: int, height: int, count: int) -> Iterator[EventStream]:
    decoder = Decoder(NAME, path, width, height)
    try:
        for t, x, y, p in raw(count):
            yield decoder.stream(t, x, y, p)
    except (*BAD, ValueError) as error:
        raise refusal(path, error) from None


def _open(path: Path, width: int | None, height: int | None) -> Opened:
    try:
        members = arrays(path)
        sizes = {name: members.pop(name) for name in ("width", "height") if name in members}
        if len(sizes) == 1:
            raise ValueError(f"it has {next(iter(sizes))} alone, expected width and height or neither; save both.")
        found = [_whole_number(name, sizes[name]) for name in sizes and ("width", "height")]
        raw = _layout(path, members)
    except (*BAD, ValueError) as error:
        raise refusal(path, error) from None
    size = sensor(NAME, path, (found[0], found[1]) if found else None, width, height)
    about = {name or "array": f"{' × '.join(map(str, a.shape))} of {a.dtype}" for name, a in members.items()}
    return Opened(*size, partial(_blocks, path, raw, *size), about)


def refusal(path: Path, error: Exception) -> ValueError:
    """What is wrong with an archive, in one sentence that names it."""
    said = " ".join(str(error).split())[:400]
    if said.startswith(str(path)):
        return ValueError(said)
    if isinstance(error, ValueError):
        return ValueError(f"{path} (npz) is not as expected: {said}")
    return ValueError(f"{path} (npz) cannot be unpacked ({type(error).__name__}: {said}); copy it again.")


def _write(path: Path, blocks: Iterable[EventStream], width: int, height: int) -> None:
    """Each column goes to a file of its own, then all into the archive: memory holds one block."""
    with ExitStack() as stack:
        parts = {role: stack.enter_context(tempfile.TemporaryFile(dir=path.parent)) for role in TYPES}
        count = 0
        for block in blocks:
            count += len(block)
            for role, part in parts.items():
                part.write(np.ascontiguousarray(getattr(block, role), TYPES[role]).data)
        archive = stack.enter_context(zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=4))
        for role, part in parts.items():
            part.seek(0)
            with archive.open(f"{role}.npy", "w", force_zip64=True) as member:
                about = {"descr": TYPES[role].str, "fortran_order": False, "shape": (count,)}
                npy.write_array_header_1_0(member, about)
                shutil.copyfileobj(part, member, 1 << 20)
        for name, value in (("width", width), ("height", height)):
            with archive.open(f"{name}.npy", "w") as member:
                npy.write_array(member, np.array(value, np.int64), allow_pickle=False)


def _recognises(head: bytes, path: Path) -> bool:
    return head.startswith((MAGIC, b"PK\x03\x04", b"PK\x05\x06"))


NPZ = Format(NAME, (".npz",), _recognises, _open, _write)
"""Arrays of NumPy: archives, and single tables, which are only read."""
