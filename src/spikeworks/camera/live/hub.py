"""One source, several consumers: each has its queue and its thread, so that none disturbs another."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from .queue import BlockQueue, Gaps, Policy
from .source import Block, Source

Consumer = Callable[[Block], object]
"""Anything that takes a block; if it has a method ``close``, that is called at the end."""

PATIENCE = 0.1
"""Seconds between two looks at whether to stop, while nothing comes."""


@dataclass(frozen=True)
class Consumed:
    """What became of the frames that were meant for one consumer.

    :param frames: it took. :param dropped: it did not get or not finish: its queue was full, or it had stopped.
    :param gaps: which they are, the first thousand stretches. :param queued: blocks that wait.
    :param lag: seconds from a block's arrival to when it was done with, of the last one. :param most: of the slowest.
    :param busy: share of the time in which it worked, or waited for a core.
    :param cpu: seconds of a core it took, without threads of its own.
    :param error: why it stopped, ``None``: it did not.
    """

    frames: int
    dropped: int
    gaps: tuple[range, ...]
    queued: int
    lag: float
    most: float
    busy: float
    cpu: float
    error: Exception | None


@dataclass(frozen=True)
class Report:
    """What a hub did so far.

    :param frames: that came. :param missing: that the source says it lost. :param gaps: which they are, the first
        thousand stretches. :param seconds: since the start. :param rate: frames a second that came.
    :param consumers: by name. :param error: why the source stopped before its end.
    """

    frames: int
    missing: int
    gaps: tuple[range, ...]
    seconds: float
    rate: float
    consumers: dict[str, Consumed]
    error: Exception | None


class Hub:
    """Hands every block of a source to all consumers; a context manager that starts and stops it.

    ::

        hub = Hub(Replay(stream))
        hub.add("file", Record("out.spikes"), policy="block")
        hub.add("pictures", Reconstruct(TFP(41, causal=True), 50, show))
        with hub:
            hub.wait()

    Leaving the block ends the source, has the consumers take what is in their queues, closes them, and raises what one
    of them, or the source, ran into. Leaving it by an error drops what is in the queues.

    :param source: it is closed in the end.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self._workers: dict[str, _Worker] = {}
        self._missing = Gaps()
        self._frames = 0
        self._stop = threading.Event()
        self._error: Exception | None = None
        self._thread: threading.Thread | None = None
        self._begun = self._ended = 0.0

    def add(self, name: str, consumer: Consumer, policy: Policy = "drop", size: int = 64) -> None:
        """A consumer with a queue of its own.

        :param policy: ``drop``: what it is too slow for is dropped and counted; ``block``: the source waits for it, and
            with the source all others. :param size: blocks that its queue holds.
        :raises ValueError: for a name that is there, a hub that runs, or what :class:`BlockQueue` does not take.
        """
        if name in self._workers or self._thread is not None:
            raise ValueError(f"Hub.add got {name!r}, expected another name, before the hub starts.")
        self._workers[name] = _Worker(name, consumer, BlockQueue(size, policy))

    def start(self) -> None:
        """Begin to read.

        :raises ValueError: for a hub without consumers, or one that was started before.
        """
        if not self._workers or self._thread is not None:
            raise ValueError("Hub.start needs a consumer, and a hub that was not started before; make a new one.")
        self._begun = time.monotonic()
        self._thread = threading.Thread(target=self._read, name="hub", daemon=True)
        for worker in self._workers.values():
            worker.begun = self._begun
            worker.thread.start()
        self._thread.start()

    def wait(self, timeout: float | None = None) -> bool:
        """Until the source is at its end and all is done, or so many seconds; whether it is."""
        end = None if timeout is None else time.monotonic() + timeout
        for thread in self._threads():
            thread.join(None if end is None else max(0.0, end - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads())

    def stop(self, drain: bool = True) -> None:
        """Read no more, and wait until the consumers are done.

        :param drain: they take what is in their queues first; else that is dropped, and counted.
        """
        self._stop.set()
        for worker in self._workers.values():
            if not drain:
                worker.queue.end(discard=True)
        self.wait()

    def report(self) -> Report:
        """What happened so far; at any time, from any thread."""
        seconds = max((self._ended or time.monotonic()) - self._begun, 1e-9) if self._begun else 0.0
        return Report(
            self._frames, self._missing.frames, tuple(self._missing.ranges), seconds,
            self._frames / seconds if seconds else 0.0,
            {name: worker.said() for name, worker in self._workers.items()}, self._error,
        )  # fmt: skip

    def check(self) -> None:
        """Raise what the source or a consumer ran into.

        :raises ValueError: naming each of them, and where it stopped.
        """
        found = [] if self._error is None else [("the source", self._frames, self._error)]
        found += [(repr(w.name), w.frames, w.error) for w in self._workers.values() if w.error is not None]
        if found:
            said = "; ".join(f"{name} stopped after {frames:,} frames: {error}" for name, frames, error in found)
            raise ValueError(f"Live: {said}") from found[0][2]

    def __enter__(self) -> Hub:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop(drain=error is None)
        if error is None:
            self.check()

    def _threads(self) -> list[threading.Thread]:
        if self._thread is None:
            return []
        return [self._thread, *(worker.thread for worker in self._workers.values())]

    def _read(self) -> None:
        due = None
        try:
            while not self._stop.is_set() and any(worker.error is None for worker in self._workers.values()):
                block = self.source.read(PATIENCE)
                if block is None:
                    continue
                if due is not None and block.first < due:
                    raise ValueError(f"the source gave {block} after frame {due - 1}, expected later ones")
                if due is not None and block.first > due:
                    self._missing.add(due, block.first)
                due = block.stop
                self._frames += len(block)
                for worker in self._workers.values():
                    worker.queue.put(block)
        except EOFError:
            pass
        except Exception as error:  # whatever a camera's SDK raises: kept, and raised by check
            self._error = error
        finally:
            self._ended = time.monotonic()
            for worker in self._workers.values():
                worker.queue.end()
            try:
                self.source.close()
            except Exception as error:
                self._error = self._error or error


class _Worker:
    """A consumer in its thread."""

    def __init__(self, name: str, consumer: Consumer, queue: BlockQueue) -> None:
        self.name, self.consumer, self.queue = name, consumer, queue
        self.thread = threading.Thread(target=self._work, name=f"hub-{name}", daemon=True)
        self.frames = 0
        self.lag = self.most = self.spent = self.cpu = self.begun = 0.0
        self.ended: float | None = None
        self.error: Exception | None = None

    def _work(self) -> None:
        block = None
        try:
            try:
                while (block := self.queue.get()) is not None:
                    start = time.monotonic()
                    self.consumer(block)
                    end = time.monotonic()
                    self.frames += len(block)
                    self.spent += end - start
                    self.cpu = time.thread_time()
                    self.lag = end - block.arrived
                    self.most = max(self.most, self.lag)
            finally:
                close = getattr(self.consumer, "close", None)
                if close is not None:
                    close()
        except Exception as error:  # whatever a consumer raises ends that consumer alone
            self.error = error
            self.queue.end(discard=True)
            if block is not None:
                self.queue.dropped.add(block.first, block.stop)
        self.ended = time.monotonic()

    def said(self) -> Consumed:
        """What became of its frames."""
        whole = max((self.ended or time.monotonic()) - self.begun, 1e-9)
        dropped = self.queue.dropped
        gaps = tuple(sorted(dropped.ranges, key=lambda frames: frames.start))
        return Consumed(
            self.frames, dropped.frames, gaps, len(self.queue), self.lag, self.most, min(1.0, self.spent / whole),
            self.cpu, self.error,
        )  # fmt: skip
