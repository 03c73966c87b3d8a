"""Published layouts: whole or refused in one sentence, split the same everywhere, read as what they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from events.damaged import same, stream
from spikeworks import events
from spikeworks.events import Framing, cached, published
from spikeworks.events.published import layouts
from spikeworks.events.published.facts import Published


def few(monkeypatch: pytest.MonkeyPatch, key: str, **counts: int) -> None:
    """Let a data set be one of so few recordings."""
    for part, count in counts.items():
        monkeypatch.setitem(published.ALL[key].counts, part.removeprefix("all"), count)


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_what_is_known_adds_up() -> None:
    counts = {name: about.counts for name, about in published.ALL.items()}
    assert counts["shd"] == {"train": 8_156, "test": 2_264}
    assert counts["ssc"] == {"train": 75_466, "valid": 9_981, "test": 20_382}
    assert counts["asl_dvs"] == {"": 24 * 4200}
    archives = [a for about in published.ALL.values() for a in about.archives]
    for values in ([a.checksum for a in archives if a.checksum], [a.url for a in archives if a.url]):
        assert len(set(values)) == len(values)  # no set has another's
    for name, about in published.ALL.items():
        assert callable(getattr(published, name))
        for archive in about.archives:
            assert archive.checksum or not archive.url  # what programs fetch is always checked
            assert not archive.checksum or published.transfer.algorithm(archive.checksum)
    assert {name for name, about in published.ALL.items() if about.direct} == {"nmnist", "cifar10_dvs", "shd", "ssc"}


@pytest.mark.parametrize("name", published.ALL)
def test_a_folder_that_lacks_recordings_says_how_many_and_where_they_are(name: str, tmp_path: Path) -> None:
    about: Published = published.ALL[name]
    part: tuple[object, ...] = ("valid",) if name == "ssc" else (True,)
    for partial in (False, True):  # with nothing at all there is nothing to go on with
        with pytest.raises(ValueError, match=r"holds 0 of [\d,]+ recordings; get ") as error:
            getattr(published, name)(tmp_path / "data", *part, partial)
        said = str(error.value)
        assert said.count(str(tmp_path / "data")) == 2
        assert f"{max(about.counts.values()):,}" in said or name == "ssc"
        assert all(word in said for word in (about.archives[0].name, about.page, "partial=True"))
        assert "\n" not in said


def test_nmnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for digit in range(10):
        place = tmp_path / "Test" / str(digit)
        events.write(place / f"0000{digit}.bin", events.EventStream([5], [1], [2], [1], 34, 34))
        touch(place, ".hidden.bin", "notes.txt")
    with pytest.raises(ValueError, match=r"holds 10 of 10,000 recordings; get Train.zip .* partial=True"):
        published.nmnist(tmp_path, train=False)
    some = published.nmnist(tmp_path, train=False, partial=True)
    assert some.labels == list(range(10))
    assert some.names[3] == "Test/3/00003.bin"
    assert (some[3][0].width, some[3][0].t.tolist()) == (34, [5])
    few(monkeypatch, "nmnist", test=10)
    assert published.nmnist(tmp_path, train=False).checksum == some.checksum


def test_ncars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few(monkeypatch, "ncars", train=2, test=1)
    touch(tmp_path, "n-cars_train/cars/a.dat", "n-cars_train/background/b.dat", "test/cars/c.dat")
    train, test = (published.ncars(tmp_path, part) for part in (True, False))
    assert (train.labels, train.classes, test.names) == ([0, 1], ("background", "cars"), ["test/cars/c.dat"])


def gestures(root: Path) -> None:
    s = events.EventStream(np.arange(0, 10_000, 10), [3] * 1000, [4] * 1000, [1] * 1000, 128, 128)
    events.write(root / "user01_led.aedat", s, "aedat3")
    (root / "user01_led_labels.csv").write_text("class,startTime_usec,endTime_usec\n2,1000,2000\n11,5000,5100\n")
    (root / "trials_to_train.txt").write_text("user01_led.aedat\n\n")
    (root / "trials_to_test.txt").write_text("user24_led.aedat\n")


def test_gestures_are_cut_by_their_labels_and_split_by_users(tmp_path: Path) -> None:
    root = tmp_path / "DvsGesture"
    gestures(root)
    made = published.dvs_gesture(tmp_path, train=True, partial=True)
    assert made.labels == [1, 10]
    assert [len(made[i][0]) for i in range(2)] == [100, 10]
    assert made.names == ["user01_led.aedat|1000|2000", "user01_led.aedat|5000|5100"]
    assert published.dvs_gesture(root, train=True, partial=True).checksum == made.checksum
    with pytest.raises(ValueError, match="holds 2 of 1,176"):
        published.dvs_gesture(tmp_path, train=True)
    with pytest.raises(ValueError, match="holds 0 of 288"):
        published.dvs_gesture(tmp_path, train=False)
    for row in ("12,1000,2000", "1,5,4", "1,2", "x,1,2", "0,1,2", "1,-2,3"):
        (root / "user01_led_labels.csv").write_text(f"class,startTime_usec,endTime_usec\n{row}\n")
        with pytest.raises(ValueError, match="no gesture"):
            published.dvs_gesture(tmp_path, train=True, partial=True)
    (root / "trials_to_train.txt").write_text("../user24_led.aedat\n")
    with pytest.raises(ValueError, match="expected names of files"):
        published.dvs_gesture(tmp_path, train=True, partial=True)


def test_cifar10_dvs_has_one_split_by_number_and_not_by_name(tmp_path: Path) -> None:
    names = [f"{name}/cifar10_{name}_{i}.aedat" for name in layouts.CIFAR10 for i in range(1000)]
    touch(tmp_path, *names, "archives/airplane.zip")
    train, test = (published.cifar10_dvs(tmp_path, part) for part in (True, False))
    assert (len(train), len(test), len(published.cifar10_dvs(tmp_path, None))) == (9000, 1000, 10_000)
    assert test.names[:100] == names[:100]  # 2 comes before 10
    assert not set(train.names) & set(test.names)
    assert {"train": train.checksum, "test": test.checksum} == published.CIFAR10_SPLIT
    (tmp_path / names[7]).rename(tmp_path / "airplane" / "cifar10_airplane_1000.aedat")
    with pytest.raises(ValueError, match="other names than cifar10_airplane_0"):
        published.cifar10_dvs(tmp_path, True)
    assert len(published.cifar10_dvs(tmp_path, True, partial=True)) == 9001
    (tmp_path / "airplane" / "cifar10_airplane_1000.aedat").rename(tmp_path / "airplane" / "cifar10_airplane_x.aedat")
    with pytest.raises(ValueError, match="no number at the end of its name"):
        published.cifar10_dvs(tmp_path, True)


@pytest.mark.parametrize(
    ("open", "key", "suffix", "step"),
    [(published.ncaltech101, "ncaltech101", "bin", 10), (published.asl_dvs, "asl_dvs", "mat", 5)],
    ids=["ncaltech101", "asl_dvs"],
)
def test_sets_without_a_split_have_one_that_is_the_same_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open: Callable[..., Any], key: str, suffix: str, step: int
) -> None:
    names = [f"{letter}/{letter}_{i:04}.{suffix}" for letter in layouts.LETTERS for i in range(1, 32)]
    few(monkeypatch, key, all=len(names))
    touch(tmp_path / "one", *names)
    touch(tmp_path / "other", *names[::-1])
    train, test, both = (open(tmp_path / "one", part) for part in (True, False, None))
    assert test.names == [n for n in names if int(n[4:8]) % step == 0]
    assert sorted(train.names + test.names) == both.names == names
    for part, found in ((True, train), (False, test), (None, both)):
        assert open(tmp_path / "other", part).checksum == found.checksum
    assert len({train.checksum, test.checksum, both.checksum}) == 3
    (tmp_path / "one" / names[3]).unlink()
    with pytest.raises(ValueError, match=f"holds {len(names) - 1:,} of {len(names):,}"):
        open(tmp_path / "one", True)
    assert open(tmp_path / "one", False, partial=True).checksum != test.checksum


def test_asl_dvs_is_read(tmp_path: Path) -> None:
    savemat = pytest.importorskip("scipy.io").savemat
    s = stream(50, 240, 180)
    (tmp_path / "k").mkdir()
    columns = {"ts": s.t, "x": 239 - s.x.astype(int), "y": 179 - s.y.astype(int), "pol": s.p}
    savemat(tmp_path / "k" / "k_0001.mat", {name: column[:, None] for name, column in columns.items()})
    found, label = published.asl_dvs(tmp_path, True, partial=True)[0]
    assert same(found, s)
    assert layouts.LETTERS[label] == "k"
    assert not {"j", "z"} & set(layouts.LETTERS)


def image(path: Path, column: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pos, neg = np.array([[7, column, 3], [8, column, 1]]), np.array([[9, column, 8]])
    np.savez(path, pos=pos.astype(np.uint16), neg=neg.astype(np.uint16))


def test_es_imagenet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "ES-imagenet-0.18"
    image(root / "train" / "class3" / "n1_1.npz", 30)
    image(root / "train" / "class12" / "n2_1.npz", 120)
    image(root / "val" / "v2.npz", 200)
    image(root / "val" / "v1.npz", 100)
    (root / "vallabel.txt").write_text("v2.npz 20 256 256\nv1.npz 10 256 256\n\nv3.npz 5 256 256\n")
    with pytest.raises(ValueError, match="holds 2 of 1,257,035"):
        published.es_imagenet(tmp_path, True)
    train = published.es_imagenet(root, True, partial=True)
    assert (train.labels, train.names[1]) == ([3, 12], "train/class12/n2_1.npz")
    s = train[1][0]
    assert [getattr(s, n).tolist() for n in "txyp"] == [[1, 3, 8], [120] * 3, [8, 7, 9], [1, 1, 0]]
    x, _ = cached(train, Framing(8), tmp_path / "cache")
    assert x[0].sum((1, 2, 3)).tolist() == [1, 0, 1, 0, 0, 0, 0, 1]  # a step a frame
    with pytest.raises(ValueError, match="holds 2 of 49,881"):
        published.es_imagenet(tmp_path, False)
    few(monkeypatch, "es_imagenet", test=2)
    assert [(int(s.x[0]), y) for s, y in published.es_imagenet(tmp_path, False)] == [(100, 10), (200, 20)]
    for line in ("../secret.npz 1", "v1.npz", "v1.npz 1000", "v1.npz 1\nv1.npz 2"):
        (root / "vallabel.txt").write_text(line)
        with pytest.raises(ValueError, match=r"vallabel\.txt, line [12], is"):
            published.es_imagenet(tmp_path, False)


def test_spoken_words_are_read_in_any_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("h5py")
    from events.test_audio import words

    draw = np.random.default_rng(0)
    times = [np.sort(draw.random(n)).astype("f4") for n in (57, 0, 9, 3)]
    units = [draw.integers(0, 700, n) for n in (57, 0, 9, 3)]
    words(tmp_path / "shd_train.h5", times, units, [4, 19, 0, 4], [3, 1, 0, 2], "f4")
    with pytest.raises(ValueError, match=r"shd_train\.h5 holds 4 of 8,156 recordings; get shd_train"):
        published.shd(tmp_path, True)
    few(monkeypatch, "shd", train=4)
    made = published.shd(tmp_path, True)
    assert (made.labels, made.names[2], len(made.classes)) == ([4, 19, 0, 4], "shd_train.h5|2", 20)
    for i in (3, 0, 2, 1):
        assert np.array_equal(made[i][0].t, np.rint(times[i].astype(float) * 1e6))
        assert np.array_equal(made[i][0].x, units[i])
        assert (made[i][0].width, made[i][0].height) == (700, 1)
    x, y = cached(made, Framing(5, polarity=False), tmp_path / "cache")
    assert (x.shape, y.tolist()) == ((4, 5, 1, 1, 700), made.labels)
    assert x.sum((1, 2, 3, 4)).tolist() == [57, 0, 9, 3]
    (tmp_path / "ssc_valid").mkdir()
    words(tmp_path / "ssc_valid" / "ssc_valid.h5", times, units, [34, 1, 2, 3], None, "f2")
    assert published.ssc(tmp_path, "valid", partial=True).names[0] == "ssc_valid.h5|0"
    words(tmp_path / "ssc_test.h5", times, units, [35, 1, 2, 3], None, "f2")
    with pytest.raises(ValueError, match="labels from 1 to 35, expected 0 to 34"):
        published.ssc(tmp_path, "test", partial=True)
    whole = (tmp_path / "shd_train.h5").read_bytes()
    (tmp_path / "shd_train.h5").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="copy it again"):
        published.shd(tmp_path, True)
    with pytest.raises(ValueError, match="cannot be read"):
        made[0]
    words(tmp_path / "shd_train.h5", times[:2], units[:2], [4, 19], None, "f4")
    with pytest.raises(ValueError, match="has 2 recordings, got the place 3"):
        made[3]
    assert replace(made, recordings=made.recordings[:1])[0][0].x.tolist() == units[0].tolist()
