"""All estimators by name."""

from __future__ import annotations

from .estimate import TFP, Estimator
from .intervals import TFI, KIntervals, WindowIntervals
from .learned import Learned
from .short_term import TFSTP
from .stable import Stable

ESTIMATORS: dict[str, type[Estimator]] = {
    "tfp": TFP,
    "tfi": TFI,
    "k-intervals": KIntervals,
    "window-intervals": WindowIntervals,
    "stable": Stable,
    "tfstp": TFSTP,
    "learned": Learned,
}
"""How commands call an estimator, and its class."""
