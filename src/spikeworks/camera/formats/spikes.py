"""``.spikes``: the container of this package, see :mod:`spikeworks.camera.container`."""

from __future__ import annotations

from pathlib import Path

from ..container import is_container, open_container, write_container
from ..stream import SpikeStream
from .base import Format, Told


def _open(path: Path, told: Told) -> SpikeStream:
    stream = open_container(path)
    told.size(path, stream.height, stream.width)
    told.frequency(path, stream.rate)
    told.agreed(path, "flip", stream.layout.flip)
    return stream


SPIKES = Format("spikes", (".spikes",), lambda head, _: is_container(head), _open, write_container)
