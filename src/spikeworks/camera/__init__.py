"""Spike cameras, whose pixels fire as often as light fills them: read, simulated, reconstructed, tracked."""

from __future__ import annotations

from .estimate import TFI as TFI
from .estimate import TFP as TFP
from .estimate import Estimator as Estimator
from .estimate import Image as Image
from .estimate import grey as grey
from .files import open as open
from .files import write as write
from .layout import MEGAPIXEL as MEGAPIXEL
from .layout import Layout as Layout
from .layout import headed as headed
from .layout import pack as pack
from .layout import unpack as unpack
from .stream import RATE as RATE
from .stream import Frames as Frames
from .stream import SpikeStream as SpikeStream
from .stream import Window as Window
