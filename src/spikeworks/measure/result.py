"""What was measured of a spiking network: plain records that tables, figures, JSON and pages are made from."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class LayerResult:
    """One layer of the spiking network (a neuron site, or a linear operation), measured over the evaluation set.

    :param name: the layer's stable name in the source model.
    :param kind: ``"neuron"``, ``"conv"``, ``"linear"``, ``"product"``, or a function computed in floating point at
        every step (``"softmax"``, ``"layer_norm"``).
    :param neurons: units per sample (outputs of the layer).
    :param rate: non-zero outputs per unit and step, 0 to 1 (neurons only).
    :param error: ``‖mean output over T − deep network's activation‖₂ / ‖activation‖₂`` at the largest T (neurons only).
    :param offset: histogram {spike-count offset ψ = n_snn − n_deep: fraction of units} (matched neurons only).
    :param threshold: mean threshold θ over channels (neurons only).
    :param macs: multiply-accumulates per sample of one dense pass (operations only).
    :param acs: accumulates per sample over all T steps, counted from the actual spikes (operations only).
    """

    name: str
    kind: str
    neurons: int
    rate: float | None = None
    error: float | None = None
    offset: dict[int, float] | None = None
    threshold: float | None = None
    macs: int | None = None
    acs: float | None = None


@dataclass(frozen=True)
class MethodResult:
    """One conversion method on one network and data set.

    :param method: name, e.g. ``"qcfs"``. :param label: for people, e.g. ``"QCFS (L=4)"``.
    :param steps: the T at which accuracy was read, ascending. :param accuracy: top-1 in percent at each of them.
    :param source_accuracy: the deep network's top-1 in percent on the same samples.
    :param pre: steps of runs before step 1, all together. :param levels: values one spike can take besides 0.
    :param causal: whether a layer can do step t before the one in front has done step t + 1.
    :param layers: in the order they run.
    :param energy: convention → {"deep": joules per sample, "spiking": {T: joules per sample}}.
    :param seconds: wall time of the conversion including calibration.
    :param notes: what a reader must know (refusals, unfolded BN, pooling policy).
    :param quantised: top-1 in percent, at each T, of the deep network with its activations rounded to as many values as
        T steps of a neuron tell apart; empty if that was not measured.
    """

    method: str
    label: str
    steps: list[int]
    accuracy: list[float]
    source_accuracy: float
    pre: int = 0
    levels: int = 1
    causal: bool = True
    layers: list[LayerResult] = field(default_factory=list)
    energy: dict[str, dict[str, Any]] = field(default_factory=dict)
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)
    quantised: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Report:
    """What a conversion cost and gave: one entry per method, with what is needed to read it."""

    title: str
    results: list[MethodResult]
    meta: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-ready data."""
        return asdict(self)

    def save(self, path: str | Path) -> None:
        """Write it as JSON, whole or not at all; :func:`spikeworks.measure.load_report` reads it."""
        from .store import save_report

        save_report(self, path)

    def plot(self, path: str | Path) -> None:
        """Draw accuracy against T and against energy; the suffix of ``path`` chooses the format."""
        from .figures import plot

        plot(self, path)
