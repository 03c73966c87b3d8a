"""Full runs, one file per result: a function that trains, converts, measures and returns the report."""

from collections.abc import Callable

from ..measure.result import Report
from . import cifar10_vgg, digits, fashion_mnist_vgg

ALL: dict[str, Callable[..., Report]] = {
    "digits": digits.run,
    "fashion_mnist_vgg": fashion_mnist_vgg.run,
    "cifar10_vgg": cifar10_vgg.run,
}
"""Every recipe by name; all take ``seed``, ``quick``, ``watch``, ``command`` and ``checkpoint``."""
