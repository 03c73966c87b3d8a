"""What lies between a source and a consumer: blocks in order, only so many, and a count of those that did not fit."""

from __future__ import annotations

import threading
from collections import deque
from typing import Literal

from .source import Block

Policy = Literal["drop", "block"]
"""What happens to a block that a full queue has no room for: it is dropped and counted, or the source waits."""

NAMED = 1000
"""Gaps that are kept by their frames; later ones are only counted."""


class Gaps:
    """Frames that are missing: how many, and which."""

    def __init__(self) -> None:
        self.frames = 0
        self.ranges: list[range] = []

    def add(self, first: int, stop: int) -> None:
        """So many frames are missing, from ``first`` on."""
        self.frames += stop - first
        if self.ranges and self.ranges[-1].stop == first:
            self.ranges[-1] = range(self.ranges[-1].start, stop)
        elif len(self.ranges) < NAMED:
            self.ranges.append(range(first, stop))


class BlockQueue:
    """A queue of one writer and one reader, which never changes the order.

    :param size: blocks it has room for. :param policy: ``drop``: a block that does not fit is dropped, the newest that
        is, and counted in :attr:`dropped`; ``block``: :meth:`put` waits.
    :raises ValueError: for a size below 1, or another policy.
    """

    def __init__(self, size: int = 64, policy: Policy = "drop") -> None:
        if size < 1 or policy not in ("drop", "block"):
            raise ValueError(f"BlockQueue got size={size}, policy={policy!r}, expected at least 1, 'drop' or 'block'.")
        self.size, self.policy = size, policy
        self.dropped = Gaps()
        self._held: deque[Block] = deque()
        self._change = threading.Condition()
        self._ended = False

    def __len__(self) -> int:
        return len(self._held)

    def put(self, block: Block) -> bool:
        """Add a block; ``False`` if it was dropped, because the queue was full, or had ended."""
        with self._change:
            while self.policy == "block" and len(self._held) >= self.size and not self._ended:
                self._change.wait()
            if self._ended or len(self._held) >= self.size:
                self.dropped.add(block.first, block.stop)
                return False
            self._held.append(block)
            self._change.notify_all()
            return True

    def get(self) -> Block | None:
        """The oldest block, as soon as there is one; ``None``: the queue has ended and is empty."""
        with self._change:
            while not self._held and not self._ended:
                self._change.wait()
            if not self._held:
                return None
            block = self._held.popleft()
            self._change.notify_all()
            return block

    def end(self, discard: bool = False) -> None:
        """Nothing comes any more. ``discard``: what is in the queue is dropped, too, and counted."""
        with self._change:
            self._ended = True
            if discard:
                for block in self._held:
                    self.dropped.add(block.first, block.stop)
                self._held.clear()
            self._change.notify_all()
