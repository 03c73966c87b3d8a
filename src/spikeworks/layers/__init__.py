"""What a network is made of: layers that see time, and what runs a network over it."""

from .spiking import Spiking as Spiking
from .time import SNN as SNN
from .time import NetworkState as NetworkState
from .time import Temporal as Temporal
from .time import batch as batch
from .time import detach as detach
from .time import move as move
