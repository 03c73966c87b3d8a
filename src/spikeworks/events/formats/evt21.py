"""Prophesee EVT 2.1: 64-bit words, each up to 32 events of one row, time and polarity.

A word is a head as in EVT 2.0 and 32 bits that say which of the pixels from ``x`` on have changed. The head is the
upper half; in files with ``endianness=legacy`` in their line ``format`` (Gen 4.1, IMX636, IMX646) it comes first.

Source: docs.prophesee.ai, Data Encoding Formats, EVT 2.1 Format. Time is as in :mod:`.evt2`.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np

from ..stream import EventStream
from .base import Format, Opened
from .evt2 import CONTINUED, HALF, HIGH, OTHERS, TRIGGER
from .prophesee import evt_header, evt_version, open_evt
from .scan import AT, DONE, FAULT, LIMIT, OWN, STOP, decode, encode


def scan(state: memoryview, words: memoryview, t: memoryview, x: memoryview, y: memoryview, p: memoryview) -> None:
    """Decode. Own memory: as in EVT 2.0, and which of the two halves is the head."""
    at, n, stop, limit = state[AT], state[DONE], state[STOP], state[LIMIT]
    high, base, first = state[OWN], state[OWN + 1], state[OWN + 2]
    while at + 1 < stop and n < limit:
        word = words[at + first]
        bits = words[at + 1 - first]
        kind = word >> 28
        at += 2
        if kind < 2:
            time = base + ((word >> 22) & 63)
            column = (word >> 11) & 2047
            if high < 0:
                bits = 0
            while bits:
                t[n] = time
                x[n] = column
                y[n] = word & 2047
                p[n] = kind
                n += bits & 1
                bits = bits >> 1
                column += 1
        elif kind == HIGH:
            new = word & 0xFFFFFFF
            if high >= new + HALF:
                base += 1 << 34
            base = (base >> 34 << 34) + (new << 6)
            high = new
        elif kind not in (TRIGGER, OTHERS, CONTINUED):
            state[FAULT] = at - 1 + first
            stop = at
    state[AT] = at
    state[DONE] = n
    state[OWN] = high
    state[OWN + 1] = base


def _fill(state: memoryview, t: memoryview, x: memoryview, y: memoryview, p: memoryview, words: memoryview) -> None:
    """Encode. Own memory: upper bits of time as written so far, not wrapped (−1: none yet)."""
    at, n, stop, limit, high = state[AT], state[DONE], state[STOP], state[LIMIT], state[OWN]
    while at < stop and n < limit:
        goal = t[at] >> 6
        if goal != high:
            if high < 0 and goal >> 28:
                goal = 0  # a reader counts how often time began anew, so it must see that
            elif high >= 0 and goal >= high + HALF:
                goal = high + HALF - 1
            high = goal
            words[n] = 0
            words[n + 1] = (HIGH << 28) | (goal & 0xFFFFFFF)
        else:
            time = t[at]
            row = y[at]
            sign = p[at]
            base = x[at] & 2016  # groups begin at multiples of 32
            words[n + 1] = (sign << 28) | ((time & 63) << 22) | (base << 11) | row
            bits = 0
            column = x[at]
            while (
                at < stop and t[at] == time and y[at] == row and p[at] == sign and x[at] >= column and x[at] < base + 32
            ):
                bits = bits | (1 << (x[at] - base))
                column = x[at] + 1
                at += 1
            words[n] = bits
        n += 2
    state[AT] = at
    state[DONE] = n
    state[OWN] = high


def _open(path: Path, width: int | None, height: int | None) -> Opened:
    size, start, about, said = open_evt("evt21", path, width, height)
    order = said.get("endianness", "little")
    if order not in ("little", "legacy"):
        raise ValueError(f"{path} (evt21) says endianness={order}, expected little or legacy; convert it first.")
    own = (-1, 0, 0 if order == "legacy" else 1)
    return Opened(*size, partial(decode, "evt21", path, start, np.uint32, scan, own, size), about)


def _write(path: Path, blocks: Iterable[EventStream], width: int, height: int) -> None:
    encode("evt21", path, evt_header("evt21", width, height), blocks, np.uint32, _fill, (-1,), 1 << 40)


EVT21 = Format("evt21", (".raw",), lambda head, path: evt_version(head) == "2.1", _open, _write)
"""Prophesee EVT 2.1, read in both orders of its halves and written in the newer; times below 2⁴⁰ microseconds."""
