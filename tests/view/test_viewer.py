"""The viewer's server: what it answers is what the library says, what is wrong is refused, nothing is left behind."""

from __future__ import annotations

import http.client
import io
import json
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

import numpy as np
import pytest
import torch
from PIL import Image

from spikeworks import camera
from spikeworks.models import FiveConvolutions, FiveConvolutionsConfig, initialise
from spikeworks.view import answers
from spikeworks.view.app import FILES, Viewer
from spikeworks.view.overlay import Flow, Tracks, dis
from spikeworks.view.scene import METHODS, Look, Scene
from view.moving_scene import its_tracks, moving_scene

OPENER = build_opener(ProxyHandler({}))
HEIGHT, WIDTH, FRAMES = 37, 53, 300


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    folder = tmp_path_factory.mktemp("scene")
    camera.write(folder / "a b.dat", moving_scene(FRAMES, HEIGHT, WIDTH))
    (folder / "t.txt").write_text(its_tracks(FRAMES, HEIGHT, WIDTH))
    field = np.zeros((2, HEIGHT, WIDTH, 2), np.float32)
    field[1] = 3, -4
    np.savez(folder / "f.npz", flow=field, frames=[0, 100])
    stream = camera.open(folder / "a b.dat", HEIGHT, WIDTH)
    flow = Flow.read(folder / "f.npz", WIDTH, HEIGHT)
    return Scene(stream, "a b.dat", Tracks.read(folder / "t.txt"), flow)


@pytest.fixture(scope="module")
def viewer(scene: Scene) -> Iterator[Viewer]:
    with Viewer(scene) as viewer, pytest.MonkeyPatch.context() as patch:
        patch.setattr(answers, "PATIENCE", 600)  # a busy machine's answers are to be whole
        yield viewer


def got(viewer: Viewer, words: str, method: str = "GET", **headers: str) -> tuple[bytes, Any]:
    with OPENER.open(Request(viewer.address + words, method=method, headers=headers), timeout=60) as answer:
        return answer.read(), answer.headers


def refused(viewer: Viewer, words: str, method: str = "GET", **headers: str) -> tuple[int, str]:
    with pytest.raises(HTTPError) as caught:
        got(viewer, words, method, **headers)
    with caught.value as answer:
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
        return answer.code, json.loads(answer.read())["error"]


def test_the_page_is_there_and_names_no_other_place(viewer: Viewer) -> None:
    for name, (_, kind) in FILES.items():
        body, headers = got(viewer, name)
        assert headers["Content-Type"] == kind
        assert headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'")
        assert headers["X-Content-Type-Options"] == "nosniff"
        text = body.decode().replace("http://www.w3.org/2000/svg", "")  # a name, not a place
        assert "http:" not in text
        assert "https:" not in text


def test_about(viewer: Viewer) -> None:
    found = json.loads(got(viewer, "about")[0])
    assert (found["width"], found["height"], found["frames"]) == (WIDTH, HEIGHT, FRAMES)
    assert [m["name"] for m in found["methods"]] == list(METHODS)
    assert {"name": "tfp", "title": camera.TFP.__doc__.splitlines()[0], "window": 41, "causal": True} in found[
        "methods"
    ]
    assert (found["tracks"], found["flow"], found["name"]) == (1, True, "a b.dat")


