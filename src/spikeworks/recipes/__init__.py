"""Full runs, one file per result: a function that trains, converts, measures and returns the report."""

from . import (
    camera_depth,
    camera_digits,
    camera_flow,
    camera_pictures,
    convert_cifar10_resnet,
    convert_cifar10_vgg,
    convert_cifar10_vit,
    convert_fashion_rnl,
    convert_fashion_vgg,
    convert_fashion_vit,
    digits,
    events_train,
    hsd,
    hsd_ablations,
    images_train,
    latency,
)
from .run import Comparison
from .training import Training

ALL: dict[str, Comparison] = {
    "digits": digits.run,
    "convert_fashion_vgg": convert_fashion_vgg.run,
    "convert_fashion_rnl": convert_fashion_rnl.run,
    "convert_cifar10_vgg": convert_cifar10_vgg.run,
    "convert_cifar10_resnet": convert_cifar10_resnet.run,
    "convert_fashion_vit": convert_fashion_vit.run,
    "convert_cifar10_vit": convert_cifar10_vit.run,
}
"""Every recipe that converts, by name; all take ``seed``, ``quick``, ``watch``, ``command`` and ``checkpoint``."""

TRAINING: dict[str, Training] = {
    recipe.name: recipe
    for recipe in (
        images_train.digits,
        events_train.nmnist,
        events_train.gesture,
        images_train.fashion_resnet,
        images_train.cifar10_resnet,
        hsd.cifar10_dvs,
        hsd.objects,
        hsd_ablations.objects,
        latency.digits,
        latency.fashion,
        camera_flow.scenes,
        camera_pictures.convolutions,
        camera_pictures.spiking,
        camera_depth.scenes,
        camera_digits.digits,
    )
}
"""Every recipe that trains, by name; all take ``seed``, ``quick``, ``watch`` and ``folder``."""
