"""What is drawn over a picture: boxes of tracks and where they have been, arrows of flow."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..camera import TFP, SpikeStream, read_flow, read_mot
from ..camera import dis as flow_by_dis

TRAIL = 2000
"""Frames that a trail reaches back."""

CORNERS = 64
"""Places that a trail is drawn through, at most."""

ARROWS = 27
"""Arrows along the longer side of a picture."""


def colour(identity: int) -> str:
    """A track's colour, in words of CSS; neighbours differ much."""
    return f"hsl({identity * 137.508 % 360:.0f}, 90%, 62%)"


@dataclass(frozen=True, eq=False, repr=False)
class Tracks:
    """Boxes in order of frames, which are counted as the recording counts its own.

    :param frame: ``[N]``. :param identity: ``[N]``. :param box: ``[N, 4]``, left, top, width, height in pixels.
    """

    frame: NDArray[np.int64]
    identity: NDArray[np.int64]
    box: NDArray[np.float64]

    @staticmethod
    def read(path: str | Path) -> Tracks:
        """A text file of lines ``frame, id, left, top, width, height, …``, as MOTChallenge has it; frames from 0.

        :raises ValueError: for a file that :func:`.read_mot` refuses, or that has no lines.
        """
        found = read_mot(path)
        if not len(found.frame):
            raise ValueError(f"{path} is empty, expected tracks, lines of frame,id,left,top,width,height.")
        order = np.argsort(found.frame, kind="stable")
        return Tracks(found.frame[order], found.identity[order], found.box[order])

    @property
    def count(self) -> int:
        """Identities."""
        return len(np.unique(self.identity))

    @cached_property
    def _step(self) -> int:
        """Frames that a box is shown for: those to the next, usually."""
        apart = np.diff(np.unique(self.frame))
        return max(1, int(np.median(apart))) if len(apart) else 1

    def at(self, frame: int) -> list[dict[str, Any]]:
        """The boxes at a frame, or just before it where not every frame has some: id, box, colour, and its trail."""
        end = int(np.searchsorted(self.frame, frame, "right"))
        if not end or frame - (last := int(self.frame[end - 1])) >= self._step:
            return []
        begin = int(np.searchsorted(self.frame, last))
        past = slice(int(np.searchsorted(self.frame, frame - TRAIL)), end)
        found = []
        for row in range(begin, end):
            identity = int(self.identity[row])
            boxes = self.box[past][self.identity[past] == identity]
            boxes = boxes[np.unique(np.linspace(0, len(boxes) - 1, CORNERS).astype(int))]
            trail = np.round(boxes[:, :2] + boxes[:, 2:] / 2, 1).tolist()
            found.append(
                {"id": identity, "box": self.box[row].tolist(), "trail": trail, "colour": colour(identity)}
            )  # fmt: skip
        return found


@dataclass(frozen=True, eq=False, repr=False)
class Flow:
    """How far things move, in pixels.

    :param fields: ``[N, H, W, 2]``, to the right and downwards. :param frames: ``[N]``, where each begins to hold.
    """

    fields: NDArray[np.floating[Any]]
    frames: NDArray[np.int64]

    @staticmethod
    def read(path: str | Path, width: int, height: int) -> Flow:
        """A .flo file (Middlebury), which holds for all frames, or an .npz with ``flow`` ``[H, W, 2]`` or
        ``[N, H, W, 2]`` and ``frames`` ``[N]``.

        :param width: of the recording. :param height: of the recording.
        :raises ValueError: for a file that is absent, of another kind, or flow of another size.
        """
        path = Path(path)
        if not path.is_file():
            raise ValueError(f"{path} is not a file, expected flow, a .flo or .npz; check the path.")
        if path.suffix == ".npz":
            fields, frames = _npz(path)
        else:
            fields, frames = _flo(path)[None], np.zeros(1, np.int64)
        if fields.shape[1:] != (height, width, 2) or frames.shape != fields.shape[:1] or (np.diff(frames) <= 0).any():
            raise ValueError(
                f"{path} has flow {list(fields.shape)} at frames {list(frames.shape)}, expected [N, {height}, {width}, "
                "2] and [N] in order, of the size of the recording."
            )
        return Flow(fields, frames)

    def at(self, frame: int) -> list[list[float]]:
        """Arrows at a frame, see :func:`arrows`."""
        return arrows(self.fields[max(0, int(np.searchsorted(self.frames, frame, "right")) - 1)])


