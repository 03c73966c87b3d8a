"""The size of the sensor from the spikes alone: offered, never taken.

Two things tell it. *Time*: a pixel's spikes are regular, so that the bits one frame apart, and two, and three, belong
together more (or less) than those of the pixels beside. *Rows*: counted over some frames, a cell is much like the
one a row below. Both look at some hundred kilobytes, whatever the size of the file. A method of our own; its bounds
were set on four recordings, and tried on pictures made to mislead it (``tests/camera/test_guess.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .layout import SIDE, Layout, headed, ones, unpack

KNOWN = (
    Layout(400, 250), headed(400, 250), Layout(1000, 1000), Layout(800, 500), Layout(250, 250), Layout(1024, 768),
)  # fmt: skip
"""Sensors and sizes that published data sets have."""

STRETCHES, LENGTH = 4, 8192
"""Places that are looked at for what repeats, and bytes of each."""

PERIODS = 4
"""Frames ahead that are looked at."""

CELLS, FRAMES = 1 << 18, 16
"""Cells of a frame, and frames, that are counted to look at rows."""

LARGEST = 1 << 21
"""Bytes of a frame, at most."""


@dataclass(frozen=True)
class Guess:
    """A size that a file may have.

    :param layout: the size. :param frames: so many frames it makes of the file. :param rest: bytes that are left.
    :param time: how much the bits of a pixel in frames near each other belong together, 0 to 1.
    :param rows: the correlation of a row with the next. :param score: both, 0 (nothing speaks for it) to 1.
    """

    layout: Layout
    frames: int
    rest: int
    time: float
    rows: float
    score: float

    def __str__(self) -> str:
        row = f", row={self.layout.row}" if self.layout.row else ""
        return f"height={self.layout.height}, width={self.layout.width}{row}"


def guess(path: str | Path, flip: bool = True, most: int = 5) -> tuple[Guess, ...]:
    """Sizes that a file of packed frames may have, the likeliest first.

    Known sensors are among them where their frames make up the file, or where the data speak for them; others where the
    data show how long a frame is and how long a row. Which row comes first cannot be told.

    :param flip: what the layouts say of it. :param most: so many of them.
    :raises ValueError: for a file that is absent.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path} is not a file, expected a recording of a spike camera; check the path.")
    if not path.stat().st_size:
        return ()
    data = np.memmap(path, np.uint8, "r")
    known = [replace(layout, flip=flip) for layout in KNOWN]
    sizes = {d for d in _divisors(len(data)) if 16 <= d <= min(LARGEST, len(data) // 4)} | {k.size for k in known}
    times = {size: _middle(_times(data, size)) for size in sizes if size <= len(data)}
    bound = _bound(len(data))
    frames = _fundamental(times, bound)
    made = [layout for size in frames for layout in _rows(data, size, flip)]
    found = {(g.width, g.height, g.columns): g for g in [*known, *made] if g.size <= len(data)}
    guesses = []
    for layout in found.values():
        count, rest = divmod(len(data), layout.size)
        found_times = _times(data, layout.size, (1, layout.columns)) if layout.size in frames else []
        time = float(np.mean(found_times)) if _middle(found_times) > bound else 0.0
        if rest and not time:
            continue
        map_ = _counts(data, layout.size)
        rows = max(0.0, _correlation(map_, layout.columns))
        score = 0.5 * min(1.0, time / (4 * bound)) * (1 + rows) if time else 0.1 * rows
        if layout not in known:
            score *= 0.95
        guesses.append(Guess(layout, count, rest, round(time, 4), round(rows, 4), round(score, 4)))
    return tuple(sorted(guesses, key=lambda g: -round(g.score, 2))[:most])


def sentence(guesses: Sequence[Guess]) -> str:
    """What is offered at the end of an error; nothing where nothing speaks for any."""
    likely = [str(g) for g in guesses if g.score >= 0.3][:2]
    if likely:
        return f" The spikes look like those of {', or of '.join(likely)}."
    fits = [str(g) for g in guesses if not g.rest][:2]
    return f" Its length would suit {', or '.join(fits)}." if fits else ""


def check(data: NDArray[np.uint8], claimed: Layout) -> Layout | None:
    """A size that the data speak for, against the one that is claimed; ``None`` where there is none.

    It is looked for among known sensors, the claimed size turned, and rows of a half, a third or a quarter. To be
    refused, a size must be contradicted: frames of another length repeat, and its own do not, or not without these; or
    at the same length of a frame rows of another length neighbour, and its own do not. Noise, darkness, light without
    a picture, and recordings of a few frames or pixels contradict nothing.

    :param data: bytes of the file.
    """
    if len(data) < 4 * claimed.size or claimed.cells < 256:
        return None
    h, w = claimed.height, claimed.width
    parts = [k for k in (2, 3, 4) if w % k == 0 and h * k < SIDE]
    tried = [Layout(h, w), *(Layout(w // k, h * k) for k in parts), *KNOWN]
    others = [o for o in tried if len(data) % o.size == 0 and len(data) >= 4 * o.size and o.columns >= 16]
    bound = _bound(len(data))
    best: tuple[float, Layout] | None = None
    for other in others:
        if (other.size, other.columns) == (claimed.size, claimed.columns):
            continue
        rows = _contradicted(data, claimed, other, bound)
        if rows is not None and (best is None or rows > best[0]):
            best = rows, other
    return None if best is None else replace(best[1], flip=claimed.flip)


def _contradicted(data: NDArray[np.uint8], claimed: Layout, other: Layout, bound: float) -> float | None:
    """How well the rows of ``other`` neighbour, if it is likelier."""
    same = claimed.size == other.size
    if not same:  # a multiple of what repeats repeats, too: what the smaller one of two has on top decides
        sides = (1, claimed.columns, other.columns)
        its = _times(data, other.size, sides, claimed.size if claimed.size > other.size else 0)
        mine = _times(data, claimed.size, sides, other.size if other.size > claimed.size else 0)
        most = 0.0 if claimed.size % other.size == 0 else max(mine, default=0.0)
        if not its or np.mean(its) < bound or most > bound:
            return None
    counts = _counts(data, other.size)
    its_rows, my_rows = _correlation(counts, other.columns), _correlation(counts, claimed.columns)
    least = max(0.2, 8 / np.sqrt(len(counts)))
    if same:  # a picture of fine stripes is no reason: its rows are opposites
        return its_rows if its_rows > least and -0.6 * its_rows < my_rows < 0.3 * its_rows else None
    return its_rows if its_rows > least and its_rows >= my_rows - 0.05 else None


def _bound(size: int) -> float:
    """What time has to tell at least, so that chance does not: eight standard deviations, and no less than 0.02."""
    return max(0.02, 8 / float(np.sqrt(8 * min(size / 2, STRETCHES * LENGTH))))


def _times(data: NDArray[np.uint8], size: int, sides: Sequence[int] = (1,), without: int = 0) -> list[float]:
    """How much more, or less, bits 1 to 4 frames apart belong together than those that are also beside each other.

    :param sides: how many cells beside. :param without: leave out multiples of so many bytes; 0: none.
    """
    ahead = [k * size for k in range(1, 2 * PERIODS) if not without or k * size % without][:PERIODS]
    return [_sharp(data, 8 * lag, sides) for lag in ahead if lag + max(sides) // 8 + 2 < len(data)]


def _middle(found: Sequence[float]) -> float:
    """The second least of four: half of what repeats does not repeat itself each time."""
    return sorted(found)[(len(found) - 1) // 2] if found else 0.0


def _sharp(data: NDArray[np.uint8], lag: int, sides: Sequence[int]) -> float:
    """How much the correlation of bits so far apart stands out from that on either side of it."""
    alike = {d: _alike(data, lag + d) for d in (0, *sides, *(-s for s in sides)) if lag + d > 0}
    return min(abs(alike[0] - (alike[d] + alike.get(-d, alike[d])) / 2) for d in sides)


def _alike(data: NDArray[np.uint8], lag: int) -> float:
    """The correlation of bits that are so many cells apart, in a few stretches; those of one kind alone count as 0."""
    whole, shift = divmod(lag, 8)
    length = min(LENGTH, len(data) - whole - 1)
    if length < 1:
        return 0.0
    found = []
    for start in np.unique(np.linspace(0, len(data) - whole - length - 1, STRETCHES).astype(int)):
        a, b = data[start : start + length], data[start + whole : start + whole + length + 1]
        b = b[:-1] >> np.uint8(shift) | b[1:] << np.uint8(8 - shift) if shift else b[:-1]
        p, q, both = (ones(v) / (8 * length) for v in (a, b, a & b))
        spread = p * (1 - p) * q * (1 - q)
        found.append((both - p * q) / float(np.sqrt(spread)) if spread > 0 else 0.0)
    return float(np.mean(found))


def _counts(data: NDArray[np.uint8], size: int) -> NDArray[np.float32]:
    """Spikes of the first cells of a frame, in some frames from the middle of the file, less their mean."""
    frames = min(FRAMES, len(data) // size)
    begin = (len(data) // size - frames) // 2 * size
    part = min(size, CELLS // 8)
    packed = data[begin : begin + frames * size].reshape(frames, size)[:, :part]
    counts = np.zeros(part * 8, np.float32)
    for frame in packed:
        counts += unpack(np.ascontiguousarray(frame))
    return counts - counts.mean()


def _correlation(counts: NDArray[np.float32], lag: int) -> float:
    if lag * 2 >= len(counts):
        return 0.0
    a, b = counts[:-lag], counts[lag:]
    spread = float(np.sqrt(np.square(a).mean() * np.square(b).mean()))
    return float((a * b).mean()) / spread if spread > 0 else 0.0


def _fundamental(times: dict[int, float], bound: float) -> list[int]:
    """Lengths of a frame that repeat by themselves, at most 3, the clearest first."""
    kept: list[int] = []
    for size in sorted(s for s in times if times[s] > bound):
        if not any(size % k == 0 for k in kept):
            kept.append(size)
    return sorted(kept, key=lambda s: -times[s])[:3]


def _rows(data: NDArray[np.uint8], size: int, flip: bool) -> Iterable[Layout]:
    """Lengths of rows that neighbour, for frames of so many bytes: the best, and up to 2 more."""
    counts = _counts(data, size)
    cells = size * 8
    widths = [w for w in range(16, min(4096, len(counts) // 4)) if (cells // w) * w > cells - 8 and cells // w < SIDE]
    if not widths:
        return []
    spectrum = np.fft.rfft(counts, 2 * len(counts))
    alike = np.fft.irfft(np.abs(spectrum) ** 2)[: len(counts)]
    if alike[0] <= 0:
        return []
    rows = {w: float(alike[w] / alike[0]) * len(counts) / (len(counts) - w) for w in widths}
    best, least = max(rows.values()), max(0.2, 8 / float(np.sqrt(len(counts))))
    if best < least:
        return []
    shortest = min(w for w in widths if rows[w] >= 0.9 * best)
    good = sorted((w for w in widths if rows[w] > least), key=lambda w: (w != shortest, -rows[w]))
    return [Layout(w, cells // w, flip) for w in good[:3]]


def _divisors(number: int) -> list[int]:
    small = [d for d in range(1, int(number**0.5) + 1) if number % d == 0]
    return small + [number // d for d in small]
