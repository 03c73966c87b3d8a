"""Labelled recordings: in a fixed order, whole or refused; their frames made once, whatever happens on the way."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from events.test_stream import same, stream
from spikeworks import events
from spikeworks.events import EventDataset, Framing, Samples, cache, cached, published
from spikeworks.events.dataset import Recording, folder


def own(root: Path, count: int = 3) -> EventDataset:
    for label, name in enumerate(("zebra", "ant")):
        for i in range(count):
            events.write(root / name / f"{i}.npz", stream(50 + i, seed=10 * label + i))
    (root / ".hidden").mkdir(exist_ok=True)
    (root / "ant" / ".DS_Store").write_bytes(b"x")
    return folder(root)


def test_a_folder_of_ones_own_is_in_the_order_of_names(tmp_path: Path) -> None:
    made = own(tmp_path)
    assert made.classes == ("ant", "zebra")
    assert made.labels == [0, 0, 0, 1, 1, 1]
    assert same(made[4][0], stream(51, seed=1))
    assert [label for _, label in made] == made.labels
    assert made.take([5, 0]).labels == [1, 0]
    (tmp_path / "cat").mkdir()
    with pytest.raises(ValueError, match="cat holds no recordings"):
        folder(tmp_path)
    with pytest.raises(ValueError, match="holds no folders"):
        folder(tmp_path / "ant")


def test_a_recording_can_be_a_part_of_a_file(tmp_path: Path) -> None:
    s = stream(1000)
    events.write(tmp_path / "a.dat", s)
    part = EventDataset("x", ("a",), (Recording(tmp_path / "a.dat", 0, 1000, 2000),))
    assert same(part[0][0], s.between(1000, 2000))


def test_samples_of_another_library_are_taken_as_they_are() -> None:
    s = stream(20)
    array = np.zeros(20, [("x", "i2"), ("y", "i2"), ("t", "i8"), ("p", "?")])
    for name in "txyp":
        array[name] = getattr(s, name)
    found = Samples([(array, np.int64(3))], 13, 7)
    assert len(found) == 1
    assert same(found[0][0], s)
    assert found[0][1] == 3
    line = Samples([(array[["t", "x", "p"]], 0)], 13, 1)[0][0]
    assert not line.y.any()
    with pytest.raises(ValueError, match="t is missing"):
        Samples([(array[["x", "y", "p"]], 0)], 13, 7)[0]


def test_nmnist_is_whole_or_refused(tmp_path: Path) -> None:
    for digit in range(10):
        events.write(
            tmp_path / "Test" / str(digit) / f"0000{digit}.bin", events.EventStream([5], [1], [2], [1], 34, 34)
        )
    with pytest.raises(ValueError, match=r"holds 10 of 10,000 recordings; get Train.zip .* partial=True"):
        published.nmnist(tmp_path, train=False)
    some = published.nmnist(tmp_path, train=False, partial=True)
    assert some.labels == list(range(10))
    assert (some[3][0].width, some[3][0].t.tolist()) == (34, [5])
    with pytest.raises(ValueError, match="Train/0 is not there"):
        published.nmnist(tmp_path, train=True)


def test_gestures_are_cut_by_their_labels_and_split_by_users(tmp_path: Path) -> None:
    s = events.EventStream(np.arange(0, 10_000, 10), [3] * 1000, [4] * 1000, [1] * 1000, 128, 128)
    events.write(tmp_path / "user01_led.aedat", s, "aedat3")
    (tmp_path / "user01_led_labels.csv").write_text("class,startTime_usec,endTime_usec\n2,1000,2000\n11,5000,5100\n")
    (tmp_path / "trials_to_train.txt").write_text("user01_led.aedat\n\n")
    (tmp_path / "trials_to_test.txt").write_text("user24_led.aedat\n")
    made = published.dvs_gesture(tmp_path, train=True, partial=True)
    assert made.labels == [1, 10]
    assert [len(made[i][0]) for i in range(2)] == [100, 10]
    with pytest.raises(ValueError, match="holds 2 of 1,176"):
        published.dvs_gesture(tmp_path, train=True)
    with pytest.raises(ValueError, match=r"lacks user24_led\.aedat"):
        published.dvs_gesture(tmp_path, train=False)
    (tmp_path / "user01_led_labels.csv").write_text("class,startTime_usec,endTime_usec\n12,1000,2000\n")
    with pytest.raises(ValueError, match="no gesture"):
        published.dvs_gesture(tmp_path, train=True, partial=True)


def test_cifar10_dvs_has_one_split_by_number_and_not_by_name(tmp_path: Path) -> None:
    for name in "abcdefghij":
        (tmp_path / name).mkdir()
        for i in (9, 10, 99, 100, 999):
            (tmp_path / name / f"cifar10_{name}_{i}.aedat").write_bytes(b"")
    with pytest.raises(ValueError, match="holds 5 recordings, expected 1000"):
        published.cifar10_dvs(tmp_path, train=True)
    train, test = (published.cifar10_dvs(tmp_path, t, partial=True) for t in (True, False))
    assert [r.path.stem for r in test.recordings[:3]] == ["cifar10_a_9", "cifar10_a_10", "cifar10_a_99"]
    assert len(train) == 20
    assert not {r.path for r in train.recordings} & {r.path for r in test.recordings}


def test_other_layouts_say_what_they_lack(tmp_path: Path) -> None:
    (tmp_path / "n-cars_train" / "cars").mkdir(parents=True)
    with pytest.raises(ValueError, match="background is not there"):
        published.ncars(tmp_path, train=True)
    with pytest.raises(ValueError, match="0 of 8,709"):
        published.ncaltech101(tmp_path / "nothing")


def test_frames_are_made_once_and_every_parameter_counts(tmp_path: Path) -> None:
    made, seen = own(tmp_path / "data"), []
    x, y = cached(made, Framing(4), tmp_path / "cache", progress=lambda *now: seen.append(now))
    assert seen == [(i, 6) for i in range(1, 7)]
    assert (x.shape, x.dtype, y.tolist()) == ((6, 4, 2, 7, 13), torch.uint8, made.labels)
    assert [int(frames.sum()) for frames in x] == [len(s) for s, _ in made]
    assert sorted(p.suffix for p in (tmp_path / "cache").iterdir()) == [".npy"]
    again, _ = cached(made, Framing(4), tmp_path / "cache", progress=lambda *now: seen.append(now))
    assert torch.equal(again, x)
    assert len(seen) == 6
    x[0] = 9  # stays in memory
    assert not torch.equal(cached(made, Framing(4), tmp_path / "cache")[0], x)
    for framing in (Framing(5), Framing(4, "number"), Framing(4, pool=2), Framing(4, polarity=False)):
        other, _ = cached(made, framing, tmp_path / "cache")
        assert int(other.sum()) == sum(len(s) for s, _ in made)
    assert len(list((tmp_path / "cache").iterdir())) == 5
    os.utime(made.recordings[2].path, ns=(1, 1))
    cached(made, Framing(4), tmp_path / "cache")
    assert len(list((tmp_path / "cache").iterdir())) == 6


def test_what_was_begun_or_broken_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, place = own(tmp_path / "data"), tmp_path / "cache"
    wanted, _ = cached(made, Framing(4), tmp_path / "other")
    real, count = cache.make, []

    def stopping(*arguments: object) -> None:
        if len(count) == 4:
            raise KeyboardInterrupt
        count.append(1)
        real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(cache, "make", stopping)
    with pytest.raises(KeyboardInterrupt):
        cached(made, Framing(4), place)
    (parts,) = place.iterdir()
    assert len(list(parts.iterdir())) == 4
    broken = sorted(parts.iterdir())[1]
    broken.write_bytes(broken.read_bytes()[:-7])
    monkeypatch.setattr(cache, "make", real)
    seen: list[tuple[int, int]] = []
    x, _ = cached(made, Framing(4), place, progress=lambda *now: seen.append(now))
    assert seen == [(4, 6), (5, 6), (6, 6)]
    assert torch.equal(x, wanted)
    assert [p.suffix for p in place.iterdir()] == [".npy"]


def _fill(root: Path, place: Path, answers: multiprocessing.Queue) -> None:
    x, _ = cached(folder(root), Framing(4), place)
    answers.put(int(x.sum()))


def test_two_processes_fill_one_cache(tmp_path: Path) -> None:
    made = own(tmp_path / "data", 40)
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    both = [context.Process(target=_fill, args=(tmp_path / "data", tmp_path / "cache", answers)) for _ in range(2)]
    for process in both:
        process.start()
    found = [answers.get(timeout=60) for _ in both]
    for process in both:
        process.join(60)
        assert process.exitcode == 0
    assert found == [sum(len(s) for s, _ in made)] * 2
    x, _ = cached(made, Framing(4), tmp_path / "cache")
    assert int(x.sum()) == found[0]


def test_more_jobs_give_the_same(tmp_path: Path) -> None:
    pytest.importorskip("joblib")
    made = own(tmp_path / "data")
    one, _ = cached(made, Framing(3), tmp_path / "one")
    two, _ = cached(made, Framing(3), tmp_path / "two", jobs=2)
    assert torch.equal(one, two)


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    made = own(tmp_path / "data")
    events.write(tmp_path / "data" / "ant" / "9.npz", events.empty(5, 5))
    with pytest.raises(ValueError, match=r"9.npz gave frames \(4, 2, 5, 5\), the first recording \(4, 2, 7, 13\)"):
        cached(folder(tmp_path / "data"), Framing(4), tmp_path / "cache")
    with pytest.raises(ValueError, match="without samples"):
        cached(made.take([]), Framing(4), tmp_path / "cache")
    made.recordings[0].path.unlink()
    with pytest.raises(ValueError, match="cannot be read"):
        cached(made, Framing(4), tmp_path / "cache")
    for values in ({"frames": 0}, {"frames": 2, "pool": 0}, {"frames": 2, "split": "events"}):
        with pytest.raises((ValueError, TypeError), match="Framing got"):
            Framing(**values)  # type: ignore[arg-type]
