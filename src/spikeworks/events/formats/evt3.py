"""Prophesee EVT 3.0: 16-bit words that say only what changes: row, time, column and polarity, 8 or 12 pixels at once.

Source: docs.prophesee.ai, Data Encoding Formats, EVT 3.0 Format. The 24-bit time (16.8 s) is unwound: where the upper
12 bits fall by half their range or more, they have begun anew. Upper bits that change set the lower ones to 0; the
same ones sent again change nothing. Events before the first word of time, of a row or (vectors) of a base have no
place and are left out, as the maker's own decoder does before time. Triggers and vendors' words are left out.
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

ADDR_Y, ADDR_X, BASE_X, VECT_12, VECT_8, LOW, CONTINUED_4, HIGH = 0, 2, 3, 4, 5, 6, 7, 8
TRIGGER, OTHERS, CONTINUED_12 = 10, 14, 15
TIME, ROW, COLUMN = 1, 2, 4
"""What the decoder has been told, as bits."""


def scan(state: memoryview, words: memoryview, t: memoryview, x: memoryview, y: memoryview, p: memoryview) -> None:
    """Decode. Own memory: what is known, microseconds, row, column, polarity of vectors."""
    at, n, stop, limit = state[AT], state[DONE], state[STOP], state[LIMIT]
    known, time, row, column, sign = state[OWN], state[OWN + 1], state[OWN + 2], state[OWN + 3], state[OWN + 4]
    while at < stop and n < limit:
        word = words[at]
        kind = word >> 12
        at += 1
        if kind == ADDR_X:
            t[n] = time
            x[n] = word & 2047
            y[n] = row
            p[n] = (word >> 11) & 1
            n += (known & 3) == 3
        elif kind in (VECT_12, VECT_8):
            span = 12
            bits = word & 4095
            if kind == VECT_8:
                span = 8
                bits = word & 255
            if known != 7:
                bits = 0
            place = column
            while bits:
                t[n] = time
                x[n] = place
                y[n] = row
                p[n] = sign
                n += bits & 1
                bits = bits >> 1
                place += 1
            column += span
            if column > 2048:
                column = 2048  # past every sensor, and stays so
        elif kind == LOW:
            time = (time >> 12 << 12) | (word & 4095)
        elif kind == ADDR_Y:
            row = word & 2047
            known = known | ROW
        elif kind == BASE_X:
            column = word & 2047
            sign = (word >> 11) & 1
            known = known | COLUMN
        elif kind == HIGH:
            new = word & 4095
            high = (time >> 12) & 4095
            if not known & TIME:
                time = new << 12
                known = known | TIME
            elif new != high:
                if high >= new + 2048:
                    time += 1 << 24
                time = (time >> 24 << 24) | (new << 12)
        elif kind not in (CONTINUED_4, TRIGGER, OTHERS, CONTINUED_12):
            state[FAULT] = at
            stop = at
    state[AT] = at
    state[DONE] = n
    state[OWN] = known
    state[OWN + 1] = time
    state[OWN + 2] = row
    state[OWN + 3] = column
    state[OWN + 4] = sign


def _fill(state: memoryview, t: memoryview, x: memoryview, y: memoryview, p: memoryview, words: memoryview) -> None:
    """Encode, one word or vector a turn. Own memory: upper bits of time as written so far, not wrapped, lower bits,
    row, column and polarity of the next vector; −1: not written yet."""
    at, n, stop, limit = state[AT], state[DONE], state[STOP], state[LIMIT]
    high, low, row, column, side = state[OWN], state[OWN + 1], state[OWN + 2], state[OWN + 3], state[OWN + 4]
    while at < stop and n < limit:
        time = t[at]
        goal = time >> 12
        if goal != high:
            if high < 0 and goal > 4095:
                goal = 0  # a reader counts how often time began anew, so it must see that
            elif high >= 0 and goal > high + 2047:
                goal = high + 2047
            high = goal
            low = -1
            words[n] = (HIGH << 12) | (goal & 4095)
        elif (time & 4095) != low:
            low = time & 4095
            words[n] = (LOW << 12) | low
        elif y[at] != row:
            row = y[at]
            words[n] = (ADDR_Y << 12) | row
        else:
            base = x[at]
            sign = p[at]
            last = base
            bits = 1
            end = at + 1
            while (
                end < stop
                and t[end] == time
                and y[end] == row
                and p[end] == sign
                and x[end] > last
                and x[end] < base + 12
            ):
                last = x[end]
                bits = bits | (1 << (last - base))
                end += 1
            if end - at < 3 and (end - at < 2 or base != column or sign != side):
                words[n] = (ADDR_X << 12) | (sign << 11) | base
                column = -1  # some readers take it for the base of vectors too
                at += 1
            else:
                if base != column or sign != side:
                    words[n] = (BASE_X << 12) | (sign << 11) | base
                    n += 1
                words[n] = (VECT_12 << 12) | bits
                column = base + 12
                side = sign
                at = end
        n += 1
    state[AT] = at
    state[DONE] = n
    state[OWN] = high
    state[OWN + 1] = low
    state[OWN + 2] = row
    state[OWN + 3] = column
    state[OWN + 4] = side


def _open(path: Path, width: int | None, height: int | None) -> Opened:
    size, start, about, _ = open_evt("evt3", path, width, height)
    return Opened(*size, partial(decode, "evt3", path, start, np.uint16, scan, (0, 0, 0, 0, 0), size), about)


def _write(path: Path, blocks: Iterable[EventStream], width: int, height: int) -> None:
    encode("evt3", path, evt_header("evt3", width, height), blocks, np.uint16, _fill, (-1,) * 5, 1 << 40)


EVT3 = Format("evt3", (".raw",), lambda head, path: evt_version(head) == "3.0", _open, _write)
"""Prophesee EVT 3.0; writes times below 2⁴⁰ microseconds (12 days)."""
