"""How well things were followed: CLEAR MOT, IDF1 and HOTA of tracks against the truth.

Two boxes go together by their intersection over union. The three scores ask different questions: CLEAR what was found
in each frame, IDF1 how long one name stayed with one thing, HOTA both at once, at every threshold.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..camera.boxes import overlap
from ..camera.mot import Sightings

_EPSILON = float(np.finfo(float).eps)


@dataclass(frozen=True)
class TrackingScores:
    """All of them; counts are of boxes.

    :param mota: 1 − (misses + false boxes + switches) / boxes of the truth; below 0 where there are more faults.
    :param motp: mean intersection over union of the boxes that go together.
    :param found: boxes that go together. :param false: of the tracks, without a counterpart.
    :param missed: of the truth.
    :param switches: times a thing has another name than when it was last found.
    :param fragments: times a thing is found again after a gap.
    :param idf1: share of boxes whose name is right, by the best one-to-one choice of names.
    :param hota: mean over thresholds of √(detection · association). :param deta: found / (found + missed + false).
    :param assa: how much of a thing's and a track's boxes are common, mean over found boxes.
    :param loca: mean overlap of found boxes, over thresholds.
    """

    mota: float
    motp: float
    found: int
    false: int
    missed: int
    switches: int
    fragments: int
    idf1: float
    hota: float
    deta: float
    assa: float
    loca: float


def tracking_scores(truth: Sightings, tracks: Sightings, threshold: float = 0.5) -> TrackingScores:
    """Score tracks.

    :param truth: where things are; boxes with a confidence of 0 are left out, as in the MOT challenges' ground truth.
    :param tracks: where they were said to be. Frames are those of the truth: boxes in a frame before its first one or
        behind its last one are false, so cut both to the frames that are labelled.
    :param threshold: intersection over union from which on boxes go together, for CLEAR and IDF1.

    CLEAR: Bernardin and Stiefelhagen 2008; IDF1: Ristani et al. 2016; HOTA: Luiten et al., IJCV 2021, thresholds 0.05
    to 0.95. Ties and details as the authors' TrackEval counts them, to which numbers agree.

    :raises ValueError: for no truth, a threshold out of 0 to 1, or two boxes of one name in a frame.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"tracking_scores got threshold={threshold}, expected more than 0 and at most 1.")
    kept = truth.confidence != 0
    truth = Sightings(truth.frame[kept], truth.identity[kept], truth.box[kept], truth.confidence[kept])
    if not len(truth.frame):
        raise ValueError("tracking_scores got no boxes of the truth, expected some; is it the right file?")
    for name, table in (("truth", truth), ("tracks", tracks)):
        if len(np.unique(np.stack([table.frame, table.identity]), axis=1).T) != len(table.frame):
            raise ValueError(f"tracking_scores got two boxes of one name in a frame of the {name}, expected one.")
    frames = _Frames.of(truth, tracks)
    return TrackingScores(**_clear(frames, threshold), **_identity(frames, threshold), **_hota(frames))


class _Frame(NamedTuple):
    """Numbers of the things and tracks in a frame, and their overlap."""

    things: NDArray[np.int64]
    tracks: NDArray[np.int64]
    overlap: NDArray[np.float64]


class _Frames(NamedTuple):
    things: NDArray[np.int64]  # boxes of each thing
    tracks: NDArray[np.int64]  # and of each track
    frames: list[_Frame]

    @staticmethod
    def of(truth: Sightings, tracks: Sightings) -> _Frames:
        parts = []
        for table in (truth, tracks):
            _, name, count = np.unique(table.identity, return_inverse=True, return_counts=True)
            parts.append((name.reshape(-1), count))
        (thing, things), (track, found) = parts
        frames = []
        at = ({int(f): rows for f, rows in _by_frame(table.frame)} for table in (truth, tracks))
        in_truth, in_tracks = at
        none = np.zeros(0, np.int64)
        for frame in sorted(in_truth.keys() | in_tracks.keys()):
            a, b = in_truth.get(frame, none), in_tracks.get(frame, none)
            frames.append(_Frame(thing[a], track[b], overlap(truth.box[a], tracks.box[b])))
        return _Frames(things, found, frames)


