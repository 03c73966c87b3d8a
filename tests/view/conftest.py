"""The hand-made report as a fixture."""

from __future__ import annotations

import pytest

from spikeworks.measure.result import Report
from view.hand_made import method


@pytest.fixture
def report() -> Report:
    """Five methods on eight layers, two energy conventions."""
    return Report(
        "Fashion-MNIST, VGG-9",
        [
            method(0, "QCFS (L=4)", 41.0),
            method(1, "SRP (τ=4)", 80.5, pre=4),
            method(2, "COS (ρ=4)", 88.2, pre=4),
            method(3, "Parallel", 84.0, causal=False),
            method(4, "M-HT (4 levels)", 91.9, levels=4),
        ],
        {"data": "fashion_mnist", "seed": 0, "command": "spikeworks recipe fashion_mnist_vgg --seed 0",
         "versions": {"torch": "2.13.0", "spikeworks": "0.1.0"}},
    )  # fmt: skip
