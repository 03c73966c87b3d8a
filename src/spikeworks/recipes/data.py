"""The data sets that recipes know, with one fixed split each: choices are made on validation, test is read once.

``digits`` comes with scikit-learn. The others lie under the folder that the environment variable ``SPIKEWORKS_DATA``
names:

* ``fashion_mnist/fashion_mnist.npz``: ``x_train`` uint8 ``[60000, 28, 28]``, ``y_train``, ``x_test``, ``y_test``.
* ``cifar10/cifar10_jpeg.npz``: per split ``jpg_*`` (all JPEG files joined, uint8), ``off_*`` (where each begins, int64
  ``[N + 1]``), ``y_*``.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..train import Data

VARIABLE = "SPIKEWORKS_DATA"


@dataclass(frozen=True)
class Normalise:
    """uint8 (or floating) ``[B, C, H, W]`` → float32 ``(x/scale − mean)/std`` per channel."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    scale: float = 255.0

    def __call__(self, x: Tensor) -> Tensor:
        """Apply it to a batch."""
        mean, std = (torch.tensor(v).reshape(-1, 1, 1) for v in (self.mean, self.std))
        return (x.float() / self.scale - mean) / std


@dataclass(frozen=True)
class Split:
    """A data set in three parts that share no sample.

    :param train: to learn from, and to calibrate on. :param validation: to choose on. :param test: to report, once.
    :param classes: their names; a label is the index. None where answers are no classes.
    """

    name: str
    classes: tuple[str, ...]
    train: Data
    validation: Data
    test: Data

    @property
    def image(self) -> tuple[int, ...]:
        """The shape of one sample."""
        return tuple(self.train.x.shape[1:])


def digits() -> Split:
    """1,797 handwritten digits of 8×8 pixels (scikit-learn): 1,197 train, 300 validation, 300 test.

    The UCI set "Optical Recognition of Handwritten Digits", Alpaydin and Kaynak 1998. The split is a fixed permutation.
    """
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    data = Data(
        torch.from_numpy(images.astype(np.float32)).reshape(-1, 1, 8, 8)[order],
        torch.from_numpy(labels.astype(np.int64))[order],
        Normalise((0.305,), (0.376,), 16.0),
    )
    return Split("digits", tuple("0123456789"), data.take(slice(600, None)), data.take(slice(0, 300)),
                 data.take(slice(300, 600)))  # fmt: skip


def fashion_mnist() -> Split:
    """Fashion-MNIST, 28×28 grey: 55,000 train and 5,000 validation (of the official training set), 10,000 test.

    Xiao, Rasul and Vollgraf, arXiv 1708.07747.

    :raises ValueError: if ``SPIKEWORKS_DATA`` or the file in it is absent or not what it should be.
    """
    held = data_arrays("fashion_mnist/fashion_mnist.npz", ("x_train", "y_train", "x_test", "y_test"))
    x, y, x_test, y_test = (torch.from_numpy(held[k]) for k in ("x_train", "y_train", "x_test", "y_test"))
    names = ["T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"]
    prepare = Normalise((0.2860,), (0.3530,))
    return _split("fashion_mnist", names, Data(x.unsqueeze(1), y, prepare), Data(x_test.unsqueeze(1), y_test, prepare))


def cifar10() -> Split:
    """CIFAR-10, 32×32 colour, from JPEG: 45,000 train and 5,000 validation (of the training set), 10,000 test.

    Krizhevsky 2009. JPEG (quality 75) is lossy: accuracies may lie a little under those on the original pixels.

    :raises ValueError: if ``SPIKEWORKS_DATA`` or the file in it is absent or not what it should be.
    """
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    keys = ("jpg_train", "off_train", "y_train", "jpg_test", "off_test", "y_test")
    held = data_arrays("cifar10/cifar10_jpeg.npz", keys)
    prepare = Normalise((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))
    parts = [
        Data(_decoded(held[f"jpg_{s}"], held[f"off_{s}"]), torch.from_numpy(held[f"y_{s}"]), prepare)
        for s in ("train", "test")
    ]
    return _split("cifar10", names, *parts)


ALL: dict[str, Callable[[], Split]] = {"digits": digits, "fashion_mnist": fashion_mnist, "cifar10": cifar10}
"""Every known data set by name."""


def _split(name: str, classes: Sequence[str], whole: Data, test: Data) -> Split:
    """Validation from the training set: a tenth, at most 5,000, by a fixed permutation."""
    order = torch.randperm(len(whole.y), generator=torch.Generator().manual_seed(0))
    held = min(5000, len(order) // 10)
    return Split(name, tuple(classes), whole.take(order[held:]), whole.take(order[:held]), test)


def data_arrays(place: str, keys: tuple[str, ...] | None = None) -> dict[str, Any]:
    """Arrays of an archive under the folder of data, see :func:`read_npz`."""
    if not (root := os.environ.get(VARIABLE)):
        raise ValueError(
            f"{place} is looked for under the folder that the environment variable {VARIABLE} names, which is not set; "
            f"set it, e.g. export {VARIABLE}=~/data."
        )
    path = Path(root).expanduser() / place
    if not path.is_file():
        raise ValueError(f"{path} is not there, expected a NumPy archive; put it there.")
    return read_npz(path, keys)


def read_npz(path: Path, keys: tuple[str, ...] | None = None) -> dict[str, Any]:
    """The named arrays (default: all) of an ``.npz`` file; pickled objects in it are refused.

    :raises ValueError: if the file is damaged or lacks an array.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:  # np.load leaves a bad file open
            if missing := [k for k in keys or () if k not in archive]:
                raise ValueError(f"it lacks {', '.join(missing)}")
            return {k: archive[k] for k in keys or archive.files}
    except Exception as error:  # a damaged zip raises from zipfile, zlib, struct or numpy, by where the damage is
        wanted = f" with {', '.join(keys)}" if keys else ""
        raise ValueError(
            f"{path} cannot be read ({error}), expected a complete NumPy archive{wanted}; copy it again."
        ) from error


def _decoded(joined: Any, begins: Any) -> Tensor:
    from PIL import Image

    images = [np.asarray(Image.open(io.BytesIO(joined[a:b].tobytes())).convert("RGB")) for a, b in pairwise(begins)]
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()
