"""Prophesee EVT 2.0: 32-bit words, one event each; the upper 28 bits of the time come in words of their own.

Source: docs.prophesee.ai, Data Encoding Formats, EVT 2.0 Format. Events before the first word of time have no time and
are left out, as the maker's own decoder does. Time has 34 bits (4 h 46 min) and is unwound: where the upper bits fall
by half their range or more, they have begun anew. Triggers and vendors' words are left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np

from ..stream import EventStream
from .base import Format, Opened
from .prophesee import evt_header, evt_version, open_evt
from .scan import AT, DONE, FAULT, LIMIT, OWN, STOP, decode, encode

HIGH, TRIGGER, OTHERS, CONTINUED = 8, 10, 14, 15
HALF = 1 << 27
"""Half the range of the upper bits of time."""


def scan(state: memoryview, words: memoryview, t: memoryview, x: memoryview, y: memoryview, p: memoryview) -> None:
    """Decode. Own memory: upper bits of time (−1: none yet), microseconds they stand for."""
    at, n, stop, limit = state[AT], state[DONE], state[STOP], state[LIMIT]
    high, base = state[OWN], state[OWN + 1]
    while at < stop and n < limit:
        word = words[at]
        kind = word >> 28
        at += 1
        if kind < 2:
            t[n] = base + ((word >> 22) & 63)
            x[n] = (word >> 11) & 2047
            y[n] = word & 2047
            p[n] = kind
            n += high >= 0
        elif kind == HIGH:
            new = word & 0xFFFFFFF
            if high >= new + HALF:
                base += 1 << 34
            base = (base >> 34 << 34) + (new << 6)
            high = new
        elif kind not in (TRIGGER, OTHERS, CONTINUED):
            state[FAULT] = at
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
            words[n] = (HIGH << 28) | (goal & 0xFFFFFFF)
        else:
            words[n] = (p[at] << 28) | ((t[at] & 63) << 22) | (x[at] << 11) | y[at]
            at += 1
        n += 1
    state[AT] = at
    state[DONE] = n
    state[OWN] = high


def _open(path: Path, width: int | None, height: int | None) -> Opened:
    size, start, about, _ = open_evt("evt2", path, width, height)
    return Opened(*size, partial(decode, "evt2", path, start, np.uint32, scan, (-1, 0), size), about)


def _write(path: Path, blocks: Iterable[EventStream], width: int, height: int) -> None:
    encode("evt2", path, evt_header("evt2", width, height), blocks, np.uint32, _fill, (-1,), 1 << 40)


EVT2 = Format("evt2", (".raw",), lambda head, path: evt_version(head) == "2.0", _open, _write)
"""Prophesee EVT 2.0; writes times below 2⁴⁰ microseconds (12 days)."""