@pytest.mark.parametrize(
    ("words", "estimator"),
    [
        ("method=tfp", camera.TFP()),
        ("method=tfp&window=8&causal=1", camera.TFP(8, True)),
        ("method=tfi", camera.TFI()),
        ("method=tfi&window=9&causal=1", camera.TFI(9, True)),
    ],
)
@pytest.mark.parametrize("tone", [(0.7, 2.2), (None, 1.0)])
def test_pictures_are_the_estimators(
    viewer: Viewer, scene: Scene, words: str, estimator: camera.Estimator, tone: tuple[float | None, float]
) -> None:
    white, gamma = tone
    body, headers = got(viewer, f"pictures?at=5&step=70&count=9&{words}&white={white or 'auto'}&gamma={gamma}")
    level = scene.white(Look(words[7:10], getattr(estimator, "window", None) or getattr(estimator, "reach", None),
                             estimator.after == 0, white))  # fmt: skip
    assert float(headers["X-White"]) == pytest.approx(level, rel=1e-5)
    size = HEIGHT * WIDTH
    each = size + -(-size // 8)
    assert len(body) == 5 * each  # frames 5, 75 … 285
    for k in range(5):
        image, part = estimator(scene.stream, 5 + 70 * k), np.frombuffer(body, np.uint8)[k * each : (k + 1) * each]
        assert np.array_equal(part[:size].reshape(HEIGHT, WIDTH), camera.grey(image, level, gamma))
        assert np.array_equal(np.unpackbits(part[size:])[:size].reshape(HEIGHT, WIDTH), image.valid)


def test_what_takes_long_is_answered_in_part(viewer: Viewer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "PATIENCE", 0)
    assert got(viewer, "pictures?at=5&count=9")[0] == got(viewer, "pictures?at=5")[0] != b""


def test_white_by_itself_leaves_few_pixels_above_it(scene: Scene) -> None:
    level = scene.white(Look())
    light = camera.TFP()(scene.stream, 100).light
    assert 0.98 < (light <= level).mean() <= 1
    dark = Scene(camera.SpikeStream.of(np.zeros((60, 3, 4), bool)))
    assert dark.white(Look()) == dark.white(Look("tfi")) == 1


def test_activity_is_the_mean_of_the_bits(viewer: Viewer, scene: Scene) -> None:
    found: list[float] = []
    while len(found) < FRAMES:
        found += json.loads(got(viewer, f"activity?first={len(found)}")[0])
    assert found == pytest.approx(scene.stream.dense().mean((1, 2)))
    head = Scene(camera.SpikeStream(np.full((7, 11), 255, np.uint8), camera.headed(13, 3)).crop(1, 1, 5, 2))
    assert head.activity(seconds=9) == [1] * 7  # what lies outside of the window and in the header is not counted


def test_a_pixel_has_its_spikes_intervals_and_rates(viewer: Viewer, scene: Scene) -> None:
    found = json.loads(got(viewer, "pixel?x=17&y=30&at=250&span=100&method=tfp&window=10")[0])
    times = np.flatnonzero(scene.stream.dense()[:, 30, 17])
    times = times[times >= 150]
    assert (found["start"], found["stop"]) == (150, 300)
    assert found["spikes"] == times.tolist()
    apart = np.diff(times)
    assert found["intervals"] == [[n, int((apart == n).sum())] for n in np.unique(apart).tolist()]
    for name, estimator in (("tfp", camera.TFP(10)), ("tfi", camera.TFI())):
        for t, rate in list(zip(found["points"], found["rates"][name], strict=True))[::9]:
            image = estimator(scene.stream, t)
            assert rate == (pytest.approx(float(image.light[30, 17])) if image.valid[30, 17] else None)


def test_tracks_and_flow(viewer: Viewer) -> None:
    (box,) = json.loads(got(viewer, "tracks?at=42")[0])  # that of frame 40
    rows = [line.split(",") for line in its_tracks(FRAMES, HEIGHT, WIDTH).splitlines()]
    assert box["box"] == [float(n) for n in rows[10][2:6]]
    assert len(box["trail"]) == 11
    assert {tuple(a[2:]) for a in json.loads(got(viewer, "flow?at=99&flow=file")[0])} == {(0, 0)}
    assert {tuple(a[2:]) for a in json.loads(got(viewer, "flow?at=100&flow=file")[0])} == {(3, -4)}
    assert json.loads(got(viewer, "flow?at=100")[0]) == []


def test_flow_is_found_where_things_move() -> None:
    pytest.importorskip("cv2", reason="needs OpenCV")
    stream = moving_scene(200)
    arrows = np.array(dis(stream, 60, 40))  # the disc moves 4.8 pixels to the right
    inside = np.hypot(arrows[:, 0] - 57, arrows[:, 1] - 72) < 20
    far = np.abs(arrows[:, 0] - 70) > 60
    assert np.median(arrows[inside, 2]) == pytest.approx(4.8, abs=1)
    assert np.abs(arrows[far, 2:]).mean() < 0.5
    with pytest.raises(ValueError, match="dis got 9×9 pixels"):
        dis(stream.crop(0, 0, 9, 9), 60, 40)


def test_a_frame_is_exported_as_it_is_seen(viewer: Viewer, scene: Scene) -> None:
    body, headers = got(viewer, "frame?at=100&method=tfi&scale=2&white=0.9", "POST")
    assert headers["Content-Disposition"] == 'attachment; filename="a_b-frame100.png"'
    grey = camera.grey(camera.TFI()(scene.stream, 100), 0.9)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(body))), grey.repeat(2, 0).repeat(2, 1))
    drawn = np.asarray(Image.open(io.BytesIO(got(viewer, "frame?at=100&method=tfi&tracks=1&flow=file", "POST")[0])))
    assert drawn.shape == (HEIGHT, WIDTH, 3)
    assert (np.ptp(drawn, axis=-1) > 0).any()


