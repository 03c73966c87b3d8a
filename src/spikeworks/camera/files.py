"""Any file of a spike camera: opened without reading it, written whole or not at all."""

from __future__ import annotations

from pathlib import Path

from ..disk import whole
from .formats import ALL, Format, Told
from .formats.base import HEAD, ORDERS
from .stream import SpikeStream


def open(
    path: str | Path, height: int | None = None, width: int | None = None, rate: float | None = None,
    flip: bool | None = None, row: int | None = None, format: str | None = None, *, order: str | None = None,
    partial: bool = False, check: bool = True,
) -> SpikeStream:  # fmt: skip
    """A recording, of which nothing is decoded yet; its format is told by its first bytes, or else by its suffix.

    What a file tells need not be said, and what is said must agree with it.

    :param path: a container (``.spikes``), packed frames (``.dat``), a capture of the megapixel camera, arrays of NumPy
        (``.npy``, ``.npz``) or HDF5 (``.h5``); see :mod:`spikeworks.camera.formats`.
    :param height: rows. :param width: columns.
    :param rate: frames a second, Hz; where nobody says it, :data:`~spikeworks.camera.RATE`.
    :param flip: the lowest row is stored first. Where nobody says it, so it is in packed frames, and not in others.
    :param row: of packed frames: cells of a stored row, if there are more than pixels.
    :param format: the format's name; ``"headed"``: packed frames with 16 cells behind each row.
    :param order: of arrays: ``"THW"`` or ``"HWT"``; needed where the size does not tell which axis is time.
    :param partial: read what is whole of a file that is cut off, or of a capture that goes out of step.
    :param check: of packed frames: compare the size with what a few frames show, and refuse one that they contradict.
    :raises ValueError: for a file that is absent, empty, foreign, cut off, or not of what is said.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path} is not a file, expected a recording of a spike camera; check the path.")
    with path.open("rb") as file:
        head = file.read(HEAD)
    if not head:
        raise ValueError(f"{path} is empty, expected a recording of a spike camera; copy it again.")
    if order is not None and order not in ORDERS:
        raise ValueError(f"open got order={order!r}, expected one of {', '.join(ORDERS)}.")
    if (height is None) != (width is None):
        raise ValueError(f"{path} got height={height}, width={width}, expected both or none.")
    found = _named(format) if format is not None else _recognised(head, path)
    for option, value in (("row", row), ("order", order), ("partial", partial or None)):
        if value is not None and option not in found.options:
            raise ValueError(f"{path} ({found.name}) got {option}={value!r}, which means nothing there; leave it out.")
    return found.open(path, Told(height, width, rate, flip, row, order, partial, check))


def write(path: str | Path, stream: SpikeStream, format: str | None = None) -> None:
    """Write a stream, whole or not at all; what is read again shows the same pictures.

    :param path: its suffix says the format: ``.spikes`` (the container), ``.dat`` (packed, the lowest row first, as
        cameras write it), ``.npz`` and ``.npy`` (upright, time first), ``.h5`` (packed). ``.dat`` and ``.npy`` do not
        tell the size nor the rate.
    :param format: the format's name, where the suffix does not say it.
    :raises ValueError: for a format that cannot be written, or what it cannot hold; the file is left as it was.
    """
    path = Path(path)
    chosen = _by_suffix(path) if format is None else _named(format)
    if chosen.write is None:
        can = ", ".join(f.name for f in ALL if f.write is not None)
        raise ValueError(f"write got the format {chosen.name}, which is only read, expected one of {can}.")
    with whole(path) as temporary:
        chosen.write(temporary, stream)


def recognise(path: str | Path) -> str:
    """The name of a file's format.

    :raises ValueError: for none that is known.
    """
    path = Path(path)
    with path.open("rb") as file:
        return _recognised(file.read(HEAD), path).name


def _named(name: str) -> Format:
    found = next((f for f in ALL if f.name == name), None)
    if found is None:
        raise ValueError(f"format got {name!r}, expected one of {', '.join(f.name for f in ALL)}.")
    return found


def _by_suffix(path: Path) -> Format:
    found = next((f for f in ALL if path.suffix.lower() in f.suffixes and f.write is not None), None)
    if found is None:
        known = ", ".join(f"{f.suffixes[0]} ({f.name})" for f in ALL if f.write is not None and f.suffixes)
        raise ValueError(f"write got {path.name}, whose suffix says no format, expected {known}; or pass format=.")
    return found


def _recognised(head: bytes, path: Path) -> Format:
    found = next((f for f in ALL if f.recognises(head, path)), None)
    if found is None:
        raise ValueError(
            f"{path} begins with {head[:16]!r}, which is no format known here, expected one of "
            f"{', '.join(f.name for f in ALL)}; name it by format= if you know it."
        )
    return found
