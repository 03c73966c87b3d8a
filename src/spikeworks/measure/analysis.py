"""Where accuracy is lost: what each neuron layer did, before and after each correction. Plain records, as in a report.

A neuron's count of spikes is held against two references, which answer different questions. *Own input*: what the same
charge would have given had it arrived evenly; what is off is so by the order of arrival, in this layer alone. *Source*:
what the deep network's activation asks for in T steps; what is off there has everything in it, the errors of the layers
in front too. A layer that is off by the source and not by its own input is not where accuracy is lost.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..disk import whole
from .curves import FitCurve

CASES = ("deep 0 < spiking", "0 < deep < spiking", "spiking 0 < deep", "0 < spiking < deep")
"""The four kinds of unevenness, by counts: the deep network's activation asks for one, the spiking network emitted
another. Hao et al., AAAI 2023 (their numbering could not be verified)."""

EDGES = tuple(i / 4 for i in range(-16, 17))
"""Edges of the residual histogram, in thresholds; a bin holds its lower edge, the first and the last bin are open."""

Reference = Literal["own", "source"]
"""What a count is held against."""


@dataclass(frozen=True)
class LayerAnalysis:
    """One neuron layer over all units and samples. Neurons that count no units have their error, K(t) and residual.

    :param name: the layer's. :param units: per sample.
    :param error: ``‖estimate after T steps − activation‖₂ / ‖activation‖₂``; ``None`` if the source is silent.
    :param own: shares of :data:`CASES` against the count that the layer's *own input* asks for,
        ``clip(⌊Σ I/θ + v(0)/θ⌋, 0, K·T)``. ``None`` for neurons that count no units. "spiking 0 < deep" cannot occur
        uncorrected: of one layer's own input, nobody is silent who was asked to fire.
    :param source: the same against the count that the *deep network's activation* a asks for,
        ``clip(⌊a·T/θ + ½⌋, 0, K·T)``. Where it asks for a whole number and a half, either neighbour is right.
    :param offset: ψ → share: units emitted too many (> 0) or too few (< 0), against the own input.
    :param residual: shares of v(T)/θ by the bins of :data:`EDGES`. Uncorrected, who ends in [0, 1) is right by its own
        input; a correction shifts the start, and what is left with it (silenced neurons end in the first bin).
    :param source_offset: as ``offset``, against the source.
    :param curve: K(t) and Ω, of neurons whose output has a meaning before step T; Ω is NaN where no bound is known.
    """

    name: str
    units: int
    error: float | None
    own: dict[str, float] | None = None
    source: dict[str, float] | None = None
    offset: dict[int, float] | None = None
    residual: list[float] | None = None
    source_offset: dict[int, float] | None = None
    curve: FitCurve | None = None

    def offsets(self, by: Reference) -> dict[int, float] | None:
        """ψ → share, against one of the references."""
        return self.offset if by == "own" else self.source_offset

    def cases(self, by: Reference) -> dict[str, float] | None:
        """Shares of :data:`CASES`, against one of the references."""
        return self.own if by == "own" else self.source

    def exact(self, by: Reference) -> float | None:
        """The share whose count is right: what the four cases leave of 1."""
        offsets = self.offsets(by)
        return None if offsets is None else offsets.get(0, 0.0)


@dataclass(frozen=True)
class Analysis:
    """All neuron layers, in stages: as the network runs uncorrected, and after each correction.

    :param title: of the conversion. :param steps: T. :param samples: how many were run.
    :param stages: name → layers, in running order; the last is the network as it runs.
    :param meta: what is needed to read it.
    """

    title: str
    steps: int
    samples: int
    stages: dict[str, list[LayerAnalysis]]
    meta: dict[str, Any] = field(default_factory=dict)

    @property
    def curves(self) -> list[FitCurve]:
        """The optimal fit curves of the last stage."""
        last = list(self.stages.values())[-1] if self.stages else []
        return [layer.curve for layer in last if layer.curve is not None]

    def off(self, stage: str, by: Reference) -> float | None:
        """The share of all units of a stage whose count is wrong; ``None`` if none are counted."""
        pooled = pooled_offsets(self.stages[stage], by)
        return 1 - pooled.get(0, 0.0) if pooled else None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-ready data; a K or Ω that is no number is ``None``."""
        data = asdict(self)
        for layer in (layer for layers in data["stages"].values() for layer in layers):
            if (curve := layer["curve"]) is not None:
                curve["values"] = [_known(k) for k in curve["values"]]
                curve["omega"] = _known(curve["omega"])
        return data

    def save(self, path: str | Path) -> None:
        """Write it as JSON, whole or not at all; :func:`load_analysis` reads it."""
        with whole(path) as temporary:
            temporary.write_text(json.dumps(self.to_dict(), indent=1, default=str), encoding="utf-8")

    def plot(self, path: str | Path) -> None:
        """Draw it as one picture; the suffix of ``path`` chooses the format.

        :raises ValueError: for an analysis without layers, or a suffix that names no format.
        """
        from .analysis_figures import plot

        plot(self, path)


def load_analysis(path: str | Path) -> Analysis:
    """Read what :meth:`Analysis.save` wrote.

    :raises ValueError: if the file is absent, not JSON, or not an analysis.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
        stages = {stage: [_layer(layer) for layer in layers] for stage, layers in data["stages"].items()}
        return Analysis(data["title"], data["steps"], data["samples"], stages, data["meta"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"load_analysis got {path}, expected an analysis written by Analysis.save: {error!r}."
        ) from error


def pooled_offsets(layers: Iterable[LayerAnalysis], by: Reference) -> dict[int, float]:
    """ψ → share over all units of all layers that count some, ascending; empty if none does."""
    counted = [(layer.units, offsets) for layer in layers if (offsets := layer.offsets(by))]
    total = sum(units for units, _ in counted)
    every = sorted({psi for _, offsets in counted for psi in offsets})
    return {psi: sum(units * offsets.get(psi, 0.0) for units, offsets in counted) / total for psi in every}


def _layer(data: dict[str, Any]) -> LayerAnalysis:
    curve = data["curve"]
    numbered = {key: _numbered(data[key]) for key in ("offset", "source_offset")}
    if curve is not None:
        curve = FitCurve(curve["name"], [_number(k) for k in curve["values"]], _number(curve["omega"]))
    return LayerAnalysis(**{**data, **numbered, "curve": curve})


def _numbered(data: dict[str, float] | None) -> dict[int, float] | None:
    return None if data is None else {int(k): v for k, v in data.items()}  # JSON has no integer keys


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None  # JSON has no NaN


def _number(value: float | None) -> float:
    return math.nan if value is None else value
