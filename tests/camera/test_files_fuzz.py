"""Damaged files: each is refused in one sentence that names it, or is a stream of the shape that it tells.

pytest -m slow tests/camera/test_files_fuzz.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from camera.spikes import random_stream
from camera.test_files import capture
from spikeworks.camera import SpikeStream, write
from spikeworks.camera import open as open_camera

SIZE = (7, 13)
CASES = {
    "a.dat": (SIZE, {}, 600),
    "headed.dat": (SIZE, {"format": "headed"}, 300),
    "a.npz": ((), {}, 900),
    "order.npz": ((), {"order": "HWT"}, 400),
    "a.npy": (SIZE, {}, 600),
    "a.h5": ((), {}, 900),
    "megapixel.raw": ((), {}, 40),
}
"""File → the size that is said, what else, and how many of it are damaged in a short run."""

SURE = ("a.npz", "order.npz", "a.h5")
"""Files with checksums: what is read of them is what was written."""


def make(path: Path) -> np.ndarray:
    stream = random_stream(40, *SIZE)
    match path.stem:
        case "headed":
            write(path, stream, "headed")
        case "order":
            np.savez_compressed(path, spk=np.ascontiguousarray(np.moveaxis(stream.dense(), 0, 2)))
        case "megapixel":
            bits = np.random.default_rng(0).random((2, 1000, 1000)) < 0.2
            path.write_bytes(capture(bits)[-200_000:])
            return bits[1:]
        case _:
            write(path, stream)
    return stream.dense()


def damage(data: bytes, draw: np.random.Generator) -> bytes:
    """Some bytes changed, left out, put in twice, or the end cut off."""
    changed = np.frombuffer(data, np.uint8).copy()
    near = 400 if draw.random() < 0.5 else len(data)  # the header more often than by its length
    for _ in range(int(draw.integers(1, 4))):
        changed[draw.integers(min(near, len(data)))] = draw.choice([draw.integers(256), 0, 255, ord("9"), ord("-")])
    place = int(draw.integers(len(data)))
    match int(draw.integers(6)):
        case 0:
            changed = np.concatenate([changed[:place], changed[place + int(draw.integers(1, 40)) :]])
        case 1:
            changed = np.concatenate([changed[:place], changed[max(0, place - 16) :]])
        case 2:
            changed = changed[:place]
    return changed.tobytes()


def fuzz(folder: Path, name: str, times: int, seed: int) -> None:
    size, told, _ = CASES[name]
    more: dict[str, Any] = dict(told)
    whole = make(folder / name)
    assert np.array_equal(open_camera(folder / name, *size, **more).dense(), whole)
    data, copy, draw = (folder / name).read_bytes(), folder / f"damaged{Path(name).suffix}", np.random.default_rng(seed)
    for k in range(times):
        copy.unlink(missing_ok=True)  # what is mapped must not change under the map
        copy.write_bytes(damage(data, draw))
        said, stream = "", None
        try:
            stream = open_camera(copy, *size, **more)
            found = stream.dense()
        except ValueError as error:
            said = str(error)
        if said or stream is None:
            assert "\n" not in said, k
            assert str(copy) in said, (k, said)
            continue
        assert isinstance(stream, SpikeStream)
        assert found.shape == (len(stream), stream.height, stream.width), k
        assert not size or found.shape[1:] == size, k
        assert found.size == 0 or found.max() <= 1, k
        if name in SURE and found.shape == whole.shape:
            assert np.array_equal(found, whole) or np.array_equal(found, whole[:, ::-1]), k


@pytest.mark.parametrize("name", CASES)
def test_damaged_files_are_refused_or_read(tmp_path: Path, name: str) -> None:
    if name.endswith(".h5"):
        pytest.importorskip("h5py")
    fuzz(tmp_path, name, CASES[name][2], 0)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_many_more_of_them(tmp_path: Path, name: str) -> None:
    fuzz(tmp_path, name, 20 * CASES[name][2], 1)
