"""``config.yaml`` of a SpikeCV data set folder: a few flat keys, read without a YAML library.

Keys of SpikeCV (github.com/Zyj061/SpikeCV, ``docs/data_processing.md``): filename, spike_w, spike_h, is_labeled,
labeled_data_type, labeled_data_suffix, data_field_identifier, label_field_identifier.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

LABELS = {
    "raw": 0.0, "reconstruction": 1.0, "optical_flow": 2.0, "mono_depth_estimation": 3.1,
    "stereo_depth_estimation": 3.2, "detection": 4.0, "tracking": 5.0, "recognition": 6.0, "bayer": 7.0,
}  # fmt: skip
"""Kinds of labels by their numbers; ``stero_depth_estimation``, as SpikeCV spells it, is understood."""

LARGEST = 1 << 16

Value = str | float | bool | None | tuple[str | float | bool | None, ...]


@dataclass(frozen=True)
class Config:
    """What the file says of a data set.

    :param height: rows. :param width: columns of a stored row; 416 are 400 pixels and 16 cells of the USB camera.
    :param labels: numbers of the kinds of its labels, see :data:`LABELS`. :param suffix: of label files, no dot.
    :param data_field: the folder on a recording's path that is ``label_field`` on its label's; ``None``: they are
        beside each other.
    :param name: free text.
    """

    height: int
    width: int
    labelled: bool
    labels: tuple[float, ...]
    suffix: str | None
    data_field: str | None = None
    label_field: str | None = None
    name: str | None = None

    @staticmethod
    def read(path: Path) -> Config:
        """Of a ``config.yaml``.

        :raises ValueError: for a file that is absent, nested, or lacks what is needed.
        """
        if not path.is_file():
            raise ValueError(f"{path} is absent, expected the config.yaml of a SpikeCV data set; unpack all of it.")
        if path.stat().st_size > LARGEST:
            raise ValueError(f"{path} has {path.stat().st_size:,} bytes, expected a few lines.")
        try:
            found = parse(path.read_text("utf-8-sig"))
        except ValueError as error:  # UnicodeDecodeError is one
            raise ValueError(f"{path} is not as expected: {error}") from None

        def text(key: str) -> str | None:
            value = found.get(key)
            return None if value in (None, "", "None") else str(value)

        sizes = {key: found.get(key) for key in ("spike_h", "spike_w")}
        for key, value in sizes.items():
            if not isinstance(value, float) or value != int(value) or not 1 <= value < 1 << 16:
                raise ValueError(f"{path} has {key}: {value}, expected a whole number of pixels.")
        kinds = found.get("labeled_data_type", ())
        kinds = kinds if isinstance(kinds, tuple) else (kinds,)
        if wrong := [k for k in kinds if k not in LABELS.values()]:
            raise ValueError(f"{path} has labeled_data_type {wrong[0]}, expected some of {[*LABELS.values()]}.")
        labelled = found.get("is_labeled", False)
        if not isinstance(labelled, bool):
            raise ValueError(f"{path} has is_labeled: {labelled}, expected true or false.")
        suffix, fields = text("labeled_data_suffix"), (text("data_field_identifier"), text("label_field_identifier"))
        if labelled and suffix is None:
            raise ValueError(f"{path} has labels, but no labeled_data_suffix, expected one, e.g. txt.")
        if (fields[0] is None) != (fields[1] is None):
            raise ValueError(f"{path} has one field identifier alone, expected data_field_identifier and label_….")
        height, width = (int(float(str(sizes[key]))) for key in ("spike_h", "spike_w"))
        numbers = tuple(float(str(k)) for k in kinds)
        return Config(height, width, labelled, numbers, suffix and suffix.lstrip("."), *fields, text("filename"))


def parse(text: str) -> dict[str, Value]:
    """Flat YAML: ``key: value`` lines, values being words, numbers, true and false, or lists of these.

    :raises ValueError: for anything else.
    """
    found: dict[str, Value] = {}
    pending = None  # the key of a list that goes on, a line for each
    for number, raw in enumerate(text.splitlines(), 1):
        line = re.sub(r"(^|\s)#.*$", "", raw).rstrip()
        if not line.strip() or line in ("---", "..."):
            continue
        item = re.fullmatch(r"\s*-\s+(.*)", line)
        before = found.get(pending) if pending is not None else None
        if item and pending is not None and (before is None or isinstance(before, tuple)):
            found[pending] = (*(before or ()), _scalar(item[1], number))
            continue
        pair = re.fullmatch(r"([A-Za-z_][\w-]*)\s*:(?:\s+(.*))?", line)
        if pair is None:
            raise ValueError(f"line {number} is {raw[:60]!r}, expected key: value; nested YAML is not read.")
        key, value = pair[1], (pair[2] or "").strip()
        if key in found:
            raise ValueError(f"line {number} has {key} again, expected each key once.")
        if value.startswith("["):
            if not value.endswith("]"):
                raise ValueError(f"line {number} is {raw[:60]!r}, expected a list that ends on its line.")
            found[key] = tuple(_scalar(part, number) for part in value[1:-1].split(",") if part.strip())
            pending = None
        else:
            found[key] = _scalar(value, number)
            pending = key if not value else None
    return found


def _scalar(text: str, line: int) -> str | float | bool | None:
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1]
    if text.lower() in ("true", "yes", "on"):
        return True
    if text.lower() in ("false", "no", "off"):
        return False
    if text in ("", "~") or text.lower() == "null":
        return None
    if text[0] in "{[&*!|>'\"%@`" or ": " in text:
        raise ValueError(f"line {line} has {text[:40]!r}, expected a word, a number or a list of these.")
    return float(text) if re.fullmatch(r"[+-]?\d{1,15}(\.\d{1,15})?", text) else text
