"""Things are followed: one that is known, many that cross, and the real car."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from camera.discs import Discs, discs
from camera.spikes import random_stream, recording
from spikeworks import camera
from spikeworks.camera import Attention, Detector, Follower, Kalman, Look, Sightings, Track, Tracker, track
from spikeworks.camera.follow import nobody
from spikeworks.measure import TrackingScores, tracking_scores

made = cache(discs)


def _scores(scene: Discs) -> TrackingScores:
    """At all looks, from the first frame with things on; names of a coarser tracker may not help it."""
    tracks = track(scene.stream[scene.still :], calibrate=scene.stream[: scene.still])
    detector, count = Detector(), scene.boxes.shape[1]
    first = scene.still + detector.every - 1 - (detector.window - 1) // 2
    frames = np.arange(first, len(scene.stream), detector.every)
    truth = Sightings(
        np.repeat(frames, count), np.tile(np.arange(count), len(frames)),
        scene.boxes[frames - scene.still].reshape(-1, 4), np.ones(len(frames) * count),
    )  # fmt: skip
    return tracking_scores(truth, tracks.sightings())


@pytest.mark.parametrize("count", [5, 10, 20])
def test_things_that_cross_keep_their_names(count: int) -> None:
    scores = _scores(made(count, 0))
    assert scores.mota >= 0.9
    assert scores.idf1 >= 0.9


@pytest.mark.slow
@pytest.mark.parametrize("count", [5, 10, 20])
@pytest.mark.parametrize("seed", range(1, 6))
def test_things_that_cross_keep_their_names_in_other_scenes(count: int, seed: int) -> None:
    assert _scores(made(count, seed)).mota >= 0.9


def test_live_and_at_once_see_the_same() -> None:
    scene = made(5, 0)
    stream = scene.stream[scene.still : scene.still + 400]
    tracks = track(stream, calibrate=scene.stream[: scene.still])
    tracker, seen = Tracker(), []
    tracker.calibrate(scene.stream[: scene.still])
    for block in stream.blocks(33):
        seen += tracker.push(block)
    assert [s.frame for s in seen] == list(range(scene.still + 12, scene.still + 400, 20))
    assert len(tracks) == 5
    for found in seen[3:]:
        at = {t.identity: t.at(found.frame) for t in tracks}
        for identity, box, there in zip(found.identity, found.box, found.seen, strict=True):
            assert not there or np.allclose(at[int(identity)], box, atol=1.5)


def test_noise_is_nothing() -> None:
    assert len(track(random_stream(300, 20, 30)[:0])) == 0
    wall = discs(1, 3, frames=300, height=60, width=80, speed=(0.0, 0.3)).stream[:300]
    assert len(track(wall[150:], calibrate=wall[:150])) == 0


def test_a_track_between_its_looks() -> None:
    one = Track(3, np.array([10, 20]), np.array([[0.0, 0, 4, 4], [10, 20, 4, 8]]))
    assert one.at(15) is not None
    assert np.allclose(one.at(15), [5, 10, 4, 6])  # type: ignore[arg-type]
    assert one.at(9) is None


def test_the_filter_learns_a_velocity() -> None:
    kalman, box = Kalman(), np.array([[10.0, 20, 8, 6], [100, 50, 30, 40]])
    now = kalman.start(box)
    assert np.allclose(now.boxes(), box)
    for _ in range(15):
        box = box + np.array([3.0, -1, 0, 0])
        now = kalman.update(kalman.predict(now), box)
    assert np.allclose(now.mean[:, 4:6], (3, -1), atol=0.05)
    for _ in range(5):
        now = kalman.predict(now)
    assert np.allclose(now.boxes(), box + np.array([15.0, -5, 0, 0]), atol=0.5)
    far = kalman.far(now, now.boxes())
    assert np.allclose(np.diag(far), 0)
    assert (far[[0, 1], [1, 0]] > 9).all()
    one = now.take(np.array([True, False]))
    assert np.allclose(kalman.predict(one).mean[0], kalman.predict(now).mean[0])


def test_lost_things_are_waited_for_and_then_forgotten() -> None:
    def look(k: int, there: bool) -> Look:
        spikes = np.zeros((60, 90), np.uint16)
        if there:
            spikes[20:30, 10 + k : 24 + k] = 1
        return Look(k, spikes, np.ones((60, 90), bool) if there else np.zeros((60, 90), bool))

    follower, now = Follower(patience=6), nobody()
    for k in range(20):
        now, seen = follower(look(k, not 8 <= k < 13), now)
        assert now.identity.tolist() == [1]
        assert seen.tolist() == [not 8 <= k < 13]
    for k in range(20, 30):
        now, _ = follower(look(k, False), now)
    assert len(now.identity) == 0
    now, _ = follower(look(5, True), now)
    assert now.identity.tolist() == [2]
    with pytest.raises(ValueError, match="births=0"):
        Follower(births=0)


def test_the_car_is_one_thing() -> None:
    """The gates get used to the scene on 500 frames of it before the car comes, and on the first 50 frames of the clip,
    which is some 1.7 times brighter. Wheel and lamp are 80 pixels apart, so that attention has to reach far."""
    wall = camera.open(recording("real_wall_400x250x500.dat"), 250, 400)
    car = camera.open(recording("real_car_400x250x200.dat"), 250, 400)
    tracker = Tracker(Detector(attention=Attention(40, 0.5, excite=0, pool=8), every=10, window=10), Follower(least=50))
    tracker.calibrate(wall)
    tracker.calibrate(car[:50])
    seen = tracker.push(car[50:])
    assert len(seen) == 15
    assert [s.identity.tolist() for s in seen] == [[], []] + [[1]] * 13
    right = np.array([s.box[0, 0] + s.box[0, 2] for s in seen[2:]])
    speed = np.polyfit([s.frame for s in seen[2:]], right, 1)[0]
    assert 0.3 < speed < 0.6  # pixels a frame; 100 km/h are 0.445
    x, y, w, h = seen[-1].box[0]
    assert x < 15
    assert 335 < x + w < 370
    assert 60 < y < 110
    assert y + h > 240
