"""Fashion-MNIST, VGG-9: how many steps until 90 % of the source's accuracy, by max-norm, and by thresholds learned.

MEASURED
"""

from __future__ import annotations

from dataclasses import replace

from .convert_fashion_vgg import run as comparison
from .data import Split, fashion_mnist
from .run import ACTIVATIONS, choose

STEPS = (1, 2, 3, 4, 6, 8, 10, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 112, 128, 160, 192)
"""The T at which accuracy is read."""


def thousand() -> Split:
    """Fashion-MNIST with the first 1,000 test images: runs are long."""
    split = fashion_mnist()
    return replace(split, test=split.test.take(slice(0, 1000)))


run = replace(
    comparison, name="convert_fashion_rnl", title="Fashion-MNIST, VGG-9: thresholds learned against thresholds found",
    split=thousand, activations={kind: ACTIVATIONS[kind] for kind in ("ReLU", "RNL")},
    methods=lambda: choose(["max", "robust", "opi-robust", "rnl"]), steps=STEPS,
)  # fmt: skip
"""Train the network with ReLU and with RNL, tune the latter, convert, measure up to T = 192."""
