"""The gates: compiled and plain give the same bits, in one block or many, and what the plainest loops say."""

from __future__ import annotations

import numpy as np
import pytest

from camera.spikes import random_spikes, recording
from spikeworks import camera
from spikeworks.camera import Layout, LocalGate, MotionGate, Plasticity, SpikeStream, gate, headed, pack

SIZES = [(7, 9, 120), (13, 37, 150), (1, 1, 40), (3, 5, 40), (40, 64, 60)]
GATES = [MotionGate(), MotionGate(Plasticity(0.2, 0.15, 1, 9, 3), 0.02), LocalGate(), LocalGate(2, 0.3, -3, 1, 0.5)]
EACH_GATE = pytest.mark.parametrize("filter_", GATES, ids=["motion", "motion, quick", "local", "local, other"])


@EACH_GATE
@pytest.mark.parametrize(("height", "width", "frames"), SIZES)
def test_compiled_and_plain_agree(
    filter_: MotionGate | LocalGate, height: int, width: int, frames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = SpikeStream.of(random_spikes(frames, height, width, 3))
    fast, state = filter_(stream)
    assert frames < 60 or fast.packed().any()
    first, part = filter_(stream[:11])
    second, part = filter_(stream[11:], part)
    assert np.array_equal(np.concatenate([first.packed(), second.packed()]), fast.packed())
    assert second.first == 11
    monkeypatch.setattr(gate, "compiled", lambda: None)
    plain, same = filter_(stream)
    assert np.array_equal(plain.packed(), fast.packed())
    for a, b, c in zip(np.atleast_2d(state), np.atleast_2d(same), np.atleast_2d(part), strict=True):  # type: ignore[arg-type]
        assert np.array_equal(a, b)
        assert np.array_equal(a, c)


def test_motion_is_what_the_formulas_say() -> None:
    spikes = random_spikes(300, 3, 4, 5)
    passed = MotionGate()(SpikeStream.of(spikes))[0].dense()
    near = 0
    for y in range(3):
        for x in range(4):
            R, u, g, last = np.ones(1), np.full(1, 0.1), 0.0, -1
            for t in range(300):
                g /= 2
                if not spikes[t, y, x]:
                    assert not passed[t, y, x]
                    continue
                new, u = Plasticity().step(R, u, np.array([t - last]))
                d = float(abs(new - R)[0])
                g += d / float(new[0]) / 2
                margin = float(d * (1 + np.sqrt(g)) - 0.1)
                near += abs(margin) < 1e-5
                assert abs(margin) < 1e-5 or passed[t, y, x] == (margin >= 0)
                R, last = new, t
    assert near < 3


def test_the_local_gate_is_what_it_says() -> None:
    spikes = random_spikes(60, 6, 7, 2, 0.3)
    fires = LocalGate()(SpikeStream.of(spikes))[0].dense()
    V = np.zeros((6, 7))
    for t in range(60):
        for y in range(6):
            for x in range(7):
                near = spikes[t, max(0, y - 1) : y + 2, max(0, x - 1) : x + 2].sum()
                V[y, x] = max(V[y, x] - (not spikes[t, y, x]) + 3 * int(near), -8)
                assert fires[t, y, x] == (V[y, x] >= 2)
                V[y, x] *= 0.8 if V[y, x] >= 2 else 1


@EACH_GATE
def test_layouts_and_windows(filter_: MotionGate | LocalGate) -> None:
    spikes = random_spikes(80, 12, 24, 4)
    expected = filter_(SpikeStream.of(spikes))[0].dense()
    for layout in (Layout(24, 12, flip=False), headed(24, 12)):
        stream = SpikeStream(pack(layout.store(spikes)), layout)
        assert np.array_equal(filter_(stream)[0].dense(), expected)
    part = filter_(SpikeStream.of(spikes).crop(3, 2, 17, 9))[0]
    assert np.array_equal(part.dense(), filter_(SpikeStream.of(spikes[:, 2:11, 3:20]))[0].dense())


def test_still_light_does_not_pass_and_a_step_does() -> None:
    light = np.linspace(0.02, 0.95, 64, dtype=np.float32).reshape(8, 8)
    charge, frames = np.random.default_rng(0).random((8, 8), np.float32), []
    for k in range(1200):
        charge += light if k < 900 else light[::-1]
        frames.append(charge >= 1)
        charge -= frames[-1]
    passed = MotionGate()(SpikeStream.of(np.array(frames)))[0].dense()
    assert passed[400:900].mean() < 1e-3
    assert passed[900:1000].any(0).mean() > 0.4


def test_the_wall_is_silent_and_the_car_is_not() -> None:
    wall = camera.open(recording("real_wall_400x250x500.dat"), 250, 400)
    car = camera.open(recording("real_car_400x250x200.dat"), 250, 400)
    still, state = MotionGate()(wall)
    assert still[150:].dense().mean() < 1e-4
    moving = MotionGate()(car, state)[0][50:].dense()
    assert moving[:, :50].mean() < 1e-4  # the trees above the car
    assert moving[:, 100:].mean() > 50 * max(1e-5, moving[:, :50].mean())


def test_refusals() -> None:
    stream = SpikeStream.of(random_spikes(3, 4, 4))
    _, state = MotionGate()(stream)
    with pytest.raises(ValueError, match="of another sensor"):
        MotionGate()(SpikeStream.of(random_spikes(3, 5, 4)), state)
    with pytest.raises(ValueError, match="threshold=0"):
        MotionGate(threshold=0.0)
    with pytest.raises(ValueError, match="floor=2"):
        LocalGate(floor=2.0)
