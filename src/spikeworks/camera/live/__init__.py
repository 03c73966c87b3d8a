"""Spike cameras while they run: sources, several consumers at once, recording, images, connections."""

from __future__ import annotations

from .hub import Consumed as Consumed
from .hub import Hub as Hub
from .hub import Report as Report
from .place import listen as listen
from .place import sender as sender
from .queue import BlockQueue as BlockQueue
from .reconstruct import Reconstruct as Reconstruct
from .record import Record as Record
from .shared import SharedSender as SharedSender
from .shared import SharedSource as SharedSource
from .source import Block as Block
from .source import Replay as Replay
from .source import Source as Source
from .tcp import TcpSender as TcpSender
from .tcp import TcpSource as TcpSource
from .udp import UdpSender as UdpSender
from .udp import UdpSource as UdpSource
