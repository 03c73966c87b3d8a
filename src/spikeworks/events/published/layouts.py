"""Published data sets that are folders of recordings, a class each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..dataset import IGNORED, EventDataset, Recording, recordings_in
from . import facts
from .facts import Published

LETTERS = tuple("abcdefghiklmnopqrstuvwxy")
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

CIFAR10_SPLIT = {
    "train": "519ae3abadac048201a1df3d4bc41660f24d89b91155f37f4837532d82c8db6a",
    "test": "fa518fed4204d8ad4458e48392df4f30bdd3d946bf8e99dcb978b0a7d2998be2",
}
"""What :attr:`~spikeworks.events.EventDataset.checksum` gives for the whole CIFAR10-DVS, split as here."""


def nmnist(root: str | Path, train: bool, partial: bool = False) -> EventDataset:
    """N-MNIST: ``Train/0/00002.bin`` …, ``Test/…``; 60,000 and 10,000 recordings of 34×34. Official split.

    :param root: the folder with ``Train`` and ``Test``. :param train: which of them.
    :param partial: take fewer recordings than there should be.
    :raises ValueError: for a folder that lacks recordings. Orchard et al., Frontiers in Neuroscience 2015.
    """
    root, digits = Path(root), tuple(map(str, range(10)))
    found = _found(root / ("Train" if train else "Test"), digits, ".bin")
    return _official(facts.NMNIST, root, train, digits, found, partial, 34, 34, "atis")


def ncars(root: str | Path, train: bool, partial: bool = False) -> EventDataset:
    """N-CARS: ``n-cars_train/cars``, ``n-cars_train/background``, ``n-cars_test/…``; 15,422 and 8,607 recordings.

    :param root: the folder with these, which may be called ``train`` and ``test``, too. :param train: which.
    :param partial: take fewer than there should be.
    :raises ValueError: for a folder that lacks recordings. Sironi et al., CVPR 2018. The sensor is of 304×240; a
        recording is the part of it with the car, at most 120×100.
    """
    root, part, classes = Path(root), "train" if train else "test", ("background", "cars")
    place = root / part if (root / part).is_dir() else root / f"n-cars_{part}"
    return _official(facts.NCARS, root, train, classes, _found(place, classes, ".dat"), partial, 120, 100)


def cifar10_dvs(root: str | Path, train: bool | None, partial: bool = False) -> EventDataset:
    """CIFAR10-DVS: ``airplane/cifar10_airplane_0.aedat`` …, 1,000 of each of ten classes, 128×128.

    There is no official split. Here, as in work since TEBN (Duan et al., NeurIPS 2022; from public code), of each class
    numbers 0 to 99 are for test and 100 to 999 for training; :data:`CIFAR10_SPLIT` has the checksums.

    :param root: the folder with the ten. :param train: which; ``None``: all.
    :param partial: take fewer than there should be.
    :raises ValueError: for a folder that lacks recordings. Li et al., Frontiers in Neuroscience 2017.
    """
    root, about = Path(root), facts.CIFAR10_DVS
    found = [sorted(files, key=_number) for files in _found(root, CIFAR10, ".aedat")]
    about.whole(root, root, "", sum(map(len, found)), partial)
    for name, files in zip(CIFAR10, found, strict=True):
        if not partial and [_number(f) for f in files] != list(range(1000)):
            raise ValueError(
                f"{root / name} holds other names than cifar10_{name}_0.aedat to cifar10_{name}_999.aedat, by which "
                f"the split goes; {about.by_hand(root)}."
            )
    chosen = [[f for f in files if train is None or (_number(f) >= 100) is train] for files in found]
    return _made(about, root, _part(train), CIFAR10, chosen, 128, 128)


def ncaltech101(root: str | Path, train: bool | None, partial: bool = False) -> EventDataset:
    """N-Caltech101: ``accordion/image_0001.bin`` …, 8,709 recordings of 100 classes and a background, up to 240×180.

    There is no official split. Here, of each class in the order of names, every tenth is for test: the tenth, the
    twentieth, and so on.

    :param root: the folder ``Caltech101``, or the one with it. :param train: which; ``None``: all.
    :param partial: take fewer than there should be; which are for test then goes by those that are there.
    :raises ValueError: for a folder that lacks recordings. Orchard et al., Frontiers in Neuroscience 2015.
    """
    root, about = Path(root), facts.NCALTECH101
    place = root / "Caltech101" if (root / "Caltech101").is_dir() else root
    classes = tuple(sorted(p.name for p in place.iterdir() if p.is_dir())) if place.is_dir() else ()
    classes = tuple(name for name in classes if name != "archives" and not name.startswith(IGNORED))
    found = _found(place, classes, ".bin")
    about.whole(root, place, "", sum(map(len, found)), partial)
    chosen = [_every(10, files, train) for files in found]
    return _made(about, place, _part(train), classes, chosen, 240, 180, "atis")


def asl_dvs(root: str | Path, train: bool | None, partial: bool = False) -> EventDataset:
    """ASL-DVS: ``a/a_0001.mat`` …, 4,200 handshapes of each of 24 letters (no j, no z), 240×180.

    There is no official split; the paper draws a fifth at random for test. Here, of each letter in the order of names,
    every fifth is for test: the fifth, the tenth, and so on.

    :param root: the folder with the letters. :param train: which; ``None``: all.
    :param partial: take fewer than there should be; which are for test then goes by those that are there.
    :raises ValueError: for a folder that lacks recordings. Bi et al., ICCV 2019.
    """
    root, about = Path(root), facts.ASL_DVS
    found = _found(root, LETTERS, ".mat")
    about.whole(root, root, "", sum(map(len, found)), partial)
    chosen = [_every(5, files, train) for files in found]
    return _made(about, root, _part(train), LETTERS, chosen, 240, 180, "asl_dvs")


def _found(place: Path, classes: Sequence[str], suffix: str) -> list[list[Path]]:
    return [recordings_in(place / name, suffix) for name in classes]


def _every(step: int, files: list[Path], train: bool | None) -> list[Path]:
    return [f for i, f in enumerate(files, 1) if train is None or (i % step > 0) is train]


def _part(train: bool | None) -> str:
    return {True: "train", False: "test", None: "all"}[train]


def _official(
    about: Published, root: Path, train: bool, classes: tuple[str, ...], found: list[list[Path]], partial: bool,
    width: int, height: int, format: str | None = None,
) -> EventDataset:  # fmt: skip
    about.whole(root, root, _part(train), sum(map(len, found)), partial)
    return _made(about, root, _part(train), classes, found, width, height, format)


def _made(
    about: Published, root: Path, part: str, classes: tuple[str, ...], files: list[list[Path]], width: int, height: int,
    format: str | None = None,
) -> EventDataset:  # fmt: skip
    recordings = tuple(Recording(file, label) for label, those in enumerate(files) for file in those)
    return EventDataset(f"{about.name} {part}", classes, recordings, width, height, format, root)


def _number(file: Path) -> int:
    digits = file.stem.rpartition("_")[2]
    if not digits.isdecimal() or len(digits) > 9:
        raise ValueError(f"{file} has no number at the end of its name, expected cifar10_class_0.aedat; name it so.")
    return int(digits)
