"""Deep network → spiking network. The room can be called: ``sw.convert(ann, sw.convert.QCFS())``."""

import sys
from types import ModuleType

from . import activation as activation
from .analyse import analyse as analyse
from .coding import Difference as Difference
from .coding import Differential as Differential
from .coding import Rate as Rate
from .compensate import Compensated as Compensated
from .control import Shift as Shift
from .control import Silence as Silence
from .converted import Converted as Converted
from .graph import normalise as normalise
from .graph import replace_activations as replace_activations
from .methods import COS as COS
from .methods import DCGS as DCGS
from .methods import ECMT as ECMT
from .methods import LTB as LTB
from .methods import METHODS as METHODS
from .methods import OPI as OPI
from .methods import QCFS as QCFS
from .methods import RMP as RMP
from .methods import RNL as RNL
from .methods import RTS as RTS
from .methods import SRP as SRP
from .methods import STA as STA
from .methods import TCL as TCL
from .methods import Calibration as Calibration
from .methods import Gaussian as Gaussian
from .methods import Group as Group
from .methods import Max as Max
from .methods import Method as Method
from .methods import Parallel as Parallel
from .methods import Robust as Robust
from .methods import SlipReLU as SlipReLU
from .methods import SpikeZIP as SpikeZIP
from .methods import ThresholdBalancing as ThresholdBalancing
from .neuron import ValueIF as ValueIF
from .parallel import ParallelIF as ParallelIF
from .pipeline import convert as convert
from .pool import DeltaMaxPool as DeltaMaxPool
from .pool import GatedMaxPool as GatedMaxPool
from .report import evaluate as evaluate
from .schedule import Plain as Plain
from .schedule import TwoStage as TwoStage
from .spec import ThresholdSpec as ThresholdSpec


class _Room(ModuleType):
    __call__ = staticmethod(convert)


sys.modules[__name__].__class__ = _Room
