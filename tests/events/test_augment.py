"""Augmentations: what each does by a plain loop, what undoes what, what is lost, and the same again from one seed."""

from __future__ import annotations

import math
import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from spikeworks import events as ev
from spikeworks.events import EventStream, empty

from .test_stream import same, stream

W, H = 13, 7
ALL = [
    ev.Flip("x"), ev.Flip("y"), ev.Roll(), ev.Translate(), ev.Rotate(40.0), ev.Shear(30.0), ev.Shear(30.0, "y"),
    ev.SpaceJitter(), ev.Crop(5, 4), ev.Crop(13, 7), ev.Crop(6, 2, random=False), ev.Resize(5, 4), ev.Resize(30, 9),
    ev.Resize(5, 4, thin=False), ev.DropTime(), ev.DropArea(), ev.DropRandom(), ev.EventDrop(), ev.Cutout(3, 2),
    ev.TimeJitter(300.0), ev.TimeScale(), ev.ReverseTime(), ev.Refractory(100), ev.BackgroundActivity(100),
    ev.HotPixel(4000.0), ev.nda(), ev.Compose(), ev.RandomApply(ev.Flip()), ev.OneOf(ev.Flip(), ev.Roll()),
]  # fmt: skip
EACH = pytest.mark.parametrize("augmentation", ALL, ids=lambda value: repr(value).partition(" at 0x")[0])


def seed(number: int = 0) -> np.random.Generator:
    return np.random.default_rng(number)


def rows(s: EventStream) -> list[tuple[int, ...]]:
    return list(zip(s.t.tolist(), s.x.tolist(), s.y.tolist(), s.p.tolist(), strict=True))


@EACH
def test_one_seed_one_stream_in_order_and_the_given_one_unchanged(augmentation: ev.Augmentation) -> None:
    s = stream()
    before = rows(s)
    for number in range(5):
        made = augmentation(s, seed(number))
        assert same(made, augmentation(s, seed(number)))
        assert made.ordered
        assert len(made) <= len(s)
    assert rows(s) == before


@EACH
def test_nothing_in_nothing_out(augmentation: ev.Augmentation) -> None:
    assert len(augmentation(empty(W, H), seed())) == 0
    assert len(augmentation(stream(1), seed())) <= 1


@pytest.mark.parametrize("identity", [
    ev.Roll(0, 0), ev.Translate(0, 0), ev.Rotate(0.0), ev.Shear(0.0), ev.SpaceJitter(0.0, 0.0), ev.Crop(W, H),
    ev.Resize(W, H), ev.DropTime((0.0,)), ev.DropArea((0.0,)), ev.DropRandom((0.0,)), ev.Cutout(3, 0),
    ev.TimeJitter(0.0), ev.TimeScale(1.0, 1.0), ev.Refractory(0), ev.HotPixel(1e9), ev.Compose(),
    ev.RandomApply(ev.Flip(), 0.0), ev.Rotate((360.0, 360.0)), ev.Roll((W, W), (-H, -H)),
], ids=lambda value: repr(value).partition(" at 0x")[0])  # fmt: skip
def test_identities(identity: ev.Augmentation) -> None:
    for s in (stream(), stream(200, ordered=False) if not isinstance(identity, ev.Refractory) else stream(200)):
        assert same(identity(s, seed(3)), s)


@pytest.mark.parametrize(("there", "back"), [
    (ev.Flip("x"), ev.Flip("x")), (ev.Flip("y"), ev.Flip("y")), (ev.ReverseTime(), ev.ReverseTime()),
    (ev.ReverseTime(polarity=False), ev.ReverseTime(polarity=False)),
    (ev.Roll((5, 5), (-3, -3)), ev.Roll((-5, -5), (3, 3))),
    (ev.Rotate((180.0, 180.0)), ev.Rotate((180.0, 180.0))), (ev.TimeScale(4.0, 4.0), ev.TimeScale(0.25, 0.25)),
    (ev.Rotate((180.0, 180.0)), ev.Compose(ev.Flip("x"), ev.Flip("y"))),
], ids=lambda value: repr(value).partition(" at 0x")[0])  # fmt: skip
def test_there_and_back(there: ev.Augmentation, back: ev.Augmentation) -> None:
    for s in (stream(), stream(ordered=False)):
        assert same(back(there(s, seed(1)), seed(2)), s)


