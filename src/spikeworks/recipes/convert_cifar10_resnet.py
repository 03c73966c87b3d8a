"""CIFAR-10: ResNet-20, trained with QCFS, converted by what stands on it.

Top-1 in % on the 10,000 test images, mean ± standard deviation over seeds 0, 1 and 2
(``spikeworks recipe convert_cifar10_resnet --seed N --method qcfs srp cos --steps 1 2 4 8``, then ``spikeworks
spread``):

| method               | before | T=1        | T=2        | T=4        | T=8        | deep       |
|----------------------|--------|------------|------------|------------|------------|------------|
| QCFS (L=4)           |        | 51.6 ± 3.3 | 58.3 ± 2.9 | 65.1 ± 2.6 | 70.8 ± 2.0 | 75.1 ± 0.1 |
| SRP (global)         | 4      | 66.6 ± 2.0 | 69.5 ± 1.6 | 71.5 ± 1.6 | 72.9 ± 1.4 | 75.1 ± 0.1 |
| COS (layer by layer) | 4      | 74.0 ± 0.3 | 75.2 ± 0.6 | 75.2 ± 0.4 | 75.4 ± 0.3 | 75.1 ± 0.1 |

Of what QCFS loses against its source, SRP regains 64 % at T = 1 and 67 % at T = 2, COS 95 % and all. SRP silences for
good and stays 2 points under the source at T = 8; COS does not. Energy against the deep network's (45 nm, first layer
once, the run before included) at T = 1, 2, 4 and 8: QCFS 0.05, 0.10, 0.18, 0.35; SRP 0.22, 0.26, 0.34, 0.50; COS 0.35,
0.35, 0.35, 0.52.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from ..models import resnet20
from ..train import Plan
from .convert_cifar10_vgg import augmented
from .data import cifar10
from .run import ACTIVATIONS, Comparison, a_few_batches, choose, precision


def network(activation: Callable[[], nn.Module], generator: torch.Generator) -> nn.Module:
    """ResNet-20: 16, 32 and 64 channels in blocks [3, 3, 3], no pooling but the last."""
    return resnet20(10, activation=activation, in_channels=3, generator=generator)


def _methods() -> dict:
    return choose(["qcfs", "srp", "cos", "parallel", "group"])


run = Comparison(
    "convert_cifar10_resnet", "CIFAR-10, ResNet-20", cifar10, network,
    Plan(10, 128, 0.05, decay=5e-4, warmup=0.5, precision=precision()), augmented,
    {
        "network": "ResNet-20 (16 to 64 channels)",
        "data": "CIFAR-10, JPEG, 45,000 train, 5,000 validation, 10,000 test",
        "augmentation": "shifts, mirror images, cutout",
    },
    a_few_batches, {"QCFS": ACTIVATIONS["QCFS"]}, _methods,
)  # fmt: skip
"""Train 10 epochs, convert, measure on the 10,000 test images; ``quick``: a few batches."""
