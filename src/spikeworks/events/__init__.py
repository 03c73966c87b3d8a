"""Streams of events (t, x, y, p): read, written, cut, framed, augmented, simulated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import published as published
from .augment import Augmentation as Augmentation
from .augment import Compose as Compose
from .augment import OneOf as OneOf
from .augment import RandomApply as RandomApply
from .augment import nda as nda
from .dataset import EventDataset as EventDataset
from .dataset import Recording as Recording
from .dataset import Samples as Samples
from .dataset import folder as folder
from .drop import Cutout as Cutout
from .drop import DropArea as DropArea
from .drop import DropRandom as DropRandom
from .drop import DropTime as DropTime
from .drop import EventDrop as EventDrop
from .files import EventFile as EventFile
from .files import open as open
from .files import read as read
from .files import write as write
from .filters import BackgroundActivity as BackgroundActivity
from .filters import HotPixel as HotPixel
from .filters import Refractory as Refractory
from .geometry import Crop as Crop
from .geometry import Flip as Flip
from .geometry import Resize as Resize
from .geometry import Roll as Roll
from .geometry import Rotate as Rotate
from .geometry import Shear as Shear
from .geometry import SpaceJitter as SpaceJitter
from .geometry import Translate as Translate
from .mix import EventMix as EventMix
from .moving import CLOSED_LOOP as CLOSED_LOOP
from .moving import SACCADES as SACCADES
from .moving import moving as moving
from .retime import ReverseTime as ReverseTime
from .retime import TimeJitter as TimeJitter
from .retime import TimeScale as TimeScale
from .simulate import DVS as DVS
from .simulate import simulate as simulate
from .simulate import simulate_blocks as simulate_blocks
from .stream import EventStream as EventStream
from .stream import concatenate as concatenate
from .stream import empty as empty
from .summary import Summary as Summary
from .summary import summarise as summarise

if TYPE_CHECKING:
    from . import frames as frames
    from . import represent as represent
    from .cache import Framing as Framing
    from .cache import cached as cached
else:  # they import torch, which reading files need not wait for
    _LATER = {"frames": "frames", "represent": "represent", "Framing": "cache", "cached": "cache"}

    def __getattr__(name):
        from importlib import import_module

        if name not in _LATER:
            raise AttributeError(
                f"spikeworks.events got the name {name!r}, expected one that dir(spikeworks.events) lists."
            )
        module = import_module(f".{_LATER[name]}", __name__)
        return module if name == _LATER[name] else getattr(module, name)

    def __dir__():
        return sorted({*globals(), *_LATER})
