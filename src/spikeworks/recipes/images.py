"""Images in class folders, as arrays; what would be misread or passed over is refused by its name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")

MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr")
"""Pillow's modes of up to 8 bits per channel; it cuts all others off at 255."""


def read_folder(path: Path) -> tuple[tuple[str, ...], list[tuple[Any, Tensor]]]:
    """The classes of a folder, and its images and labels: of ``train`` and ``test`` if it holds both, else of itself.

    :returns: images as uint8 ``[N, H, W]`` where all are of mode L, else ``[N, 3, H, W]``; labels index the classes.
    :raises ValueError: if there are fewer than two classes or not the same in both parts, or a class without images, or
        an image that cannot be decoded, has more than 8 bits per channel or is not like the first.
    """
    parts = [path / "train", path / "test"]
    parts = parts if all(p.is_dir() for p in parts) else [path]
    named = [{p.name for p in part.iterdir() if p.is_dir() and not p.name.startswith(".")} for part in parts]
    if len(named[0]) < 2:
        raise ValueError(f"DATA folder {parts[0]} holds {len(named[0])} folders, expected one per class, at least two.")
    if odd := sorted(named[0] ^ named[-1]):
        where = ", ".join(f"{name} ({'train' if name in named[0] else 'test'})" for name in odd)
        raise ValueError(f"DATA folder {path} has classes in one part only: {where}, expected the same folders in "
                         "train and test; rename or remove them.")  # fmt: skip
    classes = tuple(sorted(named[0]))
    return classes, [_images(part, classes) for part in parts]


def _images(path: Path, classes: tuple[str, ...]) -> tuple[Any, Tensor]:
    pixels, labels, first = [], [], ""
    for label, name in enumerate(classes):
        files = sorted(p for p in (path / name).glob("*") if p.suffix.lower() in SUFFIXES)
        if not files:
            raise ValueError(f"DATA folder {path / name} holds no images, expected some of {', '.join(SUFFIXES)}; add "
                             "them or remove the folder.")  # fmt: skip
        for file in files:
            array, mode = _image(file)
            height, width, *_ = array.shape
            looks = f"{width}×{height} of mode {mode}"
            first = first or looks
            if pixels and array.shape != pixels[0].shape:
                resized = array.shape[:2] == pixels[0].shape[:2]
                wanted = "one colour mode; convert all to one" if resized else "equal sizes; resize them first"
                raise ValueError(f"DATA image {file} is {looks}, the first is {first}, expected {wanted}.")
            pixels.append(array)
        labels += [label] * len(files)
    x = np.stack(pixels)
    return x if x.ndim == 3 else x.transpose(0, 3, 1, 2), torch.tensor(labels)


def _image(file: Path) -> tuple[Any, str]:
    from PIL import Image

    try:
        with Image.open(file) as image:
            image.load()
    except Exception as error:  # Pillow raises from decoders, struct, zlib or its fear of bombs, by where the damage is
        raise ValueError(f"DATA image {file} cannot be decoded ({error}); remove or replace it.") from error
    if image.mode not in MODES:
        raise ValueError(f"DATA image {file} is of mode {image.mode}, expected one of {', '.join(MODES)}; convert it "
                         "to 8 bits per channel.")  # fmt: skip
    return np.asarray(image if image.mode == "L" else image.convert("RGB")), image.mode
