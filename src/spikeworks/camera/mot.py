"""Tracks as text, one box a line, as the MOT challenges write them: ``frame,id,x,y,w,h,conf,-1,-1,-1``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..disk import whole


class Sightings(NamedTuple):
    """Boxes of things with names, in any order.

    :param frame: ``[N]``, counted from the begin of the recording. :param identity: ``[N]``.
    :param box: (x, y, w, h) in pixels of the picture, ``[N, 4]``.
    :param confidence: ``[N]``; in ground truth, 0 marks boxes that are not to be counted.
    """

    frame: NDArray[np.int64]
    identity: NDArray[np.int64]
    box: NDArray[np.float64]
    confidence: NDArray[np.float64]


def read_mot(path: str | Path) -> Sightings:
    """Read what a tracker or a labeller wrote: at least ``frame,id,x,y,w,h``, with commas; 7th: confidence, else 1.

    Frames are taken as they stand. Lines with an id of -1, detections without a name, are read like others. Empty lines
    count as none.

    :raises ValueError: for a file that is absent, or a line that is not of this kind: fewer or other values, fractions
        of a frame, sizes below 0, or a second box of one thing in one frame; its number is told.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path} is not a file, expected boxes as frame,id,x,y,w,h,…; check the path.")
    rows: list[list[float]] = []
    seen: dict[tuple[float, float], int] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        if not line.strip():
            continue
        row = _row(line)
        if row is None:
            raise ValueError(
                f"{path}, line {number}: {line[:80]!r}, expected frame,id,x,y,w,h[,confidence,…] with commas, whole "
                "frames from 0 and ids, and sizes of at least 0."
            )
        name = (row[0], row[1])
        if row[1] >= 0 and name in seen:
            raise ValueError(
                f"{path}, line {number}: a second box of {row[1]:g} in frame {row[0]:g} after line {seen[name]}, "
                "expected one; take one out."
            )
        seen[name] = number
        rows.append(row)
    table = np.array(rows, np.float64).reshape(-1, 7)
    return Sightings(
        table[:, 0].astype(np.int64), table[:, 1].astype(np.int64), table[:, 2:6].copy(), table[:, 6].copy()
    )


def write_mot(path: str | Path, sightings: Sightings) -> None:
    """Write boxes in order of frame and identity, whole or not at all; places are rounded to 1/100 pixel."""
    order = np.lexsort((sightings.identity, sightings.frame))
    with whole(path) as temporary, temporary.open("w", encoding="ascii", newline="\n") as file:
        for k in order:
            x, y, w, h = (f"{value:.2f}" for value in sightings.box[k])
            name = f"{sightings.frame[k]},{sightings.identity[k]}"
            file.write(f"{name},{x},{y},{w},{h},{sightings.confidence[k]:g},-1,-1,-1\n")


def _row(line: str) -> list[float] | None:
    parts = line.split(",")
    try:
        values = [float(part) for part in parts[:7]]
    except ValueError:
        return None
    if len(values) < 6 or not all(map(math.isfinite, values)):
        return None
    frame, identity, _, _, w, h, *_ = values
    if frame < 0 or not frame.is_integer() or not identity.is_integer() or abs(identity) > 2**53 or min(w, h) < 0:
        return None
    return [*values, 1.0][:7]
