"""Splits are fixed and share nothing; a user's data is read exactly or refused in one sentence."""

from __future__ import annotations

import io
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from spikeworks.recipes import augment
from spikeworks.recipes.data import Normalise, cifar10, digits, fashion_mnist
from spikeworks.recipes.sources import check_fit, open_data, open_network
from spikeworks.train import save_weights


def test_digits_are_split_once_and_for_all() -> None:
    one, two = digits(), digits()
    assert [len(d.y) for d in (one.train, one.validation, one.test)] == [1197, 300, 300]
    assert torch.equal(one.test.x, two.test.x)
    rows = [{tuple(r.tolist()) for r in d.x.flatten(1)} for d in (one.train, one.validation, one.test)]
    assert not rows[0] & rows[1]
    assert not rows[0] & rows[2]
    assert not rows[1] & rows[2]
    everything = torch.cat([d.prepare(d.x) for d in (one.train, one.validation, one.test)])
    assert everything.mean() == pytest.approx(0, abs=0.01)
    assert everything.std() == pytest.approx(1, abs=0.01)
    assert all(torch.equal(d.y.unique(), torch.arange(10)) for d in (one.train, one.validation, one.test))


def test_known_sets_say_what_is_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPIKEWORKS_DATA", raising=False)
    with pytest.raises(ValueError, match="SPIKEWORKS_DATA"):
        fashion_mnist()
    monkeypatch.setenv("SPIKEWORKS_DATA", str(tmp_path))
    with pytest.raises(ValueError, match=r"fashion_mnist\.npz is not there"):
        fashion_mnist()
    target = tmp_path / "fashion_mnist" / "fashion_mnist.npz"
    target.parent.mkdir()
    np.savez(target, x_train=np.zeros(3))
    with pytest.raises(ValueError, match="lacks y_train"):
        fashion_mnist()
    target.write_bytes(target.read_bytes()[:60])
    with pytest.raises(ValueError, match="complete NumPy archive"):
        fashion_mnist()


def test_fashion_mnist_and_cifar10_are_read_exactly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPIKEWORKS_DATA", str(tmp_path))
    draw = np.random.default_rng(0)
    for name in ("fashion_mnist", "cifar10"):
        (tmp_path / name).mkdir()
    x = draw.integers(0, 256, (60, 28, 28), dtype=np.uint8)
    x[:, 0, 0] = np.arange(60)  # a serial number
    y = np.arange(60, dtype=np.uint8) % 10
    np.savez(tmp_path / "fashion_mnist" / "fashion_mnist.npz", x_train=x, y_train=y, x_test=x[:10], y_test=y[:10])
    split = fashion_mnist()
    assert split.image == (1, 28, 28)
    assert [len(d.y) for d in (split.train, split.validation, split.test)] == [54, 6, 10]
    serial = torch.cat([split.train.x, split.validation.x])[:, 0, 0, 0]
    assert serial.sort().values.tolist() == list(range(60))
    for data in (split.train, split.validation):
        assert torch.equal(data.y.long(), data.x[:, 0, 0, 0].long() % 10)

    shades = np.repeat(np.arange(20, dtype=np.uint8)[:, None, None, None] * 10, 3, 3) + np.zeros(
        (1, 32, 32, 1), np.uint8
    )
    files = []
    for picture in shades:
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "JPEG", quality=95)
        files.append(np.frombuffer(buffer.getvalue(), np.uint8))
    held = {"jpg": np.concatenate(files), "off": np.cumsum([0, *map(len, files)]), "y": np.arange(20) % 10}
    np.savez(
        tmp_path / "cifar10" / "cifar10_jpeg.npz", **{f"{k}_{s}": v for k, v in held.items() for s in ("train", "test")}
    )
    split = cifar10()
    assert split.image == (3, 32, 32)
    assert torch.equal(split.test.x.float().mean((1, 2, 3)), torch.arange(20) * 10.0)


def test_normalise_is_the_formula_per_channel() -> None:
    x = torch.tensor([[[[255]], [[0]]]], dtype=torch.uint8)
    out = Normalise((0.5, 0.25), (0.5, 0.125))(x)
    assert out.flatten().tolist() == [1.0, -2.0]


def test_augmentations_move_pixels_and_invent_none() -> None:
    draw = torch.Generator().manual_seed(0)
    x = torch.randint(1, 255, (64, 3, 9, 7), dtype=torch.uint8, generator=draw)
    moved = augment.crop(x, draw, 2)
    padded = nn.functional.pad(x, (2, 2, 2, 2))
    places = set()
    for before, after in zip(padded, moved, strict=True):
        found = [(i, j) for i in range(5) for j in range(5) if torch.equal(before[:, i : i + 9, j : j + 7], after)]
        assert len(found) == 1
        places |= set(found)
    assert len(places) > 15
    flipped = augment.flip(x, draw)
    same = (flipped == x).flatten(1).all(1)
    assert (same | (flipped == x.flip(-1)).flatten(1).all(1)).all()
    assert 0.25 < same.float().mean() < 0.75
    cut = augment.cutout(x, draw, 4)
    gone = (cut == 0).all(1)
    assert ((cut == x) | (cut == 0)).all()
    assert (gone.flatten(1).sum(1) <= 16).all()
    assert (gone.flatten(1).sum(1) >= 4).all()
    assert (gone.flatten(1).sum(1) == 16).any()


