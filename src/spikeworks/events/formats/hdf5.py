"""HDF5: columns t, x, y, p in one group, or one table with these fields, wherever in the file they are.

Layouts known: DSEC (``events/{t,x,y,p}``, ``t_offset``, ``ms_to_idx``; dsec.ifi.uzh.ch), Prophesee's HDF5 event files
(``CD/events``, a table; docs.prophesee.ai, "HDF5 Event File Format"; their codec is a plug-in of HDF5 that must be
installed), ``events/{ts,xs,ys,ps}`` with times in seconds, and our own (``events/{t,x,y,p}`` with the attributes
``width`` and ``height``). Needs h5py.

Nothing of variable length is read, attributes neither: HDF5 hangs or crashes where the heap that holds it is damaged. A
size that is written in such an attribute has to be told by the caller.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from ..stream import EventStream
from .base import Format, Opened, sensor
from .columns import SPELLINGS, Decoder, roles

NAME = "hdf5"
MAGIC = b"\x89HDF\r\n\x1a\n"
CHUNK = 1 << 16
LARGEST = 1 << 28
"""Bytes of a chunk: HDF5 unpacks one as a whole."""

BAD = (OSError, KeyError, RuntimeError, TypeError, NotImplementedError, IndexError, OverflowError, MemoryError,
       AttributeError, SystemError)  # fmt: skip
"""What h5py raises for broken files, besides ValueError."""


@dataclass(frozen=True)
class _Layout:
    """Where events are.

    :param data: of each role, the dataset and its field, if it is a table.
    """

    data: dict[str, tuple[str, str | None]]
    length: int
    offset: int = 0
    size: tuple[int, int] | None = None
    turned: bool = False
    about: dict[str, str] = field(default_factory=dict)


@contextmanager
def reading(path: Path) -> Iterator[Any]:
    """An open HDF5 file; what goes wrong inside the block is a ValueError in one sentence.

    :raises ValueError: for a file that is truncated or damaged.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            yield file
    except (*BAD, ValueError) as error:
        said = " ".join(str(error).split())[:400]
        if said.startswith(str(path)):
            raise ValueError(said) from None
        if isinstance(error, ValueError):
            raise ValueError(f"{path} (hdf5) is not as expected: {said}") from None
        hint = "install the plug-in of HDF5 that unpacks it" if "filter" in said else "copy it again"
        raise ValueError(f"{path} (hdf5) cannot be read ({type(error).__name__}: {said}); {hint}.") from None


def plain(file: Any, name: str) -> Any:
    """A dataset of a file, or ``None``, that lies in this very file and can be read in slices.

    :raises ValueError: for one that refers to other files, or whose chunks are too large to be unpacked.
    """
    import h5py

    node = file
    for part in name.split("/"):
        if not isinstance(node, h5py.Group) or part not in node:
            return None
        if isinstance(node.get(part, getlink=True), h5py.ExternalLink):
            raise ValueError(f"{name} is a link to another file, which is not followed; copy it into one.")
        node = node[part]
    if not isinstance(node, h5py.Dataset):
        return None
    if node.is_virtual or node.external:
        raise ValueError(f"{name} lies in another file, which is not followed; copy it into one.")
    if node.chunks and prod(node.chunks) * node.dtype.itemsize > LARGEST:
        raise ValueError(f"{name} is in chunks of {node.chunks}, expected at most {LARGEST >> 20} MiB; repack it.")
    return node


def _candidates(file: Any) -> dict[str, dict[str, tuple[str, str | None]]]:
    """Every group or table that has all four columns, by its name."""
    import h5py

    found: dict[str, dict[str, tuple[str, str | None]]] = {}

    def has_all(names: Iterable[str]) -> bool:
        lower = {name.lower() for name in names}
        return all(lower & set(spelled) for spelled in SPELLINGS.values())

    def look(name: str, node: Any) -> None:
        if isinstance(node, h5py.Group):
            inside = [str(k) for k in node if isinstance(node.get(k, getlink=True), h5py.HardLink)]
            names = [k for k in inside if node.get(k, getclass=True) is h5py.Dataset]
            if has_all(names):
                here = f"{name}/" if name else ""
                found[name] = {r: (here + k, None) for r, k in roles(NAME, Path(name or "/"), names).items()}
        elif node.dtype.names and has_all(node.dtype.names):
            found[name] = {r: (name, k) for r, k in roles(NAME, Path(name), node.dtype.names).items()}

    look("", file)
    file.visititems(look)  # hard links only: never into another file
    return found


