"""Whose spikes are whose: what is seen is shared out among the things that are expected there."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .boxes import pieces_of
from .detect import Look


class Spikes(NamedTuple):
    """Spikes that are attended to.

    :param x: columns, ``[P]``. :param y: rows. :param number: how many. :param piece: of the mask they are in.
    :param pieces: how many pieces there are.
    """

    x: NDArray[np.intp]
    y: NDArray[np.intp]
    number: NDArray[Any]
    piece: NDArray[np.intp]
    pieces: int

    @staticmethod
    def of(look: Look) -> Spikes:
        """Those of a look."""
        labels, pieces = pieces_of(look.mask)
        y, x = np.nonzero(look.mask & (look.spikes > 0))
        return Spikes(x, y, look.spikes[y, x], labels[y, x].astype(np.intp) - 1, pieces)

    def take(self, which: NDArray[np.bool_]) -> Spikes:
        """Some of them."""
        return Spikes(self.x[which], self.y[which], self.number[which], self.piece[which], self.pieces)

    def claim(
        self, boxes: NDArray[np.float64], margin: float, split: NDArray[np.bool_]
    ) -> tuple[NDArray[np.intp], NDArray[np.bool_], NDArray[np.bool_]]:
        """Whose each spike is, -1: nobody's; which things have a piece of the mask for themselves, which have several.

        :param split: which things keep the heaviest of several pieces, and no more.
        """
        owner, alone = np.full(len(self.x), -1), np.zeros(len(boxes), bool)
        if not len(boxes) or not len(owner):
            return owner, alone, alone
        x, y, w, h = boxes.T
        wide, high = w / 2 + np.maximum(margin, w / 10), h / 2 + np.maximum(margin, h / 10)
        depth = np.maximum(
            np.abs(self.x[:, None] + 0.5 - x - w / 2) / wide, np.abs(self.y[:, None] + 0.5 - y - h / 2) / high
        )
        nearest = depth.argmin(1)
        deep = depth[np.arange(len(nearest)), nearest] <= 1
        there = np.zeros((self.pieces, len(boxes)), bool)
        there[self.piece[deep], nearest[deep]] = True
        # a piece that fits to those who have spikes in it is theirs as a whole, however they have moved
        room = np.stack([w / 4 + 2 * margin, h / 4 + 2 * margin], 1)
        reach = np.concatenate([-boxes[:, :2] + room, boxes[:, :2] + boxes[:, 2:] + room], 1)
        reach = np.where(there[:, :, None], reach, -np.inf).max(1, initial=-np.inf)
        box, _ = self.extents(self.piece, self.pieces)
        fits = (np.concatenate([-box[:, :2], box[:, :2] + box[:, 2:]], 1) <= reach).all(1)
        theirs = np.where(there[self.piece], depth, np.inf).argmin(1)
        owner = np.where(fits[self.piece], theirs, np.where(deep, nearest, -1))
        weight = np.zeros((self.pieces, len(boxes)))
        np.add.at(weight, (self.piece[owner >= 0], owner[owner >= 0]), self.number[owner >= 0])
        torn, best = (weight > 0).sum(0) > 1, weight.argmax(0)
        alone = (there.sum(1) == 1)[best] & fits[best] & there[best, np.arange(len(boxes))]
        kept = ~split[owner] | (self.piece == best[owner])
        return np.where((owner >= 0) & kept, owner, -1), alone, torn

    def extents(self, group: NDArray[np.intp], groups: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """A box around the spikes of each group, and how many there are; negative groups are nobody's."""
        in_one = group >= 0
        group = group[in_one]
        edges = np.full((groups, 4), -np.inf)
        x, y = self.x[in_one], self.y[in_one]
        for column, value in enumerate((-x, -y, x + 1, y + 1)):
            np.maximum.at(edges[:, column], group, value)
        weight = np.bincount(group, self.number[in_one], groups).astype(np.float64)  # whole numbers if there are none
        edges[weight == 0] = (0, 0, 1, 1)
        left, top = -edges[:, 0], -edges[:, 1]
        return np.stack([left, top, edges[:, 2] - left, edges[:, 3] - top], 1), weight
