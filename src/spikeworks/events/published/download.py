"""A published data set brought from its source: fetched, checked, unpacked; or a sentence that says what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from .facts import ALL, Archive, Published
from .transfer import fetch, verify
from .unpack import unpack


def download(name: str, root: str | Path, progress: Callable[[str, int, int | None], None] | None = None) -> Path:
    """Bring a data set below ``root`` and unpack it; what is there is not fetched or unpacked again.

    Archives lie in ``root/archives``, where one that a person has put there serves as well; they may be removed
    afterwards. Stopped at any time, the next call goes on. Ask for as much room as the set takes twice over.

    :param name: of the function that opens it, e.g. ``"shd"``; one of :data:`ALL`.
    :param progress: is told name of the archive, bytes so far, bytes in all.
    :returns: ``root``, which that function takes.
    :raises ValueError: if a transfer fails or an archive is not what it should be, or where only a person can fetch or
        unpack it: it says what to get from where, and where to put it.
    """
    if name not in ALL:
        raise ValueError(f"download got the name {name!r}, expected one of {', '.join(ALL)}.")
    about, root = ALL[name], Path(root)
    wanted = [a for a in about.archives if not _holds_something(root / a.folder)]
    brought = [(archive, _bring(about, archive, root, progress)) for archive in wanted]
    for archive, place in brought:
        if not archive.opens:
            raise ValueError(
                f"{place.parent} has all that {about.name} comes in, but {place.name} is of a kind that is not "
                f"unpacked here; {about.by_hand(root)}, so that {root / archive.folder} is there."
            )
        unpack(place, root / archive.folder)
    return root


def _holds_something(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def _bring(
    about: Published, archive: Archive, root: Path, progress: Callable[[str, int, int | None], None] | None
) -> Path:
    place = root / "archives" / archive.name
    if archive.url:
        told = (lambda at, of: progress(archive.name, at, of)) if progress is not None else None
        return fetch(archive.url, place, archive.checksum, progress=told)
    if not place.is_file():
        raise ValueError(
            f"{about.name} is not given to programs: {about.by_hand(root)}, or {archive.name} into {place}."
        )
    if archive.checksum:
        verify(place, archive.checksum)
    return place
