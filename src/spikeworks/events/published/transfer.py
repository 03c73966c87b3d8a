"""One file from the net: gone on with where it broke off, and there only when its checksum is right."""

from __future__ import annotations

import hashlib
import http.client
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import IO

CHUNK = 1 << 20
TRIES = 4
"""Attempts in one call, as long as each brings something."""

Progress = Callable[[int, int | None], None]
"""Is told bytes so far and in all (``None``: the server does not say)."""


def fetch(
    url: str, path: str | Path, checksum: str, size: int | None = None, timeout: float = 60.0,
    progress: Progress | None = None,
) -> Path:  # fmt: skip
    """Fetch a file; what was fetched before a break is kept next to it as ``NAME.part`` and gone on from.

    A file that is there with this checksum is left as it is. Two processes that fetch one file at a time spoil it for
    each other, which its checksum shows.

    :param url: http or https. :param path: the file to be. :param checksum: ``md5:`` or ``sha256:`` and the digits.
    :param size: bytes of the file, where they are known. :param timeout: seconds without a byte.
    :returns: ``path``.
    :raises ValueError: for a wrong size or checksum, a server that refuses, a transfer that breaks off again and again
        (call again to go on), a full disk, or another file at ``path``.
    """
    path = Path(path)
    if not url.lower().startswith(("http://", "https://")):
        raise ValueError(f"fetch got {url!r}, expected an address that begins with http:// or https://.")
    algorithm(checksum)
    if path.exists():
        verify(path, checksum)
        return path
    part = path.with_name(path.name + ".part")
    for attempt in range(1, TRIES + 1):
        before = _size(part)
        try:
            _transfer(url, part, size, timeout, progress)
            break
        except urllib.error.HTTPError as error:
            raise ValueError(f"{url} cannot be fetched ({error.code} {error.reason}); check the address.") from error
        except (OSError, http.client.HTTPException) as error:
            if attempt == TRIES or _size(part) == before:
                raise ValueError(
                    f"{url} broke off at {_size(part):,} bytes ({error}), which are kept in {part}; call again to go "
                    "on."
                ) from error
    try:
        verify(part, checksum)
    except ValueError:
        part.unlink()  # nothing to go on from
        raise
    part.replace(path)
    return path


def verify(path: Path, checksum: str) -> None:
    """:raises ValueError: if a file is not what its checksum says."""
    name, digits = algorithm(checksum)
    with path.open("rb") as file:
        found = hashlib.file_digest(file, name).hexdigest()
    if found != digits:
        raise ValueError(f"{path} has the checksum {name}:{found}, expected {checksum}; remove it and fetch it again.")


def algorithm(checksum: str) -> tuple[str, str]:
    """Name and digits. :raises ValueError: for what is no md5 or sha256."""
    name, _, digits = checksum.partition(":")
    sizes = {"md5": 32, "sha256": 64}
    if sizes.get(name) != len(digits) or set(digits) - set("0123456789abcdef"):
        raise ValueError(f"fetch got the checksum {checksum!r}, expected md5: or sha256: and lower-case hexadecimal.")
    return name, digits


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _transfer(url: str, part: Path, size: int | None, timeout: float, progress: Progress | None) -> None:
    have = _size(part)
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        answer = urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416 and have:  # all of it is here, or it is another file: the checksum tells
                return
            raise
    with answer:
        begins, total = _place(answer, have)
        if total is not None and size is not None and total != size:
            raise ValueError(f"{url} has {total:,} bytes, expected {size:,}; it is another file, check the address.")
        with _opened(part, begins) as file:
            free = shutil.disk_usage(part.parent).free
            if (total or 0) - begins > free:
                raise _full(part, f"{(total or 0) - begins:,} bytes are to come, {free:,} are free")
            at = begins
            while chunk := answer.read(CHUNK):
                try:
                    file.write(chunk)
                    file.flush()
                except OSError as error:
                    raise _full(part, error.strerror or str(error)) from error
                at += len(chunk)
                if progress is not None:
                    progress(at, total)
        if total is not None and at != total:
            raise http.client.HTTPException(f"{at:,} of {total:,} bytes")


def _opened(part: Path, begins: int) -> IO[bytes]:
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        return part.open("ab" if begins else "wb", buffering=0)
    except OSError as error:
        raise _full(part, error.strerror or str(error)) from error


def _full(part: Path, why: str) -> ValueError:
    return ValueError(f"{part} cannot be written ({why}); make room, what is there is kept, and call again to go on.")


def _place(answer: http.client.HTTPResponse, have: int) -> tuple[int, int | None]:
    """Where the answer begins in the file, and how long the file is. A server without ranges begins anew."""
    length = answer.headers.get("Content-Length")
    if answer.status == 206:
        span, _, total = answer.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
        if span.partition("-")[0] != str(have):
            raise http.client.HTTPException(f"the server sent the range {span!r}, not from {have}")
        return have, int(total) if total.isdecimal() else None
    if answer.status != 200:
        raise ValueError(f"{answer.url} answered {answer.status} and no file; fetch it with a browser.")
    return 0, int(length) if length and length.isdecimal() else None