def _layout(file: Any) -> _Layout:
    found = _candidates(file)
    if len(found) != 1:
        raise ValueError(
            f"it has t, x, y, p in {len(found)} places ({', '.join(map(repr, list(found)[:4]))}), expected one."
        )
    ((name, data),) = found.items()
    shapes = [plain(file, where).shape for where, _ in data.values()]
    if len(set(shapes)) != 1 or len(shapes[0]) != 1:
        raise ValueError(f"{name} has columns of the shapes {shapes}, expected one length [N].")
    for where, key in data.values():
        dtype = file[where].dtype
        if dtype.hasobject or (dtype[key] if key else dtype).kind not in "iufb":
            raise ValueError(f"{where} is of {dtype}, expected numbers.")
    parent = name.rpartition("/")[0]
    holders = {h: file[h] if h else file for h in dict.fromkeys((name, parent, ""))}
    offsets = (plain(file, f"{h}/t_offset".lstrip("/")) for h in holders)
    offset = next((o for o in offsets if o is not None), None)
    about = {"events in": name or "/"}
    for key in list(file.attrs)[:16]:
        if isinstance(key, str) and isinstance(text := attribute(file, key), bytes):
            about[key] = text.decode("utf-8", "replace")[:80]
    shift = 0
    if offset is not None:
        if offset.shape not in ((), (1,)) or offset.dtype.kind not in "iu":
            raise ValueError(f"t_offset is {offset.shape} of {offset.dtype}, expected one whole number.")
        shift = int(offset[()].item())
        about["t_offset"] = f"{shift} µs, added to t"
    size, turned = _size(holders)
    return _Layout(data, int(shapes[0][0]), shift, size, turned, about)


def _size(holders: dict[str, Any]) -> tuple[tuple[int, int] | None, bool]:
    """Width and height by the attributes of what holds the events; whether they may be meant the other way round."""
    for holder in holders.values():
        wide, high, text, pair = (attribute(holder, k) for k in ("width", "height", "geometry", "sensor_resolution"))
        if wide is not None and high is not None:
            return (_number("width", wide), _number("height", high)), False
        if text is not None:
            parts = text.decode("ascii", "replace").split("x") if isinstance(text, bytes) else []
            if len(parts) == 2 and all(p.isdecimal() and len(p) < 6 for p in parts):
                return (int(parts[0]), int(parts[1])), False
            raise ValueError(f"its attribute geometry is {str(text)[:40]!r}, expected as in '640x480'.")
        if pair is not None:  # rows first, as most tools that make such files write it; some begin with columns
            if np.ndim(pair) != 1 or len(pair) < 2:
                raise ValueError(f"its attribute sensor_resolution is {str(pair)[:40]!r}, expected rows and columns.")
            return (_number("sensor_resolution", pair[1]), _number("sensor_resolution", pair[0])), True
    return None, False


def attribute(holder: Any, name: str) -> Any:
    """A number, a few numbers or bytes of fixed length; ``None`` for what is not there or of another kind."""
    if name not in holder.attrs:
        return None
    kept = holder.attrs.get_id(name)
    if kept.dtype.kind not in "biufS" or prod(kept.shape) * kept.dtype.itemsize > 1024:
        return None
    value = holder.attrs[name]
    return bytes(value) if isinstance(value, np.bytes_) else value


def _number(name: str, value: Any) -> int:
    if np.shape(value) not in ((), (1,)) or np.asarray(value).dtype.kind not in "iu":
        raise ValueError(f"its attribute {name} is {str(value)[:40]!r}, expected a whole number.")
    return int(np.asarray(value).item())


def _blocks(path: Path, made: _Layout, width: int, height: int, count: int) -> Iterator[EventStream]:
    decoder = Decoder(NAME, path, width, height)
    tables = {where for where, _ in made.data.values()}
    with reading(path) as file:
        sources = {where: file[where] for where in tables}
        for begin in range(0, made.length, count):
            read = {where: source[begin : min(begin + count, made.length)] for where, source in sources.items()}
            columns = [read[where][key] if key else read[where] for where, key in map(made.data.__getitem__, "txyp")]
            yield decoder.stream(*columns, offset=made.offset)


def _open(path: Path, width: int | None, height: int | None) -> Opened:
    with reading(path) as file:
        made = _layout(file)
    found = made.size
    if found is not None and made.turned and (width, height) == found[::-1]:
        found = None
    size = sensor(NAME, path, found, width, height)
    return Opened(*size, partial(_blocks, path, made, *size), made.about)


def _write(path: Path, blocks: Iterable[EventStream], width: int, height: int) -> None:
    import h5py

    packed: dict[str, Any] = {"compression": "gzip", "compression_opts": 4, "shuffle": True, "fletcher32": True}
    with h5py.File(path, "w", libver="v110") as file:  # from 1.10 on what describes the data has checksums, too
        group = file.create_group("events")
        group.attrs["width"], group.attrs["height"] = width, height
        group.attrs["t"] = np.bytes_("microseconds")
        columns = {
            role: group.create_dataset(role, (0,), kind, maxshape=(None,), chunks=(CHUNK,), **packed)
            for role, kind in (("t", "<i8"), ("x", "<u2"), ("y", "<u2"), ("p", "u1"))
        }
        done = 0
        for block in blocks:
            for role, column in columns.items():
                column.resize((done + len(block),))
                column[done:] = getattr(block, role)
            done += len(block)


def _recognises(head: bytes, path: Path) -> bool:
    return any(head[at : at + len(MAGIC)] == MAGIC for at in (0, 512, 1024, 2048))


HDF5 = Format(NAME, (".h5", ".hdf5"), _recognises, _open, _write)
"""Columns or a table in HDF5."""
