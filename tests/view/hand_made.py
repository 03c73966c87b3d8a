"""A report made by hand: numbers chosen, not measured, so that figures and pages can be checked against them."""

from __future__ import annotations

from spikeworks.measure.result import LayerResult, MethodResult

STEPS = [1, 2, 4, 8, 16, 32]


def method(i: int, label: str, start: float, levels: int = 1, causal: bool = True, pre: int = 0) -> MethodResult:
    """One method whose accuracy climbs from ``start`` to 93.1 %."""
    accuracy = [93.1 - (93.1 - start) / 2.6**k for k in range(len(STEPS))]
    layers = []
    for n in range(8):
        layers.append(LayerResult(f"features.{3 * n}", "conv", 1024, macs=1_000_000 + n, acs=90_000.5 * (i + 1)))
        offset = {-2: 0.002, -1: 0.03 * (i + 1), 0: 0.9 - 0.06 * i, 1: 0.06 + 0.03 * i, 2: 0.008}
        layers.append(LayerResult(f"features.{3 * n + 2}", "neuron", 1024 // (n + 1), rate=0.12 + 0.01 * (n + i),
                                  error=0.05 + 0.012 * n * (1 + i), offset=offset, threshold=1.5))  # fmt: skip
    spiking = {t: 4.1e-6 * (pre + t) * (0.12 + 0.02 * i) for t in STEPS}
    energy = {
        "45 nm": {"deep": 3.68e-5, "spiking": spiking, "source": "Horowitz 2014: MAC 4.6 pJ, AC 0.9 pJ"},
        "77 fJ/SOP": {"deep": 1.0e-4, "spiking": {t: e / 20 for t, e in spiking.items()}},
    }
    return MethodResult(f"m{i}", label, STEPS, accuracy, 93.27, pre, levels, causal, layers, energy, 1.25 + i,
                        [f"note {i}: average pooling instead of max pooling"])  # fmt: skip
