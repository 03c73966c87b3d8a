"""Frames of a whole data set, made once: kept on disk under a name that every parameter has a part in.

    x_NTCHW, y_N = cached(dataset, Framing(16), "cache/")    # memory-mapped uint8, and labels

Each sample is written whole or not at all, so a run that was stopped, or killed, goes on where it was, and two that run
at once do no harm: both write the same. When all are there they are put into one array, which is what is read from then
on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
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

    The name under which they are kept depends on the framing, on this package's version, and on path, size, time of
    change, label and part of every recording: where one changes, they are made anew.

    :param folder: where caches lie.
    :param jobs: processes that make frames; above 1 by joblib, and so also on a cluster, inside
        ``joblib.parallel_config``.
    :param progress: called with how many samples are there, and of how many.
    :returns: ``[N, T, C, H, W]`` uint8, memory-mapped and not to be written to, and labels ``[N]`` int64.
    :raises ValueError: for a data set without samples, samples of several sizes, or a recording that cannot be read.
    """
    if not len(dataset):
        raise ValueError(f"cached got {dataset.name} without samples, expected at least one.")
    place = Path(folder) / f"{_plain(dataset.name)}-{_key(dataset, framing)}"
    joined, labels = place.with_suffix(".npy"), torch.tensor(dataset.labels)
    if not joined.exists():
        parts = [place / f"{i:07}.npy" for i in range(len(dataset))]
        missing = [i for i, part in enumerate(parts) if _read(part) is None]
        done = len(dataset) - len(missing)
        for _ in _each(dataset, framing, parts, missing, jobs):
            done += 1
            if progress is not None:
                progress(done, len(dataset))
        try:
            _join(parts, joined, dataset)
        except _VanishedError as error:
            if not joined.exists():  # else another process has joined them in the meantime, and cleared up
                raise ValueError(str(error)) from error
    return torch.from_numpy(np.lib.format.open_memmap(joined, mode="c")), labels  # "c": changes stay in memory


def _key(dataset: EventDataset, framing: Framing) -> str:
    digest = hashlib.sha256(repr(framing).encode())
    digest.update(repr([d.version for d in metadata.distributions(name="spikeworks")]).encode())
    for sample in dataset.recordings:
        try:
            state = sample.path.stat()
        except OSError as error:
            raise ValueError(
                f"{sample.path} cannot be read ({error.strerror}), expected a recording of {dataset.name}; put it back."
            ) from error
        digest.update(repr((str(sample.path), sample.label, sample.start, sample.stop)).encode())
        digest.update(repr((state.st_size, state.st_mtime_ns)).encode())
    return digest.hexdigest()[:16]


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
    with whole(part) as temporary:
        np.save(temporary, frames, allow_pickle=False)


def _read(part: Path) -> np.ndarray | None:
    """What is in a file, if it is there and whole."""
    try:
        return np.load(part, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None


class _VanishedError(Exception):
    """A part was there, and is no more."""


def _join(parts: list[Path], joined: Path, dataset: EventDataset) -> None:
    first = _there(parts[0])
    with whole(joined) as temporary:
        everything = np.lib.format.open_memmap(temporary, "w+", first.dtype, (len(parts), *first.shape))
        for i, part in enumerate(parts):
            frames = _there(part)
            if frames.shape != first.shape:
                raise ValueError(
                    f"{dataset.recordings[i].path} gave frames {frames.shape}, the first recording {first.shape}, "
                    "expected one size; crop or resize the recordings."
                )
            everything[i] = frames
        everything.flush()
        del everything
    for part in parts:
        part.unlink(missing_ok=True)
    with suppress(OSError):  # where another process still writes
        parts[0].parent.rmdir()


def _there(part: Path) -> np.ndarray:
    frames = _read(part)
    if frames is None:
        raise _VanishedError(
            f"{part} was taken away while the cache was made, expected it to stay; make the cache again."
        )
    return frames
