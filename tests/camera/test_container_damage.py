"""Damaged containers: what is whole is read, what is not is named, and no wrong bit passes for a right one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spikeworks import camera
from spikeworks.camera import Container, Layout, SpikeStream, open_container, write_container

LAYOUT = Layout(7, 5)
EACH = 8


def small(tmp_path: Path, level: int) -> tuple[Path, Any]:
    """A file of five chunks, and its frames."""
    bits = np.random.default_rng(3).random((37, 5, 7)) < 0.1
    stream = SpikeStream.of(bits, first=5)
    write_container(tmp_path / "a.spikes", stream, chunk=EACH, level=level)
    return tmp_path / "a.spikes", stream.packed()


@pytest.mark.filterwarnings("ignore:.*was not closed")
@pytest.mark.parametrize("level", [0, 6])
def test_cut_off_anywhere(tmp_path: Path, level: int) -> None:
    path, packed = small(tmp_path, level)
    text, cut = path.read_bytes(), tmp_path / "cut.spikes"
    offsets = [int(k) for k in Container(path).table.entries["offset"]]
    ends = [*offsets[1:], len(text) - 28 - 24 * len(offsets)]  # where each chunk is whole
    for length in range(len(text)):
        cut.write_bytes(text[:length])
        if length < offsets[0]:
            with pytest.raises(ValueError, match=r"header|no spikeworks container"):
                open_container(cut)
            continue
        whole = min(37, EACH * sum(end <= length for end in ends))
        stream = open_container(cut)
        assert np.array_equal(stream.packed(), packed[:whole]), length
        found = camera.check(cut)
        assert (found.frames, found.bad, found.closed) == (whole, (), False)


def test_a_file_that_was_not_closed_says_so(tmp_path: Path) -> None:
    path, _ = small(tmp_path, 0)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.warns(UserWarning, match=r"a\.spikes was not closed, or is damaged: 37 frames of it are whole"):
        open_container(path)


@pytest.mark.parametrize("level", [0, 6])
@pytest.mark.parametrize("index", [True, False], ids=("index", "killed"))
@pytest.mark.parametrize("bits", [1, pytest.param(8, marks=pytest.mark.slow)])
def test_every_flipped_byte(tmp_path: Path, level: int, index: bool, bits: int) -> None:
    """One bit of each byte, and every bit in the longer proof."""
    path, packed = small(tmp_path, level)
    entries = Container(path).table.entries
    offsets = [int(k) for k in entries["offset"]]
    end = path.stat().st_size - 28 - 24 * len(entries)
    text = path.read_bytes()[: None if index else end]
    for at in range(len(text)):
        for flip in (1 << (at + k) % 8 for k in range(bits)):
            path.write_bytes(text[:at] + bytes([text[at] ^ flip]) + text[at + 1 :])
            if at < offsets[0]:
                with pytest.raises(ValueError, match=r"header|no spikeworks container|version"):
                    open_container(path)
                continue
            hit = None if at >= end else sum(at >= k for k in offsets) - 1
            said = _pieces(path, packed)
            assert said[1] == ([] if hit is None else [hit]), (at, flip)
            found = camera.check(path)
            named = bool(found.bad) or (
                not index and found.spare > 0
            )  # the head of the last chunk: the file ends there
            assert named == (hit is not None), (at, flip)
            assert not found.sound


def _pieces(path: Path, packed: Any) -> tuple[int, list[int]]:
    """Every frame that can be read is the one that was written; which chunks cannot be read."""
    said: list[tuple[str, str]] = []
    good = np.zeros(len(packed), bool)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for part in range(max(1, len(camera.check(path).parts))):
            stream = open_container(path, part)
            for k in range(len(stream)):
                try:
                    found = stream.frames[k : k + 1]
                except ValueError as error:
                    said.append((f"damaged in chunk {(stream.first - 5 + k) // EACH}, frames", str(error)))
                    continue
                assert np.array_equal(found[0], packed[stream.first - 5 + k])
                good[stream.first - 5 + k] = True
    assert all(expected in sentence for expected, sentence in said)
    bad = [n for n in range(-(-len(packed) // EACH)) if not good[n * EACH : n * EACH + EACH].all()]
    assert all(not good[n * EACH : n * EACH + EACH].any() for n in bad)
    return int(good.sum()), bad


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(st.data())
def test_noise(tmp_path: Path, data: st.DataObject) -> None:
    path, packed = small(tmp_path, data.draw(st.sampled_from((0, 6))))
    text = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        some = data.draw(st.binary(max_size=40))
        if data.draw(st.booleans()):
            text[at : at + len(some)] = some
        else:
            text[at : data.draw(st.integers(at, len(text)))] = some
    path.write_bytes(text)
    try:
        camera.check(path)
    except ValueError as error:
        with pytest.raises(ValueError, match=r"a\.spikes"):
            raise error
    else:
        _pieces(path, packed)


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    import zlib

    import zstandard

    from spikeworks.camera.container import chunk

    data = zlib.compress(bytes(50_000_000), 9)
    head = chunk.Head(0, 8, 0, len(data), chunk.ALONG, zlib.crc32(data))
    with pytest.raises(ValueError, match="does not decompress to 40 bytes"):
        chunk.decode(head, data, 5)
    data = zstandard.ZstdCompressor().compress(bytes(50_000_000))
    head = chunk.Head(0, 8, 0, len(data), chunk.FAST, zlib.crc32(data))
    with pytest.raises(ValueError, match="does not decompress to 40 bytes"):
        chunk.decode(head, data, 5)
    head = chunk.Head(0, 8, 0, 9, chunk.FAST, zlib.crc32(b"not zstd."))
    with pytest.raises(ValueError, match="cannot be decompressed"):
        chunk.decode(head, b"not zstd.", 5)


RECORDER = """
import sys
import numpy as np
from spikeworks.camera import Layout, SpikeWriter
layout = Layout(64, 40)
block = np.zeros((10, layout.size), np.uint8)
with SpikeWriter(sys.argv[1], layout, chunk=16, level=int(sys.argv[2])) as writer:
    for k in range(0, 1 << 20, 10):
        block[:] = np.arange(k, k + 10)[:, None] * 7 + np.arange(layout.size) // 3
        writer.push(block)
        sys.stdout.write(f"{k + 10}\\n")
        sys.stdout.flush()
"""


@pytest.mark.skipif(os.name != "posix", reason="processes are killed the POSIX way")
@pytest.mark.filterwarnings("ignore:.*was not closed")
@pytest.mark.parametrize("times", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_a_killed_recorder(tmp_path: Path, times: int) -> None:
    draw = np.random.default_rng(times)
    for n in range(times):
        path, progress = tmp_path / f"{n}.spikes", tmp_path / "progress"
        with progress.open("w+") as pushed:
            child = subprocess.Popen([sys.executable, "-c", RECORDER, str(path), str(n % 2)], stdout=pushed)
            while not progress.stat().st_size:
                time.sleep(0.002)
                assert child.poll() is None
            time.sleep(float(draw.random()) * 0.05)
            child.send_signal(signal.SIGKILL)
            child.wait()
        frames = [int(line) for line in progress.read_text().split("\n")[:-1]][-1]
        stream = open_container(path)
        assert frames // 16 * 16 <= len(stream) <= frames + 10 + 16
        expected = np.arange(len(stream))[:, None] * 7 + np.arange(320) // 3
        assert np.array_equal(stream.packed(), expected.astype(np.uint8))
        assert camera.check(path).bad == ()
