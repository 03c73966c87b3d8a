"""Blocks from process to process: the same bits arrive, in order, what is lost is told, strangers are refused."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from camera.spikes import random_stream
from spikeworks.camera import Block, Hub, Layout, Replay, SpikeStream, listen, sender
from spikeworks.camera.live import SharedSender, SharedSource, TcpSender, TcpSource, UdpSource, message

STREAM = random_stream(300, 13, 21, flip=False)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """One that nobody has."""
    with socket.socket(socket.AF_INET, kind) as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def address(scheme: str) -> str:
    if scheme == "shm":
        return f"shm://spikeworks-test-{os.getpid()}-{time.monotonic_ns()}"
    return f"{scheme}://127.0.0.1:{port(socket.SOCK_DGRAM if scheme == 'udp' else socket.SOCK_STREAM)}"


def beside(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def blocks(stream: SpikeStream, each: int = 16) -> list[Block]:
    return [Block(b.first, b.packed(), b.layout, b.rate, time.monotonic()) for b in stream.blocks(each)]


def everything(source: Any, most: float = 10) -> list[Block]:
    found, end = [], time.monotonic() + most
    try:
        while time.monotonic() < end:
            if (block := source.read(0.05)) is not None:
                found.append(block)
    except EOFError:
        return found
    finally:
        source.close()
    raise AssertionError("it did not end")


@pytest.mark.parametrize("scheme", ["tcp", "udp", "shm"])
def test_the_same_bits_arrive(scheme: str) -> None:
    place = address(scheme)

    def send() -> None:
        hub = Hub(Replay(STREAM, 20_000, block=16))
        out = sender(place, STREAM.layout, STREAM.rate)
        time.sleep(0.3)  # over UDP and shared memory nobody waits for the receiver
        hub.add("out", out, policy="block")
        with hub:
            hub.wait(10)

    thread = beside(send)
    source = listen(place, 10)
    assert (source.layout, source.rate) == (STREAM.layout, STREAM.rate)
    found = everything(source)
    thread.join()
    assert [b.first for b in found] == list(range(0, 300, 16))
    assert np.array_equal(np.concatenate([b.packed for b in found]), STREAM.packed())


def test_a_hub_passes_on_what_a_hub_sends() -> None:
    place, kept = address("tcp"), []
    out = Hub(Replay(STREAM, float("inf"), loop=True, block=7))

    def send() -> None:
        out.add("out", sender(place, STREAM.layout, STREAM.rate), policy="block")
        out.start()

    thread = beside(send)
    source = listen(place, 10)
    thread.join()
    hub = Hub(source)
    hub.add("kept", kept.append, policy="block", size=2)
    with hub:
        while len(kept) < 100:
            time.sleep(0.001)
    with pytest.raises(ValueError, match=r"'out' stopped .*the receiver is gone"):
        out.stop() or out.check()
    packed = np.concatenate([b.packed for b in kept])
    assert np.array_equal(packed[:300], STREAM.packed())
    assert [b.first for b in kept[1:]] == [b.stop for b in kept[:-1]]


def connect(place: str) -> socket.socket:
    end = time.monotonic() + 10
    while True:
        try:
            return socket.create_connection(message.place(place, "tcp"), 10)
        except OSError:
            assert time.monotonic() < end
            time.sleep(0.01)


HELLO = message.hello(STREAM.layout, STREAM.rate)


def body(first: int = 0, frames: int = 2, number: int = 0) -> bytes:
    data = STREAM.packed()[:frames].tobytes()
    return message.write(message.BLOCK, data, number, first, frames) + data


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"GET / HTTP/1.1\r\nHost: nobody at all, but long enough\r\n\r\n", r"sent b'GET / HTTP/1.1.*expected blocks"),
        (body(), "expected blocks of spikeworks"),
        (message.write(message.HELLO, b"x" * 40) + b"x" * 40, "no spikeworks container"),
        (message.write(message.HELLO, b"x" * 40) + b"y" * 40, "checksum"),
        (HELLO[:30], "went away"),
    ],
    ids=("http", "no-hello", "no-header", "damaged", "short"),
)
def test_strangers_are_refused(sent: bytes, said: str) -> None:
    place = address("tcp")

    def send() -> None:
        with connect(place) as peer:
            peer.sendall(sent)

    thread = beside(send)
    with pytest.raises(ValueError, match=said):
        TcpSource(place, 10)
    thread.join()


@pytest.mark.parametrize(
    ("sent", "said", "good"),
    [
        (body() + body(2)[:-3], "went away before its end", 1),
        (body() + body(2), "went away before its end", 2),
        (body() + body(1), "in order", 1),
        (body() + body(2)[:-1] + b"\xff", "checksum", 1),
        (body() + b"x" * 60, "expected blocks of spikeworks", 1),
        (
            message.HEAD.pack(message.MAGIC, 1, 0, 0, 1 << 30, 1 << 31, 0, 1 << 31, 0),
            "expected blocks of spikeworks",
            0,
        ),
    ],
    ids=("cut", "no-end", "again", "damaged", "noise", "huge"),
)
def test_a_connection_that_goes_wrong(sent: bytes, said: str, good: int) -> None:
    place = address("tcp")

    def send() -> None:
        with connect(place) as peer:
            peer.sendall(HELLO + sent)

    thread = beside(send)
    source = TcpSource(place, 10)
    thread.join()
    for _ in range(good):
        assert source.read(5) is not None
    with pytest.raises(ValueError, match=said):
        source.read(5)
    source.close()


def test_a_message_in_drops_is_put_together() -> None:
    place, text = address("tcp"), HELLO + body() + message.write(message.END)

    def send() -> None:
        with connect(place) as peer:
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for k in range(0, len(text), 11):
                peer.sendall(text[k : k + 11])
                time.sleep(0.002)

    thread = beside(send)
    source, found = TcpSource(place, 10), []
    with pytest.raises(EOFError):
        found.extend(iter(lambda: source.read(0.001), 0))
    assert sum(b is not None for b in found) == 1
    assert len(found) > 1  # it was asked in between
    thread.join()
    with pytest.raises(EOFError):
        source.read(0)
    source.close()


def test_nobody_comes() -> None:
    for scheme in ("tcp", "udp", "shm"):
        with pytest.raises(ValueError, match=r"came within 0\.05 s"):
            listen(address(scheme), 0.05)
    with pytest.raises(ValueError, match="nobody listens"):
        TcpSender(address("tcp"), STREAM.layout, 1.0, timeout=0.05)
    for wrong in (
        "http://127.0.0.1:80",
        "tcp://127.0.0.1",
        "tcp://127.0.0.1:99999",
        "shm://a/b",
        "file.dat",
        "udp://:0",
    ):
        with pytest.raises(ValueError, match="is no address"):
            listen(wrong, 0.01)


class Datagrams:
    """A sender whose datagrams are kept, to be lost and turned about."""

    def __init__(self, each: int = 16, piece: int = 600) -> None:
        self.kept: list[bytes] = []
        for number, block in enumerate(blocks(STREAM, each)):
            data = block.packed.tobytes()
            for at in range(0, len(data), piece):
                some = data[at : at + piece]
                head = message.write(message.BLOCK, some, number, block.first, len(block), len(data), at)
                self.kept.append(head + some)


def received(datagrams: list[bytes]) -> tuple[list[Block], UdpSource]:
    place = address("udp")
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as alien,
    ):
        go = threading.Event()

        def hello() -> None:
            while not go.wait(0.01):
                alien.sendto(b"something else, of more than forty bytes in all, really", message.place(place, "udp"))
                out.sendto(HELLO, message.place(place, "udp"))

        thread = beside(hello)
        source = UdpSource(place, 10)
        go.set()
        thread.join()
        alien.sendto(datagrams[0], message.place(place, "udp"))  # of ours, but not from whom we listen to
        found: list[Block] = []
        for datagram in datagrams:
            out.sendto(datagram, message.place(place, "udp"))
            if (block := source.read(0.0005)) is not None:
                found.append(block)
        out.sendto(message.write(message.END), message.place(place, "udp"))
        return found + everything(source), source


def test_lost_datagrams_are_gaps() -> None:
    whole = Datagrams().kept  # 19 blocks of 16 frames of 35 bytes: one piece each
    found, source = received([d for k, d in enumerate(whole) if k not in (3, 4, 9)])
    assert [b.first for b in found] == [16 * k for k in range(19) if k not in (3, 4, 9)]
    assert source.foreign >= 1
    for b in found:
        assert np.array_equal(b.packed, STREAM.packed()[b.first : b.stop])


def test_pieces_in_any_order_make_a_block_and_blocks_stay_in_order() -> None:
    pieces = Datagrams(each=60, piece=600).kept  # five blocks of four pieces
    turned = [*pieces[:4][::-1], *pieces[4:6], *pieces[8:12], *pieces[6:8], pieces[12], *pieces[12:16], *pieces[16:19]]
    found, source = received(turned)
    assert [b.first for b in found] == [0, 120, 180]
    assert (source.lost, source.late) == (120, 2)  # the second and the last block; the second's other pieces
    for b in found:
        assert np.array_equal(b.packed, STREAM.packed()[b.first : b.stop])


@given(st.binary(max_size=80), st.none() | st.integers(1, 1000))
def test_no_noise_is_a_message(text: bytes, size: int | None) -> None:
    found = message.read(message.MAGIC + text, size)
    assert found is None or found.length <= message.MOST


def test_a_slow_reader_of_shared_memory_knows_what_it_missed() -> None:
    place = address("shm")
    writer = SharedSender(place, STREAM.layout, STREAM.rate, slots=4, block=8)
    reader = SharedSource(place)
    other = SharedSource(place)
    for block in blocks(STREAM, 10):  # each becomes a slot of 8 and one of 2
        writer(block)
        assert other.read(1) is not None
        assert other.read(1) is not None
    writer.close()
    found = everything(reader)
    assert [b.first for b in found] == [288, 290, 298]  # of four slots, one may be under way
    assert reader.lost == 57
    for b in found:
        assert np.array_equal(b.packed, STREAM.packed()[b.first : b.stop])
    other.close()
    with pytest.raises(ValueError, match="no writer came"):
        SharedSource(place, 0.01)


def test_a_slot_that_is_written_over_while_it_is_read_is_lost() -> None:
    place = address("shm")
    writer = SharedSender(place, STREAM.layout, STREAM.rate, slots=4, block=8)
    reader = SharedSource(place, begin=True)
    first, second = blocks(STREAM[:16], 8)
    writer(first)
    writer(second)
    buffer = reader._buffer
    buffer[1024 + 40 + 5] ^= 1  # a bit of the first slot
    del buffer
    found = reader.read(1)
    assert found is not None
    assert (found.first, reader.lost) == (8, 1)
    with pytest.raises(ValueError, match="cannot be made"):
        SharedSender(place, STREAM.layout, STREAM.rate)
    writer.close()
    reader.close()


WRITER = """
import sys
import numpy as np
from spikeworks.camera import Block, Layout
from spikeworks.camera.live import SharedSender
layout = Layout(4, 2)
out = SharedSender(sys.argv[1], layout, 1000.0, slots=8, block=4)
out(Block(0, np.full((4, 1), 7, np.uint8), layout, 1000.0, 0.0))
sys.stdout.write("go")
sys.stdout.flush()
sys.stdin.read()
"""


@pytest.mark.skipif(os.name != "posix", reason="processes are killed the POSIX way")
def test_a_writer_that_was_killed() -> None:
    place = address("shm")
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, place], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as child:
        assert child.stdout is not None
        assert child.stdout.read(2) == b"go"
        source = SharedSource(place, begin=True)
        block = source.read(1)
        assert block is not None
        assert (block.packed == 7).all()
        assert source.read(0.01) is None
        child.send_signal(signal.SIGKILL)
    with pytest.raises(ValueError, match=r"its writer, process \d+, is gone"):
        source.read(0.01)
    source.close()


def test_layouts_are_held_to() -> None:
    place = address("shm")
    writer = SharedSender(place, STREAM.layout, STREAM.rate)
    with pytest.raises(ValueError, match="expected frames of"):
        writer(Block(0, np.zeros((1, 1), np.uint8), Layout(4, 2), 1.0, 0.0))
    writer.close()
    writer.close()
    with pytest.raises(ValueError, match="at least 2"):
        SharedSender(place, STREAM.layout, STREAM.rate, slots=1)
