"""ES-ImageNet: the images of ILSVRC2012, moved by a program."""

from __future__ import annotations

import re
from pathlib import Path

from ..dataset import EventDataset, Recording, recordings_in
from .facts import ES_IMAGENET

CLASSES = tuple(map(str, range(1000)))


def es_imagenet(root: str | Path, train: bool, partial: bool = False) -> EventDataset:
    """ES-ImageNet: ``train/class0/….npz`` …, and ``val/….npz`` with ``vallabel.txt``; 1,257,035 and 49,881, 256×256.

    The split is the official one; test is the validation part of ILSVRC2012. ``t`` is a step from 1 to 8, in place of
    microseconds, so ``Framing(8)`` has a step in each frame. What is confirmed is what a public reader takes
    (SpikingJelly): folders, ``vallabel.txt`` (name, label and more in a line), the arrays and their columns. The counts
    are those of the paper; they are not confirmed on the files themselves.

    :param root: the folder ``ES-imagenet-0.18``, or the one with it. :param train: which.
    :param partial: take fewer than there should be.
    :raises ValueError: for a folder that lacks recordings. Lin et al., Frontiers in Neuroscience 2021.
    """
    top, part = Path(root), "train" if train else "test"
    root = top / "ES-imagenet-0.18" if (top / "ES-imagenet-0.18").is_dir() else top
    if train:
        places = [(root / "train" / f"class{label}", label) for label in range(len(CLASSES))]
        found = [Recording(file, label) for place, label in places for file in recordings_in(place, ".npz")]
    else:
        there = {file.name: file for file in recordings_in(root / "val", ".npz")}
        listed = root / "vallabel.txt"
        rows = sorted(_rows(listed)) if listed.is_file() else []
        found = [Recording(there[name], label) for name, label in rows if name in there]
    ES_IMAGENET.whole(top, root, part, len(found), partial)
    return EventDataset(f"ES-ImageNet {part}", CLASSES, tuple(found), 256, 256, "es_imagenet", root)


def _rows(listed: Path) -> list[tuple[str, int]]:
    rows: dict[str, int] = {}
    for n, line in enumerate(listed.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        found = re.match(r"\s*([\w.-]+)\s+(\d{1,3})(?:\s|$)", line)
        if found is None or found[1] in rows:
            raise ValueError(
                f"{listed}, line {n}, is {line!r:.80}, expected another name and a label from 0 to 999; "
                f"{ES_IMAGENET.by_hand(listed.parent)}."
            )
        rows[found[1]] = int(found[2])
    return list(rows.items())