def _npz(path: Path) -> tuple[NDArray[Any], NDArray[np.int64]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            fields = np.asarray(file["flow"], np.float32)
            frames = np.asarray(file["frames"], np.int64) if "frames" in file else None
    except Exception as error:  # a broken file raises much
        raise ValueError(f"{path} cannot be read ({error}), expected an .npz with an array flow.") from error
    fields = fields[None] if fields.ndim == 3 else fields
    return fields, np.zeros(1, np.int64) if frames is None else frames


def _flo(path: Path) -> NDArray[np.float32]:
    flow = read_flow(path)
    return np.where(flow.valid, flow.uv, np.float32(np.nan)).transpose(1, 2, 0)


def arrows(field: NDArray[Any]) -> list[list[float]]:
    """Arrows ``x, y, right, down`` on a grid, each the median of its part, if most of that is known.

    Unknown is what is no number, or above 1e9 as .flo files have it.
    """
    height, width = field.shape[:2]
    step = max(1, -(-max(height, width) // ARROWS))
    part = np.where(np.abs(field) < 1e9, field, np.inf)[: height - height % step, : width - width % step]
    mean = np.median(part.reshape(height // step, step, width // step, step, 2), (1, 3))
    y, x = np.indices(mean.shape[:2]) * step + step / 2
    known = np.isfinite(mean).all(-1)
    return np.round(np.stack([x, y, mean[..., 0], mean[..., 1]], -1)[known], 2).tolist()


def can_dis() -> bool:
    """Whether :func:`dis` can be called: OpenCV is there."""
    return find_spec("cv2") is not None


def dis(stream: SpikeStream, at: int, span: int) -> list[list[float]]:
    """Arrows from frame ``at`` to ``at + span`` (at the end: the last) by :func:`spikeworks.camera.dis`, where it is
    sure.

    :raises ValueError: for a recording too short for both, or too small.
    """
    estimator = TFP(min(41, len(stream)))
    frames = estimator.frames(stream)
    start = min(max(at, frames.start), max(frames.start, frames.stop - 1 - span))
    end = min(start + span, frames.stop - 1)
    if end <= start:
        raise ValueError(f"{stream} is too short for flow, expected two frames with {estimator.window} around each.")
    white = max(1e-3, float(np.quantile(estimator(stream, start).light, 0.995)))
    found = flow_by_dis(stream, start, end, estimator.window, white)
    return arrows(np.where(found.valid, found.uv * (end - start), np.nan).transpose(1, 2, 0))


def draw(
    picture: NDArray[np.uint8], scale: int, boxes: list[dict[str, Any]], flow: list[list[float]], longer: float
) -> NDArray[np.uint8]:
    """A grey picture ``[H, W]``, larger by a whole factor, with boxes and arrows: colours ``[H, W, 3]``.

    :param longer: factor of the arrows' length.
    """
    from PIL import Image, ImageDraw

    image = Image.fromarray(picture).convert("RGB").resize((picture.shape[1] * scale, picture.shape[0] * scale), 0)
    pen = ImageDraw.Draw(image)
    for x, y, right, down in flow:
        length = float(np.hypot(right, down))
        if length * longer >= 1:
            tint = f"hsl({np.degrees(np.arctan2(down, right)) % 360:.0f}, 90%, 62%)"
            end = (x + right * longer) * scale, (y + down * longer) * scale
            pen.line((x * scale, y * scale, *end), tint, max(1, scale // 2))
            pen.ellipse((end[0] - scale, end[1] - scale, end[0] + scale, end[1] + scale), tint)
    for box in boxes:
        left, top, wide, high = (side * scale for side in box["box"])
        pen.line([(x * scale, y * scale) for x, y in box["trail"]], box["colour"], max(1, scale // 2))
        pen.rectangle((left, top, left + max(1, wide), top + max(1, high)), None, box["colour"], max(1, scale // 2))
        pen.text((left + 2, top - 11), str(box["id"]), box["colour"])
    return np.asarray(image)
