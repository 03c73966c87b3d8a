"""Labelled recordings: a file, or a part of one, and its class, read when it is asked for."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from .files import open as open_file
from .formats.audio import recording
from .stream import EventStream, concatenate, empty

IGNORED = (".", "_")
"""Files and folders that begin so are left out: what file managers and unpackers leave."""


@dataclass(frozen=True)
class Recording:
    """One sample.

    :param path: the file. :param label: its class, from 0.
    :param start: first microsecond of the part. :param stop: microsecond after its last. Both ``None``: all of it.
    :param place: which one, from 0, of a file of spoken words, which holds many; ``None``: a file of one recording.
    """

    path: Path
    label: int
    start: int | None = None
    stop: int | None = None
    place: int | None = None


@dataclass(frozen=True, repr=False)
class EventDataset:
    """Recordings in a fixed order; ``dataset[i]`` is ``(EventStream, label)``.

    :param name: for people, and for caches. :param classes: what labels are called, by label.
    :param recordings: the samples. :param width: of the sensor, where files do not tell. :param height: likewise.
    :param format: of the files, where nothing tells. :param root: the folder from which :attr:`names` begin.
    """

    name: str
    classes: tuple[str, ...]
    recordings: tuple[Recording, ...]
    width: int | None = None
    height: int | None = None
    format: str | None = None
    root: Path | None = None

    def __len__(self) -> int:
        return len(self.recordings)

    def __repr__(self) -> str:
        return (
            f"EventDataset({self.name}: {len(self):,} recordings, {len(self.classes)} classes, checksum "
            f"{self.checksum[:12]}…)"
        )

    def __getitem__(self, index: int) -> tuple[EventStream, int]:
        """Read one sample.

        :raises ValueError: for a damaged file. :raises IndexError: past the end, so that loops end.
        """
        sample = self.recordings[index]
        if sample.place is not None:
            return recording(sample.path, sample.place), sample.label
        file = open_file(sample.path, self.width, self.height, self.format)
        if sample.start is None or sample.stop is None:
            return file.read(), sample.label
        parts = [empty(file.width, file.height)]
        for block in file.blocks():
            parts.append(block.between(sample.start, sample.stop))
            if block.ordered and len(block) and int(block.t[0]) >= sample.stop:
                break
        return concatenate(parts), sample.label

    @property
    def labels(self) -> list[int]:
        """All labels, without reading a file."""
        return [sample.label for sample in self.recordings]

    @property
    def names(self) -> list[str]:
        """What each sample is called: its path from the root, with ``/``, then part or place: ``a.aedat|0|1000``."""
        found = []
        for sample in self.recordings:
            inside = self.root is not None and sample.path.is_relative_to(self.root)
            path = sample.path.relative_to(self.root) if inside and self.root is not None else sample.path
            cuts = (sample.start, sample.stop, sample.place)
            found.append("|".join([path.as_posix(), *(str(cut) for cut in cuts if cut is not None)]))
        return found

    @cached_property
    def checksum(self) -> str:
        """SHA-256 of the sorted :attr:`names`, each with a line feed behind, in UTF-8.

        Two people have the same part of a data set where it is the same; what is in the files it does not tell.
        """
        lines = "".join(f"{name}\n" for name in sorted(self.names))
        return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()

    def take(self, places: Sequence[int]) -> EventDataset:
        """Some of the samples, in that order."""
        return replace(self, recordings=tuple(self.recordings[i] for i in places))


@dataclass(frozen=True, eq=False)
class Samples:
    """Recordings that another library reads, as a dataset: samples are ``(events, target)``, where ``events`` is a
    structured array with the fields t (microseconds), x, y, p, as Tonic's data sets give them, which is not imported.

    :param samples: with a length. :param width: of the sensor. :param height: likewise; without ``y`` it has 1 row.
    """

    samples: Any
    width: int
    height: int

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[EventStream, int]:
        """One sample.

        :raises ValueError: for events without these fields, or outside the sensor.
        """
        events, target = self.samples[index]
        names = getattr(getattr(events, "dtype", None), "names", None) or ()
        if missing := [n for n in "txp" if n not in names]:
            raise ValueError(
                f"Samples got events with the fields {list(names)}, expected t, x, y, p; {', '.join(missing)} is "
                "missing."
            )
        y = events["y"] if "y" in names else np.zeros(len(events), np.int64)
        return EventStream(events["t"], events["x"], y, events["p"], self.width, self.height), int(target)


def folder(
    path: str | Path, width: int | None = None, height: int | None = None, format: str | None = None
) -> EventDataset:
    """One's own recordings: a folder per class with files of any format in it; names are sorted.

    :param width: of the sensor, where files do not tell. :param height: likewise. :param format: of the files.
    :raises ValueError: for a folder without class folders, or a class without files.
    """
    path = Path(path)
    classes = (
        [p for p in sorted(path.iterdir()) if p.is_dir() and not p.name.startswith(IGNORED)] if path.is_dir() else []
    )
    if not classes:
        raise ValueError(f"{path} holds no folders, expected one for each class with its recordings in it.")
    found: list[Recording] = []
    for label, place in enumerate(classes):
        files = recordings_in(place)
        if not files:
            raise ValueError(f"{place} holds no recordings, expected some of its class; remove it, or fill it.")
        found += [Recording(file, label) for file in files]
    return EventDataset(path.name, tuple(p.name for p in classes), tuple(found), width, height, format, path)


def recordings_in(place: Path, suffix: str = "") -> list[Path]:
    """The files of a folder in the order of their names; none where there is no folder."""
    if not place.is_dir():
        return []
    with os.scandir(place) as entries:  # asks the disk once for a folder, not once for each of a million files
        names = [e.name for e in entries if e.name.endswith(suffix) and not e.name.startswith(IGNORED) and e.is_file()]
    return [place / name for name in sorted(names)]
