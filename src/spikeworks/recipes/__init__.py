"""Full runs, one file per result: a function that trains, converts, measures and returns the report."""

from . import (
    convert_cifar10_resnet,
    convert_cifar10_vgg,
    convert_cifar10_vit,
    convert_fashion_rnl,
    convert_fashion_vgg,
    convert_fashion_vit,
    digits,
)
from .run import Comparison

ALL: dict[str, Comparison] = {
    "digits": digits.run,
    "convert_fashion_vgg": convert_fashion_vgg.run,
    "convert_fashion_rnl": convert_fashion_rnl.run,
    "convert_cifar10_vgg": convert_cifar10_vgg.run,
    "convert_cifar10_resnet": convert_cifar10_resnet.run,
    "convert_fashion_vit": convert_fashion_vit.run,
    "convert_cifar10_vit": convert_cifar10_vit.run,
}
"""Every recipe by name; all take ``seed``, ``quick``, ``watch``, ``command`` and ``checkpoint``."""
