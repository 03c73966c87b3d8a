"""Learning: the loop, and training runs that survive being stopped."""

from .checkpoint import load_weights as load_weights
from .checkpoint import save_weights as save_weights
from .fit import Data as Data
from .fit import Epoch as Epoch
from .fit import Plan as Plan
from .fit import accuracy as accuracy
from .fit import fit as fit
from .rate_inference import RateEpoch as RateEpoch
from .rate_inference import RateInference as RateInference
from .rate_inference import fit_rate_inference as fit_rate_inference
from .state import load_state as load_state
from .state import save_state as save_state
