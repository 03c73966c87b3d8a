"""Blocks over a TCP connection: none is lost, and a receiver that is slow makes the sender wait."""

from __future__ import annotations

import socket
import time

import numpy as np

from ..container import header
from ..layout import Layout
from . import message
from .source import Block

BUFFER = 1 << 22
"""Bytes that the system is asked to hold for a connection."""


class TcpSource:
    """A source that waits for one sender, and takes what it sends.

    :param address: ``tcp://127.0.0.1:5000``, where to wait; other machines reach it only if another host is named.
    :param timeout: seconds to wait for a sender.
    :raises ValueError: if none comes, the address cannot be had, or what comes is no sender of ours.
    """

    def __init__(self, address: str, timeout: float = 30.0) -> None:
        self.address = address
        host, port = message.place(address, "tcp")
        deadline = time.monotonic() + timeout
        try:
            with socket.create_server((host, port)) as server:
                server.settimeout(timeout)
                self._socket, peer = server.accept()
        except TimeoutError as error:
            raise ValueError(f"{address}: no sender came within {timeout:g} s; start it, or wait longer.") from error
        except OSError as error:
            raise ValueError(f"{address} cannot be listened at ({error.strerror}); choose another.") from error
        self.peer = f"{peer[0]}:{peer[1]}"
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        self._size: int | None = None
        self._head: bytearray | None = None
        self._message: message.Message | None = None
        self._wait_for(bytearray(message.HEAD.size))
        self._due, self._over = 0, False
        try:
            found = self._next(deadline)
            if found is None or found[0].kind != message.HELLO:
                raise ValueError(f"{address}: {self.peer} did not say what it sends, expected a sender of spikeworks.")
            about, _ = header.read(bytes(found[1]), f"{address}: what {self.peer} sent")
        except ValueError:
            self.close()
            raise
        self.layout, self.rate, self._size = about.layout, about.rate, about.layout.size

    def read(self, timeout: float) -> Block | None:
        """The next block, see :class:`.Source`.

        :raises ValueError: for bytes that are no block, are damaged, or a connection that ends before its end was said.
        """
        if self._over:
            raise EOFError("the sender is done")
        found = self._next(time.monotonic() + timeout)
        if found is None:
            return None
        about, data = found
        if about.kind == message.END:
            self._over = True
            raise EOFError("the sender is done")
        if about.kind != message.BLOCK or about.offset or about.length != about.total or about.first < self._due:
            raise ValueError(f"{self.address}: {self.peer} sent {about}, expected whole blocks, in order.")
        self._due = about.first + about.frames
        packed = np.frombuffer(data, np.uint8).reshape(about.frames, -1)
        return Block(about.first, packed, self.layout, self.rate, time.monotonic())

    def close(self) -> None:
        """End the connection."""
        self._socket.close()

    def _wait_for(self, buffer: bytearray) -> None:
        self._buffer, self._have = buffer, 0

    def _next(self, deadline: float) -> tuple[message.Message, bytearray] | None:
        """The next message, or ``None`` if it was not whole in time: what came of it is kept."""
        while self._filled(deadline):
            if self._message is None:
                self._message = message.read(self._buffer, self._size)
                if self._message is None:
                    begin = bytes(self._buffer[:16])
                    raise ValueError(f"{self.address}: {self.peer} sent {begin!r}, expected blocks of spikeworks.")
                self._head = self._buffer
                self._wait_for(bytearray(self._message.length))
                continue
            found, head, data = self._message, self._head, self._buffer
            self._message = self._head = None
            self._wait_for(bytearray(message.HEAD.size))
            if head is None or not message.intact(found, head, data):
                raise ValueError(f"{self.address}: block {found.number} came damaged: its checksum is another.")
            return found, data
        return None

    def _filled(self, deadline: float) -> bool:
        view = memoryview(self._buffer)
        try:
            while self._have < len(view):
                self._socket.settimeout(max(deadline - time.monotonic(), 1e-3))
                count = self._socket.recv_into(view[self._have :])
                if not count:
                    raise ConnectionError("it closed the connection")
                self._have += count
        except TimeoutError:
            return False
        except OSError as error:
            raise ValueError(f"{self.address}: {self.peer} went away before its end ({error}).") from error
        return True


class TcpSender:
    """A consumer that sends blocks to a :class:`TcpSource`.

    :param address: ``tcp://127.0.0.1:5000``, where one waits, or soon will. :param layout: of the frames to come.
    :param rate: frames a second, Hz. :param timeout: seconds to wait for the receiver, at each block.
    :raises ValueError: if nobody is there.
    """

    def __init__(self, address: str, layout: Layout, rate: float, timeout: float = 30.0) -> None:
        self.address, self.layout = address, layout
        place, deadline = message.place(address, "tcp"), time.monotonic() + timeout
        while True:
            try:
                self._socket = socket.create_connection(place, timeout)
                break
            except OSError as error:
                if time.monotonic() > deadline:
                    raise ValueError(f"{address}: nobody listens there ({error}); start the receiver.") from error
                time.sleep(0.05)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
        self._number = 0
        self._send(message.hello(layout, rate))

    def __call__(self, block: Block) -> None:
        """Send a block.

        :raises ValueError: for frames of another layout, a receiver that is gone, or one that takes nothing.
        """
        for part in parts(block, self.layout):
            data = np.ascontiguousarray(part.packed).data.cast("B")
            self._send(message.write(message.BLOCK, data, self._number, part.first, len(part)))
            self._send(data)
            self._number += 1

    def close(self) -> None:
        """Say that this was all."""
        if self._socket.fileno() >= 0:
            with self._socket:
                self._send(message.write(message.END))

    def _send(self, data: bytes | memoryview) -> None:
        try:
            self._socket.sendall(data)
        except OSError as error:
            self._socket.close()
            raise ValueError(f"{self.address}: the receiver is gone ({error}).") from error


def parts(block: Block, layout: Layout) -> list[Block]:
    """A block in pieces that may be sent.

    :raises ValueError: for another layout than was announced.
    """
    if block.layout != layout:
        raise ValueError(f"{block} came, expected frames of {layout}.")
    most = max(1, message.MOST // layout.size)
    return [
        Block(block.first + k, block.packed[k : k + most], layout, block.rate, block.arrived)
        for k in range(0, len(block), most)
    ]
