"""Downloads against a server on this machine that breaks off, has no ranges or lies; archives that would escape."""

from __future__ import annotations

import errno
import hashlib
import io
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spikeworks.events import published
from spikeworks.events.published import Archive, Published, fetch, unpack

TRANSFER = sys.modules["spikeworks.events.published.transfer"]
UNPACK = sys.modules["spikeworks.events.published.unpack"]
CONTENT = np.random.default_rng(0).bytes(300_000)
SUM = "md5:" + hashlib.md5(CONTENT).hexdigest()


class Server(HTTPServer):
    ranges = True
    breaks: int | None = None  # after so many bytes of an answer
    content = CONTENT
    lies = False
    status = 200

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str | None] = []
        self.sent = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/data.bin"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked, content, at = self.headers.get("Range"), self.server.content, 0
        self.server.asked.append(asked)
        if self.path != "/data.bin":
            self.send_error(404)
            return
        if asked and self.server.ranges:
            at = int(asked.removeprefix("bytes=").removesuffix("-"))
            if at >= len(content):
                self.send_error(416)
                return
            self.send_response(206)
            begin = at + 5 if self.server.lies else at
            self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(content) - at))
        self.end_headers()
        part = content[at:] if self.server.breaks is None else content[at : at + self.server.breaks]
        self.server.sent += len(part)
        self.wfile.write(part)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    made = Server()
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


def test_a_file_is_fetched_once(server: Server, tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    path = fetch(server.url, tmp_path / "a" / "data.bin", SUM, progress=lambda at, of: told.append((at, of)))
    assert path.read_bytes() == CONTENT
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert fetch(server.url, path, SUM) == path
    assert len(server.asked) == 1
    assert [p.name for p in path.parent.iterdir()] == ["data.bin"]


def test_a_transfer_that_breaks_off_is_gone_on_with(server: Server, tmp_path: Path) -> None:
    server.breaks = 100_000
    assert fetch(server.url, tmp_path / "data.bin", SUM).read_bytes() == CONTENT
    assert server.asked == [None, "bytes=100000-", "bytes=200000-"]
    assert server.sent == len(CONTENT)  # nothing twice


def test_after_too_many_breaks_the_next_call_goes_on(server: Server, tmp_path: Path) -> None:
    server.breaks = 50_000
    with pytest.raises(ValueError, match=r"broke off at 200,000 bytes .*data\.bin\.part; call again to go on"):
        fetch(server.url, tmp_path / "data.bin", SUM)
    assert not (tmp_path / "data.bin").exists()
    assert (tmp_path / "data.bin.part").read_bytes() == CONTENT[:200_000]
    assert fetch(server.url, tmp_path / "data.bin", SUM).read_bytes() == CONTENT
    assert server.sent == len(CONTENT)


def test_a_server_without_ranges_begins_anew(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    (tmp_path / "data.bin.part").write_bytes(b"x" * 1000)
    assert fetch(server.url, tmp_path / "data.bin", SUM).read_bytes() == CONTENT
    server.breaks = 1000
    with pytest.raises(ValueError, match="broke off at 1,000 bytes"):
        fetch(server.url, tmp_path / "other.bin", SUM)


def test_a_whole_part_needs_no_transfer(server: Server, tmp_path: Path) -> None:
    (tmp_path / "data.bin.part").write_bytes(CONTENT)
    assert fetch(server.url, tmp_path / "data.bin", SUM).read_bytes() == CONTENT
    assert server.sent == 0


@pytest.mark.parametrize("start", [b"", b"x" * 1000, b"x" * 300_000, b"x" * 400_000])
def test_a_wrong_checksum_leaves_nothing(server: Server, tmp_path: Path, start: bytes) -> None:
    if start:
        (tmp_path / "data.bin.part").write_bytes(start)
    wrong = SUM if start else "sha256:" + "0" * 64
    with pytest.raises(ValueError, match="checksum"):
        fetch(server.url, tmp_path / "data.bin", wrong)
    assert not list(tmp_path.iterdir())
    assert fetch(server.url, tmp_path / "data.bin", SUM).read_bytes() == CONTENT


def test_a_server_that_sends_another_range_is_refused(server: Server, tmp_path: Path) -> None:
    server.lies = True
    (tmp_path / "data.bin.part").write_bytes(CONTENT[:10])
    with pytest.raises(ValueError, match="not from 10"):
        fetch(server.url, tmp_path / "data.bin", SUM)
    assert (tmp_path / "data.bin.part").read_bytes() == CONTENT[:10]


def test_what_cannot_be_fetched_says_why(server: Server, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="404"):
        fetch(server.url + "x", tmp_path / "a", SUM)
    with pytest.raises(ValueError, match="http:// or https://"):
        fetch("file:///etc/passwd", tmp_path / "a", SUM)
    for wrong in ("", "md5:12", "sha1:" + "0" * 40, "md5:" + "Z" * 32):
        with pytest.raises(ValueError, match="expected md5: or sha256:"):
            fetch(server.url, tmp_path / "a", wrong)
    (tmp_path / "a").write_bytes(b"mine")
    with pytest.raises(ValueError, match="remove it and fetch it again"):
        fetch(server.url, tmp_path / "a", SUM)
    assert (tmp_path / "a").read_bytes() == b"mine"
    assert not list(tmp_path.glob("*.part"))
    with pytest.raises(ValueError, match=r"has 300,000 bytes, expected 7; it is another file"):
        fetch(server.url, tmp_path / "c", SUM, size=7)
    server.status = 202  # as sites answer that want to see a person
    with pytest.raises(ValueError, match="answered 202 and no file; fetch it with a browser"):
        fetch(server.url, tmp_path / "d", SUM)
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    server.shutdown()
    server.server_close()
    with pytest.raises(ValueError, match="broke off at 0 bytes"):
        fetch(server.url, tmp_path / "b", SUM)


def test_a_full_disk_keeps_what_is_there(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TRANSFER.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 10})())
    with pytest.raises(ValueError, match="300,000 bytes are to come, 10 are free"):
        fetch(server.url, tmp_path / "data.bin", SUM)
    monkeypatch.undo()
    monkeypatch.setattr(TRANSFER, "CHUNK", 100_000)
    real, count = TRANSFER._opened, []

    class Full:
        def __init__(self, file: Any) -> None:
            self.file = file

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()

        def flush(self) -> None: ...

        def write(self, chunk: bytes) -> None:
            if len(count) == 2:
                raise OSError(errno.ENOSPC, "No space left on device")
            count.append(self.file.write(chunk))

    monkeypatch.setattr(TRANSFER, "_opened", lambda *of: Full(real(*of)))
    with pytest.raises(ValueError, match=r"part cannot be written \(No space left on device\); make room"):
        fetch(server.url, tmp_path / "data.bin", SUM)
    assert (tmp_path / "data.bin.part").read_bytes() == CONTENT[:200_000]
    monkeypatch.undo()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert fetch(server.url, tmp_path / "data.bin", SUM).read_bytes() == CONTENT
    assert server.asked[-1] == "bytes=200000-"


