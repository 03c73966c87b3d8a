"""Files of flow: what is written is read; what is damaged or foreign is refused."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from spikeworks.camera import Flow, read_flow, write_flow

HERE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)


@HERE
@given(st.integers(1, 9), st.integers(1, 9), st.data())
def test_round_trip(tmp_path: Path, height: int, width: int, data: st.DataObject) -> None:
    numbers = st.floats(-1000, 1000, width=32)
    uv = data.draw(arrays.arrays(np.float32, (2, height, width), elements=numbers))
    valid = data.draw(arrays.arrays(bool, (height, width)))
    write_flow(tmp_path / "a.flo", Flow(uv, valid))
    found = read_flow(tmp_path / "a.flo")
    assert np.array_equal(found.valid, valid)
    assert np.array_equal(found.uv, np.where(valid, uv, 0))
    write_flow(tmp_path / "b.flo", Flow(uv, valid), frames=10)
    assert np.allclose(read_flow(tmp_path / "b.flo", frames=10).uv, found.uv, rtol=1e-6, atol=1e-30)


def test_bytes_as_they_were_published(tmp_path: Path) -> None:
    uv = np.array([[[1, 2, 3]], [[4, 5, 6]]], np.float32)
    write_flow(tmp_path / "a.flo", Flow(uv, np.array([[True, True, False]])))
    expected = b"PIEH" + struct.pack("<ii6f", 3, 1, 1, 4, 2, 5, 1e10, 1e10)
    assert (tmp_path / "a.flo").read_bytes() == expected


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "begins with b''"),
        (b"PIEH\1\0", "begins with"),
        (b"\x89PNG" + bytes(40), "another kind"),
        (b"HEIP" + struct.pack(">ii", 1, 1) + bytes(8), "another kind"),
        (b"PIEH" + struct.pack("<ii", 1 << 30, 1 << 30), "damaged"),
        (b"PIEH" + struct.pack("<ii", -1, 4) + bytes(8), "damaged"),
        (b"PIEH" + struct.pack("<ii", 2, 2) + bytes(31), "43 bytes, expected 44"),
        (b"PIEH" + struct.pack("<ii", 2, 2) + bytes(33), "45 bytes, expected 44"),
        (b"PIEH" + struct.pack("<ii", 65535, 65535) + bytes(8), "cut off"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes, fault: str) -> None:
    (tmp_path / "a.flo").write_bytes(content)
    with pytest.raises(ValueError, match=fault):
        read_flow(tmp_path / "a.flo")


@HERE
@given(st.binary(max_size=80))
def test_any_bytes_are_a_flow_or_a_sentence(tmp_path: Path, tail: bytes) -> None:
    (tmp_path / "a.flo").write_bytes(b"PIEH" + tail)
    try:
        found = read_flow(tmp_path / "a.flo")
    except ValueError as error:
        assert str(tmp_path) in str(error)  # noqa: PT017
    else:
        assert np.isfinite(found.uv).all()


def test_what_is_no_flow_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not a file"):
        read_flow(tmp_path / "none.flo")
    uv, valid = np.zeros((2, 3, 4), np.float32), np.ones((3, 4), bool)
    for wrong in (Flow(uv[0], valid), Flow(uv, valid[1:]), Flow(uv[:, :0], valid[:0])):
        with pytest.raises(ValueError, match="expected \\[2, H, W\\]"):
            write_flow(tmp_path / "a.flo", wrong)
    with pytest.raises(ValueError, match="not finite"):
        write_flow(tmp_path / "a.flo", Flow(np.full_like(uv, np.nan), valid))
    with pytest.raises(ValueError, match="frames=0"):
        write_flow(tmp_path / "a.flo", Flow(uv, valid), frames=0)
    assert not list(tmp_path.iterdir())
