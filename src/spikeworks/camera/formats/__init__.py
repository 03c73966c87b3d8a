"""File formats of spike cameras, one file each."""

from .arrays import ARRAYS
from .base import Format as Format
from .base import Told as Told
from .dat import DAT, HEADED
from .hdf5 import HDF5
from .megapixel import MEGAPIXEL
from .spikes import SPIKES

ALL: tuple[Format, ...] = (SPIKES, HDF5, ARRAYS, MEGAPIXEL, DAT, HEADED)
"""Every format, in the order in which they are asked whether a file is theirs: those that are sure first."""
