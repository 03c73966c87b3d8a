"""Spoken words as spikes of an artificial cochlea, one HDF5 file a part: 700 channels as a sensor of one row."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from ..dataset import EventDataset, Recording
from ..formats.audio import CHANNELS, labels_of
from .facts import SHD, SSC, Published


def shd(root: str | Path, train: bool, partial: bool = False) -> EventDataset:
    """Spiking Heidelberg Digits: ten digits in English and German; ``shd_train.h5``, ``shd_test.h5``; 8,156 and 2,264.

    The split is the official one; two of the twelve speakers are in the test part only. Needs h5py.

    :param root: the folder with the two files, each of which may lie in a folder of its name. :param train: which.
    :param partial: take another number than there should be.
    :raises ValueError: for a file that is absent, damaged or lacks recordings. Cramer et al., IEEE TNNLS 2022.
    """
    return _spoken(SHD, Path(root), "train" if train else "test", 20, partial)


def ssc(root: str | Path, part: Literal["train", "valid", "test"], partial: bool = False) -> EventDataset:
    """Spiking Speech Commands: 35 words; ``ssc_train.h5``, ``ssc_valid.h5``, ``ssc_test.h5``; 75,466, 9,981 and 20,382.

    The split is the official one. Needs h5py.

    :param root: the folder with the three files, each of which may lie in a folder of its name. :param part: which.
    :param partial: take another number than there should be.
    :raises ValueError: for a file that is absent, damaged or lacks recordings. Cramer et al., IEEE TNNLS 2022.
    """
    return _spoken(SSC, Path(root), part, 35, partial)


def _spoken(about: Published, root: Path, part: str, classes: int, partial: bool) -> EventDataset:
    name = f"{about.key}_{part}"
    path = root / f"{name}.h5" if (root / f"{name}.h5").is_file() else root / name / f"{name}.h5"
    labels = labels_of(path) if path.is_file() else []
    about.whole(root, path if labels else root, part, len(labels), partial)
    if not 0 <= min(labels) <= max(labels) < classes:
        raise ValueError(
            f"{path} holds labels from {min(labels)} to {max(labels)}, expected 0 to {classes - 1}; "
            f"{about.by_hand(root)}."
        )
    # the root of names is the file's folder, so that they do not depend on which of the two ways it lies there
    recordings = tuple(Recording(path, label, place=i) for i, label in enumerate(labels))
    return EventDataset(
        f"{about.name} {part}", tuple(map(str, range(classes))), recordings, CHANNELS, 1, root=path.parent
    )
