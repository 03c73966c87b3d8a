"""Files appear whole or not at all: write next to the target under another name, then rename."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .result import LayerResult, MethodResult, Report


@contextmanager
def whole(path: str | Path) -> Iterator[Path]:
    """Give a temporary path in the target's folder; on leaving the block without an error it becomes ``path``.

    An error inside the block removes the temporary file and leaves what was at ``path`` as it was.

    :param path: the file to write; missing folders are made. The temporary file keeps its suffix.
    :raises ValueError: if ``path`` is a folder or its folder cannot be made.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"whole got {path}, which is a folder, expected a file name; add one.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise ValueError(f"whole got {path}, but {path.parent} is not a folder; choose another place.") from error
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())  # mkstemp makes files that only their owner can read
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


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