@pytest.mark.parametrize("words", ["tracks=1&flow=file", ""])
def test_a_clip_holds_the_frames_asked_for(viewer: Viewer, words: str) -> None:
    body, headers = got(viewer, f"clip?start=20&stop=61&step=4&kind=gif&fps=20&{words}", "POST")
    assert headers["Content-Disposition"].endswith('"a_b-frames20-60.gif"')
    with Image.open(io.BytesIO(body)) as image:
        assert (image.n_frames, image.size) == (11, (WIDTH, HEIGHT))
    av = pytest.importorskip("av", reason="needs PyAV")
    body, headers = got(viewer, f"clip?start=20&stop=61&step=4&fps=20&scale=2&{words}", "POST")
    assert headers["Content-Type"] == "video/mp4"
    with av.open(io.BytesIO(body)) as film:
        pictures = [frame.to_ndarray(format="gray") for frame in film.decode(video=0)]
        assert film.streams.video[0].average_rate == 20
    assert len(pictures) == 11
    assert pictures[0].shape == (2 * HEIGHT, 2 * WIDTH)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("pictures", "at got nothing, expected a whole number from 0 to 299."),
        ("pictures?at=300", "at got '300'"),
        ("pictures?at=-1", "at got '-1'"),
        ("pictures?at=1_0", "at got '1_0'"),
        ("pictures?at=1&at=2", "each name once"),
        ("pictures?at=1&count=33", "count got '33'"),
        ("pictures?at=1&method=nothing", "one of tfp, tfi"),
        ("pictures?at=1&window=0", "window got '0'"),
        ("pictures?at=1&window=301", "looks at 301 frames, but there are 300"),
        ("pictures?at=1&white=nan", "white got 'nan'"),
        ("pictures?at=1&gamma=0", "gamma got '0'"),
        ("pictures?at=1&causal=yes", "causal got 'yes', expected one of 0, 1."),
        ("pictures?at=1&more=1", "'more', which is no parameter here"),
        ("pixel?at=1&x=53&y=0", "x got '53'"),
        ("flow?at=1&flow=magic", "flow got 'magic'"),
        ("about?x=1", "no parameter here"),
        ("activity?first=x", "first got 'x'"),
    ],
)
def test_wrong_parameters_are_refused_in_a_sentence(viewer: Viewer, words: str, sentence: str) -> None:
    code, said = refused(viewer, words)
    assert code == 400
    assert sentence in said


