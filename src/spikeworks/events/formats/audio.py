"""Spoken words as spikes of an artificial inner ear: the Spiking Heidelberg Digits and Speech Commands, in HDF5.

Layout (Cramer, Stradmann, Schemmel, Zenke 2022, "The Heidelberg spiking data sets", section II; zenkelab.org):
``spikes/times`` and ``spikes/units`` with a list for each recording, ``labels``, and ``extra/speaker`` in SHD. Needs
h5py.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

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
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path} is not a file, expected an HDF5 file of SHD or SSC; check the path.")
    with reading(path) as file:
        found = {name: plain(file, name) for name in ("spikes/times", "spikes/units", "labels", "extra/speaker")}
        times, units, labels, speakers = found.values()
        if times is None or units is None or labels is None:
            raise ValueError(f"{path} (audio) has no spikes/times, spikes/units, labels, expected the layout of SHD.")
        columns = [times, units, labels] + ([] if speakers is None else [speakers])
        if len({c.shape for c in columns}) != 1 or len(times.shape) != 1:
            raise ValueError(f"{path} (audio) has the shapes {[c.shape for c in columns]}, expected one length [N].")
        if any(c.dtype.kind not in "iu" for c in columns[2:]):
            raise ValueError(f"{path} (audio) has labels of {labels.dtype}, expected whole numbers.")
        for i in range(len(times)):
            where = f"{path} (audio), recording {i}"
            yield _stream(where, times[i], units[i]), int(labels[i]), None if speakers is None else int(speakers[i])


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
