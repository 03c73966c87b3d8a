"""File formats of events, one file each."""

from .aedat2 import AEDAT2
from .aedat3 import AEDAT3
from .aedat4 import AEDAT4
from .asl_dvs import ASL_DVS
from .atis import ATIS
from .base import Format as Format
from .csv import CSV
from .dat import DAT
from .es import ES
from .es_imagenet import ES_IMAGENET
from .evt2 import EVT2
from .evt3 import EVT3
from .evt21 import EVT21
from .hdf5 import HDF5
from .npz import NPZ

ALL: tuple[Format, ...] = (
    AEDAT4,
    AEDAT3,
    AEDAT2,
    ES,
    EVT3,
    EVT2,
    EVT21,
    DAT,
    ES_IMAGENET,
    NPZ,
    ASL_DVS,
    HDF5,
    CSV,
    ATIS,
)
"""Every format, in the order in which they are asked whether a file is theirs: those that are sure first."""
