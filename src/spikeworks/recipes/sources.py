"""A user's own network and data, from what can be named on a command line."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..train import Data, load_weights
from . import ALL as RECIPES
from .data import ALL, Normalise, Split, read_npz
from .images import read_folder

CLASSES = 100_000
"""Labels of an archive are below this; a larger number is taken for the identifier of something."""


def open_network(name: str, weights: str | Path | None = None) -> nn.Module:
    """Call a factory without arguments and load weights into what it returns, in eval mode.

    :param name: ``package.module:factory`` or ``path/to/file.py:factory``; as with ``python -m`` and ``python``, what
        lies in the current folder, or beside the file, can be imported. Or the network of a recipe and its activation,
        ``convert_cifar10_vgg:QCFS``, whose weights the recipe has left in its folder.
    :param weights: a ``.safetensors`` file.
    :raises ValueError: if the name does not lead to a factory of an ``nn.Module``, or the weights do not fit it.
    """
    place, _, factory = name.rpartition(":")
    if not place or not factory.isidentifier():
        raise ValueError(f"MODEL got {name!r}, expected package.module:factory or path/to/file.py:factory.")
    network = RECIPES[place].untrained(factory) if place in RECIPES else _made(name, place, factory)
    if weights is not None:
        load_weights(network, weights)
    return network.eval()


def _made(name: str, place: str, factory: str) -> nn.Module:
    is_file = place.endswith(".py")
    with _importable(Path(place).parent if is_file else Path()):
        module = _from_file(Path(place)) if is_file else _from_package(place)
        if not callable(make := getattr(module, factory, None)):
            there = ", ".join(sorted(k for k, v in vars(module).items() if callable(v) and not k.startswith("_"))[:12])
            raise ValueError(f"MODEL got {name!r}, but {place} has no function {factory!r}, expected one of: {there}.")
        try:
            network = make()
        except Exception as error:  # a user's own code may raise anything
            raise ValueError(
                f"MODEL {name!r} raised {error!r} when called without arguments; make it need none."
            ) from error
    if not isinstance(network, nn.Module):
        raise ValueError(f"MODEL {name!r} returned {type(network).__name__}, expected an nn.Module.")
    return network


def open_data(name: str, mean: Iterable[float] = (), std: Iterable[float] = ()) -> Split:
    """Open data by a known name, as a folder of images in class folders, or as an ``.npz`` file.

    :param name: a name in :data:`spikeworks.recipes.data.ALL`; a folder that holds one folder of images per class, or
        ``train`` and ``test`` folders that do; or an archive with ``x``, ``y`` or ``x_train``, ``y_train``, ``x_test``,
        ``y_test``, where ``x`` is ``[N, C, H, W]``, ``[N, H, W]`` or ``[N, H, W, 3]``.
    :param mean, std: per channel, for images scaled to 0..1 (uint8 is divided by 255, all else taken as it is);
        default: those of a known data set, else 0 and 1.
    :returns: a :class:`Split`; where there is no test part, a fixed half is kept for test.
    :raises ValueError: if there is nothing by that name, or an image, label or array in it is not usable.
    """
    mean, std = tuple(mean), tuple(std)
    if len(mean) != len(std) or not all(s > 0 for s in std):
        raise ValueError(f"got mean={mean} and std={std}, expected as many of both, std above 0.")
    path = Path(name).expanduser()
    if name in ALL:
        split = ALL[name]()
        prepare = Normalise(mean, std, getattr(split.train.prepare, "scale", 255.0)) if mean else split.train.prepare
        return Split(
            name, split.classes, *(Data(d.x, d.y, prepare) for d in (split.train, split.validation, split.test))
        )
    if path.is_dir():
        classes, parts = read_folder(path)
    elif path.suffix == ".npz" and path.is_file():
        classes, parts = None, _archive(path)
    else:
        raise ValueError(f"DATA got {name!r}, expected one of {', '.join(ALL)}, a folder of images, or an .npz file.")
    samples = [_channels_first(x, name) for x, _ in parts]
    kinds = [(tensor.shape[1:], tensor.dtype, x.dtype.kind) for tensor, (x, _) in zip(samples, parts, strict=True)]
    if kinds[0] != kinds[-1]:
        train, test = (f"{tuple(shape)} of {x.dtype}" for (shape, *_), (x, _) in zip(kinds, parts, strict=True))
        raise ValueError(f"DATA {name} has samples {train} in train and {test} in test, expected one shape and one "
                         "type; convert one of them.")  # fmt: skip
    channels = samples[0].shape[1]
    if mean and len(mean) not in (1, channels):
        raise ValueError(f"got mean for {len(mean)} channels, but the samples have {channels}; give one per channel.")
    scale = 1.0 if samples[0].is_floating_point() else 255.0
    prepare = Normalise(mean or (0.0,), std or (1.0,), scale)
    datas = [Data(x, y, prepare) for x, (_, y) in zip(samples, parts, strict=True)]
    classes = classes or _numbered(max(int(d.y.max()) for d in datas), name)
    order = torch.randperm(len(datas[0].y), generator=torch.Generator().manual_seed(0))
    if len(datas) == 1:
        half = len(order) // 2
        datas, order = [datas[0].take(order[:half]), datas[0].take(order[half:])], torch.arange(half)
    held = max(1, len(order) // 10)
    return Split(path.name, classes, datas[0].take(order[held:]), datas[0].take(order[:held]), datas[1])


def check_fit(network: nn.Module, split: Split) -> None:
    """Run one batch: does the network take these samples, and has it an output for every label?

    :raises ValueError: if not, or if its logits are not finite.
    """
    x, _ = split.train.take(slice(0, 2)).batches()[0]
    try:
        with torch.no_grad():
            logits = network(x)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        first = str(error).strip().splitlines()[0]
        raise ValueError(f"the network does not take samples of shape {split.image}: {first}") from error
    highest = max(int(d.y.max()) for d in (split.train, split.validation, split.test))
    if not isinstance(logits, Tensor) or logits.dim() != 2 or logits.shape[1] <= highest:
        got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ValueError(f"the network returned {got} for 2 samples, but labels go up to {highest}, expected "
                         f"[2, {highest + 1}] or wider.")  # fmt: skip
    if not bool(logits.isfinite().all()):
        raise ValueError(
            "the network returned NaN or infinity on the first samples; check its weights and --mean, --std."
        )


# ---- pieces ----


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    sys.path.insert(0, place := str(folder.resolve()))
    try:
        yield
    finally:
        with suppress(ValueError):  # a user's own code may have taken it out
            sys.path.remove(place)


def _from_file(path: Path) -> Any:
    if not path.is_file():
        raise ValueError(f"MODEL got {str(path)!r}, which is not a file, expected path/to/file.py:factory.")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # dataclasses and pickles of the file look their module up here
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # a user's own code may raise anything
        raise ValueError(f"MODEL file {path} raised {error!r} when it was read; run it with python first.") from error
    return module


def _from_package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except Exception as error:  # a user's own code may raise anything
        raise ValueError(
            f"MODEL module {name!r} cannot be imported ({error}); check the name, and install it or go to its folder."
        ) from error


def _archive(path: Path) -> list[tuple[Any, Tensor]]:
    held = read_npz(path)
    suffixes = ("_train", "_test") if "x_train" in held else ("",)
    if missing := [k + s for s in suffixes for k in "xy" if k + s not in held]:
        raise ValueError(f"DATA {path} lacks {', '.join(missing)} (it has {', '.join(held)}), expected x and y, or "
                         "x_train, y_train, x_test and y_test.")  # fmt: skip
    parts = []
    for s in suffixes:
        labels = held["y" + s]
        if not np.issubdtype(labels.dtype, np.integer):
            raise ValueError(f"DATA {path} has labels of {labels.dtype}, expected whole numbers from 0.")
        parts.append((held["x" + s], torch.from_numpy(labels.astype(np.int64))))
    return parts


def _numbered(highest: int, source: str) -> tuple[str, ...]:
    if highest >= CLASSES:
        raise ValueError(
            f"DATA {source} has labels up to {highest}, expected class numbers from 0, below {CLASSES}; number the "
            "classes 0, 1, 2, ..."
        )
    return tuple(map(str, range(highest + 1)))


def _channels_first(x: Any, source: str) -> Tensor:
    if x.dtype.kind not in "uif" or x.ndim not in (3, 4) or len(x) < 4:
        raise ValueError(f"DATA {source} has samples {x.shape} of {x.dtype}, expected at least 4 of [C, H, W], "
                         "[H, W] or [H, W, 3], in numbers.")  # fmt: skip
    if x.ndim == 3:
        x = x[:, None]
    elif x.shape[-1] == 3 and x.shape[1] != 3:
        x = x.transpose(0, 3, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(x if x.dtype == np.uint8 else x.astype(np.float32)))
