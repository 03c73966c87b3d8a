"""Data sets by name: their size, which way up they are, and where recordings and labels are in their folders.

From SpikeCV's configurations and loaders (github.com/Zyj061/SpikeCV, ``spkData``, ``docs/data_processing.md``) and
Spike-Zoo's (github.com/chenkang455/Spike-Zoo, ``spikezoo/datasets``). No frame rate is stored with any of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ..layout import Layout
from .folders import Folder, Sample, complete, order


@dataclass(frozen=True)
class Published:
    """How a data set lies on disk.

    Patterns are regular expressions for the path of a recording in the folder, with ``/`` between its parts; partners
    and labels are templates of what it matches: ``{0}`` is the first group, ``{0:next}`` the number after it,
    ``{0:04d}`` that number with four digits.

    :param name: as it is published. :param layout: of its frames. :param data: pattern of recordings.
    :param partners: recordings that belong to one. :param labels: its labels.
    :param kind: of these labels, see :data:`~spikeworks.camera.published.LABELS`.
    :param some: recordings may be without labels, or partners: without labels they are listed, without partners not.
    """

    name: str
    layout: Layout
    data: str
    partners: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    kind: str = "raw"
    some: bool = False

    def folder(self, root: str | Path, under: str = "") -> Folder:
        """The samples in a folder.

        :param root: where the data set was unpacked. :param under: only recordings whose path begins so, e.g. ``test``.
        :raises ValueError: for a folder without recordings, with partners or labels missing, or recordings that are no
            whole number of frames.
        """
        root = Path(root)
        samples = []
        for path in sorted(root.rglob(f"*{Path(self.data).suffix.rstrip('$')}"), key=order):
            inside = path.relative_to(root).as_posix()
            match = re.fullmatch(self.data, inside)
            if match is None or not inside.startswith(under):
                continue
            partners, labels = ([root / _filled(t, match) for t in ts] for ts in (self.partners, self.labels))
            if self.some:
                if not all(p.is_file() for p in partners):
                    continue
                labels = [p for p in labels if p.is_file()]
            samples.append(Sample((path, *partners), tuple(labels), self.layout))
        return Folder(root, complete(root, samples))


class _Group(str):
    """A group of a match, in templates."""

    def __format__(self, spec: str) -> str:
        if spec == "next":
            return str(int(self) + 1)
        return format(int(self), spec) if spec else str(self)


def _filled(template: str, match: re.Match[str]) -> str:
    return template.format(*(_Group(g or "") for g in match.groups()))


def published(name: str) -> Published:
    """A data set by its name, however that is spelled: case and dashes do not matter.

    :raises ValueError: for one that is not known.
    """
    plain = {re.sub(r"[\W_]", "", d.name).lower(): d for d in ALL}
    found = plain.get(re.sub(r"[\W_]", "", name).lower())
    if found is None:
        raise ValueError(f"published got {name!r}, expected one of {', '.join(d.name for d in ALL)}.")
    return found


_SMALL, _WIDE = Layout(400, 250), Layout(800, 500)
_FLOW = {
    "data": r"(.+)/spike_dt(10|20)/(\d+)\.dat", "partners": ("{0}/spike_dt{1}/{2:next}.dat",),
    "labels": ("{0}/dt={1}/flow/{2:04d}.flo",), "kind": "optical_flow",
}  # fmt: skip

_FIVE = tuple(f"{{0}}gt/{{1}}{frame}.png" for frame in (7, 14, 21, 28, 35))
"""Of 41 frames these have a picture; the recording is called as the one in the middle."""

ALL = (
    Published("recVidarReal2019", _SMALL, r"(.+)\.dat"),
    Published("motVidarReal2020", _SMALL, r"(.+)\.dat", labels=("{0}_gt.txt",), kind="tracking", some=True),
    Published("momVidarReal2021", _SMALL, r"(.+)\.dat"),
    Published("OpticalFlowSPIFT", Layout(800, 500, False), **_FLOW, some=True),
    Published("OpticalFlowPHM", _WIDE, **_FLOW, some=True),
    Published("PKU-Vidar-DVS", _SMALL, r"(\w+)/Vidar/(.+)\.dat", labels=("{0}/labels/{1}.txt",), kind="detection"),
    Published(
        "PKU-Spike-Stereo", _SMALL, r"(.*?)left/(.+)/(.+)\.dat", ("{0}right/{1}/{2}.dat",), ("{0}left/{1}/{2}_gt.npy",),
        "stereo_depth_estimation",
    ),
    Published("SREDS", _SMALL, r"(.*?)input/(.+)\d\d\.dat", labels=_FIVE, kind="reconstruction"),
    Published("REDS_BASE", _SMALL, r"(.*?)spike/(.+)\.dat", labels=("{0}gt/{1}.png",), kind="reconstruction"),
    Published("UHSR", Layout(250, 250, False), r"(.+)\.npz", kind="recognition"),
)  # fmt: skip
"""The data sets that are known. UHSR keeps its labels in the archives, as their member ``label``."""
