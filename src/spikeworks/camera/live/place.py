"""Sources and senders by their address."""

from __future__ import annotations

from collections.abc import Callable

from ..layout import Layout
from .shared import SharedSender, SharedSource
from .source import Source
from .tcp import TcpSender, TcpSource
from .udp import UdpSender, UdpSource

SOURCES: dict[str, Callable[[str, float], Source]] = {"tcp": TcpSource, "udp": UdpSource, "shm": SharedSource}
SENDERS: dict[str, Callable[[str, Layout, float], TcpSender | UdpSender | SharedSender]] = {
    "tcp": TcpSender, "udp": UdpSender, "shm": SharedSender,
}  # fmt: skip


def scheme(address: str) -> str | None:
    """``tcp``, ``udp`` or ``shm``; ``None``: it is no address, but a file, say."""
    before, found, _ = address.partition("://")
    return before if found else None


def listen(address: str, timeout: float = 30.0) -> Source:
    """The source that waits at an address.

    :param address: ``tcp://127.0.0.1:5000``, ``udp://127.0.0.1:5000`` or ``shm://name``.
    :param timeout: seconds to wait for a sender.
    :raises ValueError: for another address, or if none comes.
    """
    return SOURCES[_known(address)](address, timeout)


def sender(address: str, layout: Layout, rate: float) -> TcpSender | UdpSender | SharedSender:
    """The consumer that sends blocks to an address.

    :param layout: of the frames to come. :param rate: frames a second, Hz.
    :raises ValueError: for another address, or if nobody is there.
    """
    return SENDERS[_known(address)](address, layout, rate)


def _known(address: str) -> str:
    name = scheme(address)
    if name not in SOURCES:
        raise ValueError(
            f"{address!r} is no address, expected tcp://127.0.0.1:5000, udp://127.0.0.1:5000 or shm://name."
        )
    return name
