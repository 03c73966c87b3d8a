"""Published data sets in the layouts in which they are handed out; nothing half unpacked is taken.

Each function takes the folder that the archives unpack to, and says what it lacks and where that comes from. Only
:func:`download` goes to the net.
"""

from .download import download as download
from .facts import ALL as ALL
from .facts import Archive as Archive
from .facts import Published as Published
from .gesture import dvs_gesture as dvs_gesture
from .imagenet import es_imagenet as es_imagenet
from .layouts import CIFAR10_SPLIT as CIFAR10_SPLIT
from .layouts import asl_dvs as asl_dvs
from .layouts import cifar10_dvs as cifar10_dvs
from .layouts import ncaltech101 as ncaltech101
from .layouts import ncars as ncars
from .layouts import nmnist as nmnist
from .spoken import shd as shd
from .spoken import ssc as ssc
from .transfer import fetch as fetch
from .unpack import unpack as unpack
