"""Deep network → spiking network. The room can be called: ``sw.convert(ann, sw.convert.QCFS())``."""

import sys
from types import ModuleType

from . import activation as activation
from .calibrate import ThresholdSpec as ThresholdSpec
from .coding import Rate as Rate
from .converted import Converted as Converted
from .graph import normalise as normalise
from .graph import replace_activations as replace_activations
from .methods import METHODS as METHODS
from .methods import OPI as OPI
from .methods import QCFS as QCFS
from .methods import TCL as TCL
from .methods import Max as Max
from .methods import Method as Method
from .methods import Robust as Robust
from .methods import ThresholdBalancing as ThresholdBalancing
from .neuron import ValueIF as ValueIF
from .pipeline import convert as convert
from .pool import DeltaMaxPool as DeltaMaxPool
from .pool import GatedMaxPool as GatedMaxPool
from .report import evaluate as evaluate
from .schedule import Plain as Plain


class _Room(ModuleType):
    __call__ = staticmethod(convert)


sys.modules[__name__].__class__ = _Room
