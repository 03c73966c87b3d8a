"""Scenes to film: textures that move along smooth paths, and where everything is at any time, exactly.

Time is counted in frames and need not be whole. A place is (x, y), the middle of the first pixel of the picture is
(0, 0); boxes are told by edges, column ``c`` reaches from ``c`` to ``c + 1``, as windows are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Path:
    """Where a texture is: its middle, how it is turned, how large it is shown.

    ``middle(t) = (x, y) + velocity·t + sway·sin(2π·t/period)``, turned by ``angle + spin·t``, enlarged
    ``size·exp(growth·t)`` times.

    :param x: column of the middle at t = 0. :param y: row. :param velocity: pixels per frame, (x, y).
    :param angle: radians, from x to y. :param spin: radians per frame. :param size: times. :param growth: per frame.
    :param sway: pixels, (x, y). :param period: frames.
    :raises ValueError: for a size or a period of 0 or less.
    """

    x: float
    y: float
    velocity: tuple[float, float] = (0.0, 0.0)
    angle: float = 0.0
    spin: float = 0.0
    size: float = 1.0
    growth: float = 0.0
    sway: tuple[float, float] = (0.0, 0.0)
    period: float = 1000.0

    def __post_init__(self) -> None:
        if not self.size > 0 or not self.period > 0:
            raise ValueError(f"Path got size={self.size}, period={self.period}, expected more than 0.")

    def middle(self, t: float) -> tuple[float, float]:
        """The place of the texture's middle."""
        swing = np.sin(2 * np.pi * t / self.period)
        (vx, vy), (sx, sy) = self.velocity, self.sway
        return float(self.x + vx * t + sx * swing), float(self.y + vy * t + sy * swing)

    def turn(self, t: float) -> NDArray[np.float64]:
        """The matrix from the texture, seen from its middle, to the picture: ``[2, 2]``."""
        angle, size = self.angle + self.spin * t, self.size * np.exp(self.growth * t)
        return size * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])

    def inside(self, x: NDArray[np.float64], y: NDArray[np.float64], t: float) -> NDArray[np.float64]:
        """Places of the picture as seen from the texture's middle, in its own pixels: ``[2, …]``."""
        (a, b), (c, d) = np.linalg.inv(self.turn(t))
        dx, dy = x - self.middle(t)[0], y - self.middle(t)[1]
        return np.stack([a * dx + b * dy, c * dx + d * dy])

    def outside(self, inside: NDArray[np.float64], t: float) -> NDArray[np.float64]:
        """The way back: ``[2, …]``."""
        (a, b), (c, d) = self.turn(t)
        middle = self.middle(t)
        return np.stack([middle[0] + a * inside[0] + b * inside[1], middle[1] + c * inside[0] + d * inside[1]])


