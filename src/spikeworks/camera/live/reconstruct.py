"""Images while the frames come: every so many frames one, and none over a gap."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from .. import planes
from ..estimate import TFP, Estimator, Image, image
from ..intervals import TFI
from ..stream import SpikeStream
from .source import Block


class Reconstruct:
    """A consumer that makes an image every so many frames.

    The images are those of ``estimator.every(recording, every)``, bit for bit; of estimators that look ahead, from the
    first frame whose neighbours have all come. Behind a gap it begins anew, as with a new recording.

    :param estimator: TFP and causal TFI cost the same however far they reach; others look at the last frames anew.
    :param every: frames from one image to the next, at least 1.
    :param to: called with the number of the frame, counted as the blocks are, and its image.
    :param threads: that a block is shared among.
    :raises ValueError: for less than 1 frame.
    """

    def __init__(
        self, estimator: Estimator, every: int = 50, to: Callable[[int, Image], object] | None = None, threads: int = 1
    ) -> None:
        if every < 1:
            raise ValueError(f"Reconstruct got every={every}, expected at least 1 frame.")
        self.estimator, self.every, self.to, self.threads = estimator, every, to, threads
        self.images = 0
        self.last: tuple[int, Image] | None = None
        self._running: _Counted | _Timed | _Kept | None = None
        self._begin = self._due = 0

    def __call__(self, block: Block) -> None:
        """Go through a block."""
        if self._running is None or block.first != self._due:
            self._running = _running(self.estimator, block.layout.size, self.every, self.threads)
            self._begin = block.first
        self._due = block.stop
        for t, picture in self._running.push(block.stream()):
            found = self._begin + t, picture
            self.last, self.images = found, self.images + 1
            if self.to is not None:
                self.to(*found)


def _running(estimator: Estimator, size: int, every: int, threads: int) -> _Counted | _Timed | _Kept:
    if isinstance(estimator, TFP):
        return _Counted(estimator, size, every, threads)
    if isinstance(estimator, TFI) and estimator.causal:
        return _Timed(estimator, size, every, threads)
    return _Kept(estimator, size, every)


class _Counted:
    """TFP of any kind: spikes counted as they come and go."""

    def __init__(self, tfp: TFP, size: int, every: int, threads: int) -> None:
        self.counts, self.every = planes.Counts(size, tfp.window, threads), every
        self.due, self.wait = tfp.before, tfp.window

    def push(self, stream: SpikeStream) -> Iterator[tuple[int, Image]]:
        window = np.float32(self.counts.window)
        for count in self.counts.push(stream.packed(), self.every, self.wait):
            yield self.due, image(stream, count / window, np.ones(count.shape, bool))
            self.due += self.every
        self.wait = planes.carried(len(stream), self.every, self.wait)


class _Timed:
    """Causal TFI: the age of each cell."""

    def __init__(self, tfi: TFI, size: int, every: int, threads: int) -> None:
        self.intervals, self.every, self.due, self.wait = (
            planes.Intervals(size, tfi.reach, threads=threads),
            every,
            0,
            1,
        )

    def push(self, stream: SpikeStream) -> Iterator[tuple[int, Image]]:
        for found in self.intervals.push(stream.packed(), self.every, self.wait):
            valid = found > 0
            light = np.divide(np.float32(1), found, out=np.zeros(found.shape, np.float32), where=valid)
            yield self.due, image(stream, light, valid)
            self.due += self.every
        self.wait = planes.carried(len(stream), self.every, self.wait)


class _Kept:
    """Any other: the last frames are kept, and the estimator is given those it looks at."""

    def __init__(self, estimator: Estimator, size: int, every: int) -> None:
        self.estimator, self.every, self.due = estimator, every, estimator.before
        self.past, self.begin = np.zeros((0, size), np.uint8), 0

    def push(self, stream: SpikeStream) -> Iterator[tuple[int, Image]]:
        held, before = np.concatenate([self.past, stream.packed()]), self.estimator.before
        kept = replace(stream, frames=held)
        while self.due + self.estimator.after < self.begin + len(held):
            start = self.due - before - self.begin
            seen = kept[start : start + before + 1 + self.estimator.after]
            yield self.due, self.estimator.picture(seen, before)
            self.due += self.every
        keep = max(0, min(len(held), self.due - before - self.begin))
        self.past, self.begin = held[keep:].copy(), self.begin + keep
