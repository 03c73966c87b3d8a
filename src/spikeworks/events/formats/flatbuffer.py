"""The little of FlatBuffers that AEDAT 4 needs, read by hand with every offset checked.

A buffer is its length (32 bits), the place of its root table, an identifier of four letters, and then tables, vectors
and strings in any order. A table begins with the distance back to its list of fields: two sizes (16 bits), then for
each field where in the table it is, 0 for one that is not there. A string or a vector is given by the distance forward
to it: there its length is, then its bytes. Everything is little-endian.

Source: FlatBuffers, *Internals* (flatbuffers.dev).
"""

from __future__ import annotations

import struct

Buffer = bytes | memoryview


def number(data: Buffer, place: int, kind: str) -> int:
    """The number at a place.

    :param kind: as ``struct`` has it: ``i`` 32 bits, ``I`` without a sign, ``H`` 16 bits, ``q`` 64 bits.
    :raises ValueError: if it is not within the data.
    """
    if not 0 <= place <= len(data) - struct.calcsize(f"<{kind}"):
        raise ValueError(f"an offset leads to byte {place} of {len(data)}")
    return struct.unpack_from(f"<{kind}", data, place)[0]


def root(data: Buffer, identifier: bytes) -> int:
    """The place of the root table of a buffer with its length in front.

    :raises ValueError: for another length or identifier.
    """
    length = number(data, 0, "I")
    if length != len(data) - 4:
        raise ValueError(f"it says that it has {length} bytes and has {len(data) - 4}")
    if bytes(data[8:12]) != identifier:
        raise ValueError(f"it is of the kind {bytes(data[8:12])!r} and not {identifier!r}")
    return 4 + number(data, 4, "I")


def field(data: Buffer, table: int, index: int) -> int | None:
    """The place of a table's field, ``None`` for one that is not there.

    :raises ValueError: for a table or list of fields that is not within the data.
    """
    fields = table - number(data, table, "i")
    size = number(data, fields, "H")
    if size < 4 or size % 2:
        raise ValueError(f"the list of fields at byte {fields} has {size} bytes")
    if 4 + 2 * index >= size:
        return None
    offset = number(data, fields + 4 + 2 * index, "H")
    return table + offset if offset else None


def vector(data: Buffer, place: int, size: int) -> tuple[int, int]:
    """Where the vector (or string) begins that the field at ``place`` points to, and how many elements it has.

    :param size: bytes of an element.
    :raises ValueError: for one that is not within the data.
    """
    begin = place + number(data, place, "I")
    count = number(data, begin, "I")
    begin += 4
    if count * size > len(data) - begin:
        raise ValueError(f"it has {count} elements of {size} bytes in {len(data) - begin} bytes")
    return begin, count
