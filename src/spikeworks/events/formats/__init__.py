"""File formats of events, one file each."""

from .base import Format as Format

ALL: tuple[Format, ...] = ()
"""Every format, in the order in which they are asked whether a file is theirs: those that are sure first."""
