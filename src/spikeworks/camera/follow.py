"""Names for what is seen: boxes that are expected, claimed, born and lost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .boxes import common, overlap
from .claim import Spikes
from .detect import Look
from .kalman import Kalman, Moving


class Followed(NamedTuple):
    """Things that have a name, after a look.

    :param identity: ``[N]``. :param moving: what is believed of them. :param hits: looks they were seen in.
    :param missed: looks since they were seen last. :param torn: looks in a row in which they were in pieces.
    """

    identity: NDArray[np.int64]
    moving: Moving
    hits: NDArray[np.int64]
    missed: NDArray[np.int64]
    torn: NDArray[np.int64]
    next: int = 1

    def take(self, which: NDArray[Any]) -> Followed:
        """Some of them."""
        identity, moving, hits, missed, torn, following = self
        return Followed(identity[which], moving.take(which), hits[which], missed[which], torn[which], following)


def nobody() -> Followed:
    """Before the first look."""
    none = np.zeros(0, np.int64)
    return Followed(none, Moving(np.zeros((0, 7)), np.zeros((0, 7, 7))), none, none, none)


@dataclass(frozen=True)
class Follower:
    """From look to look, who is who.

    A thing is firm once it was seen in ``births`` looks in a row. Where a thing is expected, the spikes are its own: a
    piece of what is attended to goes as a whole to the one thing expected in it; where things meet, so that attention
    sees them as one piece, each spike goes to the one in whose expected box it is deepest. What a thing is measured by
    is trusted less the more the boxes overlap, down to going straight on. A thing that is in several pieces for
    ``births`` looks keeps the heaviest. Spikes that nobody claims are drawn together to boxes, which go to what was not
    seen otherwise, by the best sum of overlaps (Hungarian method); what is left is born.

    SORT (Bewley et al., ICIP 2016) matches boxes alone; boxes of things that touch are one box to it.

    :param births: looks. :param patience: looks that a firm thing may be unseen for; it is expected straight on.
    :param least: spikes that make a thing. :param iou: overlap of a box with where a thing is expected, from which on
        they may belong together. :param gate: or Mahalanobis² distance of the middles, if the sizes are alike, too.
    :param margin: pixels around an expected box in which spikes are its own; a tenth of its size, if that is more.
    :param kalman: how boxes move.
    :raises ValueError: for numbers out of range.
    """

    births: int = 3
    patience: int = 30
    least: int = 6
    iou: float = 0.3
    gate: float = 9.0
    margin: float = 3.0
    kalman: Kalman = field(default_factory=Kalman)

    def __post_init__(self) -> None:
        if min(self.births, self.least) < 1 or min(self.patience, self.gate, self.margin, self.iou, 1 - self.iou) < 0:
            raise ValueError(
                f"{self} is out of range, expected births and least from 1, an iou of 0 to 1, and no number below 0."
            )

    def __call__(self, look: Look, now: Followed) -> tuple[Followed, NDArray[np.bool_]]:
        """After one more look; and which of those that are followed now were seen in it."""
        height, width = look.mask.shape
        moving = self.kalman.predict(now.moving)
        expected = moving.boxes()
        firm = now.hits >= self.births
        spikes = Spikes.of(look)
        mine, alone, torn = spikes.claim(expected, self.margin, now.torn + 1 >= self.births)
        torn = np.where(torn, now.torn + 1, 0)
        measures, weight = spikes.extents(mine, len(firm))
        seen = weight >= self.least
        measures[~seen] = expected[~seen]
        crowd = _crowd(expected, firm)
        doubt = 1 + 1e3 * crowd
        doubt[alone & (measures[:, 2:].prod(1) < 0.5 * expected[:, 2:].prod(1))] = 0.1  # it was more than one thing

        left = spikes.take(mine < 0)
        taken = np.bincount(spikes.piece[mine >= 0], minlength=spikes.pieces) > 0
        boxes, heavy = left.extents(left.piece, left.pieces)
        boxes, apart = boxes[heavy >= self.least], ~taken[heavy >= self.least]
        waiting = np.flatnonzero(~seen)
        a, b = self._match(moving.take(waiting), expected[waiting], boxes)
        measures[waiting[a]] = boxes[b]
        seen[waiting[a]] = True
        updated = self.kalman.update(moving.take(seen), measures[seen], doubt[seen])
        moving.mean[seen], moving.covariance[seen] = updated
        hits = np.where(seen, now.hits + 1, np.where(firm, now.hits, 0))
        missed = np.where(seen, 0, now.missed + 1)

        free = np.ones(len(boxes), bool)
        free[b] = False
        if firm.any() and len(boxes):  # what sticks out of a firm thing is no other
            around = expected[firm] + 2 * self.margin * np.array([-1, -1, 2, 2])
            free &= apart | ((common(boxes, around) / boxes[:, 2:].prod(1)[:, None]).max(1) < 0.2)
        middle = moving.mean[:, :2]
        stays = (hits > 0) & (missed <= self.patience) & (middle >= 0).all(1) & (middle < (width, height)).all(1)
        born = self.kalman.start(boxes[free])
        count = len(born.mean)
        kept = Followed(now.identity, moving, hits, missed, torn, now.next).take(stays)
        fresh = np.arange(now.next, now.next + count)
        zero = np.zeros(count, np.int64)
        after = Followed(
            np.concatenate([kept.identity, fresh]), kept.moving.join(born), np.concatenate([kept.hits, zero + 1]),
            np.concatenate([kept.missed, zero]), np.concatenate([kept.torn, zero]), now.next + count,
        )  # fmt: skip
        return after, np.concatenate([seen[stays], zero == 0])

    def _match(
        self, moving: Moving, expected: NDArray[np.float64], boxes: NDArray[np.float64]
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        from scipy.optimize import linear_sum_assignment

        same, far = overlap(expected, boxes), self.kalman.far(moving, boxes)
        ratio = np.log(expected[:, None, 2:] / boxes[None, :, 2:])
        alike = np.abs(ratio).max(2) < np.log(2.5)
        fits = (same >= self.iou) | ((far <= self.gate) & alike)
        score = np.where(fits, 1 + same + np.maximum(0, 1 - far / max(self.gate, 1e-9)), 0)
        a, b = linear_sum_assignment(-score)
        good = score[a, b] > 0
        return a[good], b[good]


def _crowd(boxes: NDArray[np.float64], firm: NDArray[np.bool_]) -> NDArray[np.float64]:
    """How much of each box the firm one that covers it most covers."""
    both = common(boxes, boxes) * firm[None]
    np.fill_diagonal(both, 0)
    return both.max(1, initial=0) / np.maximum(boxes[:, 2:].prod(1), 1)
