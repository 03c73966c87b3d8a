"""Live frames: every consumer gets what came, in order, or knows what it did not get."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from camera.spikes import random_stream
from spikeworks import camera
from spikeworks.camera import TFI, TFP, Block, Hub, Image, Layout, Reconstruct, Record, Replay, SpikeStream
from spikeworks.camera.live import BlockQueue

FAST = float("inf")


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def block(first: int, count: int = 2) -> Block:
    return Block(first, np.full((count, 1), first % 256, np.uint8), Layout(4, 2), 1000.0, time.monotonic())


class Scripted:
    """A source that hands out what it is told to: blocks, pauses, an error; as a vendor's SDK would."""

    def __init__(self, *steps: Block | Exception | Callable[[], object]) -> None:
        self.layout, self.rate, self.steps, self.closed = Layout(4, 2), 1000.0, list(steps), 0

    def read(self, timeout: float) -> Block | None:
        if not self.steps:
            raise EOFError
        step = self.steps.pop(0)
        if isinstance(step, Exception):
            raise step
        if isinstance(step, Block):
            return step
        step()
        return None

    def close(self) -> None:
        self.closed += 1


class Kept:
    """A consumer that keeps the numbers of what it gets; it may wait at first."""

    def __init__(self, gate: threading.Event | None = None) -> None:
        self.gate, self.frames, self.closed = gate, [], 0  # type: ignore[var-annotated]
        self.entered = threading.Event()

    def __call__(self, block: Block) -> None:
        self.entered.set()
        if self.gate is not None:
            assert self.gate.wait(10)
        assert (block.packed == block.first % 256).all()
        self.frames += range(block.first, block.stop)

    def close(self) -> None:
        self.closed += 1


def test_everybody_gets_everything_in_order() -> None:
    source, consumers = Scripted(*(block(2 * k) for k in range(50))), [Kept() for _ in range(3)]
    hub = Hub(source)
    for k, consumer in enumerate(consumers):
        hub.add(f"{k}", consumer, policy=("drop", "block")[k % 2], size=(100, 1)[k % 2])
    with hub:
        assert hub.wait(10)
    assert all(consumer.frames == list(range(100)) and consumer.closed == 1 for consumer in consumers)
    found = hub.report()
    assert (found.frames, found.missing, found.error, source.closed) == (100, 0, None, 1)
    assert all((c.frames, c.dropped, c.queued, c.error) == (100, 0, 0, None) for c in found.consumers.values())


def test_drops_are_counted_and_a_slow_consumer_stops_nobody() -> None:
    gate = threading.Event()
    slow, fast = Kept(gate), Kept()
    enough = threading.Event()
    steps = [block(0), lambda: slow.entered.wait(10), *(block(2 * k) for k in range(1, 20)), lambda: enough.wait(10)]
    hub = Hub(Scripted(*steps))
    hub.add("slow", slow, size=3)
    hub.add("fast", fast, size=100)
    with hub:
        end = time.monotonic() + 10
        while len(fast.frames) < 40 and time.monotonic() < end:
            time.sleep(0.001)
        assert fast.frames == list(range(40))  # while the slow one is still at its first block
        assert hub.report().consumers["slow"].dropped == 32
        gate.set()
        enough.set()
        hub.wait(10)
    assert slow.frames == list(range(8))  # the one at hand, and three in the queue
    found = hub.report().consumers["slow"]
    assert (found.frames, found.dropped, found.gaps) == (8, 32, (range(8, 40),))


def test_a_source_waits_for_who_must_not_miss_anything() -> None:
    gate = threading.Event()
    slow, source = Kept(gate), Scripted(*(block(2 * k) for k in range(20)))
    hub = Hub(source)
    hub.add("slow", slow, policy="block", size=2)
    with hub:
        assert slow.entered.wait(10)
        time.sleep(0.05)
        assert len(source.steps) == 20 - 4  # at hand, two in the queue, one that waits for room
        gate.set()
        assert hub.wait(10)
    assert slow.frames == list(range(40))
    assert hub.report().consumers["slow"].dropped == 0


