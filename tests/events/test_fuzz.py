"""More than a hundred thousand damaged files: each is refused in one sentence or read within its sensor.

Each format has a process of its own, so that one that crashes, that hangs or that takes a gigabyte shows. Formats whose
files have checksums of their events must give these very events or refuse. Files of spoken words (``formats.audio``)
are not among them: what HDF5 does with damaged lists of variable length is not ours to mend, as its docstring says.

    pytest -m slow tests/events/test_fuzz.py
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from event_files import drawn
from events.damaged import mutate, stream
from spikeworks import events
from spikeworks.events import EventStream

resource: Any = pytest.importorskip("resource", reason="there are no limits to memory here")

TIMES = 6000
HANGS = 30
"""Seconds for one file."""
ROOM = 1 << 30
"""Bytes on top of what the process begins with."""
SIZE = (13, 7)


def written(name: str, suffix: str, width: int = 13, height: int = 7) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        events.write(folder / f"a{suffix}", drawn(60, width, height, 30_000_000), name)
        return folder / f"a{suffix}"

    return make


def _dark(folder: Path) -> Path:
    data = bytearray(written("es", ".es")(folder).read_bytes())
    data[15] = 2  # events that tell of exposure, too
    (folder / "a.es").write_bytes(data)
    return folder / "a.es"


def _plain_aedat4(folder: Path) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "lz4.frame", None)
        return written("aedat4", ".aedat4")(folder)


def _zstd(folder: Path) -> Path:
    pytest.importorskip("zstandard")
    from events.test_aedat4 import compressed

    file = _plain_aedat4(folder)
    file.write_bytes(compressed(file.read_bytes(), 3))
    return file


def _npy(folder: Path) -> Path:
    s = stream(40)
    table = np.zeros(40, [("x", "i2"), ("y", "i2"), ("t", "i8"), ("p", "?")])
    for name in "txyp":
        table[name] = getattr(s, name)
    np.save(folder / "a.npy", table)
    return folder / "a.npy"


def _bare(folder: Path) -> Path:
    s = stream(40)
    (folder / "a.txt").write_text("".join(f"{t} {x} {y} {p}\n" for t, x, y, p in zip(s.t, s.x, s.y, s.p, strict=True)))
    return folder / "a.txt"


def _hdf5(folder: Path) -> Path:
    h5py: Any = pytest.importorskip("h5py")
    with h5py.File(folder / "a.h5", "w") as file:
        for name in "txyp":
            file[f"events/{name}"] = getattr(stream(20), name)
    return folder / "a.h5"


def _own_hdf5(folder: Path) -> Path:
    pytest.importorskip("h5py")
    return written("hdf5", ".h5")(folder)


def _matlab(folder: Path, packed: bool = False) -> Path:
    io: Any = pytest.importorskip("scipy.io")
    s = stream(40)
    columns = {"ts": s.t, "x": s.x, "y": s.y, "pol": s.p}
    io.savemat(folder / "a.mat", {k: v[:, None] for k, v in columns.items()}, do_compression=packed)
    return folder / "a.mat"


def _packed_matlab(folder: Path) -> Path:
    return _matlab(folder, packed=True)


def _es_imagenet(folder: Path) -> Path:
    draw = np.random.default_rng(0)
    one, other = (np.stack([draw.integers(0, n, 30) for n in (7, 13, 9)], 1).astype(np.uint8) for _ in range(2))
    np.savez_compressed(folder / "a.npz", pos=one, neg=other)
    return folder / "a.npz"


CASES: dict[str, tuple[Callable[[Path], Path], tuple[int, int] | None, bool]] = {
    "aedat4": (_plain_aedat4, None, False),
    "aedat4-lz4": (written("aedat4", ".aedat4"), None, False),
    "aedat4-zstd": (_zstd, None, False),
    "aedat3": (written("aedat3", ".aedat"), None, False),
    "aedat2": (written("aedat2", ".aedat2", 128, 128), None, False),
    "es": (written("es", ".es"), None, False),
    "es-atis": (_dark, None, False),
    "evt3": (written("evt3", ".raw"), None, False),
    "evt21": (written("evt21", ".raw"), None, False),
    "evt2": (written("evt2", ".raw"), None, False),
    "dat": (written("dat", ".dat"), None, False),
    "atis": (written("atis", ".bin"), SIZE, False),
    "npz": (written("npz", ".npz"), None, True),
    "npy": (_npy, SIZE, False),
    "hdf5": (_hdf5, SIZE, False),
    "hdf5-own": (_own_hdf5, None, True),
    "csv": (written("csv", ".csv"), None, False),
    "txt": (_bare, SIZE, False),
    "asl_dvs": (_matlab, SIZE, False),
    "asl_dvs-packed": (_packed_matlab, SIZE, True),
    "es_imagenet": (_es_imagenet, SIZE, True),
}
"""Name → a maker of a file, the sensor where the file does not tell, whether it has checksums of its events."""


def _run(file: Path, size: tuple[int, int] | None, whole: EventStream | None, told: Any) -> None:
    began = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (began + ROOM, began + ROOM))
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends the process wherever it is
    signal.alarm(HANGS)

    def judge(found: EventStream | None) -> None:
        signal.alarm(HANGS)
        if found is not None:
            assert len(found) <= 32 * file.stat().st_size
        if found is not None and whole is not None:
            assert all(np.array_equal(getattr(found, n), getattr(whole, n)) for n in "txyp"), "other events"

    told.send(mutate(file, TIMES, size, seed=7, judge=judge))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="how much memory a process has is asked of Linux")
@pytest.mark.parametrize("name", CASES)
def test_damaged_files(tmp_path: Path, name: str) -> None:
    make, size, checked = CASES[name]
    file = make(tmp_path)
    whole = events.read(file, *(size or ())) if checked else None
    listens, told = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=_run, args=(file, size, whole, told))
    process.start()
    process.join()
    assert process.exitcode == 0, f"ended by {process.exitcode}; the file is mutated{file.suffix} in {tmp_path}"
    read = listens.recv()
    assert 0 < read < TIMES or checked


def test_every_format_is_damaged() -> None:
    assert {f.name for f in events.formats.ALL} <= {name.partition("-")[0] for name in CASES}
    assert len(CASES) * TIMES >= 100_000
