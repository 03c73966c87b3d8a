"""Frames of a whole data set, made once: kept on disk under a name that every parameter has a part in.

    x_NTCHW, y_N = cached(dataset, Framing(16), "cache/")    # memory-mapped uint8, and labels

Each sample is written whole or not at all, so a run that was stopped, or killed, or had no room left on the disk, goes
on where it was, and two that run at once do no harm: both write the same. When all are there they are put into one
array, which is what is read from then on. Until then the disk has to have room for all samples twice.
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from ..disk import whole
from .dataset import EventDataset
from .frames import by_number, by_time
from .represent import downsample
from .stream import EventStream

LAYOUT = 2
"""Of the files. It is in every name, as the package's version is."""

STALE = 3600
"""Seconds after which what writes a temporary file is taken to be dead."""


@dataclass(frozen=True)
class Framing:
    """Events to ``uint8 [T, C, H, W]``, counts above 255 kept at 255.

    :param frames: T. :param split: ``"time"``: equal parts of the time; ``"number"``: equal numbers of events.
    :param pool: pixels that are counted together, across and down. :param polarity: two channels, or one for both.
    :raises ValueError: for numbers below 1, or another split.
    """

    frames: int
    split: Literal["time", "number"] = "time"
    pool: int = 1
    polarity: bool = True

    def __post_init__(self) -> None:
        if self.frames < 1 or self.pool < 1 or self.split not in ("time", "number"):
            raise ValueError(
                f"Framing got frames={self.frames}, pool={self.pool}, split={self.split!r}, expected at least 1, at "
                "least 1, and 'time' or 'number'."
            )

    def __call__(self, stream: EventStream) -> Tensor:
        """Count; a stream that is not in order is sorted first."""
        count = by_time if self.split == "time" else by_number
        counted = count(stream.sort(), self.frames, dtype=torch.int32, polarity=self.polarity)
        return downsample(counted, self.pool).clamp(max=255).to(torch.uint8)


