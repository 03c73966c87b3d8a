"""What an event camera would have seen of a video: a change of log intensity by a threshold is an event.

A pixel remembers the log intensity of its last event; where the present one is a threshold above (below), it gives an
ON (OFF) event and remembers anew. Between two frames log intensity is taken to go in a straight line, so several events
have their own times. Lichtsteiner, Posch & Delbruck, JSSC 2008 (the sensor); Hu, Liu & Delbruck, CVPRW 2021 (v2e: the
logarithm's linear toe, leak, shot noise that falls with intensity, bandwidth that rises with it). Departures from v2e:
an event's time is that of its crossing and not of a frame; during the dead time the pixel is held, so that what changes
in it is lost; shot noise does not make the pixel remember anew.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .stream import EventStream, concatenate, empty

TOE = 20 / 255
"""Intensity below which the logarithm goes on as a straight line to 0, as in v2e."""

DIM = 0.25
"""Shot noise at full intensity, as a share of that in the dark, as in v2e."""


@dataclass(frozen=True)
class DVS:
    """An event camera.

    :param on: rise of log intensity (natural) that is an ON event, > 0. :param off: fall that is an OFF event, > 0.
    :param mismatch: standard deviation of both thresholds over pixels, as a share of them, 0 to 0.5; no threshold is
        below a tenth of its mean.
    :param dead: microseconds after an event in which its pixel is held.
    :param leak: ON events per second and pixel of a still image; pixels then start anywhere within a threshold, as
        those of a camera that has run for long.
    :param shot: noise events per second and pixel in the dark, half ON, half OFF; a quarter of it at full intensity.
        None is within ``dead`` of another event of its pixel.
    :param bandwidth: of the photoreceptor at full intensity in Hz, a first-order low-pass that slows down to a tenth in
        the dark; infinity for none.
    :raises ValueError: for values out of range.
    """

    on: float = 0.2
    off: float = 0.2
    mismatch: float = 0.0
    dead: int = 0
    leak: float = 0.0
    shot: float = 0.0
    bandwidth: float = math.inf

    def __post_init__(self) -> None:
        for names, fits, expected in (
            ("on, off", 0 < self.on < math.inf and 0 < self.off < math.inf, "finite numbers above 0"),
            ("mismatch", 0 <= self.mismatch <= 0.5, "0 to 0.5"),
            ("dead", isinstance(self.dead, int) and self.dead >= 0, "whole microseconds from 0"),
            ("leak, shot", 0 <= self.leak < math.inf and 0 <= self.shot < math.inf, "finite numbers from 0"),
            ("bandwidth", self.bandwidth > 0, "a number above 0, or infinity"),
        ):
            if not fits:
                got = ", ".join(f"{name}={getattr(self, name)!r}" for name in names.split(", "))
                raise ValueError(f"DVS got {got}, expected {expected}.")


def log_intensity(frame: NDArray) -> NDArray[np.float64]:
    """``ln(I/TOE)`` from :data:`TOE` on, ``I/TOE − 1`` below, for intensities 0 to 1: smooth, and finite at 0."""
    return np.where(frame >= TOE, np.log(np.maximum(frame, TOE) / TOE), frame / TOE - 1)


def simulate_blocks(
    frames: Iterable[NDArray], times: Iterable[int], dvs: DVS, generator: np.random.Generator
) -> Iterator[EventStream]:
    """The events between each two frames, in order; memory holds two frames and these events.

    :param frames: ``[H, W]`` each, intensities 0 to 1, or uint8 0 to 255.
    :param times: of each, in microseconds, rising.
    :param dvs: the camera. :param generator: draws mismatch, starts and noise.
    :returns: one stream for each frame but the first.
    :raises ValueError: for frames of another size, intensities out of range, times that do not rise, or as many frames
        as times.
    """
    pairs = zip(frames, times, strict=True)
    try:
        first, now = next(pairs)
    except StopIteration:
        raise ValueError("simulate got no frames, expected at least one; give two for events.") from None
    light = _intensity(first, None)
    pixels = _Pixels(dvs, light, int(now), generator)
    for frame, then in pairs:
        if then <= now:
            raise ValueError(f"simulate got a frame at {then} µs after one at {now} µs, expected times that rise.")
        yield pixels.expose(_intensity(frame, light.shape), int(then))
        now = then


def simulate(frames: Iterable[NDArray], times: Iterable[int], dvs: DVS, generator: np.random.Generator) -> EventStream:
    """All events of a video at once; see :func:`simulate_blocks`. One frame gives none.

    :raises ValueError: as that.
    """
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise ValueError("simulate got no frames, expected at least one; give two for events.")
    blocks = list(simulate_blocks(_again(first, frames), times, dvs, generator))
    return concatenate(blocks) if blocks else empty(first.shape[1], first.shape[0])


def _again(first: NDArray, rest: Iterator[NDArray]) -> Iterator[NDArray]:
    yield first
    yield from rest


class _Pixels:
    """Every pixel of a camera: its thresholds, and how far log intensity is above what it remembers."""

    def __init__(self, dvs: DVS, light: NDArray, now: int, generator: np.random.Generator) -> None:
        self.dvs, self.generator, self.now = dvs, generator, now
        self.seen = log_intensity(light)
        self.on, self.off = (
            np.maximum(mean * (1 + dvs.mismatch * generator.standard_normal(light.shape)), mean / 10)
            if dvs.mismatch
            else np.full(light.shape, mean)
            for mean in (dvs.on, dvs.off)
        )
        self.above = generator.random(light.shape) * self.on if dvs.leak else np.zeros(light.shape)
        self.held = np.full(light.shape, -math.inf)  # until when, in microseconds

    def expose(self, light: NDArray, then: int) -> EventStream:
        """Go on to another frame."""
        span = float(then - self.now)
        goal = log_intensity(light)
        if math.isfinite(self.dvs.bandwidth):
            cutoff = self.dvs.bandwidth * np.maximum(light, 0.1)
            goal = self.seen + (goal - self.seen) * -np.expm1(-2 * math.pi * cutoff * span / 1e6)
        slope = (goal - self.seen) / span + self.dvs.leak * self.on / 1e6  # what is remembered leaks down
        before = self.held
        events = self._signal(slope, span)
        made = self._stream(events, self._noise(light, span), before)
        self.seen, self.now = goal, then
        return made

    def _signal(self, slope: NDArray, span: float) -> tuple[NDArray, NDArray, NDArray]:
        """Places, times since the last frame and signs: crossings of straight lines that start anew after each.

        With slope a, threshold θ and dead time d the first is at (θ − u)/a, or θ/a after the pixel is let go, and each
        other d + θ/|a| after the one before.
        """
        begin = np.maximum(self.held - self.now, 0.0)
        start = np.where(begin > 0, 0.0, self.above)
        theta = np.where(slope > 0, self.on, self.off)
        signed = np.where(slope > 0, start, -start)
        speed = np.abs(slope)
        with np.errstate(divide="ignore", invalid="ignore"):
            period = self.dvs.dead + theta / speed
            first = np.where(speed > 0, begin + (theta - signed) / speed, math.inf)
            more = np.where(first <= span, np.floor((span - first) / period), -1)
        count = more.astype(np.int64) + 1
        last = first + np.where(count > 0, more, 0) * np.where(count > 0, period, 0)
        free = np.where(count > 0, last + self.dvs.dead, begin)  # from when on it follows again
        moved = np.where(count > 0, 0.0, start) + slope * np.maximum(span - free, 0.0)
        self.above = np.where(free > span, 0.0, moved)
        self.held = np.where(count > 0, self.now + free, self.held)
        flat = count.ravel()
        place = np.repeat(np.arange(flat.size), flat)
        turn = np.arange(len(place)) - np.repeat(np.cumsum(flat) - flat, flat)
        return place, first.ravel()[place] + turn * period.ravel()[place], (slope > 0).ravel()[place]

    def _noise(self, light: NDArray, span: float) -> tuple[NDArray, NDArray, NDArray]:
        rate = self.dvs.shot * (1 - (1 - DIM) * np.clip(light, 0, 1)) * span / 1e6
        drawn = self.generator.poisson(rate).ravel() if self.dvs.shot else np.zeros(light.size, np.int64)
        place = np.repeat(np.arange(light.size), drawn)
        room = span - self.dvs.dead  # so that none is close to what comes after the next frame
        time = self.generator.random(len(place)) * span
        kept = time <= room if self.dvs.dead else np.ones(len(place), bool)
        return place[kept], time[kept], self.generator.random(len(place))[kept] < 0.5

    def _stream(self, events: tuple[NDArray, ...], noise: tuple[NDArray, ...], held: NDArray) -> EventStream:
        height, width = len(self.on), len(self.on[0])
        place, time, sign = (np.concatenate(pair) for pair in zip(events, noise, strict=True))
        t = self.now + np.floor(time).astype(np.int64)
        if len(noise[0]) and self.dvs.dead:
            kept = self._apart(place, t, np.arange(len(place)) >= len(events[0]), held.ravel())
            place, t, sign = place[kept], t[kept], sign[kept]
        order = np.argsort(t, kind="stable")
        place = place[order]
        return EventStream(t[order], place % width, place // width, sign[order], width, height)

    def _apart(self, place: NDArray, t: NDArray, noise: NDArray, held: NDArray) -> NDArray[np.bool_]:
        """Which events stay: all but noise within the dead time of a neighbour at its pixel, or while that is held."""
        order = np.lexsort((t, place))
        sorted_place, sorted_t = place[order], t[order]
        close = (np.diff(sorted_place) == 0) & (np.diff(sorted_t) < self.dvs.dead)
        near = np.concatenate(([False], close)) | np.concatenate((close, [False]))
        kept = np.ones(len(place), bool)
        kept[order] = ~(noise[order] & (near | (sorted_t < held[sorted_place])))
        return kept


def _intensity(frame: NDArray, shape: tuple[int, ...] | None) -> NDArray[np.float64]:
    frame = np.asarray(frame)
    light = frame / 255 if frame.dtype == np.uint8 else frame.astype(np.float64)
    if light.ndim != 2 or (shape is not None and light.shape != shape) or not light.size:
        wanted = "[H, W]" if shape is None else f"{shape} as the one before"
        raise ValueError(f"simulate got a frame of shape {frame.shape}, expected {wanted}; make it grey, or resize it.")
    if not bool(((light >= 0) & (light <= 1)).all()):
        raise ValueError(
            f"simulate got intensities from {light.min():g} to {light.max():g}, expected 0 to 1 (or uint8); scale them."
        )
    return light
