"""The samples of a data set folder: recordings, and where their labels are, sorted by name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..files import open
from ..layout import HEADED, Layout
from ..stream import SpikeStream
from .config import LABELS, Config

USB = 416
"""Columns of a configuration whose rows have :data:`HEADED` cells that are no pixels."""


@dataclass(frozen=True)
class Sample:
    """One recording, or several that belong together (two clips, two cameras), and its labels.

    :param paths: of the recordings. :param labels: files of labels; none: there are none for it.
    :param layout: of every frame. :param rate: frames a second, Hz; ``None``: the files say it, or nobody.
    """

    paths: tuple[Path, ...]
    labels: tuple[Path, ...]
    layout: Layout
    rate: float | None = None

    @property
    def name(self) -> str:
        """The first recording's, without its suffix."""
        return self.paths[0].stem

    def streams(self, check: bool = True) -> tuple[SpikeStream, ...]:
        """The recordings, opened.

        :param check: see :func:`spikeworks.camera.open`.
        :raises ValueError: for a file that is not of the layout.
        """
        at = self.layout
        return tuple(
            open(p, at.height, at.width, self.rate, at.flip, at.row, check=check)
            if p.suffix == ".dat" else open(p, at.height, at.width, self.rate, at.flip)
            for p in self.paths
        )  # fmt: skip

    @property
    def stream(self) -> SpikeStream:
        """The first recording, opened.

        :raises ValueError: for a file that is not of the layout.
        """
        return self.streams()[0]


@dataclass(frozen=True)
class Folder:
    """A data set on disk, as a sequence of samples.

    :param root: its folder. :param samples: in the order of their names, numbers as numbers.
    """

    root: Path
    samples: tuple[Sample, ...]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Sample:
        return self.samples[index]

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.samples)


def spikecv(root: str | Path, label: str = "raw", under: str = ".", flip: bool = True) -> Folder:
    """A SpikeCV data set folder, by its ``config.yaml``: every ``.dat`` file, and the label that belongs to it.

    The label of ``…/Vidar/a/0.dat`` is where the folder ``data_field_identifier`` is replaced by
    ``label_field_identifier``, ``…/labels/a/0.txt``; without these it is beside it. Its name is that of the recording
    with the suffix of labels, or with ``_gt`` in between.

    :param root: the folder that has ``config.yaml``. :param label: a kind of :data:`LABELS`; ``"raw"``: none.
    :param under: a folder in it, to take that part alone. :param flip: the lowest row is stored first.
    :raises ValueError: for no configuration or recordings, a kind that the set does not have, labels that are missing,
        or recordings that are no whole number of frames.
    """
    root = Path(root)
    config = Config.read(root / "config.yaml")
    kind = LABELS.get(label.replace("stero", "stereo"))
    if kind is None:
        raise ValueError(f"spikecv got label={label!r}, expected one of {', '.join(LABELS)}.")
    if kind and (not config.labelled or kind not in config.labels):
        have = ", ".join(k for k, v in LABELS.items() if v in config.labels) if config.labelled else "none"
        raise ValueError(f"{root} has no labels of the kind {label!r}, expected one that it has ({have}).")
    usb = config.width == USB
    width = config.width - HEADED if usb else config.width
    layout = Layout(width, config.height, flip, config.width if usb else None)
    paths = sorted((root / under).rglob("*.dat"), key=order)
    samples = [Sample((path,), (_beside(root, path, config),) if kind else (), layout) for path in paths]
    return Folder(root, complete(root, samples))


def _beside(root: Path, path: Path, config: Config) -> Path:
    parts = path.relative_to(root).parts
    field, other = config.data_field, config.label_field
    if field is not None and other is not None:
        if field not in parts[:-1]:
            raise ValueError(f"{path} has no folder {field} on its way, expected one that {other} replaces.")
        parts = tuple(other if p == field else p for p in parts[:-1]) + parts[-1:]
    plain = root.joinpath(*parts).with_suffix(f".{config.suffix}")
    marked = plain.with_name(f"{plain.stem}_gt{plain.suffix}")
    return marked if marked.is_file() and not plain.is_file() else plain


def complete(root: Path, samples: list[Sample]) -> tuple[Sample, ...]:
    """The samples, if every file is there and every recording a whole number of frames.

    :raises ValueError: for what is missing, how much of it, and the first of it.
    """
    if not samples:
        raise ValueError(
            f"{root} holds no recordings where this data set has them; unpack all of it, or check the path."
        )
    for what, missing in (
        ("recordings", [p for s in samples for p in s.paths if not p.is_file()]),
        ("labels", [p for s in samples for p in s.labels if not p.is_file()]),
    ):
        if missing:
            raise ValueError(
                f"{root} lacks {len(missing):,} {what}, the first of them {missing[0].relative_to(root)}, expected one "
                f"for each of {len(samples):,} samples; unpack all of it."
            )
    for sample in samples:
        for path in sample.paths:
            size = path.stat().st_size
            if path.suffix == ".dat" and (not size or size % sample.layout.size):
                raise ValueError(
                    f"{path} has {size:,} bytes, expected a whole number of frames of {sample.layout.size:,} bytes "
                    f"(height={sample.layout.height}, width={sample.layout.width}); copy it again, or the "
                    "data set is another."
                )
    return tuple(samples)


def order(path: Path) -> list[tuple[int, int, str]]:
    """What paths are sorted by: their parts, with numbers in them as numbers, so that 2 comes before 10."""
    found = []
    for part in path.parts:
        for piece in re.findall(r"\d+|\D+", part):
            found.append((0, int(piece), piece) if piece.isdecimal() else (1, 0, piece))
        found.append((-1, 0, ""))
    return found