def _by_frame(frame: NDArray[np.int64]) -> Iterator[tuple[Any, NDArray[np.int64]]]:
    order = np.argsort(frame, kind="stable")
    names, begin = np.unique(frame[order], return_index=True)
    return zip(names, np.split(order, begin[1:]), strict=False)  # of no box at all, one empty part is left


def _clear(frames: _Frames, threshold: float) -> dict[str, Any]:
    last = np.full(len(frames.things), -1)  # the track a thing was last found by
    just = last.copy()  # and in the frame before
    begun = np.zeros(len(frames.things), np.int64)
    found = false = missed = switches = 0
    quality = 0.0
    for things, tracks, similar in frames.frames:
        if not len(things) or not len(tracks):
            false, missed = false + len(tracks), missed + len(things)
            continue
        score = 1000.0 * (just[things][:, None] == tracks[None]) + similar  # who went together stays together
        score[similar < threshold - _EPSILON] = 0
        a, b = _pairs(score)
        good = score[a, b] > _EPSILON
        thing, track = things[a[good]], tracks[b[good]]
        switches += int(((last[thing] >= 0) & (last[thing] != track)).sum())
        before = just >= 0
        last[thing] = track
        just[:] = -1
        just[thing] = track
        begun += ~before & (just >= 0)
        found, false, missed = found + len(thing), false + len(tracks) - len(thing), missed + len(things) - len(thing)
        quality += float(similar[a[good], b[good]].sum())
    faults = missed + false + switches
    return {
        "mota": 1 - faults / (found + missed), "motp": quality / max(1, found), "found": found, "false": false,
        "missed": missed, "switches": switches, "fragments": int((begun[begun > 0] - 1).sum()),
    }  # fmt: skip


def _identity(frames: _Frames, threshold: float) -> dict[str, Any]:
    together = np.zeros((len(frames.things), len(frames.tracks)))
    for things, tracks, similar in frames.frames:
        together[np.ix_(things, tracks)] += similar >= threshold
    right = together[_pairs(together)].sum()
    return {"idf1": float(2 * right / (frames.things.sum() + frames.tracks.sum()))}


def _hota(frames: _Frames) -> dict[str, Any]:
    together = np.zeros((len(frames.things), len(frames.tracks)))
    for things, tracks, similar in frames.frames:
        union = similar.sum(0)[None] + similar.sum(1)[:, None] - similar
        share = np.divide(similar, union, out=np.zeros_like(similar), where=union > _EPSILON)
        together[np.ix_(things, tracks)] += share
    boxes = frames.things[:, None] + frames.tracks[None]
    aligned = together / (boxes - together)
    alphas = np.arange(0.05, 0.99, 0.05)
    common = np.zeros((len(alphas), *together.shape))
    quality = np.zeros(len(alphas))
    for things, tracks, similar in frames.frames:
        a, b = _pairs(aligned[np.ix_(things, tracks)] * similar)
        same = similar[a, b]
        good = same[None] >= alphas[:, None] - _EPSILON
        common[:, things[a], tracks[b]] += good
        quality += (good * same).sum(1)
    found = common.sum((1, 2))
    deta = found / (frames.things.sum() + frames.tracks.sum() - found)
    assa = (common * (common / np.maximum(1, boxes - common))).sum((1, 2)) / np.maximum(1, found)
    loca = np.maximum(1e-10, quality) / np.maximum(1e-10, found)
    each = {"hota": np.sqrt(deta * assa), "deta": deta, "assa": assa, "loca": loca}
    return {name: float(values.mean()) for name, values in each.items()}


def _pairs(score: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The one-to-one choice with the largest sum."""
    from scipy.optimize import linear_sum_assignment

    return linear_sum_assignment(-score)
