"""Spoken words as spikes of an artificial inner ear: the Spiking Heidelberg Digits and Speech Commands, in HDF5.

Layout (Cramer, Stradmann, Schemmel, Zenke 2022, "The Heidelberg spiking data sets", section II; zenkelab.org):
``spikes/times`` and ``spikes/units`` with a list for each recording, ``labels``, and ``extra/speaker`` in SHD. Needs
h5py.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..stream import EventStream
from .hdf5 import plain, reading

CHANNELS = 700


def recordings(path: str | Path) -> Iterator[tuple[EventStream, int, int | None]]:
    """One recording after another, read when it is asked for: its spikes, its label, who spoke (``None``: not told).

    A channel is x, of 700; y is 0 and p is 1. Times are seconds in the file, of 16 or 32 bits, and are rounded to whole
    microseconds here; half precision itself is no finer than half a millisecond from 0.5 s to 1 s. Spikes are in the
    order of the file.

    HDF5 itself may crash on lists whose bytes were changed: open a file of doubtful origin in a process of its
    own. A file that was cut is refused.

    :raises ValueError: for a file that is damaged, of another layout, or has times or channels that cannot be.
    """
    with _opened(Path(path)) as (times, units, labels, speakers):
        for i in range(len(times)):
            speaker = None if speakers is None else int(speakers[i])
            yield _stream(f"{path} (audio), recording {i}", times[i], units[i]), int(labels[i]), speaker


def recording(path: str | Path, place: int) -> EventStream:
    """One recording, from 0. The file is opened for it, so processes may read one file.

    :raises ValueError: as :func:`recordings` does, and past the end.
    """
    with _opened(Path(path)) as (times, units, *_):
        if not 0 <= place < len(times):
            raise ValueError(f"{path} (audio) has {len(times)} recordings, got the place {place}; fetch it again.")
        return _stream(f"{path} (audio), recording {place}", times[place], units[place])


def labels_of(path: str | Path) -> list[int]:
    """The label of every recording. :raises ValueError: as :func:`recordings` does."""
    with _opened(Path(path)) as (_, _, found, _):
        return found[:].tolist()


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Any, Any, Any]]:
    """Times, units, labels, and speakers or ``None``, of one length."""
    if not path.is_file():
        raise ValueError(f"{path} is not a file, expected an HDF5 file of SHD or SSC; check the path.")
    with reading(path) as file:
        found = [plain(file, name) for name in ("spikes/times", "spikes/units", "labels", "extra/speaker")]
        if any(column is None for column in found[:3]):
            raise ValueError(f"{path} (audio) has no spikes/times, spikes/units, labels, expected the layout of SHD.")
        columns = [column for column in found if column is not None]
        if len({c.shape for c in columns}) != 1 or len(columns[0].shape) != 1:
            raise ValueError(f"{path} (audio) has the shapes {[c.shape for c in columns]}, expected one length [N].")
        if any(c.dtype.kind not in "iu" for c in columns[2:]):
            raise ValueError(f"{path} (audio) has labels of {found[2].dtype}, expected whole numbers.")
        yield found[0], found[1], found[2], found[3]


def _stream(where: str, times: np.ndarray, units: np.ndarray) -> EventStream:
    seconds = np.asarray(times)
    if seconds.dtype.kind != "f" or seconds.ndim != 1:
        raise ValueError(f"{where} has times of {seconds.dtype} {seconds.shape}, expected seconds as real numbers [n].")
    seconds = seconds.astype(np.float64)
    if not ((seconds >= 0) & (seconds < 1e6)).all():
        raise ValueError(f"{where} has times that are no seconds from 0, expected finite ones.")
    n = len(seconds)
    try:
        t = np.rint(seconds * 1e6).astype(np.int64)
        return EventStream(t, units, np.zeros(n, np.uint16), np.ones(n, np.uint8), CHANNELS, 1)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