def zipped(path: Path, **files: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in files.items():
            file.writestr(name, content)
    return path


def tarred(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as file:
        for member, content in members:
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, target
    return made


def test_archives_are_unpacked_and_one_top_folder_is_left_out(tmp_path: Path) -> None:
    mac = zipped(tmp_path / "m.zip", **{"Train/0/a.bin": b"1", "__MACOSX/Train/._0": b"2"})
    assert [p.name for p in unpack(mac, tmp_path / "mac").iterdir()] == ["0"]
    flat = unpack(zipped(tmp_path / "a.zip", **{"x.txt": b"1", "d/y.txt": b"2"}), tmp_path / "flat")
    assert (flat / "x.txt").read_bytes() == b"1"
    assert (flat / "d" / "y.txt").read_bytes() == b"2"
    content = [(member("Train/0/a.bin"), b"1"), (member("Train/1/b.bin"), b"22")]
    inside = unpack(tarred(tmp_path / "b.tar.gz", *content), tmp_path / "new" / "Train")
    assert sorted(p.name for p in inside.iterdir()) == ["0", "1"]
    assert inside.stat().st_mode & 0o777 == 0o755
    (tmp_path / "empty").mkdir()
    unpack(tmp_path / "a.zip", tmp_path / "empty")
    with pytest.raises(ValueError, match="there already"):
        unpack(tmp_path / "a.zip", tmp_path / "flat")
    assert not list(tmp_path.rglob(".*"))


@pytest.mark.parametrize("name", ["../out", "/out", "a/../../out", "a\\..\\out", "C:out"])
def test_no_path_escapes(tmp_path: Path, name: str) -> None:
    inner = tmp_path / "in"
    for archive in (
        zipped(tmp_path / "a.zip", **{"fine": b"1", name: b"2"}),
        tarred(tmp_path / "a.tar.gz", (member("fine"), b"1"), (member(name), b"2")),
    ):
        with pytest.raises(ValueError, match="leads elsewhere"):
            unpack(archive, inner / "new")
        assert not list(inner.iterdir())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tar.gz", "a.zip", "in"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    archive = tarred(tmp_path / "a.tar.gz", (member("fine"), b"1"), (member("link", kind, "/etc"), b""))
    with pytest.raises(ValueError, match="no plain file"):
        unpack(archive, tmp_path / "new")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        link = zipfile.ZipInfo("link")
        link.external_attr = 0o120777 << 16
        file.writestr(link, "/etc")
    with pytest.raises(ValueError, match="no plain file"):
        unpack(tmp_path / "a.zip", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_twice_the_same_name_and_too_much_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    twice = tarred(tmp_path / "a.tar.gz", (member("x"), b"1"), (member("x"), b"2"))
    with pytest.raises(ValueError, match="twice"):
        unpack(twice, tmp_path / "new")
    usage = type("Usage", (), {"free": 10})()
    monkeypatch.setattr(UNPACK.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(ValueError, match="more than the disk has room for"):
        unpack(zipped(tmp_path / "b.zip", x=b"0" * 11), tmp_path / "new")
    monkeypatch.undo()
    monkeypatch.setattr(UNPACK, "RATIO", 50)
    for bomb in (
        zipped(tmp_path / "c.zip", x=b"0" * 1_000_000),
        tarred(tmp_path / "c.tar.gz", (member("x"), b"0" * 1_000_000)),
    ):
        with pytest.raises(ValueError, match="holds 1,000,000 bytes or more, which is absurd"):
            unpack(bomb, tmp_path / "new")
    monkeypatch.setattr(UNPACK, "MOST", 2)
    with pytest.raises(ValueError, match="more than 2 files"):
        unpack(zipped(tmp_path / "d.zip", x=b"", y=b"", z=b""), tmp_path / "new")
    assert not (tmp_path / "new").exists()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("suffix", ["zip", "tar.gz"])
def test_a_cut_or_hurt_archive_is_unpacked_whole_or_not_at_all(tmp_path: Path, suffix: str) -> None:
    content = {"d/x.txt": b"hello" * 20, "d/y.txt": bytes(range(200))}
    good = tmp_path / f"good.{suffix}"
    if suffix == "zip":
        zipped(good, **content)
    else:
        tarred(good, *[(member(n), c) for n, c in content.items()])
    whole, bad, draw = good.read_bytes(), tmp_path / f"bad.{suffix}", np.random.default_rng(0)
    hurts = [whole[:n] for n in range(0, len(whole), 3)]
    for _ in range(150):
        hurt = bytearray(whole)
        hurt[draw.integers(len(hurt))] ^= 1 << draw.integers(8)
        hurts.append(bytes(hurt))
    refused = 0
    for i, hurt in enumerate(hurts):
        bad.write_bytes(hurt)
        target = tmp_path / "out" / str(i)
        try:
            unpack(bad, target)
        except ValueError:
            refused += 1
            assert not target.exists()
        else:
            assert {n: (target / n[2:]).read_bytes() for n in content} == content
    assert refused > len(hurts) * 0.6
    assert not list((tmp_path / "out").glob(".*"))


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.rar").write_bytes(b"Rar!")
    with pytest.raises(ValueError, match="neither zip nor tar"):
        unpack(tmp_path / "a.rar", tmp_path / "new")
    with pytest.raises(ValueError, match="is not a file"):
        unpack(tmp_path / "b.zip", tmp_path / "new")


def known(monkeypatch: pytest.MonkeyPatch, about: Published) -> None:
    monkeypatch.setitem(published.ALL, about.key, about)


def test_a_published_set_is_fetched_and_unpacked_once(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.content = zipped(tmp_path / "a.zip", **{"shd_train.h5": b"recordings"}).read_bytes()
    checksum = "md5:" + hashlib.md5(server.content).hexdigest()
    archives = (Archive("shd_train.h5.zip", "shd_train", checksum, server.url),)
    known(monkeypatch, replace(published.ALL["shd"], archives=archives))
    told: list[str] = []
    root = published.download("shd", tmp_path / "shd", lambda name, at, of: told.append(name))
    assert (root / "shd_train" / "shd_train.h5").read_bytes() == b"recordings"
    published.download("shd", root)
    assert len(server.asked) == 1
    assert set(told) == {"shd_train.h5.zip"}
    with pytest.raises(ValueError, match="the name 'mnist', expected one of nmnist, "):
        published.download("mnist", root)


def test_a_set_that_people_must_fetch_says_what_and_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    about = published.ALL["ncaltech101"]
    with pytest.raises(ValueError, match=r"N-Caltech101 is not given to programs: get Caltech101\.zip from .*archives"):
        published.download("ncaltech101", tmp_path)
    place = tmp_path / "archives" / "Caltech101.zip"
    place.parent.mkdir()
    zipped(place, **{"Caltech101/ant/image_0001.bin": b"events"})
    with pytest.raises(ValueError, match="checksum"):
        published.download("ncaltech101", tmp_path)
    checksum = "md5:" + hashlib.md5(place.read_bytes()).hexdigest()
    known(monkeypatch, replace(about, archives=(replace(about.archives[0], checksum=checksum),)))
    published.download("ncaltech101", tmp_path)
    assert (tmp_path / "Caltech101" / "ant" / "image_0001.bin").read_bytes() == b"events"


def test_what_is_not_unpacked_here_says_so_once_all_is_there(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    about = published.ALL["es_imagenet"]
    parts = tuple(replace(a, checksum=SUM, url=server.url) for a in about.archives[:3])
    known(monkeypatch, replace(about, archives=parts))
    with pytest.raises(
        ValueError, match=r"not unpacked here; get .*part01\.rar and .*part02\.rar and .*ES-imagenet-0\.18 is there"
    ):
        published.download("es_imagenet", tmp_path)
    assert len(list((tmp_path / "archives").iterdir())) == 3
    (tmp_path / "ES-imagenet-0.18" / "train" / "class0").mkdir(parents=True)
    assert published.download("es_imagenet", tmp_path) == tmp_path
