"""Corruptions: what each does against scipy or by hand, harder with severity, repeated by the generator."""

from __future__ import annotations

import pytest
import torch
from scipy import ndimage

from spikeworks.recipes.corrupt import CORRUPTIONS, blur, brightness, contrast, noise, occlusion


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(size: int = 6, channels: int = 3, height: int = 11, width: int = 14) -> torch.Tensor:
    return torch.rand(size, channels, height, width, generator=generator(5), dtype=torch.float64)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_harder_with_severity_in_range_and_repeatable(name: str) -> None:
    x, corrupt = images(40, 1, 8, 8), CORRUPTIONS[name]
    kept, changes = x.clone(), []
    for severity in range(1, 6):
        y = corrupt(x, severity, generator())
        assert y.shape == x.shape
        assert y.dtype == x.dtype
        assert ((y >= 0) & (y <= 1)).all()
        assert torch.equal(y, corrupt(x, severity, generator()))
        changes.append(float((y - x).abs().mean()))
    assert torch.equal(x, kept)
    assert all(a < b for a, b in zip([0.0, *changes[:-1]], changes, strict=True))
    drawn = not torch.equal(corrupt(x, 3, generator(1)), corrupt(x, 3, generator(2)))
    assert drawn == (name in ("noise", "occlusion"))
    assert corrupt(x.float(), 3, generator()).dtype == torch.float32


def test_noise_has_its_deviation_in_every_value() -> None:
    added = noise(torch.full((50, 3, 20, 20), 0.5).double(), 5, generator()) - 0.5
    n = added.numel()
    assert abs(float(added.mean())) < 5 * 0.1 / n**0.5
    assert abs(float(added.std()) - 0.1) < 5 * 0.1 / (2 * n) ** 0.5
    assert not torch.equal(added[0], added[1])


@pytest.mark.parametrize(("severity", "sigma"), list(enumerate((0.4, 0.6, 0.7, 0.8, 1.0), 1)))
@pytest.mark.parametrize("size", [(11, 14), (3, 2), (1, 1)])
def test_blur_is_that_of_scipy(severity: int, sigma: float, size: tuple[int, int]) -> None:
    x = images(3, 2, *size)
    wanted = ndimage.gaussian_filter(x.numpy(), (0, 0, sigma, sigma), mode="reflect", truncate=4.0)
    assert torch.allclose(blur(x, severity, generator()), torch.from_numpy(wanted))


def test_contrast_and_brightness_by_hand() -> None:
    x = torch.tensor([0.2, 0.4, 0.6, 0.8]).double().view(1, 1, 2, 2)
    assert contrast(x, 3, generator()).flatten().tolist() == pytest.approx([0.38, 0.46, 0.54, 0.62])
    assert brightness(x, 5, generator()).flatten().tolist() == pytest.approx([0.5, 0.7, 0.9, 1.0])


def test_occlusion_is_one_rectangle_inside() -> None:
    x = torch.ones(300, 2, 10, 15)
    dark = occlusion(x, 4, generator()) == 0
    assert torch.equal(dark[:, 0], dark[:, 1])
    rows, columns = dark[:, 0].any(2), dark[:, 0].any(1)
    assert torch.equal(dark[:, 0], rows.unsqueeze(2) & columns.unsqueeze(1))
    assert (rows.sum(1) == 5).all()
    assert (columns.sum(1) == 8).all()  # half of 15, rounded to even
    starts = columns.to(torch.uint8).argmax(1)
    assert starts.unique().tolist() == list(range(8))
    for line, length in ((rows, 5), (columns, 8)):  # in one piece
        first = line.to(torch.uint8).argmax(1)
        assert all(bool(row[int(a) : int(a) + length].all()) for row, a in zip(line, first, strict=True))


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_what_is_no_image_is_refused(name: str) -> None:
    x = images()
    for wrong in (x[0], x * 2, x - 1, x / 0, (x * 255).byte()):
        with pytest.raises(ValueError, match=rf"{name} got .*expected images"):
            CORRUPTIONS[name](wrong, 3, generator())
    for severity in (0, 6):
        with pytest.raises(ValueError, match="expected 1, 2, 3, 4 or 5"):
            CORRUPTIONS[name](x, severity, generator())