@dataclass(frozen=True, eq=False)
class Layer:
    """A texture on its path: all of it, mirrored at its edges without end, or a disc or a rectangle cut from it.

    :param texture: light, ``[h, w]``, read between pixels by bilinear interpolation.
    :param path: of the texture's middle.
    :param shape: what is cut out. A disc is the ellipse that fills the texture; edges are one pixel soft.
    :raises ValueError: for a texture that is no picture.
    """

    texture: NDArray[np.float32]
    path: Path
    shape: Literal["all", "disc", "rectangle"] = "all"

    def __post_init__(self) -> None:
        if self.texture.ndim != 2 or min(self.texture.shape) < 2:
            raise ValueError(f"Layer got a texture {list(self.texture.shape)}, expected [h, w] of at least 2×2.")

    @property
    def half(self) -> tuple[float, float]:
        """Half the width and half the height of the texture."""
        return self.texture.shape[1] / 2, self.texture.shape[0] / 2

    def sample(self, inside: NDArray[np.float64]) -> NDArray[np.float32]:
        """Its light at places seen from its middle ``[2, …]``."""
        (h, w), (half_x, half_y) = self.texture.shape, self.half
        x, left, right = _between(inside[0] + half_x - 0.5, w)
        y, top, bottom = _between(inside[1] + half_y - 0.5, h)
        upper = self.texture[top, left] * (1 - x) + self.texture[top, right] * x
        lower = self.texture[bottom, left] * (1 - x) + self.texture[bottom, right] * x
        return (upper * (1 - y) + lower * y).astype(np.float32)

    def cover(self, inside: NDArray[np.float64], t: float) -> NDArray[np.float32]:
        """The share of a pixel that it covers, at places seen from its middle."""
        if self.shape == "all":
            return np.ones(inside.shape[1:], np.float32)
        half_x, half_y = self.half
        if self.shape == "rectangle":
            beyond = np.maximum(np.abs(inside[0]) - half_x, np.abs(inside[1]) - half_y)
        else:
            beyond = (np.hypot(inside[0] / half_x, inside[1] / half_y) - 1) * min(half_x, half_y)
        size = self.path.size * np.exp(self.path.growth * t)
        return np.clip(0.5 - beyond * size, 0, 1).astype(np.float32)

    def box(self, t: float) -> tuple[float, float, float, float]:
        """The rectangle around it: left, top, right and bottom edge."""
        turn, (half_x, half_y) = self.path.turn(t), self.half
        if self.shape == "disc":
            reach = np.hypot(turn[:, 0] * half_x, turn[:, 1] * half_y)
        else:
            reach = np.abs(turn[:, 0] * half_x) + np.abs(turn[:, 1] * half_y)
        x, y = self.path.middle(t)
        return x - reach[0] + 0.5, y - reach[1] + 0.5, x + reach[0] + 0.5, y + reach[1] + 0.5


