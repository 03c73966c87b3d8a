"""The container of spike recordings (``.spikes``): it tells what it holds, is compressed, checked, and survives."""

from __future__ import annotations

from .header import Header as Header
from .reader import Checked as Checked
from .reader import Container as Container
from .reader import check as check
from .reader import is_container as is_container
from .reader import open_container as open_container
from .writer import SpikeWriter as SpikeWriter
from .writer import write_container as write_container
