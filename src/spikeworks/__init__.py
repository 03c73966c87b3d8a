"""From a trained network, an event stream or a spike camera to a spiking network, measured and explained."""

from . import layers as layers
from . import models as models
from . import neurons as neurons
from .layers import SNN as SNN
from .layers import Spiking as Spiking
from .neurons import *  # noqa: F403
from .neurons import surrogate as surrogate

__version__ = "0.1.0"
