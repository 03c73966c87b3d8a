"""Things that move, followed through a recording of a camera at rest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .boxes import clipped
from .detect import Detector, Look
from .follow import Follower, nobody
from .mot import Sightings
from .stream import BLOCK, SpikeStream


class Seen(NamedTuple):
    """What is in the picture at one time.

    :param frame: counted from the begin of the recording. :param identity: ``[N]``, of firm things, in order.
    :param box: where they are, ``[N, 4]`` of (x, y, w, h).
    :param seen: whether they were seen or only expected, ``[N]``.
    """

    frame: int
    identity: NDArray[np.int64]
    box: NDArray[np.float64]
    seen: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Track:
    """One thing: its number, and where it was.

    :param identity: from 1. :param frames: in order, ``[N]``, counted from the begin of the recording.
    :param boxes: (x, y, w, h) in pixels of the picture, ``[N, 4]``.
    """

    identity: int
    frames: NDArray[np.int64]
    boxes: NDArray[np.float64]

    def at(self, frame: float) -> NDArray[np.float64] | None:
        """The box at a frame, on a straight line between those before and behind it; ``None`` outside the track."""
        if not len(self.frames) or not self.frames[0] <= frame <= self.frames[-1]:
            return None
        return np.array([np.interp(frame, self.frames, column) for column in self.boxes.T])


@dataclass(frozen=True, eq=False)
class Tracks(Sequence[Track]):
    """All of them, in the order in which they were first seen."""

    tracks: tuple[Track, ...]

    def __len__(self) -> int:
        return len(self.tracks)

    def __getitem__(self, index: int) -> Track:  # type: ignore[override]
        return self.tracks[index]

    def sightings(self) -> Sightings:
        """All boxes in one table, by frame."""
        frame = np.concatenate([np.zeros(0, np.int64), *(t.frames for t in self.tracks)])
        identity = np.repeat([t.identity for t in self.tracks], [len(t.frames) for t in self.tracks]).astype(np.int64)
        box = np.concatenate([np.zeros((0, 4)), *(t.boxes for t in self.tracks)])
        order = np.lexsort((identity, frame))
        return Sightings(frame[order], identity[order], box[order], np.ones(len(frame)))


class Tracker:
    """Follows what moves while frames come in: detection and names, with the state of both.

    :param detector: what is seen. :param follower: who is who.
    """

    def __init__(self, detector: Detector | None = None, follower: Follower | None = None) -> None:
        self.detector = Detector() if detector is None else detector
        self.follower = Follower() if follower is None else follower
        self.seeing, self.followed = None, nobody()

    def calibrate(self, stream: SpikeStream) -> None:
        """Let the gates get used to the light of a scene; nothing is looked at, and no frame is counted."""
        for block in stream.blocks(BLOCK):
            _, self.seeing = self.detector.gate(block, self.seeing)

    def push(self, block: SpikeStream) -> list[Seen]:
        """What is in the picture at each look in these frames, which follow those before.

        Firm things alone; those not seen, where they are expected, as long as the follower is patient.
        """
        found = []
        for look, seen in self.looks(block):
            now, firm = self.followed, self.followed.hits >= self.follower.births
            found.append(Seen(look.frame, now.identity[firm], now.moving.boxes()[firm], seen[firm]))
        return found

    def looks(self, block: SpikeStream) -> Iterator[tuple[Look, NDArray[np.bool_]]]:
        """Each look in these frames, and which of :attr:`followed`, firm or not, were seen in it."""
        looks, self.seeing = self.detector(block, self.seeing)
        for look in looks:
            self.followed, seen = self.follower(look, self.followed)
            yield look, seen


def track(
    stream: SpikeStream, detector: Detector | None = None, follower: Follower | None = None,
    calibrate: SpikeStream | Sequence[SpikeStream] = (),
) -> Tracks:  # fmt: skip
    """Follow what moves through a recording.

    Of each thing that became firm there is a box for every look from the first that saw it to the last that did;
    between looks that saw it, on a straight line.

    :param stream: of any length; memory holds a block and the tracks. :param detector: what is seen.
    :param follower: who is who. :param calibrate: the same scene at rest, some 150 frames or more, in one piece or in
        several; without it, what is found in the first 150 frames is not to be trusted.
    """
    tracker = Tracker(detector, follower)
    for still in (calibrate,) if isinstance(calibrate, SpikeStream) else calibrate:
        tracker.calibrate(still)
    frames: list[int] = []
    known: dict[int, list[tuple[int, NDArray[np.float64]]]] = {}
    firm: set[int] = set()
    for block in stream.blocks(BLOCK):
        for look, seen in tracker.looks(block):
            now, boxes = tracker.followed, tracker.followed.moving.boxes()
            frames.append(look.frame)
            for k in np.flatnonzero(seen):
                known.setdefault(int(now.identity[k]), []).append((look.frame, boxes[k]))
            firm |= {int(i) for i in now.identity[now.hits >= tracker.follower.births]}
            alive = {int(i) for i in now.identity}
            known = {i: rows for i, rows in known.items() if i in firm or i in alive}
    looked = np.array(frames, np.int64)
    size = np.array([stream.height, stream.width])
    return Tracks(tuple(_filled(i, known[i], looked, size) for i in sorted(firm)))


def _filled(
    identity: int, rows: list[tuple[int, NDArray[np.float64]]], looked: NDArray[np.int64], size: NDArray[np.int64]
) -> Track:
    at, boxes = np.array([frame for frame, _ in rows]), np.array([box for _, box in rows])
    frames = looked[(looked >= at[0]) & (looked <= at[-1])]
    filled = np.stack([np.interp(frames, at, column) for column in boxes.T], 1)
    return Track(identity, frames, clipped(filled, int(size[0]), int(size[1])))