def test_who_raises_stops_alone() -> None:
    def broken(block: Block) -> None:
        if block.first == 4:
            raise RuntimeError("no more room in here")

    kept = Kept()
    hub = Hub(Scripted(*(block(2 * k) for k in range(10))))
    hub.add("broken", broken, policy="block", size=1)
    hub.add("kept", kept, size=100)
    with pytest.raises(ValueError, match="'broken' stopped after 4 frames: no more room in here"), hub:
        hub.wait(10)
    assert kept.frames == list(range(20))
    found = hub.report().consumers["broken"]
    assert (found.frames, found.frames + found.dropped) == (4, 20)
    assert isinstance(found.error, RuntimeError)


def test_when_all_have_stopped_nothing_is_read() -> None:
    def broken(block: Block) -> None:
        raise RuntimeError("broken")

    hub = Hub(Replay(random_stream(100, 2, 4), loop=True))
    hub.add("a", broken)
    with pytest.raises(ValueError, match="'a' stopped"), hub:
        assert hub.wait(10)


def test_a_source_that_fails_is_told_and_what_came_is_kept() -> None:
    kept = Kept()
    hub = Hub(Scripted(block(0), block(2), OSError("the cable is out")))
    hub.add("kept", kept)
    with pytest.raises(ValueError, match="the source stopped after 4 frames: the cable is out"), hub:
        hub.wait(10)
    assert kept.frames == [0, 1, 2, 3]
    back = Hub(Scripted(block(4), block(0)))
    back.add("kept", Kept())
    with pytest.raises(ValueError, match=r"gave Block\(0:2, 4×2\) after frame 5"), back:
        back.wait(10)


def test_what_a_source_lost_is_told() -> None:
    hub = Hub(Scripted(block(3), block(9), block(11), block(20)))
    hub.add("kept", Kept())
    with hub:
        hub.wait(10)
    assert (hub.report().missing, hub.report().gaps) == (11, (range(5, 9), range(13, 20)))


def test_stopped_while_busy() -> None:
    gate = threading.Event()
    slow = Kept(gate)
    hub = Hub(Replay(SpikeStream(np.zeros((8, 1), np.uint8), Layout(4, 2)), FAST, loop=True, block=2))
    hub.add("slow", lambda b: slow(Block(0, b.packed, b.layout, b.rate, b.arrived)), size=4)
    with hub:
        assert slow.entered.wait(10)
        time.sleep(0.01)
        threading.Timer(0.05, gate.set).start()
    found = hub.report()
    assert found.consumers["slow"].frames + found.consumers["slow"].dropped == found.frames
    assert found.consumers["slow"].frames >= 8  # those in its queue were taken


def test_an_error_inside_drops_what_waits() -> None:
    gate = threading.Event()
    slow = Kept(gate)
    hub = Hub(Scripted(*(block(2 * k) for k in range(5)), lambda: time.sleep(0.01)))
    hub.add("slow", slow, size=10)

    def interrupted() -> None:
        with hub:
            assert slow.entered.wait(10)
            while hub.report().frames < 10:
                time.sleep(0.001)
            threading.Timer(0.05, gate.set).start()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    found = hub.report().consumers["slow"]
    assert (found.frames, found.dropped, slow.closed) == (2, 8, 1)


def test_what_hubs_and_queues_refuse() -> None:
    hub = Hub(Scripted(block(0)))
    with pytest.raises(ValueError, match="needs a consumer"):
        hub.start()
    hub.add("a", Kept())
    with pytest.raises(ValueError, match="another name"):
        hub.add("a", Kept())
    with hub:
        hub.wait(10)
    with pytest.raises(ValueError, match="make a new one"):
        hub.start()
    with pytest.raises(ValueError, match="size=0"):
        BlockQueue(0)
    with pytest.raises(ValueError, match=r"frames \[2, 1\].*expected \[n, 2\]"):
        Block(0, np.zeros((2, 1), np.uint8), Layout(4, 4), 1.0, 0.0)
    with pytest.raises(ValueError, match="block=0"):
        Replay(random_stream(3, 2, 2), block=0)


def test_consumers_cannot_change_what_others_see() -> None:
    packed = np.zeros((2, 1), np.uint8)
    held = Block(0, packed, Layout(4, 2), 1.0, 0.0)
    with pytest.raises(ValueError, match="read-only"):
        held.packed[0] = 1
    packed[0] = 1  # whose it is may


