"""Published data sets of spike cameras, read as they are unpacked."""

from .config import LABELS as LABELS
from .config import Config as Config
from .folders import Folder as Folder
from .folders import Sample as Sample
from .folders import spikecv as spikecv
from .sets import ALL as ALL
from .sets import Published as Published
from .sets import published as published