def pictures(root: Path, sizes: tuple[int, int] = (8, 8)) -> Path:
    for label, name in enumerate(("cat", "dog")):
        (root / name).mkdir(parents=True)
        for i in range(6):
            grey = np.full((8, sizes[label]), 100 * label + i, np.uint8)
            Image.fromarray(grey).save(root / name / f"{i}.png")
    return root


def test_a_folder_of_images(tmp_path: Path) -> None:
    split = open_data(str(pictures(tmp_path / "flat")))
    assert split.classes == ("cat", "dog")
    assert split.image == (1, 8, 8)
    assert [len(d.y) for d in (split.train, split.validation, split.test)] == [5, 1, 6]
    for data in (split.train, split.validation, split.test):
        assert torch.equal(data.y, (data.x[:, 0, 0, 0] >= 100).long())
    seen = torch.cat([d.x[:, 0, 0, 0] for d in (split.train, split.validation, split.test)])
    assert sorted(seen.tolist()) == [0, 1, 2, 3, 4, 5, 100, 101, 102, 103, 104, 105]

    pictures(tmp_path / "parts" / "train")
    pictures(tmp_path / "parts" / "test")
    assert len(open_data(str(tmp_path / "parts")).test.y) == 12
    with pytest.raises(ValueError, match=r"dog/0\.png is 9×8 of mode L, the first is 8×8 of mode L, .*resize"):
        open_data(str(pictures(tmp_path / "odd", (8, 9))))
    (tmp_path / "flat" / "cat" / "9.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"9\.png cannot be decoded"):
        open_data(str(tmp_path / "flat"))
    (tmp_path / "bare" / "cat").mkdir(parents=True)
    with pytest.raises(ValueError, match="at least two"):
        open_data(str(tmp_path / "bare"))


def test_images_that_would_be_misread_are_refused_by_name(tmp_path: Path) -> None:
    def refused(root: Path, words: str) -> None:
        with pytest.raises(ValueError, match=words):
            open_data(str(root))

    grey = np.arange(64, dtype=np.uint8).reshape(8, 8)
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA"):
        root = pictures(tmp_path / f"mode{mode}")
        for file in root.rglob("*.png"):
            Image.open(file).convert(mode).save(file)
        assert open_data(str(root)).image == ((1, 8, 8) if mode == "L" else (3, 8, 8))
    deep = pictures(tmp_path / "deep")
    Image.fromarray(grey.astype(np.uint16) * 500).save(deep / "dog" / "3.png")
    refused(deep, r"dog/3\.png is of mode I;16, .*; convert it to 8 bits")
    real = pictures(tmp_path / "real")
    Image.fromarray(grey.astype(np.float32)).save(real / "dog" / "3.tif")
    refused(real, r"dog/3\.tif is of mode F, .*; convert it to 8 bits")
    mixed = pictures(tmp_path / "mixed")
    Image.fromarray(grey).convert("RGB").save(mixed / "dog" / "3.png")
    refused(mixed, r"dog/3\.png is 8×8 of mode RGB, the first is 8×8 of mode L, .*; convert all to one")
    huge = pictures(tmp_path / "huge")
    forged = bytearray((huge / "cat" / "2.png").read_bytes())
    forged[16:24] = (99_999).to_bytes(4) * 2  # width and height, in the first chunk
    forged[29:33] = zlib.crc32(forged[12:29]).to_bytes(4)
    (huge / "cat" / "2.png").write_bytes(forged)
    refused(huge, r"cat/2\.png cannot be decoded \(Image size \(9999800001 pixels\)")

    empty = pictures(tmp_path / "empty")
    (empty / "bird").mkdir()
    refused(empty, r"empty/bird holds no images")
    parts = tmp_path / "parts"
    pictures(parts / "train")
    (pictures(parts / "test") / "dog").rename(parts / "test" / "Dog")
    refused(parts, r"Dog \(test\), dog \(train\)")
    wide = tmp_path / "wide"
    pictures(wide / "train")
    pictures(wide / "test", (9, 9))
    refused(wide, r"\(1, 8, 8\) of uint8 in train and \(1, 8, 9\) of uint8 in test")


def test_colour_images_three_pixels_high_keep_their_axes(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for i in range(3):
            Image.new("RGB", (5, 3), (i, 100, 200)).save(tmp_path / name / f"{i}.png")
    split = open_data(str(tmp_path))
    assert split.image == (3, 3, 5)
    assert (split.test.x[:, 1] == 100).all()


def test_an_archive(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    x, y = np.random.default_rng(0).random((20, 5, 6, 3)), np.arange(20) % 4

    def saved(**arrays: np.ndarray) -> str:
        np.savez(path, **arrays)
        return str(path)

    split = open_data(saved(x=x, y=y), [0.5], [0.25])
    assert split.image == (3, 5, 6)
    shown, _ = split.test.batches()[0]
    assert torch.equal(shown, (split.test.x - 0.5) / 0.25)
    split = open_data(saved(x_train=x, y_train=y, x_test=x[:5], y_test=y[:5]))
    assert torch.equal(split.test.x, torch.from_numpy(x[:5].transpose(0, 3, 1, 2).astype(np.float32)))
    for arrays, words in (
        ({"x": x}, "lacks y"),
        ({"x": np.where(x > 0.9, np.nan, x), "y": y}, "NaN"),
        ({"x": x, "y": y - 1}, "from 0"),
        ({"x": x, "y": y + 0.5}, "whole numbers"),
        ({"x": x, "y": y[:-1]}, "one label per sample"),
        ({"x": x, "y": y[:0]}, "one label per sample"),
        ({"x": x, "y": y + 30_000_000}, "labels up to 30000003, .* number the classes 0, 1, 2"),
        ({"x_train": x, "y_train": y, "x_test": x, "y_test": y[:0]}, "one label per sample"),
        (
            {"x_train": (255 * x).astype(np.uint8), "y_train": y, "x_test": x, "y_test": y},
            "uint8 in .* float64 in test",
        ),
        (
            {"x_train": (255 * x).astype(int), "y_train": y, "x_test": x, "y_test": y},
            "int64 in train .* float64 in test",
        ),
        ({"x_train": x, "y_train": y, "x_test": x[:, 1:], "y_test": y}, r"\(3, 5, 6\) .* in train and \(3, 4, 6\)"),
        ({"x_train": x, "y_train": y, "x_test": x[..., 0], "y_test": y}, r"\(3, 5, 6\) .* in train and \(1, 5, 6\)"),
        ({"x": x.astype(str), "y": y}, "in numbers"),
        ({"x": x.astype(object), "y": y}, "complete NumPy archive"),
    ):
        with pytest.raises(ValueError, match=words):
            open_data(saved(**arrays))
    with pytest.raises(ValueError, match="per channel"):
        open_data(saved(x=x, y=y), [0.5, 0.5], [1, 1])
    with pytest.raises(ValueError, match="as many of both"):
        open_data(str(path), [0.5])
    with pytest.raises(ValueError, match="digits, fashion_mnist, cifar10"):
        open_data("mnist")


MODEL = """
from torch import nn
def net(): return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
def narrow(): return nn.Sequential(nn.Flatten(), nn.Linear(64, 5))
def needs(width): return nn.Linear(width, 2)
def number(): return 3
"""


def test_a_network_by_name(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(MODEL)
    network = open_network(f"{file}:net")
    assert not network.training
    with torch.no_grad():
        network[1].weight.fill_(2)
    save_weights(network, tmp_path / "w.safetensors")
    assert (open_network(f"{file}:net", tmp_path / "w.safetensors")[1].weight == 2).all()
    assert isinstance(open_network("torch.nn:Identity"), nn.Identity)
    (tmp_path / "broken.py").write_text("1/0")
    for name, words in (
        ("net", "expected package.module:factory"), (f"{file}:nett", "no function 'nett', expected one of: .*net"),
        (f"{file}:needs", "without arguments"), (f"{file}:number", "returned int"),
        ("no.such:net", "cannot be imported"),
        (f"{tmp_path}/none.py:net", "not a file"), (f"{tmp_path}/broken.py:net", "ZeroDivisionError"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            open_network(name)
    split = digits()
    check_fit(network, split)
    with pytest.raises(ValueError, match="labels go up to 9"):
        check_fit(open_network(f"{file}:narrow"), split)
    with pytest.raises(ValueError, match="does not take samples of shape"):
        check_fit(nn.Sequential(nn.Flatten(), nn.Linear(63, 10)), split)
    with torch.no_grad():
        network[1].weight.fill_(float("nan"))
    with pytest.raises(ValueError, match="NaN"):
        check_fit(network, split)


def test_a_network_finds_its_neighbours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "neighbour_at_import.py").write_text("WIDTH = 7")
    (tmp_path / "neighbour_at_call.py").write_text("DEPTH = 3")
    (tmp_path / "model_with_neighbours.py").write_text(
        "from neighbour_at_import import WIDTH\n"
        "from torch import nn\n"
        "def net():\n"
        "    from neighbour_at_call import DEPTH\n"
        "    return nn.Linear(WIDTH, DEPTH)\n"
    )
    before = list(sys.path)
    by_file = open_network(f"{tmp_path}/model_with_neighbours.py:net")
    for name in ("model_with_neighbours", "neighbour_at_import", "neighbour_at_call"):
        del sys.modules[name]
    with pytest.raises(ValueError, match="go to its folder"):
        open_network("model_with_neighbours:net")
    monkeypatch.chdir(tmp_path)
    by_module = open_network("model_with_neighbours:net")
    assert (by_file.in_features, by_file.out_features) == (by_module.in_features, by_module.out_features) == (7, 3)
    assert sys.path == before
