"""Archives unpacked whole or not at all, with nothing in them that is more than a file or a folder."""

from __future__ import annotations

import os
import shutil
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO

CHUNK = 1 << 20
RATIO = 1100
"""Deflate makes nothing smaller than about 1/1032; bzip2 and xz do, but not what sensors record."""
MOST = 1 << 22
"""Members of an archive; the largest set has a million and a quarter."""

Member = tuple[str, int, Callable[[], IO[bytes] | None]]
"""Name, bytes (−1: a folder), and what opens it."""


def unpack(archive: str | Path, folder: str | Path) -> Path:
    """The files of a zip or tar archive in a new folder, whole or not at all: it appears when all are written.

    Where everything lies in one folder, that folder is left out. Only files and folders are taken, without what macOS
    puts into ``__MACOSX``.

    :param archive: .zip, .tar, .tar.gz, .tgz, .tar.bz2 or .tar.xz, by what is in it. :param folder: must not be there.
    :returns: ``folder``.
    :raises ValueError: for an archive that is damaged, or holds a link, a device, a path that leads elsewhere, two
        files of one name, or more than the disk has room for or the archive can hold; and if ``folder`` is there and
        not empty.
    """
    archive, folder = Path(archive), Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"unpack got {folder}, which is there already, expected a new folder; remove or rename it.")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise ValueError(f"{folder} cannot be made ({error.strerror}); choose another place.") from error
    try:
        try:
            _extract(archive, temporary)
        except ValueError:
            raise
        except Exception as error:  # zipfile, tarfile, zlib and lzma each have their own, by where the damage is
            said = " ".join(str(error).split())[:200]
            raise ValueError(
                f"{archive} cannot be unpacked ({said}), expected a whole archive; fetch it again."
            ) from error
        top = list(temporary.iterdir())
        inside = top[0] if len(top) == 1 and top[0].is_dir() else temporary
        inside.chmod(0o755)
        inside.replace(folder)  # over an empty folder too; where another process was first, an OSError
    except OSError as error:
        raise ValueError(f"{folder} cannot be made ({error.strerror}); is something there already?") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _extract(archive: Path, into: Path) -> None:
    if not archive.is_file():
        raise ValueError(f"{archive} is not a file, expected an archive; check the path.")
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as file:
            size = sum(member.file_size for member in file.infolist())
            _check(archive, into, size, size)  # before any is written; a tar tells only as it is read
            _write(archive, into, _in_zip(archive, file))
    elif tarfile.is_tarfile(archive):
        with tarfile.open(archive) as file:
            _write(archive, into, _in_tar(archive, file))
            _to_the_end(archive, file)
    else:
        raise ValueError(f"{archive} is neither zip nor tar, expected one of them; unpack it by hand if it is another.")


def _to_the_end(archive: Path, file: tarfile.TarFile) -> None:
    """Read what is behind the last member: only there does a packed archive compare its checksum."""
    left = RATIO * archive.stat().st_size
    while file.fileobj is not None and (chunk := file.fileobj.read(CHUNK)):
        left -= len(chunk)
        if left < 0:
            raise ValueError(f"{archive} goes on behind its files, which is absurd; it is not unpacked.")


def _check(archive: Path, into: Path, total: int, next_one: int) -> None:
    if total > RATIO * archive.stat().st_size:
        raise ValueError(f"{archive} holds {total:,} bytes or more, which is absurd for its size; it is not unpacked.")
    if next_one > shutil.disk_usage(into).free:
        raise ValueError(f"{archive} holds more than the disk has room for; make room at {into.parent}.")


def _in_zip(archive: Path, file: zipfile.ZipFile) -> Iterator[Member]:
    for member in file.infolist():
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise ValueError(f"{archive} holds {member.filename!r}, which is no plain file; it is not unpacked.")
        yield member.filename, -1 if member.is_dir() else member.file_size, lambda m=member: file.open(m)


def _in_tar(archive: Path, file: tarfile.TarFile) -> Iterator[Member]:
    for member in file:
        if not (member.isreg() or member.isdir()):
            raise ValueError(f"{archive} holds {member.name!r}, which is no plain file; it is not unpacked.")
        yield member.name, -1 if member.isdir() else member.size, lambda m=member: file.extractfile(m)


def _write(archive: Path, into: Path, members: Iterator[Member]) -> None:
    total = 0
    for n, (name, size, opened) in enumerate(members):
        if n >= MOST:
            raise ValueError(f"{archive} holds more than {MOST:,} files, which is absurd; it is not unpacked.")
        place = PurePosixPath(name)
        if place.parts[:1] == ("__MACOSX",):
            continue
        if place.is_absolute() or ".." in place.parts or "\\" in name or name[1:2] == ":" or "\0" in name:
            raise ValueError(f"{archive} holds the path {name!r}, which leads elsewhere; it is not unpacked.")
        target = into / place
        if size < 0:
            target.mkdir(parents=True, exist_ok=True)
            continue
        total += size
        _check(archive, into, total, size)
        if target.exists():
            raise ValueError(f"{archive} holds {name!r} twice; it is not unpacked.")
        target.parent.mkdir(parents=True, exist_ok=True)
        source = opened()
        if source is None:
            raise ValueError(f"{archive} holds {name!r}, which cannot be read; it is not unpacked.")
        with source, os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb") as file:
            left = size
            while left and (chunk := source.read(min(CHUNK, left))):
                file.write(chunk)
                left -= len(chunk)
            if left or source.read(1):
                raise ValueError(f"{archive} holds {name!r}, whose size is not what it says; fetch it again.")
