"""Files appear whole or not at all: write next to the target under another name, then rename."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(path: str | Path) -> Iterator[Path]:
    """Give a temporary path in the target's folder; on leaving the block without an error it becomes ``path``.

    An error inside the block removes the temporary file and leaves what was at ``path`` as it was.

    :param path: the file to write; missing folders are made. The temporary file keeps its suffix.
    :raises ValueError: if ``path`` is a folder or its folder cannot be made.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"whole got {path}, which is a folder, expected a file name; add one.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise ValueError(f"whole got {path}, but {path.parent} is not a folder; choose another place.") from error
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())  # mkstemp makes files that only their owner can read
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
