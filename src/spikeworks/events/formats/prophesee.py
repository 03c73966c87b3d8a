"""The text in front of Prophesee's binary files: lines of "% keyword value"."""

from __future__ import annotations

import re
from pathlib import Path

from .base import sensor
from .scan import at_most

SIDE = 1 << 11
"""EVT addresses have 11 bits."""
LONGEST = 1 << 16
"""Bytes in which a header must end."""


def header(data: bytes) -> tuple[dict[str, str], int]:
    """The keywords and where the data begins: after "% end", else at the first line that does not begin with "% ".

    Keywords in small letters. A last line without an end is not one.
    """
    found, at = {}, 0
    while data.startswith(b"% ", at) and (end := data.find(b"\n", at)) >= 0:
        keyword, _, value = data[at + 2 : end].decode("latin-1").strip().partition(" ")
        at = end + 1
        if keyword.lower() == "end":
            break
        found.setdefault(keyword.lower(), value.strip())
    return found, at


def evt_version(data: bytes) -> str | None:
    """``"2.0"``, ``"2.1"`` or ``"3.0"`` from the lines ``evt`` or ``format``; ``None``: it is no such file."""
    found = header(data)[0]
    if (name := found.get("format", "").split(";")[0].upper()) in _NAMES:
        return _NAMES[name]
    return found["evt"] if found.get("evt") in _NAMES.values() else None


_NAMES = {"EVT2": "2.0", "EVT21": "2.1", "EVT3": "3.0"}


def open_evt(
    name: str, path: Path, width: int | None, height: int | None
) -> tuple[tuple[int, int], int, dict[str, str], dict[str, str]]:
    """The sensor, where the data begins, the header, and what the line ``format`` says.

    :raises ValueError: for a header that contradicts itself or the caller, or is endless, or no known size.
    """
    with path.open("rb") as file:
        data = file.read(LONGEST)
    about, start = header(data)
    if start == 0 or (len(data) == LONGEST and data[start : start + 2] in (b"", b"%", b"% ")):
        raise ValueError(f'{path} ({name}) has no header of lines "% keyword value" that ends, expected one.')
    said = dict(part.lower().split("=", 1) for part in about.get("format", "").split(";") if "=" in part)
    sizes = set()
    if "geometry" in about:
        sizes.add(size_of(name, path, *about["geometry"].partition("x")[::2]))
    if {"width", "height"} & said.keys():
        sizes.add(size_of(name, path, said.get("width", ""), said.get("height", "")))
    if len(sizes) > 1:
        raise ValueError(f"{path} ({name}) says two sizes of its sensor, {sorted(sizes)}, expected one.")
    size = sensor(name, path, next(iter(sizes), None), width, height)
    at_most(name, *size, SIDE, SIDE)
    return size, start, about, said


def size_of(name: str, path: Path, width: str, height: str) -> tuple[int, int]:
    """The size of the sensor from words of the header. :raises ValueError: if they are no numbers from 1 on."""
    if not all(re.fullmatch(r"[0-9]{1,4}", side) and int(side) for side in (width, height)):
        raise ValueError(
            f"{path} ({name}) says the size {width!r} by {height!r} of its sensor, expected whole numbers from 1 on."
        )
    return int(width), int(height)


def evt_header(name: str, width: int, height: int) -> bytes:
    """What a writer puts in front. :raises ValueError: for a sensor larger than 2048×2048."""
    at_most(name, width, height, SIDE, SIDE)
    lines = (
        f"evt {_NAMES[name.upper()]}", f"format {name.upper()};height={height};width={width}",
        f"geometry {width}x{height}", "end",
    )  # fmt: skip
    return "".join(f"% {line}\n" for line in lines).encode()
