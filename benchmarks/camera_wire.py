"""Frames of a spike camera from one process to another: what is lost at a camera's rates, and how fast TCP is.

    python benchmarks/camera_wire.py --seconds 10

Frames of 400 × 250 (12,500 bytes), blocks of 64, of UDP of 4. The receiver holds every frame that came against what was
played; a wrong one ends it without figures. Rates are 20,000 and 40,000 frames a second (250 and 500 MB/s). CPU is the
receiver's share of a core. ``tcp, as fast as it goes`` has no pace: the sender waits for the receiver.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import socket
import time
from multiprocessing.connection import Connection

import numpy as np

from spikeworks import camera
from spikeworks.camera.live import Replay

LAYOUT, KEPT = camera.Layout(400, 250), 1024


def played() -> camera.SpikeStream:
    """Random bits, the same in both processes."""
    bits = np.random.default_rng(0).integers(0, 256, (KEPT, LAYOUT.size), np.uint8)
    return camera.SpikeStream(bits, LAYOUT)


def send(address: str, rate: float, seconds: float, block: int, told: Connection) -> None:
    """Play for so long; at an infinite rate as fast as they are taken."""
    source = Replay(played(), rate, loop=True, block=block)
    to, end = camera.sender(address, LAYOUT, 20_000.0), time.monotonic() + seconds
    sent, begin = 0, time.monotonic()
    try:
        while time.monotonic() < end:
            found = source.read(1.0)
            to(found)
            sent = found.stop
        told.send((sent, sent / (time.monotonic() - begin)))
    finally:
        to.close()


def receive(scheme: str, rate: float, seconds: float, block: int) -> str:
    place = f"bench-{os.getpid()}-{time.monotonic_ns()}" if scheme == "shm" else f"127.0.0.1:{port()}"
    address, stream = f"{scheme}://{place}", played().packed()
    context = multiprocessing.get_context("spawn")
    told, telling = context.Pipe(False)
    process = context.Process(target=send, args=(address, rate, seconds, block, telling))
    process.start()
    source, begin, last, cpu, got = camera.listen(address), 0.0, 0.0, 0.0, 0
    try:
        while (found := source.read(5.0)) is not None:
            if not got:
                begin, cpu = time.monotonic(), time.process_time()
            at = found.first % KEPT  # a multiple of the block's length
            if not np.array_equal(found.packed, stream[at : at + len(found)]):
                raise SystemExit(f"{scheme}: frames from {found.first} on are wrong; no figures")
            got, last = got + len(found), time.monotonic()
    except EOFError:
        pass
    finally:
        source.close()
        process.join()
    if not got:
        return f"| {scheme} | {rate:,.0f} | nothing came | | | |"
    spent, wall = time.process_time() - cpu, last - begin
    count, pace = told.recv()
    wanted = f"{rate:,.0f}" if np.isfinite(rate) else "as fast as it goes"
    return (
        f"| {scheme} | {wanted} | {pace:,.0f} | {got / wall:,.0f} | {count - got:,} of {count:,} | {spent / wall:.0%} |"
    )


def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0)
    seconds = parser.parse_args().seconds
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n")
    print("| way | frames/s wanted | sent | came | lost | CPU |\n|---|--:|--:|--:|--:|--:|")
    for way, block in (("tcp", 64), ("shm", 64), ("udp", 4)):
        for pace in (20_000.0, 40_000.0):
            print(receive(way, pace, seconds, block), flush=True)
    print(receive("tcp", float("inf"), seconds, 64))