def test_wrong_clips_are_refused(viewer: Viewer) -> None:
    for words, sentence in (
        ("start=50&stop=50", "the clip got 0 pictures"),
        ("start=0&stop=301", "stop got '301'"),
        ("start=0&stop=9&kind=avi", "one of mp4, gif"),
        ("start=0&stop=9&kind=gif&fps=60", "50 a second at most"),
    ):
        code, said = refused(viewer, f"clip?{words}", "POST")
        assert code == 400
        assert sentence in said


def test_who_does_not_know_the_token_gets_nothing(viewer: Viewer) -> None:
    for path in ("/", "/about", f"/{viewer.token[:-1]}/about", f"/{viewer.token}x/", "//", "/\xff/", "/.."):
        line = http.client.HTTPConnection("127.0.0.1", viewer.port, timeout=10)
        line.putrequest("GET", "/", skip_host=True)
        line._buffer[0] = f"GET {path} HTTP/1.1".encode("latin1")  # type: ignore[attr-defined]
        line.putheader("Host", f"127.0.0.1:{viewer.port}")
        line.endheaders()
        assert line.getresponse().status == 403
        line.close()


def test_other_hosts_pages_and_methods_are_refused(viewer: Viewer) -> None:
    assert refused(viewer, "about", Host=f"evil.example:{viewer.port}")[0] == 403
    assert refused(viewer, "about", Host="127.0.0.1")[0] == 403
    assert refused(viewer, "frame?at=1", "POST", Origin="http://evil.example")[0] == 403
    assert got(viewer, "about", Host=f"localhost:{viewer.port}", Origin=f"http://localhost:{viewer.port}")
    assert refused(viewer, "about", "POST")[0] == 404
    assert refused(viewer, "frame?at=1")[0] == 404
    assert refused(viewer, "../app.py")[0] == 404
    assert refused(viewer, "about", "PUT")[0] == 501
    with pytest.raises(HTTPError) as caught:
        OPENER.open(Request(viewer.address + "frame?at=1", b"x" * 10, method="POST"), timeout=10)
    with caught.value as answer:
        assert answer.code == 413


def test_it_listens_on_this_machine_alone(viewer: Viewer) -> None:
    assert viewer._server.socket.getsockname()[0] == "127.0.0.1"
    with pytest.raises(ValueError, match="cannot be had"):
        Viewer(viewer._server.scene, viewer.port)
    with pytest.raises(ValueError, match="port=70000"):
        Viewer(viewer._server.scene, 70000)


def test_the_latest_wins(viewer: Viewer) -> None:
    assert got(viewer, "pictures?at=9&page=p&turn=5")
    assert got(viewer, "pictures?at=8&page=p&turn=4")[0] == b""
    assert got(viewer, "pictures?at=8&page=q&turn=4")
    found: dict[int, int] = {}

    def ask(turn: int) -> None:
        found[turn] = len(got(viewer, f"pictures?at={turn}&page=r&turn={turn}")[0])

    with viewer._server.work:  # five wait; only the newest is still wanted when it is their turn
        threads = [threading.Thread(target=ask, args=(turn,)) for turn in range(5)]
        for thread in threads:
            thread.start()
        while viewer._server._turns.get("r") != 4:
            pass
    for thread in threads:
        thread.join()
    assert found == {0: 0, 1: 0, 2: 0, 3: 0, 4: HEIGHT * WIDTH + -(-HEIGHT * WIDTH // 8)}


def test_nothing_is_left_running(scene: Scene) -> None:
    before = set(threading.enumerate())
    with Viewer(scene) as viewer:
        line = http.client.HTTPConnection("127.0.0.1", viewer.port, timeout=10)  # stays open, as a browser's does
        line.request("GET", f"/{viewer.token}/about")
        assert line.getresponse().read()
        stopped = threading.Thread(target=lambda: ended.append(_ended(viewer)))
        ended: list[bool] = []
        stopped.start()
    stopped.join(10)
    assert ended == [True]
    assert set(threading.enumerate()) <= before | {stopped}
    line.close()


def _ended(viewer: Viewer) -> bool:
    """Whether a long export has ended, one way or the other."""
    with suppress(OSError, http.client.HTTPException):
        got(viewer, "clip?start=0&stop=300&kind=gif", "POST")
    return True


def test_memory_is_bounded_on_a_long_recording(tmp_path: Path) -> None:
    path = tmp_path / "long.dat"
    with path.open("wb") as file:  # sparse: 250 MB that take no room
        file.truncate(20_000 * 12_500)
    scene = Scene(camera.open(path, 250, 400), "long")
    scene.picture(Look("tfi"), 10_000)  # kernels are loaded
    tracemalloc.start()
    try:
        for t in range(0, 20_000, 1999):
            scene.picture(Look("tfp"), t)
            scene.picture(Look("tfi"), t)
        scene.pixel(10, 10, 10_000, 10_000, Look())
        while len(scene.activity()) < 800:
            pass
        assert tracemalloc.get_traced_memory()[1] < 40e6
    finally:
        tracemalloc.stop()
    assert set(scene.activity()) == {0}


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("no.txt", None, "is not a file"),
        ("t.txt", "\n", "is empty"),
        ("t.txt", "1,2,3,4,5,6\n1,2,x,4,5,6\n", "line 2: '1,2,x,4,5,6'"),
        ("t.txt", "1,2,3,4,5\n", "line 1"),
        ("t.txt", "1.5,2,3,4,5,6\n", "line 1"),
        ("t.txt", "1,2,nan,4,5,6\n", "line 1"),
    ],
)
def test_wrong_tracks_are_refused(tmp_path: Path, name: str, text: str | None, words: str) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=words):
        Tracks.read(tmp_path / name)