def cached(
    dataset: EventDataset, framing: Framing, folder: str | Path, jobs: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Frames of all samples, from the cache, or made and left there.

    The name under which they are kept depends on the framing, on this package's version, on the sensor and format that
    the data set gives, and on path, size, time of change, label, part and place of every recording: where one changes,
    they are made anew, and where it changes back, the old ones are there.

    :param folder: where caches lie.
    :param jobs: processes that make frames; above 1 by joblib, and so also on a cluster, inside
        ``joblib.parallel_config``.
    :param progress: called with how many samples are there, and of how many.
    :returns: ``[N, T, C, H, W]`` uint8, memory-mapped and not to be written to, and labels ``[N]`` int64.
    :raises ValueError: for a data set without samples, samples of several sizes, a recording that cannot be read, or a
        disk that has no room left; what was made before is kept, and the next call goes on.
    """
    if not len(dataset):
        raise ValueError(f"cached got {dataset.name} without samples, expected at least one.")
    place = Path(folder) / f"{_plain(dataset.name)}-{_key(dataset, framing)}"
    joined, labels = place.with_suffix(".npy"), torch.tensor(dataset.labels)
    kept = _joined(joined, len(dataset))
    if kept is None:
        _fill(dataset, framing, place, joined, jobs, progress)
        kept = np.lib.format.open_memmap(joined, mode="c")
    _clear(place)
    return torch.from_numpy(kept), labels  # "c": changes stay in memory


def _joined(joined: Path, count: int) -> np.memmap | None:
    """What is kept; ``None`` where it is not there, or is not whole: it was written so, but disks and people err."""
    try:
        kept = np.lib.format.open_memmap(joined, mode="c")
    except (OSError, ValueError, EOFError):
        return None
    return kept if kept.ndim == 5 and len(kept) == count and kept.dtype == np.uint8 else None


def _fill(
    dataset: EventDataset, framing: Framing, place: Path, joined: Path, jobs: int,
    progress: Callable[[int, int], None] | None,
) -> None:  # fmt: skip
    _sweep(place.parent, f".{place.name}-*.npy")
    parts = [place / f"{i:07}.npy" for i in range(len(dataset))]
    missing = [i for i, part in enumerate(parts) if _read(part) is None]
    done = len(dataset) - len(missing)
    try:
        for _ in _each(dataset, framing, parts, missing, jobs):
            done += 1
            if progress is not None:
                progress(done, len(dataset))
        _join(parts, joined, dataset)
    except ValueError:
        if _joined(joined, len(dataset)) is None:  # else another process has joined them, and cleared up under us
            raise


def _clear(place: Path) -> None:
    """Remove the samples that are in the array: also those of a process that was killed, or was slower."""
    for part in place.glob("[0-9]*.npy"):
        part.unlink(missing_ok=True)
    _sweep(place, ".*.npy")
    with suppress(OSError):  # it is not there, or another process still writes
        place.rmdir()


def _sweep(folder: Path, pattern: str) -> None:
    """Remove what killed processes left behind."""
    for path in folder.glob(pattern):
        with suppress(OSError):  # its writer was faster
            if time.time() - path.stat().st_mtime > STALE:
                path.unlink()


def _key(dataset: EventDataset, framing: Framing) -> str:
    package = sys.modules[__name__.partition(".")[0]]  # it is there by now, and rooms do not import it
    about = (LAYOUT, vars(package)["__version__"], framing, dataset.width, dataset.height, dataset.format)
    digest = hashlib.sha256(repr(about).encode())
    states: dict[Path, tuple[int, int]] = {}
    for sample in dataset.recordings:
        if sample.path not in states:  # a file may hold many
            states[sample.path] = _state(sample.path, dataset.name)
        parts = (str(sample.path.absolute()), sample.label, sample.start, sample.stop, sample.place)
        digest.update(repr((parts, states[sample.path])).encode())
    return digest.hexdigest()[:16]


def _state(path: Path, name: str) -> tuple[int, int]:
    try:
        state = path.stat()
    except OSError as error:
        raise ValueError(
            f"{path} cannot be read ({error.strerror}), expected a recording of {name}; put it back."
        ) from error
    return state.st_size, state.st_mtime_ns


def _plain(name: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in name.lower())[:60]


def _each(dataset: EventDataset, framing: Framing, parts: list[Path], missing: list[int], jobs: int) -> Iterator[None]:
    if jobs == 1:
        for i in missing:
            yield make(dataset, framing, i, parts[i])
        return
    from joblib import Parallel, delayed

    work = (delayed(make)(dataset.take([i]), framing, 0, parts[i]) for i in missing)
    yield from Parallel(n_jobs=jobs, return_as="generator_unordered")(work)  # type: ignore[misc]


def make(dataset: EventDataset, framing: Framing, index: int, part: Path) -> None:
    """Read one sample and leave its frames in a file."""
    stream, _ = dataset[index]
    frames = framing(stream).numpy()
    with _written(part) as temporary:
        np.save(temporary, frames, allow_pickle=False)


@contextmanager
def _written(path: Path) -> Iterator[Path]:
    """As :func:`~spikeworks.disk.whole`; a disk that refuses is a ValueError in one sentence."""
    try:
        with whole(path) as temporary:
            yield temporary
    except OSError as error:
        raise ValueError(
            f"{path} cannot be written ({error.strerror or error}); make room or choose another folder: what was "
            "made before is kept, and the same call goes on."
        ) from error


def _read(part: Path) -> np.ndarray | None:
    """What is in a file, if it is there and whole."""
    try:
        return np.load(part, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None


def _join(parts: list[Path], joined: Path, dataset: EventDataset) -> None:
    first = _there(parts[0])
    about = {"descr": first.dtype.str, "fortran_order": False, "shape": (len(parts), *first.shape)}
    with _written(joined) as temporary, temporary.open("wb") as file:  # a full disk ends a process that writes to a map
        np.lib.format.write_array_header_1_0(file, about)
        for i, part in enumerate(parts):
            frames = _there(part)
            if frames.shape != first.shape:
                raise ValueError(
                    f"{dataset.recordings[i].path} gave frames {frames.shape}, the first recording {first.shape}, "
                    "expected one size; crop or resize the recordings."
                )
            file.write(frames.tobytes())


def _there(part: Path) -> np.ndarray:
    frames = _read(part)
    if frames is None:
        raise ValueError(f"{part} was taken away while the cache was made, expected it to stay; make the cache again.")
    return frames