class Boxes(NamedTuple):
    """What is in the picture.

    :param identity: number of the object, ``[N]``, its place among the scene's.
    :param box: left, top, width, height, ``[N, 4]`` float32 pixels, cut to the picture.
    :param visible: the share of the object's pixels in the picture that nothing covers, ``[N]`` float32.
    """

    identity: NDArray[np.int64]
    box: NDArray[np.float32]
    visible: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Scene:
    """Objects in front of a background; a later object covers an earlier one.

    ``scene.light`` is what :func:`.simulate` takes; ``scene.boxes`` and ``scene.flow`` are the truth about it.

    :param size: (height, width) of the picture. :param background: a layer. :param objects: layers that move over it.
    :raises ValueError: for a size below 1.
    """

    size: tuple[int, int]
    background: Layer
    objects: tuple[Layer, ...] = field(default=())

    def __post_init__(self) -> None:
        if min(self.size) < 1:
            raise ValueError(f"Scene got size={self.size}, expected height and width of at least 1.")

    def light(self, t: float) -> NDArray[np.float32]:
        """The picture at a time, ``[H, W]``."""
        x, y = self._places()
        found = self.background.sample(self.background.path.inside(x, y, t))
        for thing in self.objects:
            inside = thing.path.inside(x, y, t)
            found += (thing.sample(inside) - found) * thing.cover(inside, t)
        return found

    def owner(self, t: float) -> NDArray[np.int64]:
        """Which object a pixel shows most of, ``[H, W]``: its number, -1 for the background."""
        x, y = self._places()
        found = np.full(self.size, -1)
        for number, thing in enumerate(self.objects):
            found[thing.cover(thing.path.inside(x, y, t), t) >= 0.5] = number
        return found

    def boxes(self, t: float) -> Boxes:
        """Where each object is that is in the picture; one that others cover wholly is told with ``visible`` 0."""
        (height, width), (x, y), owner = self.size, self._places(), self.owner(t)
        rows = []
        for number, thing in enumerate(self.objects):
            left, top, right, bottom = np.clip(thing.box(t), 0, (width, height, width, height))
            own = int((thing.cover(thing.path.inside(x, y, t), t) >= 0.5).sum())
            if own:
                rows.append((number, left, top, right - left, bottom - top, (owner == number).sum() / own))
        table = np.array(rows, np.float64).reshape(-1, 6)
        return Boxes(table[:, 0].astype(np.int64), table[:, 1:5].astype(np.float32), table[:, 5].astype(np.float32))

    def flow(self, t0: float, t1: float) -> NDArray[np.float32]:
        """Where what a pixel shows at ``t0`` is at ``t1``, less where it is: ``[2, H, W]`` in pixels, (x, y).

        Exact for each pixel's :meth:`owner`, also where something else covers it at ``t1``.
        """
        x, y = self._places()
        owner, here = self.owner(t0), np.stack([x, y])
        found = np.empty((2, *self.size), np.float32)
        for number, layer in enumerate((self.background, *self.objects), -1):
            moved = layer.path.outside(layer.path.inside(x, y, t0), t1) - here
            found[:, owner == number] = moved[:, owner == number]
        return found

    def _places(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        y, x = np.mgrid[: self.size[0], : self.size[1]].astype(np.float64)
        return x, y


def texture(
    height: int, width: int, draw: np.random.Generator, grain: float = 4.0, low: float = 0.1, high: float = 0.9
) -> NDArray[np.float32]:
    """A random texture ``[height, width]`` without a seam: noise whose spots are about ``grain`` pixels wide.

    :param low: its 1st percentile. :param high: its 99th; light is cut off at 0 and 1.
    :raises ValueError: for a grain of 0 or less.
    """
    if not grain > 0:
        raise ValueError(f"texture got grain={grain}, expected more than 0 pixels.")
    far = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    wave = np.fft.rfft2(draw.standard_normal((height, width))) * np.exp(-2 * (grain * far) ** 2)
    noise = np.fft.irfft2(wave, (height, width))
    least, most = np.percentile(noise, (1, 99))
    return np.clip(low + (high - low) * (noise - least) / (most - least), 0, 1).astype(np.float32)


def moving(picture: NDArray[np.float32], size: tuple[int, int], **path: float | tuple[float, float]) -> Scene:
    """One picture that moves as a whole before the camera; ``path``: arguments of :class:`Path`, from the middle on."""
    height, width = size
    middle = Path((width - 1) / 2, (height - 1) / 2, **path)  # type: ignore[arg-type]
    return Scene(size, Layer(picture, middle))


def crossing(size: tuple[int, int], count: int, draw: np.random.Generator, frames: int = 1000) -> Scene:
    """Textured discs and rectangles in turn, that cross a textured background and each other.

    Each comes from a side and leaves by the other in about ``frames``, turns a little, and meets the others in the
    middle part of the picture.

    :param size: (height, width). :param count: of objects.
    """
    height, width = size
    ground = texture(height, width, draw, low=0.1, high=0.5)
    objects = []
    for number in range(count):
        wide, high = (int(draw.integers(max(4, s // 8), max(5, s // 4))) for s in (width, height))
        skin = texture(high, wide, draw, grain=3.0, low=0.4, high=1.0)
        way = 1 if number // 2 % 2 else -1
        speed = draw.uniform(0.6, 1.2) * width / frames
        start = width / 2 - way * speed * frames * draw.uniform(0.35, 0.65)
        y, drift = draw.uniform(0.2, 0.8) * height, draw.uniform(-0.2, 0.2) * height / frames
        path = Path(start, y, (way * speed, drift), spin=draw.uniform(-1, 1) / frames)
        objects.append(Layer(skin, path, ("disc", "rectangle")[number % 2]))
    return Scene(size, Layer(ground, Path((width - 1) / 2, (height - 1) / 2)), tuple(objects))


def _between(
    place: NDArray[np.float64], length: int
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """How far a place is from the pixel in front of it, that pixel, and the one behind; mirrored at the edges."""
    folded = np.abs((place + length - 1) % (2 * (length - 1)) - (length - 1))
    front = np.minimum(folded.astype(np.int64), length - 2)
    return folded - front, front, front + 1
