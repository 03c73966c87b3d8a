"""Scores of tracks: made cases whose scores are plain, and numbers of the authors' own program."""

from __future__ import annotations

from dataclasses import astuple

import numpy as np
import pytest

from spikeworks.camera.mot import Sightings
from spikeworks.measure.tracking import TrackingScores, tracking_scores

GOLDEN = [
    (0.3303303303303303, 0.6830908359548454, 252, 120, 81, 22, 66, 0.34893617021276596, 0.2563415777170645,
     0.41194123795402876, 0.16035262172446135, 0.7396639390746352),
    (0.40978593272171254, 0.6871407569150813, 255, 110, 72, 11, 62, 0.569364161849711, 0.36609571132605767,
     0.4222994060809631, 0.317643357926729, 0.7445376801776384),
    (0.39570552147239263, 0.6850293294480512, 251, 107, 75, 15, 65, 0.5614035087719298, 0.35773276924890046,
     0.4240657061967853, 0.3020855544461584, 0.7430793412086036),
]  # fmt: skip
"""What TrackEval 1.0.0 (HOTA, CLEAR and Identity) says of :func:`_noisy` with the seeds 0, 1 and 2."""


def _table(rows: list[tuple[float, ...]]) -> Sightings:
    table = np.array(rows, np.float64).reshape(-1, 6)
    return Sightings(table[:, 0].astype(int), table[:, 1].astype(int), table[:, 2:].copy(), np.ones(len(table)))


def _noisy(seed: int, frames: int = 60, things: int = 6) -> tuple[Sightings, Sightings]:
    """Boxes that move, and what a bad tracker says: misses, false boxes, swapped and new names, empty frames."""
    draw = np.random.default_rng(seed)
    truth, tracks = [], []
    start, way = draw.uniform(0, 100, (things, 2)), draw.uniform(-2, 2, (things, 2))
    name = np.arange(things)
    for t in range(frames):
        if draw.random() < 0.1:
            a, b = draw.choice(things, 2, replace=False)
            name[a], name[b] = name[b], name[a]
        if draw.random() < 0.1:
            name[draw.integers(things)] = name.max() + 1
        for n in range(things):
            x, y = start[n] + t * way[n]
            if draw.random() < 0.95 and t not in (7, 8):
                truth.append((t, n, x, y, 20, 16))
            if draw.random() < 0.85 and t != 20:
                dx, dy, dw, dh = draw.normal(0, 2, 4)
                tracks.append((t, name[n], x + dx, y + dy, 20 + dw, 16 + dh))
        for k in range(draw.integers(0, 3)):
            tracks.append((t, 1000 + t * 10 + k, *draw.uniform(0, 120, 2), 20, 16))
    return _table(truth), _table(tracks)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_scores_are_those_of_trackeval(seed: int) -> None:
    assert astuple(tracking_scores(*_noisy(seed))) == pytest.approx(GOLDEN[seed], abs=1e-12)


def _two(frames: int = 10) -> list[tuple[float, ...]]:
    return [(t, n, 50 * n + t, 10, 20, 20) for t in range(frames) for n in (1, 2)]


def test_what_is_the_same_is_perfect() -> None:
    scores = tracking_scores(_table(_two()), _table([(t, n + 7, *box) for t, n, *box in _two()]))
    assert scores == TrackingScores(1, 1, 20, 0, 0, 0, 0, 1, 1, 1, 1, 1)


def test_a_swap_is_a_switch_of_each() -> None:
    swapped = _table([(t, n if t < 5 else 3 - n, *box) for t, n, *box in _two()])
    scores = tracking_scores(_table(_two()), swapped)
    assert (scores.switches, scores.mota, scores.idf1, scores.deta) == (2, 0.9, 0.5, 1)
    assert scores.assa == pytest.approx(1 / 3)  # of 15 boxes of a thing or its track 5 are common
    assert scores.hota == pytest.approx(np.sqrt(1 / 3))


def test_a_new_name_is_one_switch_and_a_gap_one_fragment() -> None:
    one = [row for row in _two() if row[1] == 1]
    renamed = _table([(t, 1 if t < 4 else 9, *box) for t, _, *box in one])
    assert tracking_scores(_table(one), renamed).switches == 1
    gap = tracking_scores(_table(_two()), _table([row for row in _two() if row[:2] not in ((4, 1), (5, 1))]))
    assert (gap.missed, gap.false, gap.fragments, gap.switches) == (2, 0, 1, 0)
    assert gap.mota == pytest.approx(0.9)


def test_boxes_too_far_off_are_a_miss_and_a_false_one() -> None:
    aside = _table([(t, n, x + 12, *rest) for t, n, x, *rest in _two()])  # of 32 columns 8 are common
    scores = tracking_scores(_table(_two()), aside)
    assert (scores.found, scores.false, scores.missed, scores.mota) == (0, 20, 20, -1)
    assert tracking_scores(_table(_two()), aside, 0.25).found == 20
    assert tracking_scores(_table(_two()), _table([])).mota == 0


def test_marked_boxes_do_not_count() -> None:
    truth = _table(_two())
    half = truth._replace(confidence=(truth.identity == 1).astype(float))
    assert tracking_scores(half, _table([row for row in _two() if row[1] == 1])).hota == 1


def test_refusals() -> None:
    some = _table(_two())
    with pytest.raises(ValueError, match="no boxes of the truth"):
        tracking_scores(_table([]), some)
    with pytest.raises(ValueError, match="threshold=0"):
        tracking_scores(some, some, 0.0)
    with pytest.raises(ValueError, match="of one name in a frame of the tracks"):
        tracking_scores(some, _table([*_two(), (3, 1, 0, 0, 5, 5)]))
