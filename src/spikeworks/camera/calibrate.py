"""Pixels made equal: how much more light than others each one sees, and how often it fires in the dark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from ..disk import whole
from . import planes
from .estimate import Image
from .stream import SpikeStream

LONG = 4096
"""Frames that are counted at once."""

WEAK, HOT = 0.25, 0.1
"""A pixel is not used if it sees less than this part of the others' light, or fires more often in the dark."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """What a pixel fires at: ``gain · light + dark``, so that ``light = (fired − dark) / gain``.

    :param gain: ``[H, W]``, above 0; 1 is the median pixel. :param dark: spikes per frame in the dark, ``[H, W]``, from
        0 on. :param bad: pixels that no image is valid at, ``[H, W]``; default: none.
    :raises ValueError: for maps of other or unequal shapes, values that are not finite, a gain of 0 or less, or a
        dark below 0.
    """

    gain: NDArray[np.float32]
    dark: NDArray[np.float32]
    bad: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        shapes = [m.shape for m in (self.gain, self.dark, self.bad) if m is not None]
        if self.gain.ndim != 2 or len(set(shapes)) > 1:
            raise ValueError(f"Calibration got maps of {shapes}, expected one shape [H, W].")
        if not (np.isfinite(self.gain).all() and np.isfinite(self.dark).all()):
            raise ValueError("Calibration got values that are not finite, expected numbers; name such pixels in bad.")
        if not (self.gain > 0).all() or not (self.dark >= 0).all():
            raise ValueError(
                f"Calibration got a gain from {self.gain.min():g} and a dark from {self.dark.min():g}, expected above "
                "0 and from 0 on; name dead pixels in bad."
            )

    @staticmethod
    def of(flats: Sequence[NDArray[Any]], dark: NDArray[Any] | None = None) -> Calibration:
        """From maps of spikes per frame ``[H, W]``: of a white surface at one level of light or several, and of none.

        ``gain = Σ L_i (flat_i − dark) / Σ L_i²`` over levels, with ``L_i`` the median of ``flat_i − dark``: bright
        levels weigh more, as they are known better. What the lens darkens at the edge is in the gain, too. Pixels
        below :data:`WEAK` and above :data:`HOT` are bad.

        :param dark: default: that nothing fires in the dark.
        :raises ValueError: for no flat, shapes that differ, a flat no brighter than the dark, or one that a hundredth
            of the pixels fire at in every frame: its light is beyond what they can tell.
        """
        if not flats or any(flat.ndim != 2 or flat.shape != flats[0].shape for flat in [*flats, *_some(dark)]):
            raise ValueError(
                f"Calibration.of got maps of {[m.shape for m in [*flats, *_some(dark)]]}, expected at least one flat, "
                "and all of one shape [H, W]."
            )
        at_rest = np.zeros(flats[0].shape) if dark is None else dark
        levels = [float(np.median(flat - at_rest)) for flat in flats]
        for number, (flat, level) in enumerate(zip(flats, levels, strict=True)):
            if not level > 0 or np.mean(flat >= 1) > 0.01:
                raise ValueError(
                    f"flat {number} has a light of {level:.4g} spikes per frame, and {np.mean(flat >= 1):.1%} of its "
                    "pixels fire in every frame, expected light above the dark, and pixels that follow it; record "
                    "another level."
                )
        gain = sum(level * (flat - at_rest) for level, flat in zip(levels, flats, strict=True))
        gain = np.asarray(gain) / sum(level**2 for level in levels)
        gain /= np.median(gain)
        bad = ~(gain >= WEAK) | ~(at_rest <= HOT)
        return Calibration(np.where(bad, 1, gain).astype(np.float32), np.where(bad, 0, at_rest).astype(np.float32), bad)

    @staticmethod
    def measure(flats: Sequence[SpikeStream], dark: SpikeStream | None = None) -> Calibration:
        """From recordings: of a white surface at one level of light or several, and with the lens covered.

        In the dark a pixel fires once in some 200 frames: a recording of 2,000 tells its rate to a tenth.

        :raises ValueError: as :meth:`of`, or for an empty recording.
        """
        return Calibration.of([mean_light(flat) for flat in flats], None if dark is None else mean_light(dark))

    def apply(self, image: Image) -> Image:
        """The image as pixels that are all alike would have told it, at least 0, and not valid at bad ones.

        :raises ValueError: for an image of another shape.
        """
        if image.light.shape[-2:] != self.gain.shape:
            raise ValueError(
                f"Calibration of {list(self.gain.shape)} got an image of {list(image.light.shape)}, expected the same "
                "height and width; crop both alike."
            )
        valid = image.valid if self.bad is None else image.valid & ~self.bad
        light = np.maximum(0, (image.light - self.dark) / self.gain)
        return Image(np.where(valid, light, 0).astype(np.float32), valid)

    def crop(self, left: int, top: int, width: int, height: int) -> Calibration:
        """That of a rectangle, as :meth:`.SpikeStream.crop`.

        :raises ValueError: for a rectangle that is empty or leaves the maps.
        """
        high, wide = self.gain.shape
        if min(left, top) < 0 or min(width, height) < 1 or left + width > wide or top + height > high:
            raise ValueError(f"crop got {width}×{height} at ({left}, {top}), expected it within {wide}×{high}.")
        part = np.s_[top : top + height, left : left + width]
        return Calibration(self.gain[part], self.dark[part], None if self.bad is None else self.bad[part])

    def save(self, path: str | Path) -> None:
        """Write the maps as ``.npz``, whole or not at all.

        :raises ValueError: for another suffix.
        """
        if Path(path).suffix != ".npz":
            raise ValueError(f"save got {path}, expected a name that ends in .npz.")
        bad = np.zeros(self.gain.shape, bool) if self.bad is None else self.bad
        with whole(path) as temporary:
            np.savez_compressed(temporary, gain=self.gain, dark=self.dark, bad=bad)

    @staticmethod
    def load(path: str | Path) -> Calibration:
        """What :meth:`save` wrote.

        :raises ValueError: for a file that is absent, is something else, or holds maps that are refused.
        """
        try:
            with np.load(path, allow_pickle=False) as found:
                gain, dark, bad = found["gain"], found["dark"], found["bad"]
        except (OSError, EOFError, BadZipFile, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is no calibration ({error}), expected what Calibration.save wrote.") from error
        if any(m.dtype != kind for m, kind in ((gain, np.float32), (dark, np.float32), (bad, bool))):
            raise ValueError(f"{path} holds {gain.dtype}, {dark.dtype}, {bad.dtype}, expected float32, float32, bool.")
        return Calibration(gain, dark, bad)


def mean_light(stream: SpikeStream) -> NDArray[np.float64]:
    """Spikes per frame over a whole recording, ``[H, W]``, in bounded memory.

    All intervals over the frames that they take together; where there are none, spikes over frames.

    :raises ValueError: for an empty recording.
    """
    if not len(stream):
        raise ValueError(f"mean_light got {stream}, expected frames.")
    cells = stream.layout.size * 8
    count, first, last = np.zeros(cells), np.full(cells, np.inf), np.zeros(cells)
    for at, block in zip(range(0, len(stream), LONG), stream.blocks(LONG), strict=True):
        packed = block.packed()
        begin, end = planes.nearest(packed[::-1])[0], planes.nearest(packed)[0].astype(float)
        count += planes.total(packed)
        first = np.where(begin > 0, np.minimum(first, at + begin.astype(float) - 1), first)
        last = np.where(end > 0, at + len(block) - end, last)
    several = count > 1
    rate = np.divide(count - 1, last - first, out=count / len(stream), where=several)
    return np.ascontiguousarray(stream.picture(rate))


def _some(dark: NDArray[Any] | None) -> list[NDArray[Any]]:
    return [] if dark is None else [dark]