@pytest.mark.parametrize(("augmentation", "rule"), [
    (ev.Flip("x"), lambda x, y: (W - 1 - x, y)),
    (ev.Flip("y"), lambda x, y: (x, H - 1 - y)),
    (ev.Roll((4, 4), (-2, -2)), lambda x, y: ((x + 4) % W, (y - 2) % H)),
    (ev.Translate((4, 4), (-2, -2)), lambda x, y: (x + 4, y - 2)),
    (ev.Rotate((90.0, 90.0)), lambda x, y: (6 + (y - 3), 3 - (x - 6))),
    (ev.Rotate((25.0, 25.0)), lambda x, y: (
        math.floor(6.5 + math.cos(math.radians(25)) * (x - 6) + math.sin(math.radians(25)) * (y - 3)),
        math.floor(3.5 - math.sin(math.radians(25)) * (x - 6) + math.cos(math.radians(25)) * (y - 3)))),
    (ev.Shear((45.0, 45.0)), lambda x, y: (x + y - 3, y)),
    (ev.Shear((-45.0, -45.0), "y"), lambda x, y: (x, y - (x - 6))),
    (ev.Resize(5, 4, thin=False), lambda x, y: (x * 5 // W, y * 4 // H)),
    (ev.Resize(29, 9), lambda x, y: (x * 29 // W, y * 9 // H)),
    (ev.Crop(6, 2, random=False), lambda x, y: (x - 3, y - 2)),
], ids=lambda value: repr(value).partition(" at 0x")[0])  # fmt: skip
def test_geometry_is_the_loop_and_drops_what_leaves(augmentation, rule) -> None:
    s = stream()
    made = augmentation(s, seed())
    want = []
    for t, x, y, p in rows(s):
        x, y = rule(x, y)
        if 0 <= x < made.width and 0 <= y < made.height:
            want.append((t, x, y, p))
    assert rows(made) == want
    assert len(made) == len(s) - sum(not (0 <= a < made.width and 0 <= b < made.height) for a, b in
                                     (rule(x, y) for _, x, y, _ in rows(s)))  # fmt: skip


def test_ranges_are_drawn_from_end_to_end() -> None:
    s = EventStream([0], [6], [3], [1], W, H)
    g = seed()
    rolled = [ev.Roll(2, (0, 1))(s, g) for _ in range(200)]
    assert {int(r.x[0]) for r in rolled} == {4, 5, 6, 7, 8}
    assert {int(r.y[0]) for r in rolled} == {3, 4}
    cropped = {int(ev.Crop(W - 2, H)(s, g).x[0]) for _ in range(100)}
    assert cropped == {4, 5, 6}


def test_dropping() -> None:
    s = stream(1000, span=10_000)
    g = seed()
    assert len(ev.DropRandom((0.3,))(s, g)) == 700
    for _ in range(20):
        left = set(rows(ev.DropTime((0.5,))(s, g)))
        gone = sorted(t for t, *_ in rows(s) if t not in {r[0] for r in left})
        assert gone[-1] - gone[0] <= 5000
        assert all(t < gone[0] or t > gone[-1] for t, *_ in left)
        area = ev.DropArea((0.4,))(s, g)
        missing = [r for r in rows(s) if r not in set(rows(area))]
        assert len({x for _, x, _, _ in missing}) <= 0.4 * W + 1
        assert len({y for _, _, y, _ in missing}) <= 0.4 * H + 1
        cut = ev.Cutout(3)(s, g)
        holes = {(int(x), int(y)) for x, y in zip(s.x, s.y, strict=True)} - set(
            zip(cut.x.tolist(), cut.y.tolist(), strict=True)
        )
        assert 4 <= len(holes) <= 9
    sizes = [len(ev.EventDrop()(s, g)) for _ in range(200)]
    assert min(sizes) > 0
    assert 0.15 < np.mean([n == len(s) for n in sizes]) < 0.4
    one = s[:1]
    assert all(len(ev.EventDrop()(one, g)) == 1 for _ in range(50))


def test_thinning_keeps_pixels_as_busy() -> None:
    s = stream(20_000, 20, 20)
    small = ev.Resize(10, 5)(s, seed())
    assert abs(len(small) - 2500) < 5 * math.sqrt(2500)
    assert (small.width, small.height) == (10, 5)


def test_time() -> None:
    s = stream()
    back = ev.ReverseTime()(s)
    first, last = int(s.t[0]), int(s.t[-1])
    assert rows(back) == [(first + last - t, x, y, 1 - p) for t, x, y, p in reversed(rows(s))]
    slow = ev.TimeScale(3.0, 3.0)(s, seed())
    assert slow.t.tolist() == [first + 3 * (t - first) for t in s.t.tolist()]
    noisy = ev.TimeJitter(50.0)(s, seed())
    assert sorted(r[1:] for r in rows(noisy)) == sorted(r[1:] for r in rows(s))
    moved = ev.TimeJitter(50.0)(stream(20_000, ordered=False), seed())
    assert not moved.ordered
    assert np.std(moved.t - stream(20_000, ordered=False).t) == pytest.approx(50, rel=0.05)
    wide = EventStream(np.zeros(20_000, int), *[np.full(20_000, 50)] * 2, np.ones(20_000, int), 101, 101)
    assert np.std(ev.SpaceJitter(2.0, 3.0)(wide, seed()).y.astype(float)) == pytest.approx(3, rel=0.05)


def test_mixing_takes_each_event_whole_and_shares_the_label() -> None:
    a, b = stream(900), stream(600, span=4000, seed=5).shift(10**6)
    share_of = []
    for number in range(30):
        mixed, share = ev.EventMix()(a, b, seed(number))
        again, share_again = ev.EventMix()(a, b, seed(number))
        assert same(mixed, again)
        assert share == share_again
        assert 0 <= share <= 1
        assert mixed.ordered
        moved = b.shift(int(a.t[0]) - int(b.t[0]))
        from_a, from_b = rows(a), rows(moved)
        assert all(r in from_a or r in from_b for r in rows(mixed))
        alone, _ = ev.EventMix()(a, empty(W, H), seed(number))
        f1, f2 = 1 - len(alone) / len(a), (len(mixed) - len(alone)) / len(b)
        assert share == pytest.approx(1 - f2 / (1 - f1 + f2))
        share_of.append(share)
    assert min(share_of) < 0.3
    assert max(share_of) > 0.7
    nothing, share = ev.EventMix()(empty(W, H), empty(W, H), seed())
    assert len(nothing) == 0
    assert 0 <= share <= 1
    with pytest.raises(ValueError, match="13×7 and 2×2, expected one sensor"):
        ev.EventMix()(a, empty(2, 2), seed())


def test_putting_together() -> None:
    s = stream()
    assert same(ev.Compose(ev.Flip("x"), ev.Roll((1, 1), 0))(s, seed()), ev.Roll((1, 1), 0)(ev.Flip("x")(s), seed()))
    g = seed()
    applied = [same(ev.RandomApply(ev.Flip("x"), 0.25)(s, g), s) for _ in range(400)]
    assert 0.68 < np.mean(applied) < 0.82
    which = [len(ev.OneOf(ev.Crop(1, 1), ev.Crop(W, H))(s, g)) == len(s) for _ in range(400)]
    assert 0.4 < np.mean(which) < 0.6
    assert hash(ev.nda()) == hash(ev.nda())
    assert ev.nda() == ev.nda()


@pytest.mark.parametrize(("make", "words"), [
    (lambda: ev.Flip("z"), "axis='z'"), (lambda: ev.Roll((3, 1)), r"x=\(3, 1\)"), (lambda: ev.Translate(1, -1), "y=-1"),
    (lambda: ev.Rotate(math.nan), "degrees=nan"), (lambda: ev.Shear(90.0), "degrees=90"),
    (lambda: ev.Shear(1.0, "t"), "axis='t'"),
    (lambda: ev.SpaceJitter(-1.0), "x=-1"), (lambda: ev.Crop(0, 3), "0×3"), (lambda: ev.Resize(3, 0), "3×0"),
    (lambda: ev.DropTime(()), r"ratios=\(\)"), (lambda: ev.DropArea((1.5,)), "1.5"),
    (lambda: ev.DropRandom((-0.1,)), "-0.1"),
    (lambda: ev.Cutout(0), "side=0"), (lambda: ev.TimeJitter(math.inf), "deviation=inf"),
    (lambda: ev.TimeScale(2.0, 1.0), "low=2"),
    (lambda: ev.EventMix(0.0), "beta=0"), (lambda: ev.EventMix(1.0, 3, 2), "least=3"),
    (lambda: ev.OneOf(), "no augmentations"),
    (lambda: ev.RandomApply(ev.Flip(), 1.5), "probability=1.5"),
    (lambda: ev.Crop(14, 3)(stream(), seed()), "13×7, expected at least 14×3"),
])  # fmt: skip
def test_refusals(make, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


def test_real_recordings_come_through() -> None:
    folder = os.environ.get("SPIKEWORKS_DATA")
    if not folder:
        pytest.skip("SPIKEWORKS_DATA is not set: the recordings are not here")
    data = np.load(Path(folder) / "nmnist_small" / "nmnist_small.npz")
    x, y, dt, offset = (data[f"test_{name}"] for name in ("x", "y", "dt", "offset"))
    p = np.unpackbits(data["test_p"], count=len(x))
    g = seed()
    for i, j in list(pairwise(offset))[:10]:
        s = EventStream(np.cumsum(dt[i:j].astype(np.int64)), x[i:j], y[i:j], p[i:j], 34, 34)
        for whole in (ev.Flip("x"), ev.Roll(), ev.TimeJitter(100.0), ev.TimeScale(), ev.ReverseTime()):
            assert len(whole(s, g)) == len(s)
        turned = ev.Rotate((20.0, 20.0))(s, g)
        assert 0.8 * len(s) < len(turned) <= len(s)
        assert ev.frames.by_number(ev.nda()(s, g), 10).shape == (10, 2, 34, 34)
