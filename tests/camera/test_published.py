"""Published data sets as they lie on disk, whole, half unpacked or wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from camera.spikes import random_spikes
from spikeworks.camera import Layout, SpikeStream, headed, pack
from spikeworks.camera.published import ALL, LABELS, Config, published, spikecv
from spikeworks.camera.published.config import parse

CONFIG = """
filename: PKU-Vidar-DVS # a name
spike_w: 400 # columns
spike_h: 250
is_labeled: true
labeled_data_type: [4]
labeled_data_suffix: txt
label_field_identifier: labels  # where labels are
data_field_identifier: Vidar
"""


def put(path: Path, layout: Layout = Layout(400, 250), frames: int = 2, seed: int = 0) -> np.ndarray:
    bits = random_spikes(frames, layout.height, layout.width, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pack(layout.store(bits)).tobytes())
    return bits


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("label")


def test_flat_yaml() -> None:
    text = "---\na: 1\nb: [0, 3.1, x]\nc: 'q r'  # s\nd:\n  - 4\n  - five\ne: None\nf:\ng: true\nh: http://x#y\n"
    assert parse(text) == {
        "a": 1.0, "b": (0.0, 3.1, "x"), "c": "q r", "d": (4.0, "five"), "e": "None", "f": None, "g": True,
        "h": "http://x#y",
    }  # fmt: skip
    for wrong in (
        "a:\n  b: 1",
        "a: {b: 1}",
        "a: [1,",
        "a: 1\na: 2",
        "- 1",
        "a: &x 1",
        "a: [[1]]",
        "hello",
        "a: |\n  b",
    ):
        with pytest.raises(ValueError, match="line"):
            parse(wrong)


def test_a_spikecv_folder(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG)
    bits = {name: put(tmp_path / f"train/Vidar/7_x/{name}.dat", seed=name) for name in (10, 9, 2)}
    touch(*(tmp_path / f"train/labels/7_x/{name}.txt" for name in bits))
    folder = spikecv(tmp_path, "detection")
    assert [s.name for s in folder] == ["2", "9", "10"]
    assert [p.relative_to(tmp_path).as_posix() for p in folder[2].labels] == ["train/labels/7_x/10.txt"]
    assert np.array_equal(folder[0].stream.dense(), bits[2])
    assert spikecv(tmp_path)[0].labels == ()
    assert len(spikecv(tmp_path, "detection", "train/Vidar")) == 3
    (tmp_path / "train/labels/7_x/9.txt").unlink()
    with pytest.raises(ValueError, match=r"lacks 1 labels, the first of them train/labels/7_x/9\.txt"):
        spikecv(tmp_path, "detection")
    with pytest.raises(ValueError, match=r"no labels of the kind 'tracking'.* \(detection\)"):
        spikecv(tmp_path, "tracking")
    with pytest.raises(ValueError, match="expected one of raw, reconstruction"):
        spikecv(tmp_path, "fun")
    with pytest.raises(ValueError, match="holds no recordings"):
        spikecv(tmp_path, under="test")
    put(tmp_path / "other/3.dat")
    with pytest.raises(ValueError, match=r"3\.dat has no folder Vidar on its way"):
        spikecv(tmp_path, "detection")
    (tmp_path / "train/Vidar/7_x/2.dat").write_bytes(bytes(12_501))
    with pytest.raises(ValueError, match=r"2\.dat has 12,501 bytes, expected a whole number"):
        spikecv(tmp_path)


def test_labels_beside_recordings_and_usb_rows(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(
        "spike_w: 416\nspike_h: 250\nis_labeled: true\nlabeled_data_type: [3.2, 4]\nlabeled_data_suffix: npy\n"
    )
    bits = put(tmp_path / "0000/0000.dat", headed(400, 250))
    touch(tmp_path / "0000/0000_gt.npy")
    sample = spikecv(tmp_path, "stero_depth_estimation")[0]
    assert sample.labels == (tmp_path / "0000/0000_gt.npy",)
    assert np.array_equal(sample.stream.dense(), bits)


@pytest.mark.parametrize(
    ("old", "new", "pattern"),
    [
        ("spike_w: 400", "spike_w: wide", "spike_w: wide, expected a whole number"),
        ("spike_h: 250", "", "spike_h: None"),
        ("[4]", "[4, 9]", "labeled_data_type 9.0"),
        ("true", "maybe", "is_labeled: maybe"),
        ("labeled_data_suffix: txt", "labeled_data_suffix: None", "no labeled_data_suffix"),
        ("data_field_identifier: Vidar", "", "one field identifier alone"),
        ("filename:", "a:\n  b:", "nested YAML"),
    ],
)
def test_wrong_configurations(tmp_path: Path, old: str, new: str, pattern: str) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG.replace(old, new))
    with pytest.raises(ValueError, match=pattern) as caught:
        Config.read(tmp_path / "config.yaml")
    assert str(tmp_path / "config.yaml") in str(caught.value)


def test_configurations_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is absent"):
        spikecv(tmp_path)
    (tmp_path / "config.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="not as expected"):
        spikecv(tmp_path)
    (tmp_path / "config.yaml").write_bytes(bytes(1 << 17))
    with pytest.raises(ValueError, match="expected a few lines"):
        spikecv(tmp_path)


LAYOUTS = {
    "recVidarReal2019": ({"classA/car-100kmh.dat": ()}, ()),
    "motVidarReal2020": ({"cpl1/spikes.dat": (), "spike59/spikes.dat": ("spike59/spikes_gt.txt",)}, ()),
    "momVidarReal2021": ({"Apple.dat": ()}, ()),
    "OpticalFlowSPIFT": (
        {"7/spike_dt10/0.dat": ("7/dt=10/flow/0000.flo",), "7/spike_dt10/1.dat": ("7/dt=10/flow/0001.flo",)},
        ("7/spike_dt10/2.dat",),
    ),
    "OpticalFlowPHM": ({"ball/spike_dt20/9.dat": ("ball/dt=20/flow/0009.flo",)}, ("ball/spike_dt20/10.dat",)),
    "PKU-Vidar-DVS": ({"test/Vidar/00152_a/1.dat": ("test/labels/00152_a/1.txt",)}, ()),
    "PKU-Spike-Stereo": (
        {"indoor/left/0000/0003/0003.dat": ("indoor/left/0000/0003/0003_gt.npy",)},
        ("indoor/right/0000/0003/0003.dat",),
    ),
    "SREDS": ({"train/input/000_21.dat": tuple(f"train/gt/000_{k}.png" for k in (7, 14, 21, 28, 35))}, ()),
    "REDS_BASE": ({"test/spike/200_part1.dat": ("test/gt/200_part1.png",)}, ()),
    "UHSR": ({"test/3/a.npz": ()}, ()),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_data_sets_by_name(tmp_path: Path, name: str) -> None:
    (data, more), at = LAYOUTS[name], published(name)
    bits = random_spikes(2, at.layout.height, at.layout.width)
    for path in (*data, *more):
        put(tmp_path / path, at.layout)
        if path.endswith(".npz"):
            np.savez_compressed(tmp_path / path, spk=bits, label=3)
    touch(*(tmp_path / label for labels in data.values() for label in labels))
    folder = at.folder(tmp_path)
    found = {s.paths[0].relative_to(tmp_path).as_posix(): s for s in folder}
    assert list(found) == list(data)
    for path, labels in data.items():
        assert tuple(p.relative_to(tmp_path).as_posix() for p in found[path].labels) == labels
        assert np.array_equal(found[path].stream.dense(), bits)
    assert all(s.stream.layout.flip == at.layout.flip for s in folder)
    assert at.kind in LABELS
    with pytest.raises(ValueError, match="holds no recordings"):
        at.folder(tmp_path / "nothing")


def test_partners_belong_together(tmp_path: Path) -> None:
    left, right = (put(tmp_path / f"indoor/{side}/0/1/1.dat", seed=k) for k, side in enumerate(("left", "right")))
    touch(tmp_path / "indoor/left/0/1/1_gt.npy")
    (sample,) = published("pku spike stereo").folder(tmp_path)
    assert [np.array_equal(s.dense(), b) for s, b in zip(sample.streams(), (left, right), strict=True)] == [True, True]
    (tmp_path / "indoor/right/0/1/1.dat").unlink()
    with pytest.raises(ValueError, match=r"lacks 1 recordings, the first of them indoor/right/0/1/1\.dat"):
        published("PKU-Spike-Stereo").folder(tmp_path)


def test_names() -> None:
    assert published("pku_vidar_dvs") in ALL
    with pytest.raises(ValueError, match="expected one of recVidarReal2019"):
        published("ImageNet")


def test_a_sample_of_another_size_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "a/b.dat", Layout(100, 90))
    with pytest.raises(ValueError, match="or the data set is another"):
        published("recVidarReal2019").folder(tmp_path)
    np.savez(tmp_path / "a.npz", spk=random_spikes(3, 90, 100))
    (sample,) = published("UHSR").folder(tmp_path)
    with pytest.raises(ValueError, match="expected pictures of height=250, width=250"):
        _ = sample.stream


def test_streams_are_of_this_package(tmp_path: Path) -> None:
    put(tmp_path / "a.dat")
    assert isinstance(published("recVidarReal2019").folder(tmp_path)[0].stream, SpikeStream)