def test_flow_files(tmp_path: Path) -> None:
    field = np.arange(2 * 3 * 5, dtype="<f4").reshape(3, 5, 2)
    field[0, 0] = 1e10  # unknown
    whole = np.float32(202021.25).tobytes() + np.array([5, 3], "<i4").tobytes() + field.tobytes()
    (tmp_path / "a.flo").write_bytes(whole)
    flow = Flow.read(tmp_path / "a.flo", 5, 3)
    known = np.where(np.abs(field) < 1e9, field, np.nan)
    assert np.array_equal(flow.fields[0], known, equal_nan=True)
    assert np.isnan(flow.fields[0]).all(-1).sum() == 1
    assert len(flow.at(0)) == 14
    (tmp_path / "b.flo").write_bytes(whole[:-1])
    (tmp_path / "c.npz").write_bytes(whole)
    np.savez(tmp_path / "d.npz", other=field)
    np.savez(tmp_path / "e.npz", flow=[field, field], frames=[1, 1])
    np.savez(tmp_path / "f.npz", flow=[field, field])
    for name, size, words in (
        ("none.flo", (5, 3), "is not a file"), ("a.flo", (3, 5), "of the size of the recording"),
        ("b.flo", (5, 3), "cut off"), ("c.npz", (5, 3), "cannot be read"), ("d.npz", (5, 3), "cannot be read"),
        ("e.npz", (5, 3), "in order"), ("f.npz", (5, 3), "in order"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            Flow.read(tmp_path / name, *size)


def test_a_pixel_by_a_network_is_that_of_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network sees what is around a pixel; at the picture's corner there is less of it."""
    network = FiveConvolutions(FiveConvolutionsConfig(frames=9, channels=(4, 4)))
    initialise(network, torch.Generator().manual_seed(0))
    estimator = camera.Learned(network.eval())
    monkeypatch.setitem(METHODS, "own", camera.Learned)
    monkeypatch.setattr(Look, "estimator", property(lambda look: estimator if look.method == "own" else camera.TFP(9)))
    stream = moving_scene(60)
    scene = Scene(stream)
    for x, y in ((0, 0), (stream.width - 1, 3), (20, 20)):
        told = scene.pixel(x, y, 30, 5, Look("own"))
        for t, light in zip(told["points"], told["rates"]["own"], strict=True):
            assert light == pytest.approx(float(estimator(stream, t).light[y, x]), abs=1e-5)
