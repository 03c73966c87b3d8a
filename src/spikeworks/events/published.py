"""Published data sets in the layouts in which they are handed out: nothing is fetched, nothing half unpacked is taken.

Each function takes the folder that the archives unpack to, and says what it lacks and where that comes from.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from .dataset import EventDataset, Recording, recordings_in

GESTURES = (
    "hand clapping", "right hand wave", "left hand wave", "right arm clockwise", "right arm counter clockwise",
    "left arm clockwise", "left arm counter clockwise", "arm roll", "air drums", "air guitar", "other gestures",
)  # fmt: skip


def nmnist(root: str | Path, train: bool, partial: bool = False) -> EventDataset:
    """N-MNIST: ``Train/0/00002.bin`` …, ``Test/…``; 60,000 and 10,000 recordings of 34×34.

    :param root: the folder with ``Train`` and ``Test``. :param train: which of them.
    :param partial: take fewer recordings than there should be.
    :raises ValueError: for a folder that lacks recordings. Orchard et al., Frontiers in Neuroscience 2015.
    """
    place, total = Path(root) / ("Train" if train else "Test"), 60_000 if train else 10_000
    found = [Recording(f, digit) for digit in range(10) for f in _class_files(place / str(digit), ".bin", NMNIST)]
    _complete(place, len(found), total, partial, NMNIST)
    return EventDataset(f"N-MNIST {place.name}", tuple(map(str, range(10))), tuple(found), 34, 34, "atis")


NMNIST = "get Train.zip and Test.zip from garrickorchard.com/datasets/n-mnist and unpack both there"


def ncars(root: str | Path, train: bool, partial: bool = False) -> EventDataset:
    """N-CARS: ``n-cars_train/cars``, ``n-cars_train/background``, ``n-cars_test/…``; 15,422 and 8,607 recordings.

    :param root: the folder with these. :param train: which. :param partial: take fewer than there should be.
    :raises ValueError: for a folder that lacks recordings. Sironi et al., CVPR 2018. The sensor is of 304×240; a
        recording is the part of it with the car, at most 120×100.
    """
    place, total = Path(root) / ("n-cars_train" if train else "n-cars_test"), 15_422 if train else 8_607
    classes = ("background", "cars")
    found = [Recording(f, i) for i, name in enumerate(classes) for f in _class_files(place / name, ".dat", NCARS)]
    _complete(place, len(found), total, partial, NCARS)
    return EventDataset(f"N-CARS {place.name}", classes, tuple(found), 120, 100)


NCARS = "get it from prophesee.ai/dataset-n-cars and unpack it there"


def dvs_gesture(root: str | Path, train: bool, partial: bool = False) -> EventDataset:
    """DVS128 Gesture: ``user01_fluorescent.aedat`` … with ``…_labels.csv`` beside, cut into 1,176 and 288 gestures.

    The split is the official one, by users: ``trials_to_train.txt`` and ``trials_to_test.txt`` name the recordings.

    :param root: the folder ``DvsGesture``. :param train: which. :param partial: take fewer than there should be.
    :raises ValueError: for a folder that lacks recordings or labels. Amir et al., CVPR 2017.
    """
    root = Path(root)
    listed = root / f"trials_to_{'train' if train else 'test'}.txt"
    if not listed.is_file():
        raise ValueError(f"{listed} is not there, expected the list of recordings; {GESTURE}.")
    found: list[Recording] = []
    for name in filter(None, map(str.strip, listed.read_text().splitlines())):
        file, labels = root / name, root / f"{name.removesuffix('.aedat')}_labels.csv"
        if file.is_file() and labels.is_file():
            found += [Recording(file, label, start, stop) for label, start, stop in _gestures(labels)]
        elif not partial:
            raise ValueError(f"{root} lacks {name} or its labels, which {listed.name} names; {GESTURE}.")
    _complete(root, len(found), 1176 if train else 288, partial, GESTURE)
    return EventDataset(f"DVS128 Gesture {'train' if train else 'test'}", GESTURES, tuple(found), 128, 128)


GESTURE = "get DvsGesture.tar.gz from research.ibm.com/interactive/dvsgesture and unpack it there"


def cifar10_dvs(root: str | Path, train: bool, partial: bool = False) -> EventDataset:
    """CIFAR10-DVS: ``airplane/cifar10_airplane_0.aedat`` …, 1,000 of each of ten classes, 128×128.

    There is no official split. Here, as in work since TEBN (Duan et al., NeurIPS 2022; from public code), of each class
    numbers 0 to 99 are for test and 100 to 999 for training.

    :param root: the folder with the ten. :param train: which. :param partial: take fewer than there should be.
    :raises ValueError: for a folder that lacks recordings. Li et al., Frontiers in Neuroscience 2017.
    """
    root = Path(root)
    classes = tuple(sorted(p.name for p in root.iterdir() if p.is_dir())) if root.is_dir() else ()
    if len(classes) != 10:
        raise ValueError(f"{root} holds {len(classes)} folders, expected the ten classes; {CIFAR}.")
    found: list[Recording] = []
    for label, name in enumerate(classes):
        files = sorted(_class_files(root / name, ".aedat", CIFAR), key=_number)
        if len(files) != 1000 and not partial:
            raise ValueError(f"{root / name} holds {len(files)} recordings, expected 1000; {CIFAR}.")
        found += [Recording(f, label) for f in files if (_number(f) >= 100) is train]
    return EventDataset(f"CIFAR10-DVS {'train' if train else 'test'}", classes, tuple(found), 128, 128)


CIFAR = "get the ten archives from figshare.com/articles/dataset/CIFAR10-DVS_New/4724671 and unpack them there"


def ncaltech101(root: str | Path, partial: bool = False) -> EventDataset:
    """N-Caltech101: ``accordion/image_0001.bin`` …, 8,709 recordings of 101 classes and a background, up to 240×180.

    There is no official split: draw one yourself, and say how.

    :param root: the folder ``Caltech101``. :param partial: take fewer than there should be.
    :raises ValueError: for a folder that lacks recordings. Orchard et al., Frontiers in Neuroscience 2015.
    """
    root = Path(root)
    classes = tuple(sorted(p.name for p in root.iterdir() if p.is_dir())) if root.is_dir() else ()
    found = [Recording(f, i) for i, name in enumerate(classes) for f in _class_files(root / name, ".bin", CALTECH)]
    _complete(root, len(found), 8_709, partial, CALTECH)
    return EventDataset("N-Caltech101", classes, tuple(found), 240, 180, "atis")


CALTECH = "get Caltech101.zip from garrickorchard.com/datasets/n-caltech101 and unpack it there"


def _class_files(place: Path, suffix: str, source: str) -> list[Path]:
    if not place.is_dir():
        raise ValueError(f"{place} is not there, expected a folder of {suffix} files; {source}.")
    return [f for f in recordings_in(place) if f.suffix == suffix]


def _complete(place: Path, found: int, total: int, partial: bool, source: str) -> None:
    if found != total and not (partial and found):
        raise ValueError(
            f"{place} holds {found:,} of {total:,} recordings; {source}, or pass partial=True to go on with these."
        )


def _number(file: Path) -> int:
    digits = file.stem.rpartition("_")[2]
    if not digits.isdigit():
        raise ValueError(f"{file} has no number at the end of its name, expected cifar10_class_0.aedat; {CIFAR}.")
    return int(digits)


def _gestures(labels: Path) -> Iterable[tuple[int, int, int]]:
    """Label from 0, first microsecond and microsecond after the last of each gesture in a recording."""
    with labels.open(newline="") as file:
        try:
            for row in csv.DictReader(file):
                label, start, stop = (int(row[key]) for key in ("class", "startTime_usec", "endTime_usec"))
                if not (1 <= label <= len(GESTURES) and start < stop):
                    raise ValueError(f"class {label} from {start} to {stop}")
                yield label - 1, start, stop
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{labels} has a line that is no gesture ({error}), expected class,startTime_usec,endTime_usec; "
                f"{GESTURE}."
            ) from error
