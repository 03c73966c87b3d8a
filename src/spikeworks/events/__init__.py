"""Streams of events (t, x, y, p): read, written, cut, framed, augmented, simulated."""

from .files import EventFile as EventFile
from .files import open as open
from .files import read as read
from .files import write as write
from .stream import EventStream as EventStream
from .stream import concatenate as concatenate
from .stream import empty as empty
