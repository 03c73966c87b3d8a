"""From a trained network, an event stream or a spike camera to a spiking network, measured and explained.

Names come in at first use, so that what needs no torch (``spikeworks --help``) does not wait for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:  # what there is, for type checkers and editors
    from . import camera as camera
    from . import convert as convert
    from . import events as events
    from . import layers as layers
    from . import measure as measure
    from . import models as models
    from . import neurons as neurons
    from . import recipes as recipes
    from . import train as train
    from . import view as view
    from .layers import SNN as SNN
    from .layers import Spiking as Spiking
    from .neurons import *  # noqa: F403
    from .neurons import surrogate as surrogate
else:  # the same, when it is asked for
    from importlib import import_module

    _ROOMS = ("neurons", "layers", "models", "events", "camera", "measure", "convert", "train", "recipes", "view")
    _OTHERS = {"SNN": "layers", "Spiking": "layers"}  # besides the names of neurons, all of which are at the top

    def __getattr__(name):
        if name in _ROOMS:
            return import_module(f".{name}", __name__)
        room = None if name.startswith("_") else import_module(f".{_OTHERS.get(name, 'neurons')}", __name__)
        if not hasattr(room, name):
            raise AttributeError(f"spikeworks got the name {name!r}, expected one that dir(spikeworks) lists.")
        globals()[name] = value = getattr(room, name)
        return value

    def __dir__():
        neurons = import_module(".neurons", __name__)
        return sorted({*globals(), *_ROOMS, *_OTHERS, *(name for name in dir(neurons) if not name.startswith("_"))})
