"""DVS128 Gesture: long recordings of one person, cut by tables of labels."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from ..dataset import EventDataset, Recording
from .facts import DVS_GESTURE

GESTURES = (
    "hand clapping", "right hand wave", "left hand wave", "right arm clockwise", "right arm counter clockwise",
    "left arm clockwise", "left arm counter clockwise", "arm roll", "air drums", "air guitar", "other gestures",
)  # fmt: skip


def dvs_gesture(root: str | Path, train: bool, partial: bool = False) -> EventDataset:
    """DVS128 Gesture: ``user01_fluorescent.aedat`` … with ``…_labels.csv`` beside, cut into 1,176 and 288 gestures.

    The split is the official one, by users: ``trials_to_train.txt`` and ``trials_to_test.txt`` name the recordings.
    A gesture takes reading its file up to there: keep frames in a cache.

    :param root: the folder ``DvsGesture``, or the one with it. :param train: which.
    :param partial: take fewer than there should be.
    :raises ValueError: for a folder that lacks recordings or labels. Amir et al., CVPR 2017.
    """
    top, part = Path(root), "train" if train else "test"
    root = top / "DvsGesture" if (top / "DvsGesture").is_dir() else top
    listed, found = root / f"trials_to_{part}.txt", list[Recording]()
    for name in _names(listed) if listed.is_file() else ():
        file, labels = root / name, root / f"{name.removesuffix('.aedat')}_labels.csv"
        if file.is_file() and labels.is_file():
            found += [Recording(file, label, start, stop) for label, start, stop in _gestures(labels)]
    DVS_GESTURE.whole(top, root, part, len(found), partial)
    return EventDataset(f"DVS128 Gesture {part}", GESTURES, tuple(found), 128, 128, root=root)


def _names(listed: Path) -> Iterator[str]:
    for name in filter(None, map(str.strip, listed.read_text(encoding="utf-8").splitlines())):
        if Path(name).name != name:
            raise ValueError(
                f"{listed} has {name!r:.80}, expected names of files; {DVS_GESTURE.by_hand(listed.parent)}."
            )
        yield name


def _gestures(labels: Path) -> Iterator[tuple[int, int, int]]:
    """Label from 0, first microsecond and microsecond after the last of each gesture in a recording."""
    with labels.open(newline="", encoding="utf-8") as file:
        try:
            for row in csv.DictReader(file):
                label, start, stop = (int(row[key]) for key in ("class", "startTime_usec", "endTime_usec"))
                if not (1 <= label <= len(GESTURES) and 0 <= start < stop):
                    raise ValueError(f"class {label} from {start} to {stop}")
                yield label - 1, start, stop
        except (KeyError, TypeError, ValueError, csv.Error) as error:
            raise ValueError(
                f"{labels} has a line that is no gesture ({error}), expected class,startTime_usec,endTime_usec; "
                f"{DVS_GESTURE.by_hand(labels.parent)}."
            ) from error
