"""Spike cameras, whose pixels fire as often as light fills them: read, simulated, reconstructed, tracked."""

from __future__ import annotations

from .calibrate import Calibration as Calibration
from .calibrate import mean_light as mean_light
from .colour import bayer as bayer
from .container import Container as Container
from .container import SpikeWriter as SpikeWriter
from .container import check as check
from .container import open_container as open_container
from .container import write_container as write_container
from .estimate import TFP as TFP
from .estimate import Estimator as Estimator
from .estimate import Image as Image
from .estimate import grey as grey
from .estimators import ESTIMATORS as ESTIMATORS
from .files import open as open
from .files import write as write
from .intervals import TFI as TFI
from .intervals import KIntervals as KIntervals
from .intervals import WindowIntervals as WindowIntervals
from .layout import MEGAPIXEL as MEGAPIXEL
from .layout import Layout as Layout
from .layout import headed as headed
from .layout import pack as pack
from .layout import unpack as unpack
from .live import Block as Block
from .live import Hub as Hub
from .live import Reconstruct as Reconstruct
from .live import Record as Record
from .live import Replay as Replay
from .live import Source as Source
from .live import listen as listen
from .live import sender as sender
from .plasticity import Plasticity as Plasticity
from .short_term import TFSTP as TFSTP
from .stable import Stable as Stable
from .stream import RATE as RATE
from .stream import Frames as Frames
from .stream import SpikeStream as SpikeStream
from .stream import Window as Window
