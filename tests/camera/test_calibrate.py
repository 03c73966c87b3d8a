"""Calibration: maps of pixels that differ are found again, the spread of a flat clip falls, bad maps are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from camera.spikes import random_stream, recording
from spikeworks.camera import TFP, Calibration, Image, SpikeStream, WindowIntervals, calibrate, mean_light

Map = NDArray[np.float64]


def clip(rate: Map, frames: int, seed: int = 0) -> SpikeStream:
    """Pixels that integrate, fire and keep the remainder, at any phase."""
    phase = np.random.default_rng(seed).random(rate.shape)
    charge = np.floor(np.minimum(rate, 1) * np.arange(frames + 1)[:, None, None] + phase)
    return SpikeStream.of(np.diff(charge, axis=0) > 0)


def pixels(height: int = 20, width: int = 30, seed: int = 1) -> tuple[Map, Map]:
    """Gain and dark as of real sensors: 3.5 % spread, one dark spike in some 220 frames."""
    draw = np.random.default_rng(seed)
    gain = np.exp(0.035 * draw.standard_normal((height, width)))
    return gain / np.median(gain), 0.0045 * np.exp(0.45 * draw.standard_normal((height, width)))


def test_maps_are_found_again_and_flat_light_becomes_flat() -> None:
    gain, dark = pixels()
    found = Calibration.measure(
        [clip(gain * level + dark, 2000, n) for n, level in enumerate((0.3, 0.6))], clip(dark, 9000, 5)
    )
    assert np.abs(found.gain / gain - 1).max() < 0.003
    assert np.abs(found.dark - dark).max() < 2e-4
    assert found.bad is not None
    assert not found.bad.any()
    for level, estimator in ((0.1, TFP(800)), (0.45, WindowIntervals(300))):
        image = estimator(clip(gain * level + dark, 900, 9), 450)
        after = found.apply(image)
        assert after.light.std() / after.light.mean() < 0.25 * image.light.std() / image.light.mean()
        assert after.light.mean() == pytest.approx(level, rel=0.005)


def test_pixels_that_do_not_follow_light_are_bad() -> None:
    gain, dark = pixels()
    gain[2, 3], dark[4, 5] = 0, 0.3
    found = Calibration.measure([clip(gain * 0.4 + dark, 1000)], clip(dark, 1000))
    assert found.bad is not None
    assert np.argwhere(found.bad).tolist() == [[2, 3], [4, 5]]
    image = found.apply(TFP(99)(clip(gain * 0.4 + dark, 200), 100))
    assert np.array_equal(image.valid, ~found.bad)
    assert (image.light[found.bad] == 0).all()


def test_maps_that_were_measured_on_a_camera() -> None:
    with np.load(recording("spikenerf_data.npz")) as maps:
        part = np.s_[100:140, 150:210]
        light, more, flat = (maps[name].astype(float)[part] for name in ("Nl", "Nd", "D_light"))
        whole = [maps[name].astype(float) for name in ("Nl", "Nd", "D_light")]
    # the light that D_light was measured at, as that model tells it: rate = 1 / (D + 1)
    measured = Calibration.of([1 / (whole[2] + 1)], 1 / (whole[2] * (335 + whole[1]) / whole[1] + 1))
    assert measured.bad is not None
    good = ~measured.bad
    assert np.corrcoef(measured.gain[good], whole[0][good])[0, 1] > 0.95
    assert np.median(measured.dark) == pytest.approx(0.0045, abs=2e-4)

    def rate(level: float) -> Map:
        """1/D_out = Nl/D_in + Nd/(D_light (335 + Nd)), and spikes per frame of D frames without one between two."""
        inverse = more / (flat * (335 + more)) + (light * level if level else 0)
        return 1 / (1 / inverse + 1)

    clips = [clip(rate(level), 3000, n) for n, level in enumerate((0.2, 0.4))]
    found = Calibration.measure(clips, clip(rate(0), 9000, 7))
    assert found.bad is not None
    assert np.abs(found.dark - rate(0))[~found.bad].max() < 3e-4
    # the gain of the exact rates: those of n frames are off by 1/n at most, and so are their means
    exact, least = Calibration.of([rate(0.2), rate(0.4)], rate(0)), rate(0.2).min()
    assert np.abs(found.gain - exact.gain)[~found.bad].max() < 2 / (3000 * least)
    image = TFP(800)(clip(rate(0.3), 900, 8), 450)
    after = found.apply(image).light[~found.bad]
    assert after.std() / after.mean() < 0.3 * image.light[~found.bad].std() / image.light[~found.bad].mean()


def test_the_mean_of_a_recording_goes_on_over_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = random_stream(500, 5, 7).crop(1, 1, 5, 3)
    whole = mean_light(stream)
    for block in (1, 64, 499):
        monkeypatch.setattr(calibrate, "LONG", block)
        assert np.array_equal(mean_light(stream), whole)
    bits = stream.dense()
    for y, x in np.ndindex(*whole.shape):
        times = np.flatnonzero(bits[:, y, x])
        many = len(times) > 1
        assert whole[y, x] == ((len(times) - 1) / (times[-1] - times[0]) if many else len(times) / 500)
    with pytest.raises(ValueError, match="0 frames"):
        mean_light(stream[3:3])


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    gain, dark = (m.astype(np.float32) for m in pixels())
    for bad in (None, gain > 1.05):
        saved = Calibration(gain, dark, bad)
        saved.save(tmp_path / "maps.npz")
        found = Calibration.load(tmp_path / "maps.npz")
        image = Image(np.full(gain.shape, 0.3, np.float32), np.ones(gain.shape, bool))
        for ours, theirs in zip(saved.apply(image), found.apply(image), strict=True):
            assert np.array_equal(ours, theirs)
        part, shown = found.crop(3, 2, 5, 4), found.apply(image).light[2:6, 3:8]
        assert np.array_equal(part.apply(Image(*(a[2:6, 3:8] for a in image))).light, shown)


def test_maps_that_cannot_be_are_refused(tmp_path: Path) -> None:
    one, zero = np.ones((3, 4), np.float32), np.zeros((3, 4), np.float32)
    odd = one.copy()
    odd[1, 1] = np.nan
    for gain, dark, bad, words in (
        (one, zero[:2], None, "one shape"), (one[0], zero[0], None, "one shape"), (one, zero, one[:2] > 0, "one shape"),
        (odd, zero, None, "not finite"), (one, odd, None, "not finite"), (zero, zero, None, "gain from 0"),
        (one, -one, None, "dark from -1"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            Calibration(gain, dark, bad)
    with pytest.raises(ValueError, match="got an image"):
        Calibration(one, zero).apply(Image(one[:2], one[:2] > 0))
    with pytest.raises(ValueError, match="within 4×3"):
        Calibration(one, zero).crop(1, 1, 4, 2)
    with pytest.raises(ValueError, match="at least one flat"):
        Calibration.of([])
    with pytest.raises(ValueError, match=r"flat 0 has a light of 0\.9\d* .* fire in every frame"):
        Calibration.of([one], zero + np.float32(0.01))
    with pytest.raises(ValueError, match="light above the dark"):
        Calibration.of([zero])
    with pytest.raises(ValueError, match=r"ends in \.npz"):
        Calibration(one, zero).save(tmp_path / "maps.npy")
    for content in (b"", b"no archive"):
        (tmp_path / "maps.npz").write_bytes(content)
        with pytest.raises(ValueError, match="is no calibration"):
            Calibration.load(tmp_path / "maps.npz")
    np.savez(tmp_path / "maps.npz", gain=np.array([object()]), dark=zero, bad=zero > 0)
    with pytest.raises(ValueError, match="is no calibration"):
        Calibration.load(tmp_path / "maps.npz")
    np.savez(tmp_path / "maps.npz", gain=zero, dark=zero, bad=zero > 0)
    with pytest.raises(ValueError, match="gain from 0"):
        Calibration.load(tmp_path / "maps.npz")
