"""Reports as files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..disk import whole
from .result import LayerResult, MethodResult, Report


def save_report(report: Report, path: str | Path) -> None:
    """Write a report as JSON, readable by :func:`load_report`."""
    with whole(path) as temporary:
        temporary.write_text(json.dumps(report.to_dict(), indent=1, default=str), encoding="utf-8")


def load_report(path: str | Path) -> Report:
    """Read what :func:`save_report` wrote.

    :raises ValueError: if the file is absent, not JSON, or not a report.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
        return Report(data["title"], [_method(m) for m in data["results"]], data["meta"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"load_report got {path}, expected a report written by save_report: {error!r}.") from error


def _method(data: dict[str, Any]) -> MethodResult:
    """What older reports do not hold is as a record without it."""
    layers = [LayerResult(**{**layer, "offset": _numbered(layer.get("offset"))}) for layer in data.get("layers", [])]
    energy = {c: {**e, "spiking": _numbered(e.get("spiking", {}))} for c, e in data.get("energy", {}).items()}
    return MethodResult(**{**data, "layers": layers, "energy": energy})


def _numbered(data: dict[str, Any] | None) -> dict[int, Any] | None:
    return None if data is None else {int(k): v for k, v in data.items()}  # JSON has no integer keys