def test_replay_keeps_the_time() -> None:
    stream = random_stream(40, 3, 5)
    replay, found = Replay(stream, 400.0, loop=True, block=16), []
    start = time.monotonic()
    while len(found) < 6:
        if (got := replay.read(0.01)) is not None:
            assert time.monotonic() >= got.arrived
            found.append(got)
    assert [len(b) for b in found] == [16, 16, 8, 16, 16, 8]
    assert [b.first for b in found] == [0, 16, 32, 40, 56, 72]
    due = np.array([b.arrived for b in found])
    assert np.allclose(due - due[0], (np.array([b.stop for b in found]) - 16) / 400)  # however late a block was
    assert due[0] - 16 / 400 >= start
    assert np.array_equal(np.concatenate([b.packed for b in found]), np.concatenate([stream.packed()] * 2))
    cut = stream[3:].crop(1, 1, 3, 2)
    part = Replay(cut, FAST).read(1)
    assert part is not None
    assert np.array_equal(part.stream().dense(), cut.dense())
    assert part.first == 3


@pytest.mark.parametrize(
    "estimator",
    [TFP(7, causal=True), TFP(8), TFI(9, causal=True), TFI(6)],
    ids=("tfp", "tfp-middle", "tfi", "tfi-near"),
)
@pytest.mark.parametrize("every", [1, 5, 40])
def test_images_while_frames_come(estimator: TFP | TFI, every: int) -> None:
    stream, draw = random_stream(97, 3, 7), np.random.default_rng(every)
    found: list[tuple[int, Image]] = []
    consumer = Reconstruct(estimator, every, lambda t, image: found.append((t, image)))
    at = 0
    while at < len(stream):
        n = min(int(draw.integers(1, 20)), len(stream) - at)
        consumer(Block(at + 1000, stream.packed()[at : at + n], stream.layout, stream.rate, 0.0))
        at += n
    first = None if not isinstance(estimator, TFI) or estimator.causal else estimator.before
    expected = [(t, i) for t, i in estimator.every(stream, every, first) if t + estimator.after < len(stream)]
    assert [t - 1000 for t, _ in found] == [t for t, _ in expected]
    for (_, a), (_, b) in zip(found, expected, strict=True):
        assert np.array_equal(a.light, b.light)
        assert np.array_equal(a.valid, b.valid)
    assert consumer.images == len(found)


def test_no_image_over_a_gap() -> None:
    stream, found = random_stream(60, 3, 7), []
    consumer = Reconstruct(TFP(10, causal=True), 1, lambda t, image: found.append(t))
    for a, b in ((0, 15), (20, 28), (40, 55)):
        consumer(stream_block(stream, a, b))
    assert found == [*range(9, 15), *range(49, 55)]


def stream_block(stream: SpikeStream, start: int, stop: int) -> Block:
    return Block(start, stream.packed()[start:stop], stream.layout, stream.rate, time.monotonic())


def test_recording(tmp_path: Path) -> None:
    stream = random_stream(200, 5, 7)
    hub = Hub(Replay(stream, FAST, block=30))
    hub.add("file", Record(tmp_path / "a.spikes"), policy="block")
    before = time.time_ns()
    with hub:
        hub.wait(10)
    again = camera.open_container(tmp_path / "a.spikes")
    assert np.array_equal(again.packed(), stream.packed())
    origin: Any = again.frames.header.origin  # type: ignore[attr-defined]
    assert abs(origin + round(30 / stream.rate * 1e9) - before) < 5e9
    with pytest.raises(ValueError, match="is there already"):
        Record(tmp_path / "a.spikes")


def test_recording_what_was_lost(tmp_path: Path) -> None:
    stream, consumer = random_stream(60, 3, 7), Record(tmp_path / "a.spikes", level=1)
    for a, b in ((3, 15), (20, 28)):
        consumer(stream_block(stream, a, b))
    with pytest.raises(ValueError, match="but Block"):
        consumer(Block(40, np.zeros((2, 1), np.uint8), Layout(4, 2), stream.rate, 0.0))
    consumer.close()
    assert camera.check(tmp_path / "a.spikes").parts == (range(3, 15), range(20, 28))
    Record(tmp_path / "b.spikes").close()  # nothing came, nothing is there
    assert not (tmp_path / "b.spikes").exists()
