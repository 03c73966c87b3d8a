"""What is known of the published data sets: how many recordings they have, where they come from, their checksums.

Counts are those of the papers and pages of the sets. Checksums are those that the sources or the public readers of the
sets (Tonic, SpikingJelly) give for these archives; where none is given, none is here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Archive:
    """A file of a data set at its source.

    :param name: of the file. :param folder: it is unpacked to, below the root of the set.
    :param checksum: ``md5:...``; empty where there is none. :param url: where a program gets it; empty: only a person.
    :param opens: whether it is zip or tar, which are unpacked here.
    """

    name: str
    folder: str
    checksum: str = ""
    url: str = ""
    opens: bool = True


@dataclass(frozen=True)
class Published:
    """A published data set.

    :param name: as people say it. :param key: of the function that opens it. :param page: where it comes from.
    :param counts: recordings in each part; ``""``: in all, where there is no official split.
    :param archives: what it comes in. :param hint: what a person has to do besides unpacking.
    """

    name: str
    key: str
    page: str
    counts: dict[str, int]
    archives: tuple[Archive, ...]
    hint: str = ""

    @property
    def direct(self) -> bool:
        """Whether a program can fetch all of it and unpack it."""
        return all(archive.url and archive.opens for archive in self.archives)

    def by_hand(self, place: Path) -> str:
        """What to get, from where, and where to put it: a part of a sentence."""
        names = [archive.name for archive in self.archives]
        said = " and ".join(names) if len(names) < 4 else f"{names[0]} to {names[-1]} ({len(names)} files)"
        inside = "it" if len(names) == 1 else "them"
        return f"get {said} from {self.page}{self.hint} and put what is in {inside} into {place}"

    def whole(self, root: Path, place: Path, part: str, found: int, partial: bool) -> None:
        """Let pass what has as many recordings as were published, and with ``partial`` what has any.

        :param place: where they were looked for. :param part: of :attr:`counts`.
        :raises ValueError: for another number: it is half unpacked, say.
        """
        total = self.counts[part]
        if found == total or (partial and found):
            return
        fetched = f" (published.download({self.key!r}, ...) does both)" if self.direct else ""
        raise ValueError(
            f"{place} holds {found:,} of {total:,} recordings; {self.by_hand(root)}{fetched}, or pass partial=True to "
            "go on with what there is."
        )


_MENDELEY = "https://data.mendeley.com/public-files/datasets/468j46mzdv/files"
_CIFAR = (
    ("airplane", 7712788, "0afd5c4bf9ae06af762a77b180354fdd"),
    ("automobile", 7712791, "8438dfeba3bc970c94962d995b1b9bdd"),
    ("bird", 7712794, "a9c207c91c55b9dc2002dc21c684d785"),
    ("cat", 7712812, "52c63c677c2b15fa5146a8daf4d56687"),
    ("deer", 7712815, "b6bf21f6c04d21ba4e23fc3e36c8a4a3"),
    ("dog", 7712818, "f379ebdf6703d16e0a690782e62639c3"),
    ("frog", 7712842, "cad6ed91214b1c7388a5f6ee56d08803"),
    ("horse", 7712851, "e7cbbf77bec584ffbf913f00e682782a"),
    ("ship", 7712836, "41c7bd7d6b251be82557c6cce9a7d5c9"),
    ("truck", 7712839, "89f3922fd147d9aeff89e76a2b0b70a7"),
)
_SPOKEN = (
    ("shd_train", "f3252aeb598ac776c1b526422d90eecb"),
    ("shd_test", "1503a5064faa34311c398fb0a1ed0a6f"),
    ("ssc_train", "d102be95e7144fcc0553d1f45ba94170"),
    ("ssc_valid", "b4eee3516a4a90dd0c71a6ac23a8ae43"),
    ("ssc_test", "a35ff1e9cffdd02a20eb850c17c37748"),
)
_ES_PARTS = (
    "900bdd57b5641f7d81cd4620283fef76", "5982532009e863a8f4e18e793314c54b", "8f408c1f5a1d4604e48d0d062a8289a0",
    "5c5b5cf0a55954eb639964e3da510097", "51feb661b4c9fa87860b63e76b914673", "fcd007a2b17b7c13f338734c53f6db31",
    "d3e74b96d9c5df15714bbc3abcd329fc", "65b9cf7fa63e18d2e7d92ff45a42a5e5", "241c9a37a83ff9efd305fe46d012211e",
    "ceee96971008e30d0cdc34086c49fd75", "4fbfefbe6e48758fbb72427c81f119cf", "c8cc163be4e5f6451201dccbded4ec24",
    "08c9dff32f6b42c49ef7cd78e37c728e", "43aa157dc5bd5fcea81315a46e0322cf", "480a69b050f465ef01efcc44ae29f7df",
    "11abd24d92b93e7f85acd63abd4a18ab", "3891486a6862c63a325c5f16cd01fdd1", "cf8bb0525b514f411bca9d7c2d681f7c",
    "3766bc35572ccacc03f0f293c571d0ae", "bf73a5e338644122220e41da7b5630e6", "564de4a2609cbb0bb67ffa1bc51f2487",
    "60a9e52db1acadfccc9a9809073f0b04", "373b5484826d40d7ec35f0e1605cb6ea", "a50612e889b20f99cc7b2725dfd72e9e",
    "0802ccdeb0cff29237faf55164524101",
)  # fmt: skip
_CLOUD = "cloud.tsinghua.edu.cn/d/94873ab4ec2a4eb497b3"
_LAB = "https://zenkelab.org/datasets"


def _spoken(stem: str) -> tuple[Archive, ...]:
    return tuple(
        Archive(f"{name}.h5.zip", name, f"md5:{digits}", f"{_LAB}/{name}.h5.zip")
        for name, digits in _SPOKEN
        if name.startswith(stem)
    )


NMNIST = Published(
    "N-MNIST", "nmnist", "garrickorchard.com/datasets/n-mnist", {"train": 60_000, "test": 10_000},
    (
        Archive("Train.zip", "Train", "md5:20959b8e626244a1b502305a9e6e2031",
                f"{_MENDELEY}/39c25547-014b-4137-a934-9d29fa53c7a0/file_downloaded"),
        Archive("Test.zip", "Test", "md5:69ca8762b2fe404d9b9bad1103e97832",
                f"{_MENDELEY}/05a4d654-7e03-4c15-bdfa-9bb2bcbea494/file_downloaded"),
    ),
)  # fmt: skip

NCALTECH101 = Published(
    "N-Caltech101", "ncaltech101", "garrickorchard.com/datasets/n-caltech101", {"": 8_709},
    (Archive("Caltech101.zip", "Caltech101", "md5:66201824eabb0239c7ab992480b50ba3"),),
)  # fmt: skip

CIFAR10_DVS = Published(
    "CIFAR10-DVS", "cifar10_dvs", "figshare.com/articles/dataset/CIFAR10-DVS_New/4724671", {"": 10_000},
    tuple(
        Archive(f"{name}.zip", name, f"md5:{digits}", f"https://ndownloader.figshare.com/files/{number}")
        for name, number, digits in _CIFAR
    ),
)  # fmt: skip

NCARS = Published(
    "N-CARS", "ncars", "prophesee.ai/dataset-n-cars", {"train": 15_422, "test": 8_607},
    (
        Archive("n-cars_train.zip", "n-cars_train", "md5:976d126a651b95d81800b05a3093337b"),
        Archive("n-cars_test.zip", "n-cars_test", "md5:3b5e8e9a5bffeb95614b8c0a2ba4e511"),
    ),
    " (they lie in Prophesee_Dataset_n_cars.zip)",
)  # fmt: skip

DVS_GESTURE = Published(
    "DVS128 Gesture", "dvs_gesture", "research.ibm.com/interactive/dvsgesture", {"train": 1176, "test": 288},
    (Archive("DvsGesture.tar.gz", "DvsGesture", "md5:8a5c71fb11e24e5ca5b11866ca6c00a1"),),
)  # fmt: skip

ASL_DVS = Published(
    "ASL-DVS", "asl_dvs", "github.com/PIX2NVS/NVS2Graph", {"": 100_800},
    (Archive("ICCV2019_DVS_dataset.zip", "a", opens=False),),  # archives in an archive that the source packs anew
    ", unpack the archives in it",
)  # fmt: skip

ES_IMAGENET = Published(
    "ES-ImageNet", "es_imagenet", _CLOUD, {"train": 1_257_035, "test": 49_881},
    tuple(
        Archive(name := f"ES-imagenet-0.18.part{i:02}.rar", "ES-imagenet-0.18", f"md5:{digits}",
                f"https://{_CLOUD}/files/?p=%2F{name}&dl=1", opens=False)
        for i, digits in enumerate(_ES_PARTS, 1)
    ),
    ", unpack the first, which takes all,",
)  # fmt: skip

SHD = Published("SHD", "shd", "zenkelab.org/datasets", {"train": 8_156, "test": 2_264}, _spoken("shd"))
SSC = Published(
    "SSC", "ssc", "zenkelab.org/datasets", {"train": 75_466, "valid": 9_981, "test": 20_382}, _spoken("ssc")
)

ALL = {
    about.key: about for about in (NMNIST, NCALTECH101, CIFAR10_DVS, NCARS, DVS_GESTURE, ASL_DVS, ES_IMAGENET, SHD, SSC)
}
"""Every known one, by the name of the function that opens it."""
