"""HDF5: four data sets of one length, in the layouts of published data sets; needs ``h5py``.

``events/t, x, y, p`` with ``t_offset`` beside (DSEC: Gehrig et al., RA-L 2021, whose data are of 640×480), the same
with ``ts, xs, ys, ps``, ``CD/events`` as one table with fields (Prophesee's; without their compression), and our own,
which is the first with ``width`` and ``height`` as attributes. Whole numbers of t are microseconds, real ones seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..stream import EventStream
from .base import BLOCK, Format, Opened, sensor
from .columns import Decoder, roles

NAME = "hdf5"
MAGIC = b"\x89HDF\r\n\x1a\n"
GROUPS = ("events", "CD/events", "")
"""Where events may be, in this order."""


BAD = (OSError, RuntimeError, KeyError, TypeError, AttributeError, OverflowError, MemoryError)
"""What h5py raises for broken files, besides ValueError."""


def _open(path: Path, width: int | None, height: int | None) -> Opened:
    try:
        with _file(path) as file:
            place, names, offset = _layout(path, file)
            node = file[place] if place else file
            told = {key: value for level in (node, file) for key, value in level.attrs.items()}
            sides = [int(told[key]) for key in ("width", "height") if key in told and np.ndim(told[key]) == 0]
    except BAD as error:
        raise ValueError(f"{path} (hdf5) is damaged ({error}), expected a whole file; copy it again.") from error
    size = sensor(NAME, path, (sides[0], sides[1]) if len(sides) == 2 else None, width, height)
    about = {"layout": f"{place or '/'}: {', '.join(names.values())}", "time offset": f"{offset} µs"}
    return Opened(*size, partial(_blocks, path, place, names, offset, *size), about)


def _file(path: Path) -> Any:
    import h5py

    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise ValueError(f"{path} (hdf5) cannot be opened ({error}), expected a whole file; copy it again.") from error


def _layout(path: Path, file: Any) -> tuple[str, dict[str, str], int]:
    """Group or table of the events, the name of each column in it, and microseconds to add to t."""
    for place in GROUPS:
        node: Any = file.get(place) if place else file
        if node is None:
            continue
        table = hasattr(node, "dtype")
        names = list(node.dtype.names or ()) if table else [key for key in node if hasattr(node[key], "dtype")]
        if not names:
            continue
        found = roles(NAME, path, [n for n in names if n not in ("t_offset", "ms_to_idx")])
        shapes = {node.shape} if table else {node[name].shape for name in found.values()}
        if len(shapes) != 1 or len(next(iter(shapes))) != 1:
            raise ValueError(f"{path} (hdf5) has columns of {sorted(shapes)}, expected one length [N]; mend them.")
        return place, found, _offset(path, file, node)
    raise ValueError(
        f"{path} (hdf5) has {', '.join(list(file)[:8]) or 'nothing'}, expected events/ or CD/events with t, x, y, p; "
        "convert it."
    )


def _offset(path: Path, file: Any, node: Any) -> int:
    for level in (node, file):
        if hasattr(level, "keys") and "t_offset" in level:
            value = np.asarray(level["t_offset"][()])
            if value.size != 1 or value.dtype.kind not in "iu":
                raise ValueError(f"{path} (hdf5) has a t_offset of {value.shape} {value.dtype}, expected one number.")
            return int(value.reshape(()))
    return 0


def _blocks(
    path: Path, place: str, names: dict[str, str], offset: int, width: int, height: int, count: int
) -> Iterator[EventStream]:
    decoder, count = Decoder(NAME, path, width, height), min(count, BLOCK)
    with _file(path) as file:
        node = file[place] if place else file
        table = bool(getattr(node, "dtype", None))
        length = len(node) if table else len(node[names["t"]])
        for begin in range(0, length, count):
            part = slice(begin, begin + count)
            try:
                rows = node[part] if table else None
                t, x, y, p = (rows[n] if rows is not None else node[n][part] for n in (names[role] for role in "txyp"))
            except BAD as error:
                raise ValueError(
                    f"{path} (hdf5) cannot be read from event {begin} on ({error}), expected whole data in a "
                    "compression that h5py knows; copy it again."
                ) from error
            yield decoder.stream(t, x, y, p, offset)


def _write(path: Path, blocks: Iterable[EventStream], width: int, height: int) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        group = file.create_group("events")
        group.attrs["width"], group.attrs["height"] = width, height
        kinds = {"t": np.int64, "x": np.uint16, "y": np.uint16, "p": np.uint8}
        columns = {
            name: group.create_dataset(name, (0,), kind, maxshape=(None,), chunks=(1 << 16,), compression="gzip",
                                       compression_opts=4, shuffle=True)
            for name, kind in kinds.items()
        }  # fmt: skip
        for block in blocks:
            for name, column in columns.items():
                column.resize(len(column) + len(block), 0)
                if len(block):
                    column[-len(block) :] = getattr(block, name)


HDF5 = Format(NAME, (".h5", ".hdf5"), lambda head, path: head.startswith(MAGIC), _open, _write)
"""HDF5, known by its signature."""
