"""Recordings of event cameras that recipes know, as frames, with one fixed split each.

They lie under the folder that the environment variable ``SPIKEWORKS_DATA`` names, as archives of NumPy arrays in which
recordings follow each other: ``x``, ``y`` (pixels), ``p`` (polarities as bits), ``dt`` (microseconds since the event
before), and where each recording begins, ``offset`` ``[N + 1]``.

* ``nmnist_small/nmnist_small.npz``: each of these after ``train_`` and ``test_``, and ``label``.
* ``dvs_gesture_10/dvs_gesture_10.npz``: these, ``label`` and ``classes``; a recording for each class.
* ``dvs128_objects/events_sessionA.npz``, ``…B.npz``: ``names``, and ``x``, ``y``, ``p``, ``dt`` after each and ``_``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..events import CLOSED_LOOP, DVS, EventStream, Framing, moving, simulate
from ..train import Data
from .data import Split, cifar10, data_arrays

COLUMNS = ("x", "y", "p", "dt")

TOGETHER = 50
"""Images that are simulated side by side, as one: each frame costs Python once for all of them."""


@dataclass(frozen=True)
class TimeFirst:
    """Frames ``[B, T, C, H, W]`` of counts → float32 ``[T, B, C, H, W]``, times ``scale``."""

    scale: float = 1.0

    def __call__(self, x: Tensor) -> Tensor:
        """Apply it to a batch."""
        return x.transpose(0, 1).float() * self.scale


def nmnist_small(frames: int = 8, pool: int = 1) -> Split:
    """1,100 recordings of N-MNIST, 34×34: 600 train, 100 validation, 400 test, by a fixed permutation of all.

    Of the official test set only 100 recordings are in this archive, on which a point of accuracy means nothing.
    Orchard et al., Frontiers in Neuroscience 2015.

    :param frames: T, of equal duration. :param pool: pixels counted together, across and down.
    """
    keys = [f"{part}_{k}" for part in ("train", "test") for k in (*COLUMNS, "offset", "label")]
    held = data_arrays("nmnist_small/nmnist_small.npz", tuple(keys))
    parts = [{k: held[f"{part}_{k}"] for k in (*COLUMNS, "offset")} for part in ("train", "test")]
    streams = [s for part in parts for s in _streams(part, 34, 34)]
    y = torch.from_numpy(np.concatenate([held["train_label"], held["test_label"]]).astype(np.int64))
    x = _framed(streams, Framing(frames, pool=pool))
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))
    data = Data(x[order], y[order], TimeFirst(frames / 8))
    return _split("nmnist_small", tuple("0123456789"), data, 600, 100)


def gesture_windows(frames: int = 8, pool: int = 4, window: int = 100_000) -> Split:
    """Ten recordings of DVS128 Gesture, one of each of ten gestures, cut into windows; the first are for training.

    Half of each recording's windows are for training, the next fifth for validation, the rest for test. All are of one
    person in one session: this shows that a network learns, and nothing of how it would do on others. Amir et al.,
    CVPR 2017.

    :param frames: T. :param pool: pixels counted together. :param window: of how many microseconds.
    """
    held = data_arrays("dvs_gesture_10/dvs_gesture_10.npz", (*COLUMNS, "offset", "label", "classes"))
    parts: list[list[tuple[EventStream, int]]] = [[], [], []]
    for stream, label in zip(_streams(held, 128, 128), held["label"].tolist(), strict=True):
        cut = list(_windows(stream, window))
        first, second = len(cut) // 2, len(cut) * 7 // 10
        for part, chosen in zip(parts, (cut[:first], cut[first:second], cut[second:]), strict=True):
            part += [(s, int(label)) for s in chosen]
    datas = [_data(part, Framing(frames, pool=pool)) for part in parts]
    return Split("gesture_windows", tuple(map(str, held["classes"])), *datas)


def objects_two_sessions(frames: int = 8, pool: int = 4, window: int = 100_000, trained: str = "B") -> Split:
    """Objects moved in front of a DVS128 in two sessions: learn on one, test on the other; the classes both have.

    A tenth of the windows of each training recording, in one piece at its end, is for validation.

    :param frames: T. :param pool: pixels counted together. :param window: of how many microseconds.
    :param trained: the session that is learned, ``"A"`` or ``"B"``.
    """
    if trained not in ("A", "B"):
        raise ValueError(f"objects_two_sessions got trained={trained!r}, expected 'A' or 'B'.")
    sessions = {name: _session(name, window) for name in "AB"}
    classes = tuple(sorted(set(sessions["A"]) & set(sessions["B"])))
    learned, held = sessions.pop(trained), next(iter(sessions.values()))
    parts: list[list[tuple[EventStream, int]]] = [[], [], []]
    for label, name in enumerate(classes):
        for cut in learned[name]:
            last = len(cut) * 9 // 10
            parts[0] += [(s, label) for s in cut[:last]]
            parts[1] += [(s, label) for s in cut[last:]]
        parts[2] += [(s, label) for cut in held[name] for s in cut]
    return Split("objects_two_sessions", classes, *(_data(part, Framing(frames, pool=pool)) for part in parts))


def cifar10_moved(
    frames: int = 8, train: int = 4000, test: int = 1000, seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Split:  # fmt: skip
    """Events of a simulated camera in front of which CIFAR-10's images move as for CIFAR10-DVS: 32×32.

    Luma of each image, moved along :data:`~spikeworks.events.CLOSED_LOOP`, seen by a camera with mismatched thresholds
    and noise. Validation is a tenth of what is said for training; no image is in two parts.

    :param frames: T, of equal numbers of events, as in the paper on HSD.
    :param train: images to learn from, and to choose on. :param test: images. :param seed: of the camera.
    :param progress: told how many are done, of how many.
    """
    images = cifar10()
    if not 10 <= train <= len(images.train.y) or not 1 <= test <= len(images.test.y):
        raise ValueError(
            f"cifar10_moved got train={train} and test={test}, expected 10 to {len(images.train.y):,} and 1 to "
            f"{len(images.test.y):,}."
        )
    x = torch.cat([images.train.x[:train], images.test.x[:test]])
    y = torch.cat([images.train.y[:train], images.test.y[:test]]).long()
    luma = (x.float() * torch.tensor([0.299, 0.587, 0.114]).view(-1, 1, 1)).sum(1) / 255
    dvs, framing = DVS(0.3, 0.3, mismatch=0.03, leak=0.1, shot=1.0), Framing(frames, "number")
    made: list[Tensor] = []
    for i, few in enumerate(luma.split(TOGETHER)):
        made += [framing(stream) for stream in _seen(few.numpy(), dvs, np.random.default_rng([seed, i]))]
        if progress is not None:
            progress(len(made), len(luma))
    frames_N = torch.stack(made)
    prepare = TimeFirst(frames / 8)
    data = Data(frames_N[:train], y[:train], prepare)
    held = train // 10
    return Split("cifar10_moved", images.classes, data.take(slice(held, None)), data.take(slice(0, held)),
                 Data(frames_N[train:], y[train:], prepare))  # fmt: skip


# ---- pieces ----


def _streams(held: Mapping[str, Any], width: int, height: int) -> Iterator[EventStream]:
    polarity = np.unpackbits(held["p"], count=len(held["x"]))
    for i, j in pairwise(held["offset"].tolist()):
        yield EventStream(
            np.cumsum(held["dt"][i:j], dtype=np.int64), held["x"][i:j], held["y"][i:j], polarity[i:j], width, height
        )


def _seen(images: NDArray, dvs: DVS, generator: np.random.Generator) -> Iterator[EventStream]:
    """What a camera sees of each image ``[B, H, W]`` in front of it."""
    movies = [list(moving(image, CLOSED_LOOP, every=5000)) for image in images]
    frames = [np.concatenate([frame for frame, _ in shown], axis=1) for shown in zip(*movies, strict=True)]
    seen = simulate(frames, [time for _, time in movies[0]], dvs, generator)
    height, width = images.shape[1:]
    for i in range(len(images)):
        yield seen.crop(i * width, 0, width, height)


def _windows(stream: EventStream, window: int, least: int = 200) -> Iterator[EventStream]:
    """Parts of equal duration with at least so many events; fewer show nothing."""
    first, last = int(stream.t[0]), int(stream.t[-1])
    for start in range(first, last - window + 2, window):
        part = stream.between(start, start + window)
        if len(part) >= least:
            yield part


def _session(name: str, window: int) -> dict[str, list[list[EventStream]]]:
    """Class → its recordings, each cut into windows; ``mug_2`` is another recording of ``mug``."""
    held = data_arrays(f"dvs128_objects/events_session{name}.npz")
    found: dict[str, list[list[EventStream]]] = {}
    for recording in map(str, held["names"]):
        columns = {k: held[f"{recording}_{k}"] for k in COLUMNS}
        (stream,) = _streams({**columns, "offset": np.array([0, len(columns["x"])])}, 128, 128)
        found.setdefault(recording.removesuffix("_2"), []).append(list(_windows(stream, window)))
    return found


def _framed(streams: list[EventStream], framing: Framing) -> Tensor:
    return torch.stack([framing(stream) for stream in streams])


def _data(samples: list[tuple[EventStream, int]], framing: Framing) -> Data:
    x, y = _framed([stream for stream, _ in samples], framing), torch.tensor([label for _, label in samples])
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))  # so that a few are of all classes
    return Data(x[order], y[order], TimeFirst(framing.frames / 8))


def _split(name: str, classes: tuple[str, ...], data: Data, train: int, held: int) -> Split:
    parts = (slice(0, train), slice(train, train + held), slice(train + held, None))
    return Split(name, classes, *(data.take(part) for part in parts))
