"""Still images moved in front of a camera, as data sets of events were recorded from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Path = Sequence[tuple[int, float, float]]
"""Way points: microseconds, pixels to the right, pixels down; straight lines between. Times rise from 0."""

SACCADES: Path = ((0, 0.0, 0.0), (100_000, 3.0, 6.0), (200_000, 6.0, 0.0), (300_000, 0.0, 0.0))
"""Three movements of 100 ms along a triangle with two equal sides, as N-MNIST and N-Caltech101 were recorded: Orchard
et al., Frontiers in Neuroscience 2015. The amplitude, here 6 pixels, is reconstructed."""

CLOSED_LOOP: Path = (
    (0, 0.0, 0.0),
    (100_000, 5.0, 5.0),
    (200_000, 0.0, 10.0),
    (300_000, -5.0, 5.0),
    (400_000, 0.0, 0.0),
)
"""One loop along the diagonals of a square, as CIFAR10-DVS was recorded: Li et al., Frontiers in Neuroscience 2017.
Speed and amplitude are reconstructed."""


def moving(
    image: NDArray, path: Path = SACCADES, every: int = 1000, margin: int = 0
) -> Iterator[tuple[NDArray[np.float64], int]]:
    """Frames ``[H, W]`` of an image that moves, and their times, one each ``every`` microseconds and at the end.

    What comes in at the sides is the image's own edge, repeated. In between pixels values are interpolated linearly.

    :param image: ``[H, W]``, intensities. :param path: where it is when. :param every: microseconds, at least 1.
    :param margin: pixels added on every side first, of the image's edge.
    :raises ValueError: for an image that is not ``[H, W]``, or a path whose times do not rise from 0.
    """
    image = np.asarray(image, np.float64)
    knots = np.array([t for t, _, _ in path], np.float64)
    if image.ndim != 2 or every < 1 or margin < 0:
        raise ValueError(
            f"moving got an image of shape {image.shape}, every={every}, margin={margin}, expected [H, W], at least 1 "
            "and at least 0."
        )
    if len(knots) < 2 or knots[0] != 0 or not bool((np.diff(knots) > 0).all()):
        raise ValueError(f"moving got way points at {knots.tolist()} µs, expected at least two times that rise from 0.")
    image = np.pad(image, margin, mode="edge")
    end = int(knots[-1])
    for time in [*range(0, end, every), end]:
        right, down = (float(np.interp(time, knots, [point[axis] for point in path])) for axis in (1, 2))
        yield shifted(image, right, down), time


def shifted(image: NDArray[np.float64], right: float, down: float) -> NDArray[np.float64]:
    """An image moved by parts of a pixel: bilinear, its edge repeated. By whole pixels it is exact.

    :param image: ``[H, W]``. :param right: pixels. :param down: pixels.
    """
    for axis, by in ((0, down), (1, right)):
        size = image.shape[axis]
        source = np.clip(np.arange(size) - by, 0, size - 1)
        low = np.floor(source).astype(np.int64)
        share = source - low
        weights = share[:, None] if axis == 0 else share[None, :]
        near = np.take(image, low, axis)
        image = near + (np.take(image, np.minimum(low + 1, size - 1), axis) - near) * weights
    return image
