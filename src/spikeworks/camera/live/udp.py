"""Blocks in datagrams: what is lost on the way is missed, and said, and nobody waits.

The system holds few of them (on Linux ``net.core.rmem_max`` bytes): small blocks, at the camera's pace, come through.
"""

from __future__ import annotations

import socket
import time

import numpy as np
from numpy.typing import NDArray

from ..container import header
from ..layout import Layout
from . import message
from .source import Block
from .tcp import BUFFER, parts

PIECE = 32_768
"""Bytes of frames in a datagram."""
LEAST = 512
"""Bytes of the smallest piece but the last: what a block of many pieces costs stays bounded."""


class UdpSource:
    """A source that puts blocks together from datagrams; a block that lacks a piece is lost as a whole.

    Blocks come in order: a piece that comes after one of a later block is too late. Lost frames show in
    :attr:`.Block.first` of the next block. The first sender that says hello is listened to, and no other.

    :param address: ``udp://127.0.0.1:5000``, where to wait. :param timeout: seconds to wait for a sender.
    :raises ValueError: if none comes, or the address cannot be had.
    """

    def __init__(self, address: str, timeout: float = 30.0) -> None:
        self.address = address
        host, port = message.place(address, "udp")
        self.lost, self.late, self.foreign = 0, 0, 0  # frames, datagrams, datagrams
        self._socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
            self._socket.bind((host, port))
        except OSError as error:
            self._socket.close()
            raise ValueError(f"{address} cannot be listened at ({error.strerror}); choose another.") from error
        self._datagram = bytearray(1 << 16)
        self._peer: object = None
        self._number, self._due, self._over = -1, 0, False
        self._found: message.Message | None = None
        self._packed: NDArray[np.uint8] = np.empty(0, np.uint8)
        self._pieces: dict[int, int] = {}
        about = self._hello(time.monotonic() + timeout)
        if about is None:
            self.close()
            raise ValueError(
                f"{address}: no sender came within {timeout:g} s, and {self.foreign} datagrams that were none of ours; "
                "start it, or wait longer."
            )
        self.layout, self.rate = about.layout, about.rate

    def read(self, timeout: float) -> Block | None:
        """The next block that is whole, see :class:`.Source`."""
        deadline = time.monotonic() + timeout
        while not self._over:
            got = self._receive(deadline, self.layout.size)
            if got is None:
                return None
            found, data = got
            if found.kind == message.END:
                self._over = True
                self._begin(None)
            elif found.kind == message.BLOCK and self._add(found, data):
                packed = self._packed.reshape(found.frames, -1)
                self._due, self._found = found.first + found.frames, None
                return Block(found.first, packed, self.layout, self.rate, time.monotonic())
        raise EOFError("the sender is done")

    def close(self) -> None:
        """Listen no more."""
        self._socket.close()

    def _begin(self, found: message.Message | None) -> None:
        """Another block; one that is not whole by now is lost."""
        if self._found is not None:
            self.lost += self._found.frames
        self._found, self._pieces = found, {}
        if found is not None:
            self._number, self._packed = found.number, np.empty(found.total, np.uint8)

    def _add(self, found: message.Message, data: memoryview) -> bool:
        """Put a piece in its place; whether its block is whole."""
        known = self._found
        if found.number <= self._number and (known is None or found.number != known.number):
            self.late += 1
            return False
        small = found.length < LEAST and found.offset + found.length < found.total
        if known is None or found.number != known.number:
            if small or found.first < self._due:
                self.foreign += 1
                return False
            self._begin(found)
        elif small or (found.first, found.total) != (known.first, known.total) or found.offset in self._pieces:
            self.foreign += 1
            return False
        self._packed[found.offset : found.offset + found.length] = np.frombuffer(data, np.uint8)
        self._pieces[found.offset] = found.length
        at = 0
        while at < found.total and self._pieces.get(at):
            at += self._pieces[at]
        return at == found.total

    def _receive(self, deadline: float, size: int | None) -> tuple[message.Message, memoryview] | None:
        """The next datagram that is one of ours."""
        view = memoryview(self._datagram)
        while True:
            try:
                self._socket.settimeout(max(deadline - time.monotonic(), 1e-3))
                count, peer = self._socket.recvfrom_into(view)
            except TimeoutError:
                return None
            except ConnectionError:
                continue  # some systems tell a receiver that a sender went away
            except OSError as error:
                raise ValueError(f"{self.address} cannot be read ({error}).") from error
            found, data = message.read(view[:count], size), view[message.HEAD.size : count]
            ours = found is not None and self._peer in (None, peer) and message.intact(found, view, data)
            if ours and found is not None:
                self._peer = peer if self._peer is not None or found.kind == message.HELLO else None
                return found, data
            self.foreign += 1
            if time.monotonic() > deadline:
                return None

    def _hello(self, deadline: float) -> header.Header | None:
        while (got := self._receive(deadline, None)) is not None:
            found, data = got
            try:
                return header.read(bytes(data), self.address)[0]
            except ValueError:
                self._peer = None
                self.foreign += found.kind == message.HELLO
        return None


class UdpSender:
    """A consumer that sends blocks to a :class:`UdpSource`, whether there is one or not.

    It says hello before each block: a receiver may come later.

    :param address: ``udp://127.0.0.1:5000``. :param layout: of the frames to come. :param rate: frames a second, Hz.
    :raises ValueError: for an address that is none.
    """

    def __init__(self, address: str, layout: Layout, rate: float) -> None:
        self.address, self.layout = address, layout
        self._to = message.place(address, "udp")
        self._socket = socket.socket(socket.AF_INET6 if ":" in self._to[0] else socket.AF_INET, socket.SOCK_DGRAM)
        self._hello, self._number = message.hello(layout, rate), 0

    def __call__(self, block: Block) -> None:
        """Send a block.

        :raises ValueError: for frames of another layout, or a network that does not take them.
        """
        for part in parts(block, self.layout):
            self._send(self._hello)
            data = np.ascontiguousarray(part.packed).data.cast("B")
            for at in range(0, len(data), PIECE):
                piece = data[at : at + PIECE]
                head = message.write(message.BLOCK, piece, self._number, part.first, len(part), len(data), at)
                self._send(head, piece)
            self._number += 1

    def close(self) -> None:
        """Say that this was all, three times: one may be lost."""
        if self._socket.fileno() >= 0:
            with self._socket:
                for _ in range(3):
                    self._send(message.write(message.END))

    def _send(self, head: bytes, data: bytes | memoryview = b"") -> None:
        try:
            self._socket.sendto(head + bytes(data), self._to)
        except ConnectionError:
            pass  # nobody is there at the moment
        except OSError as error:
            raise ValueError(f"{self.address} cannot be sent to ({error}).") from error
