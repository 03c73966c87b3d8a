"""Flow as colours: the hue is where to, the saturation how fast."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..camera.flow import Flow

STEPS = {"red to yellow": 15, "yellow to green": 6, "green to cyan": 4, "cyan to blue": 11, "blue to magenta": 13,
         "magenta to red": 6}  # fmt: skip
"""Colours of the wheel from one pure colour to the next: more where the eye tells more apart."""


def colour_wheel() -> NDArray[np.float64]:
    """The wheel of the Middlebury benchmark, ``[55, 3]``, 0 to 1.

    Between two pure colours one channel rises, or falls, in as many equal steps as :data:`STEPS` says, the first of
    which is the first colour itself: red, green, blue at the place ``i`` of ``n`` from red to yellow are
    ``(1, i/n, 0)``, from yellow to green ``(1 − i/n, 1, 0)``, and so on. In 255ths, rounded down, as there.
    Baker et al., IJCV 2011.
    """
    rises = ((1, True), (0, False), (2, True), (1, False), (0, True), (2, False))  # channel, and whether it rises
    colour, parts = np.array([255.0, 0, 0]), []
    for (channel, up), count in zip(rises, STEPS.values(), strict=True):
        part = np.tile(colour, (count, 1))
        moved = np.floor(255 * np.arange(count) / count)
        part[:, channel] = moved if up else 255 - moved
        parts.append(part)
        colour = colour.copy()
        colour[channel] = 255 if up else 0
    return np.concatenate(parts) / 255


def flow_colours(flow: Flow, most: float | None = None) -> NDArray[np.uint8]:
    """A flow as colours ``[H, W, 3]``: white is still, black is not valid.

    With ``r = |uv| / most`` and the angle ``a = atan2(−v, −u)/π``, −1 to 1, the colour ``c`` is the wheel's at
    ``(a + 1)/2 · 54``, between two of its colours linear; the channel is ``255 (1 − r (1 − c))`` up to ``r = 1``, and
    ``255 · 0.75 c`` beyond. To the right is red, to the left cyan. Baker et al., IJCV 2011.

    :param most: motion of full colour, in the flow's unit; default: the most that is valid.
    :raises ValueError: for a most of 0 or less, or a flow that is valid but not finite.
    """
    uv, valid = np.asarray(flow.uv, np.float64), flow.valid
    speed = np.hypot(*uv)
    if (most is not None and not most > 0) or not np.isfinite(speed[valid]).all():
        raise ValueError(
            f"flow_colours got most={most} and {int((~np.isfinite(speed[valid])).sum())} valid pixels that are not "
            "finite, expected more than 0, or None, and none of these."
        )
    scale = float(speed[valid].max(initial=0)) if most is None else most
    share = np.where(valid, speed, 0) / (scale or 1)
    wheel = colour_wheel()
    place = np.where(valid, (np.arctan2(-uv[1], -uv[0]) / np.pi + 1) / 2 * (len(wheel) - 1), 0)
    low = np.floor(place).astype(np.intp)
    part = (place - low)[..., None]
    colour = (1 - part) * wheel[low] + part * wheel[(low + 1) % len(wheel)]
    r = share[..., None]
    shown = np.where(r <= 1, 1 - r * (1 - colour), 0.75 * colour)
    return np.where(valid[..., None], np.floor(255 * shown), 0).astype(np.uint8)
