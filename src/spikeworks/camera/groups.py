"""What moves together: pixels that are near each other and go the same way, as one group each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .motion import MotionField


def motion_groups(
    field: MotionField, near: float = 5.0, alike: float = 1.0, least: int = 12
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Groups of pixels by DBSCAN over place and motion (Ester et al., KDD 1996; scikit-learn's).

    Two pixels are neighbours if ``|Δplace|²/near² + |Δvector|²/alike² ≤ 1``; groups grow from pixels with ``least``
    neighbours. So things that touch but go different ways are two. SpikeCV mixes distances that are standardised over
    each picture, so that what a group is depends on what else is in it, and holds all pairs in memory; here both have
    units, and pairs are found by a tree.

    :param field: of :class:`.SpikeMotion`. :param near: pixels. :param alike: pixels per step. :param least: pixels
        around one that make it the inside of a group, itself among them.
    :returns: the number of each pixel's group, from 1, the largest first, 0: none, ``[H, W]``; and the mean (x, y)
        motion of each in pixels per step, ``[N, 2]``.
    :raises ValueError: for distances of 0 or less, or less than one pixel.
    """
    if not near > 0 or not alike > 0 or least < 1:
        raise ValueError(
            f"motion_groups got near={near}, alike={alike}, least={least}, expected distances above 0 and at least 1."
        )
    from sklearn.cluster import DBSCAN

    labels = np.zeros(field.direction.shape, np.int64)
    y, x = np.nonzero(field.direction >= 0)
    if not len(y):
        return labels, np.zeros((0, 2), np.float32)
    vectors = field.vector[:, y, x].T
    places = np.concatenate([np.stack([x, y], 1) / near, vectors / alike], 1)
    found = DBSCAN(eps=1.0, min_samples=least).fit_predict(places)
    sizes = np.bincount(found[found >= 0])
    rank = np.empty(len(sizes), np.int64)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(1, len(sizes) + 1)
    labels[y, x] = np.where(found >= 0, rank[found], 0) if len(sizes) else 0
    own = labels[y, x]
    means = [vectors[own == number].mean(0) for number in range(1, len(sizes) + 1)]
    return labels, np.array(means, np.float32).reshape(-1, 2)
